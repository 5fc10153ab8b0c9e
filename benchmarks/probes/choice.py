"""Which precision the program chooses by itself here, without being told."""

from __future__ import annotations

import json

import torch

from benchmarks.probes.task import arguments
from gpu_worker.models.base import BaseModel


def main() -> None:
    """Load and look at the weights."""
    base = BaseModel.load(str(arguments().model))
    parts = (base.unet, base.vae, base.text_encoder)
    halves = sum(p.dtype is torch.float16 for part in parts for p in part.parameters())
    told = {
        "device": base.device.type,
        "precision": str(base.dtype).removeprefix("torch."),
        "reason": base.placement.reason,
        "fp16_tensors": halves,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
