"""What the eye and its child say to each other.

To the child: a length and a JPEG. Back: a byte, a length and what was measured, as MessagePack. The photo was
decoded and encoded anew by another child before; whoever broke that one must not get further here.
"""

from __future__ import annotations

import struct

import msgspec

from bot.media.quality._types import PhotoMeasurements

REPLY_HEADER = struct.Struct(">BI")  #: what it is, length of what follows
READY_REPLY, MEASUREMENTS_REPLY, UNREADABLE_REPLY = 0, 1, 2
WITH_FACES, WITHOUT_FACES = "faces", "no-faces"  #: on the child's command line, behind its bytes of memory
MAX_REPLY_BYTES = 2**16

encoder = msgspec.msgpack.Encoder()
#: Checks every type and range: what does not fit is no answer.
decoder = msgspec.msgpack.Decoder(PhotoMeasurements)
