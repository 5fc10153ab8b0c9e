"""What the records of families with flow matching have in common. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gpu_worker.device.memory_profile import SMALL_MEMORY, StoredPart
from gpu_worker.models.family import ModelFamily

#: A training on five photos of a person.
TRAINING_DEFAULTS: Mapping[str, Any] = {
    "resolution_px": 512,  # OneTrainer's presets for small cards
    "rank": 16,  # modl: for fewer than 20 photos
    "alpha": 16.0,  # diffusers' examples and ai-toolkit: as the rank
    "unet_lr": 1e-4,  # diffusers' examples, musubi-tuner, ai-toolkit
    "train_text_encoder": False,
    "min_snr_gamma": None,
    "save_precision": "bf16",
    "checkpoint_every_s": 300.0,
}
#: Qwen3 4B; its embedding stays wide.
QWEN3_4B = StoredPart(4.022e9, 3.633e9)


def shrink_family(family: ModelFamily, name: str, title: str) -> ModelFamily:
    """Return the record of a family's embedded small model.

    It has random weights: with high learning rates a few steps already change its pictures visibly.
    """
    return replace(
        family,
        name=name,
        title=title,
        licence="that of LoraCode",
        memory=SMALL_MEMORY,
        needs_bf16=False,
        native_px=128,
        training_defaults={
            "steps": 40,
            "rank": 16,
            "alpha": 16.0,
            "unet_lr": 2e-3,
            "train_text_encoder": False,
            "min_snr_gamma": None,
            "checkpoint_every_steps": 20,
            "sample_every_steps": 20,
            "candidate_picture_steps": 4,
        },
    )
