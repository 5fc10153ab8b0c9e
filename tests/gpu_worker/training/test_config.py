"""Default settings of trainings and pictures."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from gpu_worker.generation import config as generation_config
from gpu_worker.generation.config import SamplingConfig
from gpu_worker.training import config
from gpu_worker.training.config import TrainingConfig


def test_five_photos_train_300_steps_each() -> None:
    usual = config.default_training_config("sd15", native_px=512)
    assert usual.steps == 5 * 300
    assert usual.resolution_px == 512
    assert (usual.rank, usual.alpha) == (16, 8.0)


def test_a_training_has_the_base_models_own_resolution() -> None:
    assert config.default_training_config("sd15", native_px=768).resolution_px == 768


def test_the_embedded_model_is_done_in_far_fewer_steps() -> None:
    assert config.default_training_config("tiny", native_px=128).steps <= 100
    assert (
        generation_config.default_sampling_config("tiny").steps
        < generation_config.default_sampling_config("sd15").steps
    )


def test_settings_cannot_be_changed_during_a_training() -> None:
    with pytest.raises(FrozenInstanceError):
        TrainingConfig().steps = 3  # type: ignore[misc]


def test_every_setting_is_explained() -> None:
    for module, settings in ((config, TrainingConfig), (generation_config, SamplingConfig)):
        source = Path(str(module.__file__)).read_text("utf-8")
        for field in fields(settings):
            # A `#:` comment stands right above each field.
            assert re.search(rf"    #: .+\n    {field.name}: ", source), field.name
