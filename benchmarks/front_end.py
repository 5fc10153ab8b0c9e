"""How much one front end can take: photos through its gate, looks of its coach, transactions of its ledger.

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
from bot.db import Ledger
from bot.media.decoding import PhotoGate
from bot.media.quality import ChildEye
from drawn.examples import good_set

#: A phone's photo.
SIDE_PX = 3464
PHOTOS, COMMITS = 20, 1000


def main() -> int:
    """Measure, and print a table."""
    asyncio.run(_all())
    return 0


async def _all() -> None:
    photo = phone_photo()
    print(f"a loop of 3,000,000 additions: {loop_s():.2f} s of CPU\n")
    print("| what | each, by the clock | each, of CPU | a second |\n| --- | ---: | ---: | ---: |", flush=True)
    gate = PhotoGate()
    kept = await gate.check(Upload("photo.jpg", photo))  # its children are up
    await _row("photo of 12 MP through the gate, two at once", PHOTOS, lambda: _both(gate, photo), gate.close)
    eye = ChildEye()
    await eye.see(kept.data)
    await _row("look of the coach at a photo", PHOTOS, lambda: eye.see(kept.data), eye.close)
    with tempfile.TemporaryDirectory() as folder:
        ledger = await Ledger.open(Path(folder) / "ledger.sqlite3", lambda: datetime.now(UTC))
        account = await ledger.account_of(Identity(Platform.TELEGRAM, "1"))
        await _row("transaction of the ledger", COMMITS, lambda: ledger.consent(account), ledger.close)


async def _row(
    name: str, times: int, once: Callable[[], Awaitable[object]], close: Callable[[], Awaitable[object]]
) -> None:
    began_s, cpu_s = time.perf_counter(), _cpu_s()
    for _ in range(times):
        await once()
    each_s = (time.perf_counter() - began_s) / times
    await close()
    each_cpu_s = (_cpu_s() - cpu_s) / times
    print(f"| {name} | {1000 * each_s:.1f} ms | {1000 * each_cpu_s:.1f} ms | {1 / each_s:.1f} |", flush=True)


async def _both(gate: PhotoGate, photo: bytes) -> None:
    await asyncio.gather(*(gate.check(Upload("photo.jpg", photo)) for _ in range(2)))


def phone_photo() -> bytes:
    """Give a photo as large as a phone's."""
    image = Image.open(io.BytesIO(good_set(512)[0])).convert("RGB").resize((SIDE_PX, SIDE_PX))
    # A camera's grain makes the file as large as a real one.
    grain = Image.effect_noise((SIDE_PX, SIDE_PX), 12).convert("RGB")
    file = io.BytesIO()
    Image.blend(image, grain, 0.15).save(file, "JPEG", quality=92)
    return file.getvalue()


def loop_s() -> float:
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
