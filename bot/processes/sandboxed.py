"""The child's side; it imports nothing that a decoder does not need, as its memory is counted."""

from __future__ import annotations

import os
import queue
import struct
import sys
import threading
from typing import BinaryIO

#: What comes before each picture: its length.
REQUEST_HEADER = struct.Struct(">I")


def enter_sandbox(
    memory_bytes: int, *, has_large_mappings: bool = False
) -> tuple[BinaryIO, queue.SimpleQueue[bytes]]:
    """Bound this process; gives where to answer, and the pictures that it is given until its parent ends.

    `maps_much`: its libraries map far more memory than they use, so what is mapped is not counted.
    """
    # What libraries print must not tear an answer.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit_resources(memory_bytes, has_large_mappings)
    pictures: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    # A reader of its own, so that the end of the parent also ends a look that never would.
    threading.Thread(target=_read_requests, args=(sys.stdin.buffer, pictures), daemon=True).start()
    return output, pictures


def _read_requests(stream: BinaryIO, pictures: queue.SimpleQueue[bytes]) -> None:
    while len(header := stream.read(REQUEST_HEADER.size)) == REQUEST_HEADER.size:
        (size_bytes,) = REQUEST_HEADER.unpack(header)
        if len(picture := stream.read(size_bytes)) < size_bytes:
            break
        pictures.put(picture)
    os._exit(0)


def _limit_resources(memory_bytes: int, has_large_mappings: bool) -> None:
    """Bound the memory; no file may grow, and none that holds a picture is left by a crash."""
    try:
        import resource  # there is none on Windows
    except ImportError:
        return
    memory_limit = resource.RLIMIT_DATA if has_large_mappings else resource.RLIMIT_AS
    resource.setrlimit(memory_limit, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
