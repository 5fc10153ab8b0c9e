"""Measure how well the likeness score ranks pictures, on drawn people of known identity.

    python -m benchmarks.likeness pairs        # the right subject's LoRA above another's: 100 pairs
    python -m benchmarks.likeness checkpoints  # the better of two states made different on purpose: 20 pairs
    python -m benchmarks.likeness planted      # somebody else's photo among five: 100 sets, and 100 without
    python -m benchmarks.likeness fast         # what fast pictures lose against those of 25 steps: 5 people
    python -m benchmarks.likeness batch        # batches of five photos against single ones, as many shown

Each prints a line `likeness: <name> value=<v> goal=<g> holds|short`. LoRAs are trained when the folder
`--loras` does not have them (52 s each on two quiet cores), and kept, so that a run that was stopped goes on.
People and scenes are none that the models were taught with. The judge is the worker's own.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

import drawn
from benchmarks.small_base import measures
from bot.core import likeness
from bot.core.likeness import CandidateScore
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from gpu_worker.models.sd15.drawn.judge import IdentityModel
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.previews import FIRST_SEED

PEOPLE = 20
#: The same people as `benchmarks/small_base/__main__.py` has, so that their LoRAs are trained once.
FIRST_PERSON = drawn.UNSEEN_SEED + 50_000
OTHERS = 5
#: Of 250 steps: too few to learn a person.
FEW_STEPS = 25
SETS = 100
#: Fast pictures are compared with those of so many steps, and may lose so much of the score.
FINE_STEPS, MAX_FAST_LOSS = 25, 0.01
SPEED_PEOPLE, SPEED_ROUNDS = 5, 4
#: Trainings in batches of five photos are compared with those of single ones that were shown as many.
BATCH_SIZES, MAX_BATCH_LOSS = (1, 5), 0.01
BATCH_PEOPLE = 6
#: What a candidate draws (bot/jobs/requests.py).
PROMPTS = (
    f"photo of {measures.TRIGGER}, close-up, looking at the camera",
    f"photo of {measures.TRIGGER} on the beach",
)
Numbers = list[list[float]]


@dataclass(frozen=True)
class LikenessContext:
    """What every measurement needs."""

    base: BaseModel
    identity_model: IdentityModel
    folder: Path

    def sample_photos(self, person: int) -> list[bytes]:
        """Draw the five photos of a person."""
        return drawn.sample_photos(FIRST_PERSON + person)

    def embed(self, pictures: Sequence[bytes]) -> Numbers:
        """Return the identity embeddings of pictures."""
        embeddings: Numbers = self.identity_model.embed(pictures).tolist()
        return embeddings

    def load_or_train(
        self,
        name: str,
        person: int,
        steps: int | None = None,
        batch_size: int | None = None,
        token: str = measures.TOKEN,
    ) -> bytes:
        """Train a LoRA as the product does, or read the one that is there."""
        stem = f"{name}-{person}" if token == measures.TOKEN else f"{name}-{token}-{person}"
        path = self.folder / f"{stem}.safetensors"
        if not path.exists():
            started_at, default_config = time.monotonic(), measures.default_config(self.base)
            settings = default_config if steps is None else replace(default_config, steps=steps)
            settings = settings if batch_size is None else scale_batch(settings, batch_size)
            data = measures.train_lora(self.base, self.sample_photos(person), settings, token, seed=person)
            temp_path = path.with_suffix(".part")
            temp_path.write_bytes(data)
            temp_path.replace(path)
            print(f"  {path.stem}: trained in {time.monotonic() - started_at:.1f} s", flush=True)
        return path.read_bytes()

    def embed_candidate(self, file: bytes) -> Numbers:
        """Return the identity embeddings of a candidate's pictures."""
        return self.embed(measures.generate_pictures(self.base, PROMPTS, file, FIRST_SEED))

    def score(self, person: int, pictures: Numbers) -> float:
        """Return the likeness score of a candidate, as the product computes it."""
        candidate_score = likeness.score_candidate(
            0, self.embed(self.sample_photos(person)), pictures, 0, likeness.drawing_similarity
        )
        assert isinstance(candidate_score, CandidateScore)  # noqa: S101 - there are photos and pictures
        return likeness.weighted_likeness(candidate_score)


def compare_subjects(context: LikenessContext) -> bool:
    """Whether a person's own LoRA is worth more to them than another's."""
    embeddings_by_person = [
        context.embed_candidate(context.load_or_train("own", person)) for person in range(PEOPLE)
    ]
    correct_count = 0
    for person in range(PEOPLE):
        own_score = context.score(person, embeddings_by_person[person])
        other_scores = [
            context.score(person, embeddings_by_person[(person + offset) % PEOPLE])
            for offset in range(1, OTHERS + 1)
        ]
        correct_count += sum(own_score > other_score for other_score in other_scores)
        print(f"  person {person}: own {own_score:.3f}, others {max(other_scores):.3f} at most", flush=True)
    return report_result("right-subject", correct_count, PEOPLE * OTHERS, 0.95)


def compare_checkpoints(context: LikenessContext) -> bool:
    """Whether what learnt for long enough is worth more than what hardly began."""
    correct_count = 0
    for person in range(PEOPLE):
        late_score = context.score(person, context.embed_candidate(context.load_or_train("own", person)))
        early_score = context.score(
            person, context.embed_candidate(context.load_or_train(f"few{FEW_STEPS}", person, FEW_STEPS))
        )
        correct_count += late_score > early_score
        print(
            f"  person {person}: {early_score:.3f} at step {FEW_STEPS}, {late_score:.3f} at the end",
            flush=True,
        )
    return report_result("better-checkpoint", correct_count, PEOPLE, 0.95)


def find_planted_photos(context: LikenessContext) -> bool:
    """Whether another person's photo among five is detected, and none where there is none."""
    rng, found_count, quiet_count = random.Random(8), 0, 0
    for number in range(SETS):
        photos = context.sample_photos(1000 + number)
        quiet_count += likeness.find_odd_photo(context.embed(photos), likeness.drawing_similarity) is None
        index = rng.randrange(len(photos))
        photos[index] = context.sample_photos(2000 + number)[index]
        found_count += (
            likeness.find_odd_photo(context.embed(photos), likeness.drawing_similarity) == index + 1
        )
    return all(
        [
            report_result("planted-photo", found_count, SETS, 0.95),
            report_result("no-false-alarm", quiet_count, SETS, 0.95),
        ]
    )


def compare_speeds(context: LikenessContext) -> bool:
    """Whether fast pictures are as alike as those of 25 steps with the same seeds."""
    losses: list[float] = []
    prompts = PROMPTS * SPEED_ROUNDS
    for person in range(SPEED_PEOPLE):
        lora = context.load_or_train("own", person)
        fine, fast = (
            context.score(
                person,
                context.embed(
                    measures.generate_pictures(context.base, prompts, lora, FIRST_SEED, steps, is_fast)
                ),
            )
            for steps, is_fast in ((FINE_STEPS, False), (None, True))
        )
        losses.append(fine - fast)
        print(f"  person {person}: {fine:.3f} in {FINE_STEPS} steps, {fast:.3f} fast", flush=True)
    loss = sum(losses) / len(losses)
    is_met = loss <= MAX_FAST_LOSS
    print(f"likeness: fast-loss value={loss:.4f} goal=<={MAX_FAST_LOSS} {'holds' if is_met else 'short'}")
    return is_met


def compare_batches(context: LikenessContext) -> bool:
    """Whether batches of five teach a person as well as single photos, with as many shown."""
    prompts = PROMPTS * SPEED_ROUNDS
    losses: list[float] = []
    for person in range(BATCH_PEOPLE):
        scores = []
        for batch_size in BATCH_SIZES:
            lora = context.load_or_train(f"batch{batch_size}", person, batch_size=batch_size)
            pictures = measures.generate_pictures(context.base, prompts, lora, FIRST_SEED)
            scores.append(context.score(person, context.embed(pictures)))
        losses.append(scores[0] - scores[1])
        print(f"  person {person}: {scores[0]:.3f} one by one, {scores[1]:.3f} five at once", flush=True)
    loss = statistics.mean(losses)
    is_met = loss <= MAX_BATCH_LOSS
    verdict, error = "holds" if is_met else "short", statistics.stdev(losses) / math.sqrt(len(losses))
    print(f"likeness: batch-loss value={loss:.4f}±{error:.4f} goal=<={MAX_BATCH_LOSS} {verdict}")
    return is_met


def scale_batch(config: TrainingConfig, batch_size: int) -> TrainingConfig:
    """Return settings that show as many photos in batches of another size.

    Learning rates grow by the square root, as Adam's do (Malladi et al. 2022, "On the SDEs and Scaling Rules
    for Adaptive Gradient Algorithms").
    """
    factor = batch_size / config.batch_size
    return replace(
        config,
        batch_size=batch_size,
        steps=round(config.steps / factor),
        unet_lr=config.unet_lr * math.sqrt(factor),
        text_encoder_lr=config.text_encoder_lr * math.sqrt(factor),
    )


def report_result(name: str, correct_count: int, total: int, goal: float) -> bool:
    """Print a figure and whether it is as it should be."""
    is_met = correct_count / total >= goal
    verdict = "holds" if is_met else "short"
    print(
        f"likeness: {name} value={correct_count / total:.3f} goal=>={goal} {verdict}"
        f" ({correct_count} of {total})",
        flush=True,
    )
    return is_met


MEASUREMENTS: dict[str, Callable[[LikenessContext], bool]] = {
    "pairs": compare_subjects,
    "checkpoints": compare_checkpoints,
    "planted": find_planted_photos,
    "fast": compare_speeds,
    "batch": compare_batches,
}


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.likeness",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="+", choices=list(MEASUREMENTS))
    parser.add_argument("--loras", type=Path, default=Path("build/small-base-loras"), help="folder of LoRAs")
    parser.add_argument("--threads", type=int, help="torch threads (default: all)")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    args.loras.mkdir(parents=True, exist_ok=True)
    context = LikenessContext(load_base_model("drawn"), IdentityModel.load(), args.loras)
    return 0 if all([MEASUREMENTS[what](context) for what in args.what]) else 1


if __name__ == "__main__":
    sys.exit(main())
