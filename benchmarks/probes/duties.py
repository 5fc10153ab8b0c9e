"""Most memory of a training, alone or with a picture drawn between its steps; or of loading only."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import peak_bytes
from benchmarks.probes.task import DTYPES, make_training_task, random_lora
from gpu_worker.generation import generate
from gpu_worker.generation.context import GenerationContext
from gpu_worker.lora import file as lora_file
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from gpu_worker.protocol import GenerateRequest, LoraUse, ProgressEvent, WorkerEvent
from gpu_worker.training.trainer import train_photos


def main() -> None:
    """Load, train and generate as asked for, and print the peak memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("duty", choices=["load", "train", "both"])
    parser.add_argument("--precision", choices=list(DTYPES), default="default")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--side", type=int, default=512)
    args = parser.parse_args()
    base = load_base_model(str(args.model), DTYPES[args.precision])
    if args.duty != "load":
        generation_events = generate_picture(base, args.side) if args.duty == "both" else iter(())
        for event in train_photos(base, make_training_task(args.side, args.steps, lambda _: None)):
            if isinstance(event, ProgressEvent):
                next(generation_events, None)
        for _ in generation_events:  # what is left of it, the VAE's work among it
            pass
    print(json.dumps({"peak_bytes": peak_bytes(os.getpid()), "precision": str(base.dtype)}))


def generate_picture(base: BaseModel, side_px: int) -> Iterator[WorkerEvent]:
    """Draw one picture of a LoRA, a step at a time."""
    data = lora_file.write(random_lora(base), {}, "fp16")
    lora_use = LoraUse(data=data, sha256=hashlib.sha256(data).hexdigest(), name="00000000")
    request = GenerateRequest(
        job_id=2,
        attempt=1,
        prompt="sks person",
        seed=1,
        width_px=side_px,
        height_px=side_px,
        steps=3,
        loras=(lora_use,),
    )
    yield from generate.generate(GenerationContext(base), request)


if __name__ == "__main__":
    main()
