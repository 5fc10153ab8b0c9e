"""Does the likeness say what it should? On drawn people with known identity and the base model `drawn`.

    python -m benchmarks.likeness pairs        # the right subject's LoRA above another's: 100 pairs
    python -m benchmarks.likeness checkpoints  # the better of two states made different on purpose: 20 pairs
    python -m benchmarks.likeness planted      # somebody else's photo among five: 100 sets, and 100 without

Each prints a line `likeness: <name> value=<v> goal=<g> holds|short`. LoRAs are trained when the folder
`--loras` does not have them (52 s each on two quiet cores), and kept, so that a run that was stopped goes on.
People and scenes are none that the models were taught with. The judge is the worker's own.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

import drawn
from benchmarks.small_base import measures
from bot.core import likeness
from bot.core.likeness import Score
from gpu_worker.models.base import BaseModel
from gpu_worker.models.drawn.judge import Judge
from gpu_worker.training.candidates import FIRST_SEED

PEOPLE = 20
#: The same people as `benchmarks/small_base/__main__.py` has, so that their LoRAs are trained once.
FIRST_PERSON = drawn.UNSEEN_SEED + 50_000
OTHERS = 5
#: Of 250: too few to have learnt somebody.
FEW_STEPS = 25
SETS = 100
#: What a candidate draws (bot/jobs/requests.py).
PROMPTS = (
    f"photo of {measures.TRIGGER}, close-up, looking at the camera",
    f"photo of {measures.TRIGGER} on the beach",
)
Numbers = list[list[float]]


@dataclass(frozen=True)
class Bench:
    """What every measurement needs."""

    base: BaseModel
    judge: Judge
    folder: Path

    def photos(self, person: int) -> list[bytes]:
        """Draw the five photos of a person."""
        return drawn.sample_photos(FIRST_PERSON + person)

    def who(self, pictures: Sequence[bytes]) -> Numbers:
        """Tell who is in pictures."""
        found: Numbers = self.judge.identity(pictures).tolist()
        return found

    def lora(self, name: str, person: int, steps: int | None = None) -> bytes:
        """Train a LoRA as the product does, or read the one that is there."""
        path = self.folder / f"{name}-{person}.safetensors"
        if not path.exists():
            began, usual = time.monotonic(), measures.usual(self.base)
            settings = usual if steps is None else replace(usual, steps=steps)
            data = measures.lora(self.base, self.photos(person), settings, seed=person)
            part = path.with_suffix(".part")
            part.write_bytes(data)
            part.replace(path)
            print(f"  {path.stem}: trained in {time.monotonic() - began:.1f} s", flush=True)
        return path.read_bytes()

    def drawn_with(self, file: bytes) -> Numbers:
        """Tell who is in the pictures of a candidate."""
        return self.who(measures.pictures(self.base, PROMPTS, file, FIRST_SEED))

    def worth(self, person: int, pictures: Numbers) -> float:
        """Say what a candidate is worth to a person, by what the product says."""
        found = likeness.score(0, self.who(self.photos(person)), pictures, 0, likeness.drawings_alike)
        assert isinstance(found, Score)  # noqa: S101 - there are photos and pictures
        return likeness.worth(found)


def pairs(bench: Bench) -> bool:
    """Whether a person's own LoRA is worth more to them than another's."""
    drawn_by = [bench.drawn_with(bench.lora("own", person)) for person in range(PEOPLE)]
    right = 0
    for person in range(PEOPLE):
        own = bench.worth(person, drawn_by[person])
        others = [bench.worth(person, drawn_by[(person + by) % PEOPLE]) for by in range(1, OTHERS + 1)]
        right += sum(own > other for other in others)
        print(f"  person {person}: own {own:.3f}, others {max(others):.3f} at most", flush=True)
    return tell("right-subject", right, PEOPLE * OTHERS, 0.95)


def checkpoints(bench: Bench) -> bool:
    """Whether what learnt for long enough is worth more than what hardly began."""
    right = 0
    for person in range(PEOPLE):
        late = bench.worth(person, bench.drawn_with(bench.lora("own", person)))
        early = bench.worth(person, bench.drawn_with(bench.lora(f"few{FEW_STEPS}", person, FEW_STEPS)))
        right += late > early
        print(f"  person {person}: {early:.3f} at step {FEW_STEPS}, {late:.3f} at the end", flush=True)
    return tell("better-checkpoint", right, PEOPLE, 0.95)


def planted(bench: Bench) -> bool:
    """Whether somebody else's photo among five is found, and none where there is none."""
    luck, found, quiet = random.Random(8), 0, 0
    for number in range(SETS):
        photos = bench.photos(1000 + number)
        quiet += likeness.odd_photo(bench.who(photos), likeness.drawings_alike) is None
        place = luck.randrange(len(photos))
        photos[place] = bench.photos(2000 + number)[place]
        found += likeness.odd_photo(bench.who(photos), likeness.drawings_alike) == place + 1
    return all([tell("planted-photo", found, SETS, 0.95), tell("no-false-alarm", quiet, SETS, 0.95)])


def tell(name: str, right: int, of: int, goal: float) -> bool:
    """Print a figure and whether it is as it should be."""
    holds = right / of >= goal
    told = "holds" if holds else "short"
    print(f"likeness: {name} value={right / of:.3f} goal=>={goal} {told} ({right} of {of})", flush=True)
    return holds


WHAT: dict[str, Callable[[Bench], bool]] = {"pairs": pairs, "checkpoints": checkpoints, "planted": planted}


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.likeness",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="+", choices=list(WHAT))
    parser.add_argument("--loras", type=Path, default=Path("build/small-base-loras"), help="folder of LoRAs")
    parser.add_argument("--threads", type=int, help="torch threads (default: all)")
    told = parser.parse_args()
    if told.threads:
        torch.set_num_threads(told.threads)
    told.loras.mkdir(parents=True, exist_ok=True)
    bench = Bench(BaseModel.load("drawn"), Judge.load(), told.loras)
    return 0 if all([WHAT[what](bench) for what in told.what]) else 1


if __name__ == "__main__":
    sys.exit(main())
