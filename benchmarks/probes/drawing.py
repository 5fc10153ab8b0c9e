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
from benchmarks.probes.task import DTYPES, arguments, random_lora
from gpu_worker.generation import denoiser, generate
from gpu_worker.lora.layers import Adapter, LoraMatrices
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import Generate

PROMPT = "sks person as an astronaut on the moon"
#: Of two steps each; who goes first changes, so that no one has the quiet moments of the machine.
ROUNDS = 4


def main() -> None:
    """Draw with ours without and with a LoRA, and with theirs, in turn."""
    told = arguments()
    base = BaseModel.load(str(told.model), DTYPES[told.precision])
    pipeline = StableDiffusionPipeline.from_pretrained(
        told.model,
        torch_dtype=base.dtype,
        use_safetensors=True,
        safety_checker=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    adapter = Adapter(base, random_lora(base))
    draws: dict[str, Callable[[], list[float]]] = {
        "ours": lambda: ours(base, None, told.side, told.steps),
        "with_lora": lambda: ours(base, adapter, told.side, told.steps),
        "theirs": lambda: theirs(pipeline, told.side, told.steps),
    }
    steps: dict[str, list[float]] = {name: [] for name in draws}
    for number in range(ROUNDS):
        for name in list(draws)[:: 1 if number % 2 == 0 else -1]:
            steps[name] += draws[name]()
    merge_s = merged_s(base, random_lora(base))
    found = {f"{name}_s": tuple(values) for name, values in steps.items()}
    precision = str(base.dtype).removeprefix("torch.")
    print(
        json.dumps(
            {**found, "precision": precision, "merge_s": merge_s, "peak_bytes": peak_bytes(os.getpid())}
        )
    )


@torch.no_grad()
def merged_s(base: BaseModel, lora: dict[str, LoraMatrices]) -> float:
    """Return the seconds that the weights of all modules with the LoRA in them take to compute."""
    began = time.monotonic()
    for part, targets in ((base.unet, base.unet_targets), (base.text_encoder, base.text_targets)):
        for target in targets:
            each, weight = lora[target.kohya_name], part.get_submodule(target.path).weight
            product = each.up.flatten(1) @ each.down.flatten(1) * (each.alpha / each.down.shape[0])
            (weight.float() + product.view(target.weight_shape).to(weight.device)).to(weight.dtype)
    return time.monotonic() - began


def ours(base: BaseModel, adapter: Adapter | None, side_px: int, steps: int) -> list[float]:
    """Return the seconds of each denoising step after the first."""
    asked = Generate(
        job_id=1, attempt=1, prompt=PROMPT, seed=1, width_px=side_px, height_px=side_px, steps=steps + 1
    )
    recipe = generate.settle(base, asked)[0]
    canvas = generate.canvas(base, recipe, adapter, generate.listen(base, recipe, adapter))
    ends = []
    while not canvas.is_done:
        denoiser.draw_step(base, [canvas])
        if base.device.type == "cuda":
            torch.cuda.synchronize()
        ends.append(time.monotonic())
    return list(gaps(ends))


def theirs(pipeline: Any, side_px: int, steps: int) -> list[float]:
    """Return the same of diffusers' pipeline."""
    ends: list[float] = []

    def note(_: Any, __: int, ___: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
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
        callback_on_step_end=note,
    )
    return list(gaps(ends))


if __name__ == "__main__":
    main()
