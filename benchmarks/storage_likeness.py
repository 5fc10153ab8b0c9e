"""Measure what a base in 8 and in 4 bits loses of the likeness: `python -m benchmarks.storage_likeness`.

Four drawn people are learnt on the whole base and on each stored one, and drawn there. LoRAs are kept, so
that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.likeness import PROMPTS, SPEED_ROUNDS, LikenessContext
from benchmarks.small_base import measures
from gpu_worker.device.memory_profile import WeightStorage
from gpu_worker.models.registry import load_base_model
from gpu_worker.models.sd15.drawn.judge import IdentityModel
from gpu_worker.training.previews import FIRST_SEED

PEOPLE = 4
#: Of the score.
MAX_LOSS = 0.02


def compare_storages(context: LikenessContext) -> bool:
    """Whether LoRAs that are trained and drawn on a base in few bits are as alike as on the whole one."""
    whole_score, is_met = score_people(context, "own"), True
    for storage in (WeightStorage.INT8, WeightStorage.NF4):
        stored = replace(context, base=load_base_model("drawn", memory=storage))
        loss = whole_score - score_people(stored, f"own-{storage}")
        verdict = "holds" if loss <= MAX_LOSS else "short"
        is_met = is_met and verdict == "holds"
        print(f"likeness: {storage}-loss value={loss:.4f} goal=<={MAX_LOSS} {verdict}", flush=True)
    return is_met


def score_people(context: LikenessContext, name: str) -> float:
    """Return the mean score of all people."""
    scores = []
    for person in range(PEOPLE):
        lora = context.load_or_train(name, person)
        pictures = measures.generate_pictures(context.base, PROMPTS * SPEED_ROUNDS, lora, FIRST_SEED)
        scores.append(context.score(person, context.embed(pictures)))
    print(f"  {name}: {', '.join(f'{score:.3f}' for score in scores)}", flush=True)
    return sum(scores) / len(scores)


def main() -> int:
    """Measure, and say whether it holds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storage_likeness", description=__doc__)
    parser.add_argument("--loras", type=Path, default=Path("build/small-base-loras"), help="folder of LoRAs")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default: 1)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.loras.mkdir(parents=True, exist_ok=True)
    context = LikenessContext(load_base_model("drawn"), IdentityModel.load(), args.loras)
    return 0 if compare_storages(context) else 1


if __name__ == "__main__":
    sys.exit(main())
