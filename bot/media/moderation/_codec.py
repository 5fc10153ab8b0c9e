"""What the looker and its child say to each other.

To the child: a length and a picture. Back: a byte, and a score, 0 to 1, which means something with
SCORE alone.
"""

from __future__ import annotations

import struct

REPLY = struct.Struct(">Bd")
READY_REPLY, SCORE_REPLY, UNREADABLE_REPLY = 0, 1, 2
