"""What a training lives through: kills at any step, settings that are none, a LoRA to begin with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gpu_worker.errors import BadInput
from gpu_worker.lora import file as lora_file
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import (
    CheckpointEvent,
    ProgressEvent,
    SampleEvent,
    StartedEvent,
)
from gpu_worker.training.config import SamplePrompt, TrainingConfig
from gpu_worker.training.data import TrainingImage
from gpu_worker.training.trainer import StepReport, TrainingTask, train, train_photos
from tests.gpu_worker.training.test_trainer import (
    all_checkpoints,
    checkpoint_at,
    lora_of,
    request,
    same_weights,
)
from tests.support.variants import with_soak

OPTIMIZERS = {
    "AdamW": (),
    "Prodigy": (("safeguard_warmup", "True"),),
    "Lion": (("weight_decay", "0.01"),),
    "Adafactor": (("relative_step", "False"), ("scale_parameter", "False")),
}


@pytest.mark.parametrize("optimizer", with_soak(OPTIMIZERS, kept=("Prodigy",)))
def test_a_training_killed_at_any_step_gives_the_same_lora_bit_for_bit(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig, optimizer: str
) -> None:
    config = replace(
        quick,
        steps=3,
        optimizer_type=optimizer,
        optimizer_args=OPTIMIZERS[optimizer],
        lr_scheduler="cosine",
        lr_warmup_steps=1,
        save_precision="float",
        dropout=0.1,
        module_dropout=0.1,
        gradient_accumulation_steps=2,
        unet_lr=1.0 if optimizer == "Prodigy" else 1e-3,
        text_encoder_lr=1.0 if optimizer == "Prodigy" else 1e-3,
        noise_offset=0.05,
        multires_noise_iterations=3,
    )
    whole, checkpoints = all_checkpoints(train(tiny, request(photos), config))
    assert checkpoints.keys() == {1, 2}
    for step, data in checkpoints.items():
        resumed = list(train(tiny, request(photos, data), config))
        assert resumed[0] == StartedEvent(job_id=7, attempt=2, step=step, steps=3, family="tiny")
        assert same_weights(lora_of(resumed), whole)


def test_a_training_killed_again_and_again_counts_its_steps_right(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    config = replace(quick, steps=4, save_precision="float")
    data = None
    for step in (1, 2, 3):
        events = train(tiny, request(photos, data), config)
        assert next(events) == StartedEvent(job_id=7, attempt=2, step=step - 1, steps=4, family="tiny")
        data = checkpoint_at(step, events)
    last = list(train(tiny, request(photos, data), config))
    assert [e.step for e in last if isinstance(e, ProgressEvent)] == [4]
    assert lora_file.read(lora_of(last)).metadata["ss_steps"] == "4"
    assert same_weights(lora_of(last), lora_of(train(tiny, request(photos), config)))


def test_prodigy_refuses_two_learning_rates(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    with pytest.raises(BadInput, match="one learning rate"):
        list(train(tiny, request(photos), replace(quick, optimizer_type="Prodigy")))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"optimizer_type": "Sophia"}, "no optimizer Sophia here; choose AdamW"),
        ({"optimizer_args": (("wieght_decay", "1"),)}, "does not take these settings"),
        ({"lr_scheduler": "sawtooth"}, "no schedule sawtooth here; choose"),
        ({"train_unet": False, "train_text_encoder": False}, "something to train"),
    ],
)
def test_settings_that_do_not_exist_are_named(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        list(train(tiny, request(photos), replace(quick, **changes)))


def test_a_finished_lora_can_be_trained_on(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    config = replace(quick, save_precision="float")
    first = lora_of(train(tiny, request(photos), config))
    task = task_of(photos, replace(config, steps=1, unet_lr=0.0, text_encoder_lr=0.0), initial_lora=first)
    assert same_weights(lora_of(train_photos(tiny, task)), first)


def test_a_lora_of_another_rank_cannot_be_trained_on(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    first = lora_of(train(tiny, request(photos), quick))
    with pytest.raises(BadInput, match="another rank"):
        list(train_photos(tiny, task_of(photos, replace(quick, rank=8), initial_lora=first)))


def test_samples_show_the_same_words_from_the_bare_model_on(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    shown = (SamplePrompt("sks person", steps=2, width_px=64, height_px=64, seed=4),)
    config = replace(quick, steps=4, sample_every_steps=2, sample_prompts=shown, unet_lr=0.05)
    events = list(train_photos(tiny, task_of(photos, config)))
    sample_events = [event for event in events if isinstance(event, SampleEvent)]
    assert [sample.step for sample in sample_events] == [0, 2, 4]
    assert len({sample.png for sample in sample_events}) == 3
    without = list(train_photos(tiny, task_of(photos, replace(config, sample_every_steps=None))))
    assert same_weights(lora_of(events), lora_of(without))


def test_every_step_reports_its_loss_and_rates(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    reports: list[StepReport] = []
    config = replace(quick, steps=4, lr_scheduler="linear", unet_lr=1e-3, text_encoder_lr=1e-4)
    list(train_photos(tiny, task_of(photos, config, on_step=reports.append)))
    assert [report.step for report in reports] == [1, 2, 3, 4]
    # As in sd-scripts, the rate that the next step has.
    rates = [report.learning_rates for report in reports]
    assert [round(rate["unet"], 9) for rate in rates] == [7.5e-4, 5e-4, 2.5e-4, 0.0]
    assert all(rate["textencoder"] == pytest.approx(rate["unet"] / 10) for rate in rates)
    assert all(0 < loss < 10 for report in reports for loss in report.batch_losses)


def test_checkpoints_hold_no_pickle(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    [first, *_] = [
        event for event in train(tiny, request(photos), quick) if isinstance(event, CheckpointEvent)
    ]
    header = int.from_bytes(first.data[:8], "little")
    assert first.data[8 : 8 + header].startswith(b"{")
    assert b"\x80\x04" not in first.data[: 8 + header]


def task_of(photos: tuple[bytes, ...], config: TrainingConfig, **more: Any) -> TrainingTask:
    shown = tuple(TrainingImage(photo, "sks person") for photo in photos)
    return TrainingTask(shown, config, **more)
