"""What gate and child say to each other.

To the child: a length and a picture. Back: a byte, a length and either a photo or a `PhotoRefusal`'s number.
Plain bytes, because whoever breaks a decoder owns the child: its answers must not be able to say more.
"""

from __future__ import annotations

import struct

REPLY_HEADER = struct.Struct(">BI")  #: what it is, length of what follows
READY_REPLY, PHOTO_REPLY, REFUSED_REPLY = 0, 1, 2
#: A photo is this much of its pixels' hash, then the JPEG.
SHA256_BYTES = 32
