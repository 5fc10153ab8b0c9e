"""Default settings of trainings and pictures."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import pytest

from gpu_worker.models import family as model_family
from gpu_worker.models.family import ModelFamily, SamplingConfig
from gpu_worker.models.sd15.family import DRAWN, SD15, TINY
from gpu_worker.protocol import SHAPES
from gpu_worker.training import config
from gpu_worker.training.config import TrainingConfig


def test_five_photos_train_300_steps_each() -> None:
    usual = config.default_training_config(SD15, native_px=512)
    assert usual.steps == 5 * 300
    assert usual.resolution_px == 512
    assert (usual.rank, usual.alpha) == (16, 8.0)


def test_a_training_has_the_base_models_own_resolution() -> None:
    assert config.default_training_config(SD15, native_px=768).resolution_px == 768


def test_the_embedded_model_is_done_in_far_fewer_steps() -> None:
    assert config.default_training_config(TINY, native_px=128).steps <= 100
    assert TINY.sampling.steps < SD15.sampling.steps


@pytest.mark.parametrize("family", [SD15, DRAWN, TINY], ids=lambda family: str(family.name))
def test_a_family_has_every_shape_and_says_what_its_loras_are_for(family: ModelFamily) -> None:
    assert family.shapes.keys() == SHAPES.keys()
    assert family.metadata.keys() == {"ss_base_model_version", "modelspec.architecture"}
    assert {group.name for group in family.lora_groups} >= {"unet", "text_encoder"}


def test_a_settings_default_of_a_family_is_one_of_the_settings() -> None:
    assert config.default_training_config(DRAWN, native_px=64).batch_size == 4
    with pytest.raises(TypeError):
        config.default_training_config(replace(SD15, training_defaults={"sptes": 1}), native_px=512)


def test_settings_cannot_be_changed_during_a_training() -> None:
    with pytest.raises(FrozenInstanceError):
        TrainingConfig().steps = 3  # type: ignore[misc]


def test_every_setting_is_explained() -> None:
    for module, settings in ((config, TrainingConfig), (model_family, SamplingConfig)):
        source = Path(str(module.__file__)).read_text("utf-8")
        for field in fields(settings):
            # A `#:` comment stands right above each field.
            assert re.search(rf"    #: .+\n    {field.name}: ", source), field.name
