"""A picture from the request to its file: ours fast and accelerated, and diffusers' pipeline told nothing."""

from __future__ import annotations

import gc
import io
import json
import tempfile
import time
from pathlib import Path

from diffusers import StableDiffusionPipeline

from benchmarks.probes.drawing import PROMPT
from benchmarks.probes.task import DTYPES, parse_arguments, random_lora
from gpu_worker.generation.context import GenerationContext
from gpu_worker.generation.generate import generate
from gpu_worker.lora import file as lora_file
from gpu_worker.lora.acceleration import Acceleration
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from gpu_worker.models.sources.acceleration import AccelerationSource
from gpu_worker.models.sources.acceleration_recipes import LCM
from gpu_worker.protocol import DoneEvent, GenerateRequest


def main() -> None:
    """Draw one picture each way, and print the seconds."""
    args = parse_arguments()
    # One after the other: both models at once would need the memory of both.
    figures = draw_ours(args.model, args.precision, args.side)
    gc.collect()
    print(json.dumps({**figures, "theirs_s": time_their_picture(args.model, args.side)}))


def draw_ours(model: Path, precision: str, side_px: int) -> dict[str, object]:
    """Return the figures of a fast picture and of an accelerated one, the base model loaded before."""
    base = load_base_model(str(model), DTYPES[precision])
    with tempfile.TemporaryDirectory() as folder:
        accelerated = GenerationContext(base, acceleration=make_acceleration(base, Path(folder)))
    request = GenerateRequest(
        job_id=1, attempt=1, prompt=PROMPT, seed=1, width_px=side_px, height_px=side_px, is_fast=True
    )
    fast_s, fast_recipe = time_our_picture(GenerationContext(base), request)
    accelerated_s, accelerated_recipe = time_our_picture(accelerated, request)
    return {
        "precision": str(base.dtype).removeprefix("torch."),
        "fast_s": fast_s,
        "accelerated_s": accelerated_s,
        "fast_recipe": fast_recipe,
        "accelerated_recipe": accelerated_recipe,
    }


def make_acceleration(base: BaseModel, folder: Path) -> Acceleration:
    """Return a LoRA of random weights for the UNet, drawn with LCM's recipe: 8 steps without guidance."""
    weights = {name: each for name, each in random_lora(base).items() if name.startswith("lora_unet_")}
    path = folder / "fast.safetensors"
    path.write_bytes(lora_file.write(weights, {}, "fp16"))
    return Acceleration(base, AccelerationSource("fast", path, LCM, ""))


def time_our_picture(context: GenerationContext, request: GenerateRequest) -> tuple[float, str]:
    """Return the seconds from a request to its file, and the line of settings in that."""
    started_at = time.monotonic()
    for event in generate(context, request):
        if isinstance(event, DoneEvent):
            return time.monotonic() - started_at, event.recipes[0].splitlines()[-1]
    raise AssertionError("a generation ends with a result")


def time_their_picture(model: Path, side_px: int) -> float:
    """Return the seconds of diffusers' pipeline with nothing set but the size."""
    pipeline = StableDiffusionPipeline.from_pretrained(
        model, use_safetensors=True, safety_checker=None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    started_at = time.monotonic()
    pipeline(PROMPT, width=side_px, height=side_px).images[0].save(io.BytesIO(), "PNG")
    return time.monotonic() - started_at


if __name__ == "__main__":
    main()
