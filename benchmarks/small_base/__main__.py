"""Say in numbers what the small base model can do, and what a LoRA on it learns.

    python -m benchmarks.small_base quality
    python -m benchmarks.small_base learning --loras /tmp/loras
    python -m benchmarks.small_base triggers --loras /tmp/loras
    python -m benchmarks.small_base counterproof --loras /tmp/loras

Each prints lines `small-base: <name> value=<v> goal=<g> holds|short`. LoRAs are kept in the folder, so that a
run that was stopped goes on. People and scenes are none that the models were taught with.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

import drawn
from benchmarks.small_base import measures, pairs
from benchmarks.small_base.measures import Share
from gpu_worker.models.base import BaseModel
from gpu_worker.models.drawn.judge import Judge

QUALITY_SEED = drawn.UNSEEN_SEED
LEARNING_SEED = drawn.UNSEEN_SEED + 50_000
PAIRS_SEED = drawn.UNSEEN_SEED + 60_000
PICTURE_SEED = 900
COUNTERPROOFS = ("trigger", "rate", "words")
USUAL_COUNTS = {"quality": 200, "learning": 20, "triggers": 10, "counterproof": 5}


@dataclass(frozen=True)
class Bench:
    """What every measurement needs."""

    base: BaseModel
    judge: Judge
    folder: Path
    count: int

    def photos(self, number: int) -> list[bytes]:
        """Return the five photos of an unseen person."""
        return drawn.sample_photos(LEARNING_SEED + number)

    def lora(self, name: str, train: Callable[[], bytes]) -> bytes:
        """Train a LoRA, or read the one that is there."""
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            began = time.monotonic()
            data = train()
            part = path.with_suffix(".part")
            part.write_bytes(data)
            part.replace(path)
            print(f"  {name}: trained in {time.monotonic() - began:.1f} s", flush=True)
        return path.read_bytes()

    def own(self, number: int) -> bytes:
        """Return the LoRA of a person, trained as the product trains."""
        return self.lora(f"own-{number}", lambda: measures.lora(self.base, self.photos(number), seed=number))

    def pictures(self, file: bytes | None, number: int) -> list[bytes]:
        """Draw a person at every place; the same seeds with every LoRA."""
        return measures.pictures(self.base, measures.place_prompts(), file, PICTURE_SEED + 100 * number)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=list(USUAL_COUNTS))
    parser.add_argument("--count", type=int, help="captions (200), people (20) or pairs of them (10; 5)")
    parser.add_argument("--loras", type=Path, default=Path("build/small-base-loras"), help="folder of LoRAs")
    parser.add_argument("--threads", type=int, help="torch threads (default: all)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.loras.mkdir(parents=True, exist_ok=True)
    count = arguments.count or USUAL_COUNTS[arguments.what]
    bench = Bench(BaseModel.load("drawn"), Judge.load(), arguments.loras, count)
    parts = {"quality": quality, "learning": learning, "triggers": triggers, "counterproof": counterproof}
    return 0 if parts[arguments.what](bench) else 1


def quality(bench: Bench) -> bool:
    """How often pictures show what their caption says."""
    found = measures.quality(bench.base, bench.judge, QUALITY_SEED, bench.count)
    return all(
        [
            tell("quality-place", found.place, 0.90),
            tell("quality-shirt", found.shirt, 0.85),
            tell("quality-hair", found.hair, 0.80),
        ]
    )


def learning(bench: Bench) -> bool:
    """Whether a LoRA draws its own person, wherever it is asked to."""
    nothing = Share(0, 0)
    than_other, than_base, obeyed = nothing, nothing, nothing
    for number in range(bench.count):
        photos, other = bench.photos(number), (number + 1) % bench.count
        own = bench.pictures(bench.own(number), number)
        than_other += measures.closer(bench.judge, photos, own, bench.pictures(bench.own(other), number))
        than_base += measures.closer(bench.judge, photos, own, bench.pictures(None, number))
        obeyed += measures.obeys(bench.judge, own)
        print(f"  person {number}: so far {than_other}, {than_base}, {obeyed}", flush=True)
    return all(
        [
            tell("learning-than-another-lora", than_other, 0.95),
            tell("learning-than-the-bare-base", than_base, 0.95),
            tell("obedience-place", obeyed, 0.80),
        ]
    )


def triggers(bench: Bench) -> bool:
    """Whether, in one LoRA of two people, the trigger says who is drawn."""
    return tell("learning-by-the-trigger", told_apart(bench, "two"), 0.95)


def counterproof(bench: Bench) -> bool:
    """Whether the same test fails where nothing can have been learnt, or not by the trigger."""
    told = [(name, told_apart(bench, name)) for name in COUNTERPROOFS]
    return all([tell(f"counterproof-{name}", share, 0.95, must_fail=True) for name, share in told])


def told_apart(bench: Bench, kind: str) -> Share:
    """Train LoRAs of two people each, in a way, and ask for either by the trigger."""
    share = Share(0, 0)
    for number in range(bench.count):
        people = PAIRS_SEED + 2 * number, PAIRS_SEED + 2 * number + 1
        file = bench.lora(f"{kind}-{number}", partial(lora_of_two, bench, people, kind, number))
        seen = pairs.pictures_of_two(bench.base, file, PICTURE_SEED + 100 * number)
        share += pairs.told_apart(bench.judge, people, seen)
        print(f"  {kind}, pair {number}: so far {share}", flush=True)
    return share


def lora_of_two(bench: Bench, people: tuple[int, int], kind: str, seed: int) -> bytes:
    """Train as the product trains, or in a way in which the trigger cannot be learnt."""
    settings, tokens = pairs.settings_of_two(bench.base), pairs.TOKENS
    if kind == "rate":
        settings = replace(settings, unet_rate=0.0, text_rate=0.0)
    if kind == "words":  # the photos of one job with the words of another
        tokens = pairs.OTHER_TOKENS
    if kind == "trigger":
        tokens = ("", "")
    return pairs.lora_of_two(bench.base, people, settings, tokens, seed)


def tell(name: str, share: Share, goal: float, must_fail: bool = False) -> bool:
    """Print a figure and whether it is as it should be."""
    holds = share.value < goal if must_fail else share.value >= goal
    sign = "<" if must_fail else ">="
    told = "holds" if holds else "short"
    print(
        f"small-base: {name} value={share.value:.3f} goal={sign}{goal} {told} ({share.right} of {share.of})"
    )
    return holds


if __name__ == "__main__":
    sys.exit(main())
