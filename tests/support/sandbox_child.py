"""Children that a sandbox pool can be given: one that does as it is told, and one that sends whatever bytes.

`python -m tests.support.sandbox_child BYTES LIMIT [HEX]`: HEX is what it sends to a request, compressed.
"""

from __future__ import annotations

import os
import sys
import threading
import zlib
from collections.abc import Callable
from typing import TypeVar

from bot.processes.sandbox_pool import SandboxLimits, SandboxPool
from bot.processes.sandboxed import REPLY_HEADER, Reply, ReplyKind, serve_requests

ResultT = TypeVar("ResultT")
CHILD = "tests.support.sandbox_child"
LIMITS = SandboxLimits(memory_bytes=2**30, max_reply_bytes=2**22, timeout_s=60.0)


def lying_pool(
    reply: bytes, decode_reply: Callable[[ReplyKind, bytes], ResultT], limits: SandboxLimits = LIMITS
) -> SandboxPool[ResultT]:
    """A pool whose child sends the same bytes to whatever it is asked."""
    return SandboxPool(CHILD, decode_reply, 1, limits, arguments=[zlib.compress(reply).hex()])


def obey(request: bytes) -> Reply:
    """Die, hang, refuse, or send the request back in capitals."""
    if request == b"die":
        os._exit(1)
    if request == b"hang":
        threading.Event().wait()
    if request == b"refuse":
        return ReplyKind.REFUSED, b""
    return ReplyKind.RESULT, request.upper()


def send(reply: bytes) -> None:
    """Say that it is ready, send bytes without waiting for a request, and wait for the end."""
    sys.stdout.buffer.write(REPLY_HEADER.pack(ReplyKind.READY, 0) + reply)
    sys.stdout.buffer.flush()
    sys.stdin.read()


if __name__ == "__main__":
    if len(sys.argv) > 3:
        send(zlib.decompress(bytes.fromhex(sys.argv[3])))
    else:
        serve_requests(lambda: obey)
