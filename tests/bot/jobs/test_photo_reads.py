"""The photos of a set are read once and hashed once, whoever needs them."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from bot.core.jobs import JobStatus
from bot.core.photos import PHOTOS_PER_LORA
from gpu_worker.protocol import TrainRequest
from tests.support.engine import EngineRoom, open_engine_room
from tests.support.services import ANNA, forget_decoded_photos


@contextmanager
def hashes_counted() -> Iterator[Counter[str]]:
    """Count the SHA-256 computations by the function that asks for them, in all threads that start here."""
    counts: Counter[str] = Counter()

    def note(frame: FrameType, event: str, function: object) -> None:
        if event == "c_call" and getattr(function, "__name__", "") == "openssl_sha256":
            counts[frame.f_code.co_qualname] += 1

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield counts
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


async def note_photo_reads(room: EngineRoom) -> list[str]:
    """Return a list that gets each statement that selects the bytes of photos."""
    statements: list[str] = []

    def note(sql: str) -> None:
        if sql.startswith("SELECT") and "photos" in sql and " data " in sql.replace(",", " "):
            statements.append(sql)

    def trace(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(note)

    await room.ledger._connection.read(trace)
    return statements


async def test_photos_of_a_training_are_read_once_and_hashed_once(tmp_path: Path) -> None:
    forget_decoded_photos()
    with hashes_counted() as hashes:
        async with open_engine_room(tmp_path) as room:
            reads = await note_photo_reads(room)
            job = await room.desk.train(ANNA)
            await room.dispatcher.drain()
            assert (await room.job(job)).status is JobStatus.DONE
    [request] = room.backend.requests
    assert isinstance(request, TrainRequest)
    assert len(request.photos) == PHOTOS_PER_LORA
    assert len(reads) == 1, reads
    assert hashes["StoredPhoto.from_data"] == PHOTOS_PER_LORA, hashes
