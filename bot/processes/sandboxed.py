"""The child's side of a sandbox. It imports only what a decoder needs, as its memory is limited."""

from __future__ import annotations

import os
import queue
import struct
import sys
import threading
from collections.abc import Callable
from enum import IntEnum
from typing import BinaryIO, NoReturn, TypeAlias

#: Before each request: its length.
REQUEST_HEADER = struct.Struct(">I")
#: Before each reply: its kind, and the length of its body.
REPLY_HEADER = struct.Struct(">BI")


class ReplyKind(IntEnum):
    """The kind of a child's reply."""

    READY = 0  #: sent once, before the first request
    RESULT = 1
    REFUSED = 2  #: the input cannot be used; the body may say why


Reply: TypeAlias = tuple[ReplyKind, bytes]


def serve_requests(load_handler: Callable[[], Callable[[bytes], Reply]]) -> NoReturn:
    """Limit this process, load what handles requests, and answer them until the parent closes the pipe.

    The parent passes the limit of memory in bytes, and which one it is, as the first two arguments.
    """
    # What libraries print must not end up inside a reply.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit_resources(int(sys.argv[1]), sys.argv[2])
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    # A thread of its own, so that the end of the parent also ends a request that never would.
    threading.Thread(target=_read_requests, args=(sys.stdin.buffer, requests), daemon=True).start()
    handle = load_handler()
    _write_reply(replies, ReplyKind.READY, b"")
    while True:
        _write_reply(replies, *handle(requests.get()))


def refuse(error: Exception) -> Reply:
    """Return the reply to an input that cannot be used.

    A child must not write it to stderr instead: where that is a file, RLIMIT_FSIZE makes the write fail.
    """
    return ReplyKind.REFUSED, type(error).__name__.encode()[:100]


def _write_reply(stream: BinaryIO, kind: ReplyKind, body: bytes) -> None:
    stream.write(REPLY_HEADER.pack(kind, len(body)) + body)
    stream.flush()


def _read_requests(stream: BinaryIO, requests: queue.SimpleQueue[bytes]) -> None:
    while len(header := stream.read(REQUEST_HEADER.size)) == REQUEST_HEADER.size:
        (size_bytes,) = REQUEST_HEADER.unpack(header)
        if len(request := stream.read(size_bytes)) < size_bytes:
            break
        requests.put(request)
    os._exit(0)


def _limit_resources(memory_bytes: int, memory_limit: str) -> None:
    """Limit the memory, and forbid files: a crash must not leave a picture on the disk."""
    try:
        import resource  # there is none on Windows
    except ImportError:
        return
    kind = resource.RLIMIT_DATA if memory_limit == "data" else resource.RLIMIT_AS
    resource.setrlimit(kind, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
