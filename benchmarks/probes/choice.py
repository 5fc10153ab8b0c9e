"""Print the precision that the worker chooses here by default."""

from __future__ import annotations

import json

import torch

from benchmarks.probes.task import parse_arguments
from gpu_worker.models.registry import load_base_model


def main() -> None:
    """Load and look at the weights."""
    base = load_base_model(str(parse_arguments().model))
    parts = (base.components["unet"], base.components["vae"], base.components["text_encoder"])
    fp16_count = sum(p.dtype is torch.float16 for part in parts for p in part.parameters())
    document = {
        "device": base.device.type,
        "precision": str(base.dtype).removeprefix("torch."),
        "reason": base.device_config.reason,
        "fp16_tensors": fp16_count,
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
