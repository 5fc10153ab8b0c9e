"""Trainings by flow matching: resumed bit for bit, and refused for triggers of more than letters."""

from __future__ import annotations

import msgspec
import pytest

from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import StartedEvent
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.trainer import train
from tests.gpu_worker.training.test_sdxl_training import same_weights
from tests.gpu_worker.training.test_trainer import all_checkpoints, lora_of, request

QUICK = TrainingConfig(
    steps=2,
    resolution_px=64,
    rank=2,
    checkpoint_every_steps=1,
    save_precision="float",
    train_text_encoder=False,
    min_snr_gamma=None,
    dropout=0.1,
)


@pytest.fixture(params=["tiny_klein", "tiny_z_image"])
def base(request: pytest.FixtureRequest) -> BaseModel:
    model: BaseModel = request.getfixturevalue(request.param)
    return model


def test_a_killed_training_by_flow_matching_resumes_bit_for_bit(
    base: BaseModel, photos: tuple[bytes, ...]
) -> None:
    whole, checkpoints = all_checkpoints(train(base, request(photos[:2]), QUICK))
    assert checkpoints.keys() == {1}
    resumed = list(train(base, request(photos[:2], checkpoints[1]), QUICK))
    assert resumed[0] == StartedEvent(job_id=7, attempt=2, step=1, steps=2, family=base.family.name)
    assert same_weights(lora_of(resumed), whole)


@pytest.mark.parametrize("trigger", ["ohwx7", "p3rson", "sks-1", ""])
def test_a_trigger_with_anything_but_letters_is_refused(
    base: BaseModel, photos: tuple[bytes, ...], trigger: str
) -> None:
    asked = msgspec.structs.replace(request(photos[:2]), token=trigger)
    with pytest.raises(BadInput, match="letters only") as caught:
        next(train(base, asked, QUICK))
    assert caught.value.problem is JobProblem.TRIGGER_NOT_LETTERS


def test_other_families_take_triggers_with_digits(tiny: BaseModel, photos: tuple[bytes, ...]) -> None:
    training = train(tiny, msgspec.structs.replace(request(photos[:2]), token="ohwx7"), QUICK)
    assert isinstance(next(training), StartedEvent)
    training.close()
