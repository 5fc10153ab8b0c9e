"""Denoising steps of ours and of diffusers' SDXL pipeline in turn, on the same file and in one process."""

from __future__ import annotations

import json
import os
from typing import Any

from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

from benchmarks.measure import peak_bytes
from benchmarks.probes.drawing import ROUNDS, time_our_steps, time_their_steps
from benchmarks.probes.task import DTYPES, parse_arguments
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from gpu_worker.models.sdxl.loading import read_single_file


def main() -> None:
    """Draw with ours and with theirs, in turn."""
    args = parse_arguments()
    base = load_base_model(str(args.model), DTYPES[args.precision])
    pipeline = make_pipeline(base, args.model)
    ours_s: list[float] = []
    theirs_s: list[float] = []
    for number in range(ROUNDS):
        for is_ours in (True, False) if number % 2 == 0 else (False, True):
            if is_ours:
                ours_s += time_our_steps(base, None, args.side, args.steps)
            else:
                theirs_s += time_their_steps(pipeline, args.side, args.steps)
    figures = {"ours_s": ours_s, "theirs_s": theirs_s, "precision": str(base.dtype).removeprefix("torch.")}
    print(json.dumps({**figures, "peak_bytes": peak_bytes(os.getpid())}))


def make_pipeline(base: BaseModel, model: Any) -> Any:
    """Return diffusers' pipeline on weights of its own, which have none of our hooks."""
    parts = read_single_file(model, base.device_config)
    pipeline: Any = StableDiffusionXLPipeline(
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        text_encoder_2=parts.text_encoder_2,
        tokenizer=parts.tokenizer,
        tokenizer_2=parts.tokenizer_2,
        unet=parts.unet,
        scheduler=EulerDiscreteScheduler.from_config(parts.scheduler_config),
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


if __name__ == "__main__":
    main()
