"""Training a LoRA on the embedded model: exact resume, interleaving, and nothing left behind."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest
import safetensors.torch
import torch
from PIL import Image

from gpu_worker.errors import BadInput
from gpu_worker.generation.context import GenerationContext
from gpu_worker.generation.generate import generate
from gpu_worker.lora import file as lora_file
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from gpu_worker.protocol import (
    CheckpointEvent,
    DoneEvent,
    GenerateRequest,
    ProgressEvent,
    StartedEvent,
    TrainRequest,
    WorkerEvent,
)
from gpu_worker.training.checkpoint import Checkpoint, TrainingState
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.data import TrainingImage
from gpu_worker.training.latents import LatentCache, LatentDataset
from gpu_worker.training.step import TrainStep
from gpu_worker.training.trainer import train
from tests.gpu_worker.conftest import has_adapters, weights_hash
from tests.support.generated_images import use


def request(photos: tuple[bytes, ...], resume: bytes | None = None, seed: int = 3) -> TrainRequest:
    return TrainRequest(job_id=7, attempt=2, photos=photos, seed=seed, resume_checkpoint=resume)


def lora_of(events: Iterator[WorkerEvent] | list[WorkerEvent]) -> bytes:
    done = list(events)[-1]
    assert isinstance(done, DoneEvent)
    assert done.lora is not None
    return done.lora


def checkpoint_at(step: int, events: Iterator[WorkerEvent]) -> bytes:
    """Run until the checkpoint of a step is out, then stop as a killed worker does."""
    for event in events:
        if isinstance(event, CheckpointEvent) and event.step == step:
            return event.data
    raise AssertionError(f"no checkpoint at step {step}")


def all_checkpoints(events: Iterator[WorkerEvent]) -> tuple[bytes, dict[int, bytes]]:
    """Run a training to its end; give its LoRA, and what a worker killed after each step leaves."""
    seen = list(events)
    checkpoints = {event.step: event.data for event in seen if isinstance(event, CheckpointEvent)}
    return lora_of(seen), checkpoints


def same_weights(one: bytes, other: bytes) -> bool:
    return (
        lora_file.read(one).metadata["sshs_model_hash"] == lora_file.read(other).metadata["sshs_model_hash"]
    )


@pytest.fixture
def precise(quick: TrainingConfig) -> TrainingConfig:
    """Save every bit, so that a comparison of files misses nothing."""
    return replace(quick, save_precision="float")


@pytest.fixture(scope="module")
def uninterrupted(loaded_tiny: BaseModel, photos: tuple[bytes, ...]) -> bytes:
    config = TrainingConfig(
        steps=3,
        resolution_px=64,
        rank=4,
        unet_lr=2e-3,
        text_encoder_lr=5e-4,
        checkpoint_every_steps=1,
        save_precision="float",
    )
    return lora_of(train(loaded_tiny, request(photos), config))


def test_the_events_tell_the_whole_story(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    events = list(train(tiny, request(photos), replace(quick, checkpoint_every_steps=2)))
    assert {(event.job_id, event.attempt) for event in events} == {(7, 2)}
    assert events[0] == StartedEvent(job_id=7, attempt=2, step=0, steps=3, family="tiny")
    steps = [event.step for event in events if isinstance(event, ProgressEvent)]
    assert steps == [1, 2, 3]
    assert [event.step for event in events if isinstance(event, CheckpointEvent)] == [2]
    assert isinstance(events[-1], DoneEvent)
    assert events[-1].elapsed_s > 0


def test_the_file_has_kohyas_modules_and_metadata(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    file = lora_file.read(lora_of(train(tiny, request(photos), quick)))
    expected = {
        target.kohya_name for target in (*tiny.list_targets("unet"), *tiny.list_targets("text_encoder"))
    }
    assert file.weights.keys() == expected
    assert all(values.up.abs().max() > 0 for values in file.weights.values())
    assert file.metadata["ss_network_module"] == "networks.lora"
    assert file.metadata["ss_network_dim"] == "4"
    assert file.metadata["ss_steps"] == "3"
    assert file.metadata["ss_seed"] == "3"
    assert file.metadata["ss_sd_model_name"] == "tiny"
    assert file.metadata["ss_tag_frequency"] == '{"1_sks person": {"sks person": 5}}'


def test_a_frozen_text_encoder_gets_no_lora(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    config = replace(quick, train_text_encoder=False, steps=2)
    file = lora_file.read(lora_of(train(tiny, request(photos), config)))
    assert len(file.weights) == 192
    assert all(name.startswith("lora_unet_") for name in file.weights)


def test_the_same_seed_gives_the_same_lora_and_another_seed_another(
    tiny: BaseModel, photos: tuple[bytes, ...], precise: TrainingConfig, uninterrupted: bytes
) -> None:
    torch.manual_seed(99)  # the global stream has no say
    assert same_weights(lora_of(train(tiny, request(photos), precise)), uninterrupted)
    assert not same_weights(lora_of(train(tiny, request(photos, seed=4), precise)), uninterrupted)


def test_a_killed_training_resumes_bit_for_bit_in_a_fresh_process(
    tiny: BaseModel, photos: tuple[bytes, ...], precise: TrainingConfig, uninterrupted: bytes
) -> None:
    first = checkpoint_at(1, train(tiny, request(photos), precise))
    torch.manual_seed(5)
    fresh = load_base_model("tiny")
    second = checkpoint_at(2, train(fresh, request(photos, first), precise))
    events = list(train(load_base_model("tiny"), request(photos, second), precise))
    assert events[0] == StartedEvent(job_id=7, attempt=2, step=2, steps=3, family="tiny")
    assert [event.step for event in events if isinstance(event, ProgressEvent)][-1] == 3
    assert same_weights(lora_of(events), uninterrupted)
    assert lora_file.read(lora_of(events)).metadata["ss_steps"] == "3"


@pytest.mark.parametrize("with_lora", [pytest.param(False, marks=pytest.mark.soak), True])
def test_pictures_drawn_between_two_steps_change_neither_training_nor_picture(
    tiny: BaseModel, photos: tuple[bytes, ...], precise: TrainingConfig, uninterrupted: bytes, with_lora: bool
) -> None:
    generate_request = GenerateRequest(
        job_id=8, attempt=1, prompt="sks person", seed=1, steps=3, width_px=64, height_px=64,
        loras=(use(uninterrupted),) if with_lora else (),
    )  # fmt: skip
    alone = list(generate(GenerationContext(tiny), generate_request))[-1]
    training, drawing = (
        train(tiny, request(photos), precise),
        generate(GenerationContext(tiny), generate_request),
    )
    trained: list[WorkerEvent] = []
    drawn: list[WorkerEvent] = []
    for event in training:
        trained.append(event)
        if (next_event := next(drawing, None)) is not None:  # one step of each in turn
            drawn.append(next_event)
    drawn.extend(drawing)
    assert same_weights(lora_of(trained), uninterrupted)
    assert isinstance(alone, DoneEvent)
    assert isinstance(drawn[-1], DoneEvent)
    assert drawn[-1].pictures == alone.pictures


def test_a_training_cancelled_between_steps_leaves_no_trace(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    before = weights_hash(tiny)
    running = train(tiny, request(photos), quick)
    for event in running:
        if isinstance(event, ProgressEvent) and event.step == 2:
            break
    assert has_adapters(tiny)
    running.close()
    assert not has_adapters(tiny)
    assert weights_hash(tiny) == before


def test_two_trainings_in_turn_do_not_disturb_each_other(
    tiny: BaseModel, photos: tuple[bytes, ...], precise: TrainingConfig, uninterrupted: bytes
) -> None:
    one, other = train(tiny, request(photos), precise), train(tiny, request(photos, seed=4), precise)
    ones: list[WorkerEvent] = []
    for event in one:
        ones.append(event)
        next(other, None)
    other.close()
    assert same_weights(lora_of(ones), uninterrupted)


def one_photo_lesson(base: BaseModel, photo: bytes, config: TrainingConfig) -> TrainStep:
    return TrainStep(
        base, config, LatentDataset(base, (TrainingImage(photo, "sks person"),), config, LatentCache())
    )


def test_a_training_lowers_its_loss(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    config = replace(quick, min_snr_gamma=None)
    lesson, state = one_photo_lesson(tiny, photos[0], config), TrainingState(tiny, config)

    def loss() -> float:
        """Measure with the same noise every time."""
        state.adapter.activate()
        stream = state.generator.get_state()
        state.generator.manual_seed(11)
        with torch.no_grad():
            measured = sum(float(lesson.compute_loss(state, 0)) for _ in range(3))
        state.generator.set_state(stream)
        return measured

    try:
        before = loss()
        for _ in range(8):
            lesson.run(state)
        assert loss() < 0.9 * before
    finally:
        state.adapter.deactivate()


def test_a_damaged_checkpoint_costs_its_steps_and_not_the_training(
    tiny: BaseModel, photos: tuple[bytes, ...], precise: TrainingConfig, uninterrupted: bytes
) -> None:
    data = checkpoint_at(1, train(tiny, request(photos), precise))
    events = list(train(tiny, request(photos, data[:-100]), precise))
    assert events[0] == StartedEvent(job_id=7, attempt=2, step=0, steps=3, family="tiny")
    assert same_weights(lora_of(events), uninterrupted)


@pytest.mark.parametrize("header", ["null", "[]", "5", "{}", '"text"', '{"format": null}'])
def test_a_checkpoint_whose_header_is_no_checkpoint_is_refused_in_one_sentence(header: str) -> None:
    data = safetensors.torch.save({"random": torch.zeros(1)}, {"training": header})
    with pytest.raises(BadInput, match="checkpoint"):
        Checkpoint.decode(data)


def test_a_checkpoint_of_other_photos_or_settings_is_not_taken_up(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    data = checkpoint_at(1, train(tiny, request(photos), quick))
    for others, config, step in (
        (photos, quick, 1),
        (photos[:4], quick, 0),
        (photos, replace(quick, rank=2), 0),
        (photos, replace(quick, steps=9), 1),
    ):
        running = train(tiny, request(others, data), config)
        assert next(running) == StartedEvent(
            job_id=7, attempt=2, step=step, steps=config.steps, family="tiny"
        )
        running.close()


def test_impossible_training_is_refused_in_one_sentence(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    for wrong, config, sentence in (
        ((), quick, "no photos"),
        ((b"text, not a picture",), quick, "cannot be read as a picture"),
        (photos, replace(quick, resolution_px=100), "multiple of 64"),
        (photos, replace(quick, steps=0), "at least one step"),
    ):
        with pytest.raises(BadInput, match=sentence):
            list(train(tiny, request(wrong), config))


def test_captions_and_masks_of_a_request_are_learnt_by(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    plain = lora_of(train(tiny, request(photos), quick))
    same = msgspec.structs.replace(request(photos), captions=("sks person",) * len(photos))
    assert same_weights(lora_of(train(tiny, same, quick)), plain)
    told = msgspec.structs.replace(request(photos), captions=("sks person, outdoors",) * len(photos))
    assert not same_weights(lora_of(train(tiny, told, quick)), plain)
    half = Image.new("L", (64, 64))
    half.paste(255, (0, 0, 32, 64))
    file = io.BytesIO()
    half.save(file, "PNG")
    masked = msgspec.structs.replace(request(photos), masks=(file.getvalue(),) * len(photos))
    found = lora_of(train(tiny, masked, quick))
    assert not same_weights(found, plain)
    assert lora_file.read(found).metadata["ss_masked_loss"] == "True"


def test_a_request_with_too_few_captions_is_refused(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    with pytest.raises(BadInput, match="one caption, crop and mask for each photo"):
        list(train(tiny, msgspec.structs.replace(request(photos), captions=("sks person",)), quick))
