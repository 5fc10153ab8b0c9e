"""R6: no picture ends more than its own child; each gets a clear sentence, in time and within memory."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from bot.core.errors import UserError
from bot.core.messages import Upload
from bot.core.photos import MAX_PHOTO_BYTES, PhotoRefusal
from bot.media.decoding import SandboxedPhotoDecoder
from bot.texts.photo_sets import photo_refusal
from tests.proofs.malformed_images import Named, damaged, large, made_wrong, seeds
from tests.proofs.verdict import Proof, forms

SEED = 20261123
#: A sound one that is as large as may be takes the longer: a phone's HEIC of 48 million pixels.
LIMIT_S, TAKEN_LIMIT_S, LIMIT_BYTES, MOST_SENTENCES = 1.0, 4.0, 700 * 10**6, 10
SENTENCES = [photo_refusal(reason) for reason in PhotoRefusal]
SOUND = seeds()[0][1]
TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass
class Tally:
    """What became of the pictures."""

    checked: int = 0
    kept: int = 0
    sentences: Counter[str] = field(default_factory=Counter)
    children_lost: int = 0
    slowest: tuple[float, str] = (0.0, "")  # seconds of a processor
    largest: tuple[int, str] = (0, "")
    shortfalls: list[str] = field(default_factory=list)

    def note(self, name: str, answer: str | None, cost: Spent) -> None:
        self.checked += 1
        self.kept += answer is None
        self.sentences.update([answer] if answer is not None else [])
        self.children_lost += cost.pid is None
        self.slowest = max(self.slowest, (cost.processor_s, name))
        self.largest = max(self.largest, (cost.peak_bytes, name))
        if answer is not None and answer not in SENTENCES:
            self.shortfalls.append(f"{name} {answer}")
        if cost.processor_s > limit_s(answer):
            self.shortfalls.append(f"{name} took {cost.processor_s:.2f} s")
        if cost.peak_bytes > LIMIT_BYTES:
            self.shortfalls.append(f"{name} took {cost.peak_bytes / 1e6:.0f} MB")

    def line(self) -> str:
        return (
            f"{self.checked} pictures, {self.kept} kept, {len(self.sentences)} sentences, "
            f"{self.children_lost} children replaced, at most {self.slowest[0]:.2f} s ({self.slowest[1]}) "
            f"and {self.largest[0] / 1e6:.0f} MB ({self.largest[1]})"
        )


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@forms("mutants", short=300, long=60_000)
async def test_r6_each_malformed_picture_is_one_clear_sentence_in_time_and_within_memory(
    proof: Proof, mutants: int
) -> None:
    tally = Tally()
    queue: asyncio.Queue[Named | None] = asyncio.Queue(8)
    gates = [SandboxedPhotoDecoder(max_children=1) for _ in range(2)]
    lanes = [asyncio.create_task(lane(gate, queue, tally)) for gate in gates]
    for picture in everything(mutants):
        await queue.put(picture)
    for _ in lanes:
        await queue.put(None)
    await asyncio.gather(*lanes)
    for gate in gates:
        await gate.close()
    assert len(SENTENCES) <= MOST_SENTENCES
    proof.concludes(tally.line(), tally.shortfalls)


def everything(mutants: int) -> Iterator[Named]:
    """All that is thrown at the gate; the largest pictures only in the long form."""
    sound = [*seeds(), *given()]
    yield from sound
    yield from made_wrong()
    yield from ((name, make()) for name, make in large() if mutants >= 1000)
    for number in range(mutants):
        chance = random.Random(f"{SEED}:{number}")  # each by itself, so that one alone can be made again
        name, data = chance.choice(sound)
        yield f"mutant {number} of {name}", damaged(data, sound, chance)


def given() -> Iterable[Named]:
    """The files of the folder that `CORPUS` names."""
    folder = os.environ.get("CORPUS")
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file()) if folder else []
    return [(path.name, path.read_bytes()) for path in paths if path.stat().st_size <= MAX_PHOTO_BYTES + 1]


async def lane(gate: SandboxedPhotoDecoder, queue: asyncio.Queue[Named | None], tally: Tally) -> None:
    while (picture := await queue.get()) is not None:
        name, data = picture
        # Whatever else runs on this machine only adds to the time, so one that seems slow has two more tries.
        for _ in range(3):
            answer, cost = await cost_of(gate, data)
            if cost.processor_s <= limit_s(answer):
                break
        tally.note(name, answer, cost)


def limit_s(answer: str | None) -> float:
    """Return how long a picture may take that got an answer, or that was kept."""
    return TAKEN_LIMIT_S if answer is None else LIMIT_S


async def cost_of(gate: SandboxedPhotoDecoder, data: bytes) -> tuple[str | None, Spent]:
    """Check one picture; gives its sentence, None when it was kept, and what it took."""
    if not gate.pids:  # to start a child is no part of a picture's time
        await gate.decode(Upload("photo", SOUND))
    before, began, answer = spent(gate, from_now=True), time.monotonic(), None
    try:
        await gate.decode(Upload("photo", data))
    except UserError as error:
        answer = error.message
    except Exception as error:
        answer = f"escaped as {type(error).__name__}"
    after = spent(gate)
    if after.pid != before.pid:  # it died; what it could take of memory is what the system allows a child
        return answer, Spent(None, time.monotonic() - began, 0)
    return answer, replace(after, processor_s=after.processor_s - before.processor_s)


@dataclass(frozen=True)
class Spent:
    """What a child has used: seconds since it began, and the most memory since it was last asked."""

    pid: int | None
    processor_s: float
    peak_bytes: int


def spent(gate: SandboxedPhotoDecoder, *, from_now: bool = False) -> Spent:
    """Look at the gate's child between two pictures; `from_now` begins a new peak of its memory."""
    if not gate.pids:
        return Spent(None, 0.0, 0)
    [pid] = gate.pids
    if from_now:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return Spent(pid, (int(fields[11]) + int(fields[12])) / TICKS_PER_S, int(peak.split()[1]) * 1024)
