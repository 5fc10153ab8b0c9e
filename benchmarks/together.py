"""Measure pictures of two people: whether each is recognised in their place, and what a region costs.

    python -m benchmarks.together --pairs 60
    python -m benchmarks.together --triggers different

People who do not exist are trained on the small base model as the product does it, when the folder `--loras`
does not have them (52 s each on two quiet cores), and drawn two in a picture: with a region each as a prompt
of two LoraCodes has it, with both LoRAs over the whole picture, and one of them alone, which says how often
the base model draws two people at all: it learnt from portraits of one. The judge, the worker's own, looks at
both halves of a picture: a person is recognised if none of `PEOPLE` is nearer. Prints rows
`bench: together-<name> value=<v> goal=<g> holds|short`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

import torch
from PIL import Image
from torch import Tensor

from benchmarks.likeness import PEOPLE, LikenessContext
from benchmarks.rows import FigureRow, Goal, GoalVerdict
from benchmarks.small_base import measures
from gpu_worker.generation.context import GenerationContext
from gpu_worker.generation.generate import generate
from gpu_worker.models.registry import load_base_model
from gpu_worker.models.sd15.drawn.judge import IdentityModel
from gpu_worker.protocol import DoneEvent, GenerateRequest, LoraUse, Place

WIDTH_PX, HEIGHT_PX = 512, 256
#: With `--triggers different`, those of people in turn; else everybody has the first.
TOKENS = (measures.TOKEN, "ohwx")
#: How two LoRAs are drawn; None draws the first one alone.
LAYOUTS: dict[str, tuple[Place, Place] | None] = {
    "regions": (Place.FOUND, Place.FOUND),
    "named": (Place.LEFT, Place.RIGHT),
    "mixture": (Place.EVERYWHERE, Place.EVERYWHERE),
    "alone": None,
}


@dataclass
class LayoutScore:
    """What was seen of one layout."""

    in_place: list[int] = field(default_factory=list)  #: of both people of a picture, how many are recognised
    likenesses: list[float] = field(default_factory=list)  #: of the less alike one, to their photos
    times_s: list[float] = field(default_factory=list)

    @property
    def both_rate(self) -> float:
        """Share of pictures in which both are recognised."""
        return mean(count == 2 for count in self.in_place)


class PairBench:
    """Draws pairs and looks at them."""

    def __init__(self, context: LikenessContext, tokens: Sequence[str]) -> None:
        """Embed everybody's photos; the LoRAs of the first people are used, each with its token."""
        self._context, self._generation = context, GenerationContext(context.base)
        self._files = [
            context.load_or_train("own", person, token=token) for person, token in enumerate(tokens)
        ]
        self._triggers = [f"{token} {measures.CLASS_WORD}" for token in tokens]
        photos = [torch.tensor(context.embed(context.sample_photos(person))) for person in range(PEOPLE)]
        self._photos = torch.nn.functional.normalize(torch.stack([each.mean(0) for each in photos]), dim=1)

    def draw(self, pair: Sequence[int], places: tuple[Place, Place] | None, seed: int) -> tuple[bytes, float]:
        """Return a picture of two people, and the seconds that it took."""
        used = zip(pair, places, strict=True) if places else ((pair[0], Place.EVERYWHERE),)
        loras = tuple(_use(self._files[person], self._triggers[person], place) for person, place in used)
        # One LoRA alone knows its own trigger only.
        first, second = (self._triggers[person] for person in (pair if places else (pair[0], pair[0])))
        scene = measures.build_place_prompts("")[seed % len(measures.PLACES)].strip()
        request = GenerateRequest(
            job_id=0,
            attempt=0,
            prompt=f"{first} and {second} {scene}",
            seed=seed,
            width_px=WIDTH_PX,
            height_px=HEIGHT_PX,
            loras=loras,
        )
        started_at = time.perf_counter()
        last = list(generate(self._generation, request))[-1]
        assert isinstance(last, DoneEvent)  # noqa: S101 - an error would have been raised
        return last.pictures[0], time.perf_counter() - started_at

    def compare(self, picture: bytes) -> Tensor:
        """Return how alike both halves of a picture are to everybody, (2, people)."""
        return torch.tensor(self._context.embed(_crop_halves(picture))) @ self._photos.T


def measure(bench: PairBench, pairs: Sequence[tuple[int, int]]) -> dict[str, LayoutScore]:
    """Draw each pair in every layout with one seed, and print how it went."""
    scores = {name: LayoutScore() for name in LAYOUTS}
    for seed, pair in enumerate(pairs):
        for name, places in LAYOUTS.items():
            picture, elapsed_s = bench.draw(pair, places, seed)
            expected = pair if places else (pair[0], pair[0])
            similarity = bench.compare(picture)
            recognised = [
                int(row.argmax()) == person for row, person in zip(similarity, expected, strict=True)
            ]
            scores[name].in_place.append(sum(recognised))
            scores[name].likenesses.append(
                min(float(row[person]) for row, person in zip(similarity, expected, strict=True))
            )
            scores[name].times_s.append(elapsed_s)
        told = ", ".join(f"{name} {score.in_place[-1]}" for name, score in scores.items())
        print(f"  pair {seed + 1} of {len(pairs)}: recognised with {told}", flush=True)
    return scores


def build_rows(scores: dict[str, LayoutScore]) -> list[FigureRow]:
    """Return the rows of the table."""
    regions, mixture, alone = scores["regions"], scores["mixture"], scores["alone"]
    held = [count for count, single in zip(regions.in_place, alone.in_place, strict=True) if single == 2]
    costs = [one / other for one, other in zip(regions.times_s, mixture.times_s, strict=True)]
    least = (
        f"the less alike one {mean(regions.likenesses):.2f}, in the mixture {mean(mixture.likenesses):.2f}"
    )
    goal = Goal(">=", 0.8)
    return [
        FigureRow("together-both", "both in their place", "share", goal, regions.both_rate, least),
        FigureRow("together-named", "with a layout that is named", "share", goal, scores["named"].both_rate),
        FigureRow(
            "together-both-where-two-are-drawn",
            "both, where the base model draws two people",
            "share",
            goal,
            mean(count == 2 for count in held) if held else None,
            f"{len(held)} of {len(regions.in_place)} pairs",
        ),
        FigureRow("together-base", "one LoRA alone, twice in a picture", "share", goal, alone.both_rate),
        FigureRow(
            "together-mixture", "both with LoRAs over the whole", "share", Goal("<=", 0.2), mixture.both_rate
        ),
        FigureRow("together-cost", "time beside the mixture", "times", Goal("<=", 1.25), median(costs)),
    ]


def list_tokens(people: int, are_different: bool) -> list[str]:
    """Return the token of each person."""
    return [TOKENS[person % len(TOKENS) if are_different else 0] for person in range(people)]


def list_pairs(tokens: Sequence[str], are_different: bool) -> list[tuple[int, int]]:
    """Return all pairs, shuffled; with different triggers only those of two tokens."""
    pairs = [
        (one, other)
        for one, other in itertools.permutations(range(len(tokens)), 2)
        if not are_different or tokens[one] != tokens[other]
    ]
    random.Random(26).shuffle(pairs)
    return pairs


def _use(file: bytes, trigger: str, place: Place) -> LoraUse:
    sha256 = hashlib.sha256(file).hexdigest()
    return LoraUse(data=file, sha256=sha256, name=sha256[:8], trigger=trigger, place=place)


def _crop_halves(picture: bytes) -> list[bytes]:
    halves = []
    with Image.open(io.BytesIO(picture)) as image:
        middle = image.width // 2
        for left, right in ((0, middle), (middle, image.width)):
            buffer = io.BytesIO()
            image.crop((left, 0, right, image.height)).save(buffer, "PNG")
            halves.append(buffer.getvalue())
    return halves


def main() -> int:
    """Measure and print the rows."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.together",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument(
        "--people", type=int, default=PEOPLE, help=f"of whom there are LoRAs, at most {PEOPLE}"
    )
    parser.add_argument(
        "--triggers", choices=("same", "different"), default="same", help="of the two people of a pair"
    )
    parser.add_argument("--loras", type=Path, default=Path("build/small-base-loras"), help="folder of LoRAs")
    args = parser.parse_args()
    args.loras.mkdir(parents=True, exist_ok=True)
    context = LikenessContext(load_base_model("drawn"), IdentityModel.load(), args.loras)
    are_different = args.triggers == "different"
    tokens = list_tokens(min(args.people, PEOPLE), are_different)
    pairs = list_pairs(tokens, are_different)[: args.pairs]
    rows = build_rows(measure(PairBench(context, tokens), pairs))
    for row in rows:
        print(row.format_line() + (f"  # {row.note}" if row.note and row.value is not None else ""))
    return 0 if all(row.verdict is not GoalVerdict.SHORT for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
