"""The fingerprint that is stored in checkpoints: the same text as the first version wrote."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from gpu_worker.lora.config import NetworkConfig
from gpu_worker.protocol import Crop
from gpu_worker.training.config import SamplePrompt, TrainingConfig
from gpu_worker.training.data import CaptionRules, TrainingImage
from gpu_worker.training.fingerprint import compute_fingerprint, read_seed

#: No value is at its default, so that two settings that change places are noticed.
CONFIG = TrainingConfig(
    steps=10,
    resolution_px=64,
    batch_size=2,
    gradient_accumulation_steps=3,
    seed=7,
    rank=4,
    alpha=2.5,
    dropout=0.1,
    rank_dropout=0.2,
    module_dropout=0.3,
    train_unet=True,
    train_text_encoder=False,
    optimizer_type="Lion",
    optimizer_args=(("weight_decay", "0.01"),),
    unet_lr=2e-3,
    text_encoder_lr=5e-4,
    lr_scheduler="polynomial",
    lr_warmup_steps=5,
    lr_scheduler_num_cycles=2,
    lr_scheduler_power=2.0,
    max_grad_norm=0.5,
    min_snr_gamma=None,
    noise_offset=0.05,
    multires_noise_iterations=4,
    multires_noise_discount=0.25,
    prior_loss_weight=0.5,
    class_preservation_weight=0.75,
    class_preservation_interval=3,
    masked_loss=True,
    clip_skip=2,
    gradient_checkpointing=True,
    save_precision="bf16",
    checkpoint_every_steps=9,
    checkpoint_every_s=1.0,
    sample_every_steps=3,
    sample_at_first=False,
    sample_prompts=(SamplePrompt("sks person"),),
    candidate_every_steps=25,
    candidates_from_step=50,
    previous_steps=20,
    candidate_prompts=('sks person on a "beach"',),
    candidate_picture_steps=8,
)
IMAGES = (
    TrainingImage(
        b"one",
        "sks person's é",
        repeats=3,
        folder="3_sks person",
        size_px=(64, 96),
        is_regularisation=True,
        flip=True,
        mask=b"mask",
        crop=Crop(left=0.1, top=0.25, width=0.5, height=0.75),
        caption_rules=CaptionRules(shuffle=True, keep_tokens=1, separator=";", dropout_rate=0.3),
        trigger="sks",
    ),
    TrainingImage(b"two", "person"),
)
#: Printed by the first version, whose classes and fields had these names.
STORED = (
    '["drawn", {"alpha": 2.5, "batch_size": 2, "candidate_every_steps": 25, "candidate_picture_steps": 8, '
    '"candidate_prompts": ["sks person on a \\"beach\\""], "candidates_from_step": 50, "clip_skip": 2, '
    '"dropout": 0.1, "gradient_accumulation": 3, "masked_loss": true, "max_gradient_norm": 0.5, '
    '"min_snr_gamma": null, "module_dropout": 0.3, "multires_noise_discount": 0.25, '
    '"multires_noise_iterations": 4, "noise_offset": 0.05, "optimizer": "Lion", '
    '"optimizer_args": [["weight_decay", "0.01"]], "preserve_class": 0.75, "preserve_every": 3, '
    '"prior_loss_weight": 0.5, "rank": 4, "rank_dropout": 0.2, "resolution_px": 64, '
    '"scheduler": "polynomial", "scheduler_cycles": 2, "scheduler_power": 2.0, "seed": 7, '
    '"text_rate": 0.0005, "train_text_encoder": false, "train_unet": true, "unet_rate": 0.002, '
    '"warm_up_steps": 5}, ["7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed '
    "48bf9b4f142ab45cac6f33cf99415bca6ca8e07608a031237aa76560fec2204b Example(caption="
    "\\\"sks person's \\u00e9\\\", repeats=3, folder='3_sks person', size_px=(64, 96), "
    "is_regularisation=True, flip=True, crop=Crop(left=0.1, top=0.25, width=0.5, height=0.75), "
    "caption_rules=CaptionRules(shuffle=True, keep_tokens=1, separator=';', dropout_rate=0.3), "
    "trigger='sks')\", \"3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3  "
    "Example(caption='person', repeats=1, folder='', size_px=None, is_regularisation=False, flip=False, "
    "crop=None, caption_rules=CaptionRules(shuffle=False, keep_tokens=0, separator=',', "
    "dropout_rate=0.0), trigger='')\"]]"
)
#: What may change between two attempts of one training.
NOT_IN_FINGERPRINT = {
    "steps",
    "previous_steps",
    "gradient_checkpointing",
    "save_precision",
    "checkpoint_every_steps",
    "checkpoint_every_s",
    "sample_every_steps",
    "sample_at_first",
    "first_sample_step",
    "sample_prompts",
}


def test_fingerprint_is_the_text_that_older_checkpoints_hold() -> None:
    assert compute_fingerprint("drawn", CONFIG, IMAGES) == STORED


def test_fingerprint_of_default_settings_writes_none_as_null() -> None:
    settings = json.loads(compute_fingerprint("tiny", TrainingConfig(), IMAGES))[1]
    assert settings["candidate_every_steps"] is None
    assert settings["optimizer_args"] == []
    assert settings["min_snr_gamma"] == 5.0


def test_every_setting_is_in_the_fingerprint_or_left_out_on_purpose() -> None:
    settings = json.loads(compute_fingerprint("tiny", TrainingConfig(), IMAGES))[1]
    assert len(settings) + len(NOT_IN_FINGERPRINT) + len(LATER) == len(fields(TrainingConfig))


#: Settings that came later, each with the names that it has where it is not at its default.
LATER: dict[str, tuple[object, set[str]]] = {
    "network": (
        NetworkConfig("lokr", 4, 2.0, True, True, (0.5,) * 25, 8, True, True),
        {"algorithm", "conv_rank", "conv_alpha", "adapts_resnets", "adapts_ends", "block_rates"}
        | {"lokr_factor", "lokr_decompose_both", "lokr_full_matrix"},
    ),
    "shape_from_initial": (True, {"shape_from_initial"}),
    "max_weight_norm": (1.0, {"max_weight_norm"}),
    "max_token_length": (150, {"max_token_length"}),
    "text_encoder_lrs": ((1e-4, 2e-4), {"text_rates"}),
}


@pytest.mark.parametrize("name", LATER)
def test_a_later_setting_is_in_the_fingerprint_where_it_is_not_at_its_default(name: str) -> None:
    value, stored_names = LATER[name]
    changed: Any = {name: value}
    default, other = (
        json.loads(compute_fingerprint("tiny", config, IMAGES))[1]
        for config in (TrainingConfig(), replace(TrainingConfig(), **changed))
    )
    assert other.keys() - default.keys() == stored_names


def test_every_field_of_an_image_is_in_the_fingerprint() -> None:
    description = json.loads(compute_fingerprint("tiny", TrainingConfig(), IMAGES))[2][0]
    named = {field.name for field in fields(TrainingImage)} - {"data", "mask"}  # these as hashes
    assert all(f"{name}=" in description for name in named)
    assert all(f"{field.name}=" in description for field in fields(CaptionRules))


def test_seed_is_read_from_a_stored_fingerprint() -> None:
    assert read_seed(STORED) == 7
