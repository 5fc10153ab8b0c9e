"""The child's side; it imports nothing that a decoder does not need, as its memory is counted."""

from __future__ import annotations

import os
import queue
import struct
import sys
import threading
from typing import BinaryIO

#: What comes before each picture: its length.
REQUEST = struct.Struct(">I")


def opened(memory_bytes: int, *, maps_much: bool = False) -> tuple[BinaryIO, queue.SimpleQueue[bytes]]:
    """Bound this process; gives where to answer, and the pictures that it is given until its parent ends.

    `maps_much`: its libraries map far more memory than they use, so what is mapped is not counted.
    """
    # What libraries print must not tear an answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit_this_process(memory_bytes, maps_much)
    pictures: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    # A reader of its own, so that the end of the parent also ends a look that never would.
    threading.Thread(target=_read, args=(sys.stdin.buffer, pictures), daemon=True).start()
    return answers, pictures


def _read(stream: BinaryIO, pictures: queue.SimpleQueue[bytes]) -> None:
    while len(head := stream.read(REQUEST.size)) == REQUEST.size:
        (length,) = REQUEST.unpack(head)
        if len(picture := stream.read(length)) < length:
            break
        pictures.put(picture)
    os._exit(0)


def _limit_this_process(memory_bytes: int, maps_much: bool) -> None:
    """Bound the memory; no file may grow, and none that holds a picture is left by a crash."""
    try:
        import resource  # there is none on Windows
    except ImportError:
        return
    bound = resource.RLIMIT_DATA if maps_much else resource.RLIMIT_AS
    resource.setrlimit(bound, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
