"""The metadata of a file, beside those that sd-scripts wrote for the same flags."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpu_worker.models.base import BaseModel
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.data import TrainingImage
from gpu_worker.training.metadata import TrainingRecord, build_metadata

IMAGES = tuple(
    TrainingImage(b"", f"sks person, {index}", repeats=3, folder="2_sks person") for index in range(5)
)


def metadata(
    base: BaseModel, config: TrainingConfig, steps: int, is_epoch_end: bool = False
) -> dict[str, str]:
    record = TrainingRecord("me", steps, 1.0, 1_796_000_000.9, is_epoch_end=is_epoch_end)
    return build_metadata(base, IMAGES, config, record)


def test_the_model_spec_is_that_of_sd_scripts(tiny: BaseModel) -> None:
    found = metadata(tiny, TrainingConfig(steps=1, clip_skip=2, resolution_px=128), 1)
    assert {key: value for key, value in found.items() if key.startswith("modelspec.")} == {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": "me",
        "modelspec.resolution": "128x128",
        "modelspec.date": found["modelspec.date"],
        "modelspec.prediction_type": "epsilon",
        "modelspec.encoder_layer": "2",
    }
    # A local time to the second, without a zone.
    assert found["modelspec.date"][:8] in ("2026-11-", "2026-12-")
    assert len(found["modelspec.date"]) == len("2026-11-30T04:56:06")


@pytest.mark.parametrize(
    ("steps", "is_epoch_end", "epoch"),
    [(6, False, "0"), (8, False, "0"), (8, True, "1"), (9, False, "1"), (16, True, "2"), (20, False, "3")],
)
def test_an_epoch_counts_when_it_is_over(tiny: BaseModel, steps: int, is_epoch_end: bool, epoch: str) -> None:
    """15 pictures in batches of 2 are 8 steps; 20 steps are in the third epoch."""
    found = metadata(tiny, TrainingConfig(steps=20, batch_size=2), steps, is_epoch_end)
    assert (found["ss_epoch"], found["ss_num_epochs"]) == (epoch, "3")


@pytest.mark.parametrize(
    ("optimizer_type", "optimizer_args", "text"),
    [
        ("AdamW", (("weight_decay", "0.1"), ("betas", "(0.9,0.99)")),
         "torch.optim.adamw.AdamW(weight_decay=0.1,betas=(0.9, 0.99))"),
        ("Prodigy", (), "prodigyopt.prodigy.Prodigy"),
        ("Adafactor", (), "transformers.optimization.Adafactor(relative_step=True)"),
    ],
)  # fmt: skip
def test_the_optimizer_is_written_as_sd_scripts_does(
    tiny: BaseModel, optimizer_type: str, optimizer_args: tuple[tuple[str, str], ...], text: str
) -> None:
    config = replace(TrainingConfig(), optimizer_type=optimizer_type, optimizer_args=optimizer_args)
    assert metadata(tiny, config, 1)["ss_optimizer"] == text
