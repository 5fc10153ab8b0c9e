"""How much one front end can take: photos through its gate, looks of its coach, transactions of its database.

`python -m benchmarks.front_end`. CPU time is that of children too; on a busy machine it is nearer the truth
than the clock, though even it grows there, so a plain loop is timed beside it.
"""

from __future__ import annotations

import asyncio
import io
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from bot.core.accounts import Identity, Platform
from bot.core.messages import Upload
from bot.db import Database
from bot.media.decoding import SandboxedPhotoDecoder
from bot.media.quality import SandboxedPhotoAnalyzer
from drawn.examples import good_set

#: A phone's photo.
SIDE_PX = 3464
PHOTOS, COMMITS = 20, 1000


def main() -> int:
    """Measure, and print a table."""
    asyncio.run(_measure_all())
    return 0


async def _measure_all() -> None:
    photo = make_phone_photo()
    print(f"a loop of 3,000,000 additions: {measure_loop_s():.2f} s of CPU\n")
    print("| what | each, by the clock | each, of CPU | a second |\n| --- | ---: | ---: | ---: |", flush=True)
    decoder = SandboxedPhotoDecoder()
    decoded_photo = await decoder.decode(Upload("photo.jpg", photo))  # its children are up
    await _print_row(
        "photo of 12 MP through the gate, two at once",
        PHOTOS,
        lambda: _decode_two(decoder, photo),
        decoder.close,
    )
    analyzer = SandboxedPhotoAnalyzer()
    await analyzer.analyze(decoded_photo.data)
    await _print_row(
        "look of the coach at a photo", PHOTOS, lambda: analyzer.analyze(decoded_photo.data), analyzer.close
    )
    with tempfile.TemporaryDirectory() as folder:
        ledger = await Database.open(Path(folder) / "ledger.sqlite3", lambda: datetime.now(UTC))
        account = await ledger.accounts.get_or_create(Identity(Platform.TELEGRAM, "1"))
        await _print_row(
            "transaction of the database",
            COMMITS,
            lambda: ledger.accounts.record_consent(account),
            ledger.close,
        )


async def _print_row(
    name: str,
    repeats: int,
    operation: Callable[[], Awaitable[object]],
    close: Callable[[], Awaitable[object]],
) -> None:
    began_s, cpu_s = time.perf_counter(), _cpu_s()
    for _ in range(repeats):
        await operation()
    mean_s = (time.perf_counter() - began_s) / repeats
    await close()
    mean_cpu_s = (_cpu_s() - cpu_s) / repeats
    print(f"| {name} | {1000 * mean_s:.1f} ms | {1000 * mean_cpu_s:.1f} ms | {1 / mean_s:.1f} |", flush=True)


async def _decode_two(decoder: SandboxedPhotoDecoder, photo: bytes) -> None:
    await asyncio.gather(*(decoder.decode(Upload("photo.jpg", photo)) for _ in range(2)))


def make_phone_photo() -> bytes:
    """Return a photo as large as a phone's."""
    image = Image.open(io.BytesIO(good_set(512)[0])).convert("RGB").resize((SIDE_PX, SIDE_PX))
    # A camera's grain makes the file as large as a real one.
    grain = Image.effect_noise((SIDE_PX, SIDE_PX), 12).convert("RGB")
    file = io.BytesIO()
    Image.blend(image, grain, 0.15).save(file, "JPEG", quality=92)
    return file.getvalue()


def measure_loop_s() -> float:
    """Measure what a plain loop takes of the CPU."""
    began_s, total = time.process_time(), 0
    for number in range(3_000_000):
        total += number
    return time.process_time() - began_s


def _cpu_s() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    sys.exit(main())
