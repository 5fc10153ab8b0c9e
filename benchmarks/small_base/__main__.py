"""Measure what the small base model can draw, and what a LoRA on it learns.

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
from benchmarks.small_base.measures import HitRate
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from gpu_worker.models.sd15.drawn.judge import IdentityModel

QUALITY_SEED = drawn.UNSEEN_SEED
LEARNING_SEED = drawn.UNSEEN_SEED + 50_000
PAIR_SEED = drawn.UNSEEN_SEED + 60_000
PICTURE_SEED = 900
NEGATIVE_CONTROLS = ("trigger", "rate", "words")
DEFAULT_COUNTS = {"quality": 200, "learning": 20, "triggers": 10, "counterproof": 5}


@dataclass(frozen=True)
class EvaluationContext:
    """What every measurement needs."""

    base: BaseModel
    identity_model: IdentityModel
    folder: Path
    count: int

    def sample_photos(self, number: int) -> list[bytes]:
        """Return the five photos of an unseen person."""
        return drawn.sample_photos(LEARNING_SEED + number)

    def load_or_train(self, name: str, train: Callable[[], bytes]) -> bytes:
        """Train a LoRA, or read the one that is there."""
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            started_at = time.monotonic()
            data = train()
            temp_path = path.with_suffix(".part")
            temp_path.write_bytes(data)
            temp_path.replace(path)
            print(f"  {name}: trained in {time.monotonic() - started_at:.1f} s", flush=True)
        return path.read_bytes()

    def load_own_lora(self, number: int) -> bytes:
        """Return the LoRA of a person, trained as the product trains."""
        return self.load_or_train(
            f"own-{number}", lambda: measures.train_lora(self.base, self.sample_photos(number), seed=number)
        )

    def generate_pictures(self, file: bytes | None, number: int) -> list[bytes]:
        """Draw a person at every place; the same seeds with every LoRA."""
        return measures.generate_pictures(
            self.base, measures.build_place_prompts(), file, PICTURE_SEED + 100 * number
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=list(DEFAULT_COUNTS))
    parser.add_argument("--count", type=int, help="captions (200), people (20) or pairs of them (10; 5)")
    parser.add_argument("--loras", type=Path, default=Path("build/small-base-loras"), help="folder of LoRAs")
    parser.add_argument("--threads", type=int, help="torch threads (default: all)")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    args.loras.mkdir(parents=True, exist_ok=True)
    count = args.count or DEFAULT_COUNTS[args.what]
    context = EvaluationContext(load_base_model("drawn"), IdentityModel.load(), args.loras, count)
    evaluations = {
        "quality": evaluate_quality,
        "learning": evaluate_learning,
        "triggers": evaluate_triggers,
        "counterproof": evaluate_negative_controls,
    }
    return 0 if evaluations[args.what](context) else 1


def evaluate_quality(context: EvaluationContext) -> bool:
    """How often pictures show the attributes of their caption."""
    quality_shares = measures.measure_caption_accuracy(
        context.base, context.identity_model, QUALITY_SEED, context.count
    )
    return all(
        [
            report_result("quality-place", quality_shares.place, 0.90),
            report_result("quality-shirt", quality_shares.shirt, 0.85),
            report_result("quality-hair", quality_shares.hair, 0.80),
        ]
    )


def evaluate_learning(context: EvaluationContext) -> bool:
    """Whether a LoRA draws its own person, wherever it is asked to."""
    zero_share = HitRate(0, 0)
    closer_than_other, closer_than_base, prompt_following = zero_share, zero_share, zero_share
    for number in range(context.count):
        photos, other = context.sample_photos(number), (number + 1) % context.count
        own_pictures = context.generate_pictures(context.load_own_lora(number), number)
        closer_than_other += measures.measure_likeness_gain(
            context.identity_model,
            photos,
            own_pictures,
            context.generate_pictures(context.load_own_lora(other), number),
        )
        closer_than_base += measures.measure_likeness_gain(
            context.identity_model, photos, own_pictures, context.generate_pictures(None, number)
        )
        prompt_following += measures.measure_place_accuracy(context.identity_model, own_pictures)
        print(
            f"  person {number}: so far {closer_than_other}, {closer_than_base}, {prompt_following}",
            flush=True,
        )
    return all(
        [
            report_result("learning-than-another-lora", closer_than_other, 0.95),
            report_result("learning-than-the-bare-base", closer_than_base, 0.95),
            report_result("obedience-place", prompt_following, 0.80),
        ]
    )


def evaluate_triggers(context: EvaluationContext) -> bool:
    """Whether, in one LoRA of two people, the trigger selects the person."""
    return report_result("learning-by-the-trigger", measure_trigger_accuracy(context, "two"), 0.95)


def evaluate_negative_controls(context: EvaluationContext) -> bool:
    """Whether the same test fails where nothing can have been learnt, or not by the trigger."""
    control_shares = [(name, measure_trigger_accuracy(context, name)) for name in NEGATIVE_CONTROLS]
    return all(
        [report_result(f"counterproof-{name}", share, 0.95, must_fail=True) for name, share in control_shares]
    )


def measure_trigger_accuracy(context: EvaluationContext, kind: str) -> HitRate:
    """Train LoRAs of two people each, in a way, and ask for either by the trigger."""
    share = HitRate(0, 0)
    for number in range(context.count):
        people = PAIR_SEED + 2 * number, PAIR_SEED + 2 * number + 1
        lora_file = context.load_or_train(
            f"{kind}-{number}", partial(train_pair_lora, context, people, kind, number)
        )
        pictures = pairs.generate_pair_pictures(context.base, lora_file, PICTURE_SEED + 100 * number)
        share += pairs.measure_trigger_accuracy(context.identity_model, people, pictures)
        print(f"  {kind}, pair {number}: so far {share}", flush=True)
    return share


def train_pair_lora(context: EvaluationContext, people: tuple[int, int], kind: str, seed: int) -> bytes:
    """Train as the product trains, or in a way in which the trigger cannot be learnt."""
    settings, tokens = pairs.default_pair_config(context.base), pairs.TOKENS
    if kind == "rate":
        settings = replace(settings, unet_lr=0.0, text_encoder_lr=0.0)
    if kind == "words":  # the photos of one job with the words of another
        tokens = pairs.OTHER_TOKENS
    if kind == "trigger":
        tokens = ("", "")
    return pairs.train_pair_lora(context.base, people, settings, tokens, seed)


def report_result(name: str, share: HitRate, goal: float, must_fail: bool = False) -> bool:
    """Print a figure and whether it is as it should be."""
    is_met = share.rate < goal if must_fail else share.rate >= goal
    sign = "<" if must_fail else ">="
    verdict = "holds" if is_met else "short"
    print(
        f"small-base: {name} value={share.rate:.3f} goal={sign}{goal} {verdict}"
        f" ({share.hits} of {share.total})"
    )
    return is_met


if __name__ == "__main__":
    sys.exit(main())
