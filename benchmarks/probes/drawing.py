"""Denoising steps of ours and of diffusers' own pipeline in turn, on the same files and in one process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import torch
from diffusers import StableDiffusionPipeline

from benchmarks.measure import gaps, peak_bytes
from benchmarks.probes.task import DTYPES, parse_arguments, random_lora
from gpu_worker.generation import denoiser, generate
from gpu_worker.generation.prompts import encode_recipe_prompts
from gpu_worker.generation.recipes import resolve_recipes
from gpu_worker.lora.layers import Adapter
from gpu_worker.lora.weights import LoraWeights
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from gpu_worker.protocol import GenerateRequest

PROMPT = "sks person as an astronaut on the moon"
#: Of two steps each; the first one alternates, so that load of the machine affects both alike.
ROUNDS = 4


def main() -> None:
    """Draw with ours without and with a LoRA, and with theirs, in turn."""
    args = parse_arguments()
    base = load_base_model(str(args.model), DTYPES[args.precision])
    pipeline = StableDiffusionPipeline.from_pretrained(
        args.model,
        torch_dtype=base.dtype,
        use_safetensors=True,
        safety_checker=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    adapter = Adapter(base, random_lora(base))
    runs: dict[str, Callable[[], list[float]]] = {
        "ours": lambda: time_our_steps(base, None, args.side, args.steps),
        "with_lora": lambda: time_our_steps(base, adapter, args.side, args.steps),
        "theirs": lambda: time_their_steps(pipeline, args.side, args.steps),
    }
    steps: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(ROUNDS):
        for name in list(runs)[:: 1 if number % 2 == 0 else -1]:
            steps[name] += runs[name]()
    merge_s = measure_merge_s(base, random_lora(base))
    step_times = {f"{name}_s": tuple(values) for name, values in steps.items()}
    precision = str(base.dtype).removeprefix("torch.")
    print(
        json.dumps(
            {**step_times, "precision": precision, "merge_s": merge_s, "peak_bytes": peak_bytes(os.getpid())}
        )
    )


@torch.no_grad()
def measure_merge_s(base: BaseModel, lora: dict[str, LoraWeights]) -> float:
    """Return the seconds that the weights of all modules with the LoRA in them take to compute."""
    started_at = time.monotonic()
    for part, targets in (
        (base.components["unet"], base.list_targets("unet")),
        (base.components["text_encoder"], base.list_targets("text_encoder")),
    ):
        for target in targets:
            lora_weights = lora[target.kohya_name]
            weight = part.get_parameter(f"{target.path}.weight")
            product = (
                lora_weights.up.flatten(1)
                @ lora_weights.down.flatten(1)
                * (lora_weights.alpha / lora_weights.down.shape[0])
            )
            (weight.float() + product.view(target.weight_shape).to(weight.device)).to(weight.dtype)
    return time.monotonic() - started_at


def time_our_steps(base: BaseModel, adapter: Adapter | None, side_px: int, steps: int) -> list[float]:
    """Return the seconds of each denoising step after the first."""
    request = GenerateRequest(
        job_id=1, attempt=1, prompt=PROMPT, seed=1, width_px=side_px, height_px=side_px, steps=steps + 1
    )
    recipe = resolve_recipes(base, request)[0]
    image = generate.create_image(base, recipe, adapter, encode_recipe_prompts(base, recipe, adapter))
    ends = []
    while not image.is_done:
        denoiser.denoise_step(base, [image])
        if base.device.type == "cuda":
            torch.cuda.synchronize()
        ends.append(time.monotonic())
    return list(gaps(ends))


def time_their_steps(pipeline: Any, side_px: int, steps: int) -> list[float]:
    """Return the same of diffusers' pipeline."""
    ends: list[float] = []

    def on_step_end(_: Any, __: int, ___: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        ends.append(time.monotonic())
        return kwargs

    pipeline(
        PROMPT,
        width=side_px,
        height=side_px,
        num_inference_steps=steps + 1,
        guidance_scale=7.0,
        output_type="latent",
        generator=torch.Generator().manual_seed(1),
        callback_on_step_end=on_step_end,
    )
    return list(gaps(ends))


if __name__ == "__main__":
    main()
