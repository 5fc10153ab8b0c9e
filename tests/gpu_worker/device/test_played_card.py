"""The path through a card, played: nothing on the wrong device, no unnamed wait, memory at its edge."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from PIL import Image

from gpu_worker.device.convolutions import use_channels_last
from gpu_worker.device.memory_modes import MemoryMode
from gpu_worker.generation.context import GenerationContext
from gpu_worker.generation.generate import generate
from gpu_worker.generation.picture_files import can_decode_beside
from gpu_worker.lora import file as lora_file
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from gpu_worker.protocol import (
    SAMPLERS,
    CheckpointEvent,
    DoneEvent,
    FallbackCause,
    FallbackEvent,
    InitImage,
    PreviewEvent,
    ProgressEvent,
    TrainRequest,
)
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.latents import LatentCache, encode_photo
from gpu_worker.training.trainer import train
from tests.support.card.cuda import play
from tests.support.card.tensors import PlayedCard
from tests.support.generated_images import pixels_of, size_of, use, with_
from tests.support.variants import with_soak

FP16, BF16 = torch.float16, torch.bfloat16
#: The only wait of a training step: the loss of the step before. Ids of captions stay on the card.
WAITS_OF_A_STEP = {
    "an event with work queued after it in training/loss_reader.py:flush": 1,
}


@pytest.fixture(scope="module")
def card() -> Iterator[PlayedCard]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with play(PlayedCard()) as played:
        yield played
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def photos(photos: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return as many as are needed: what is played takes its time."""
    return photos[:2]


@pytest.fixture(scope="module")
def base(card: PlayedCard) -> BaseModel:
    return load_base_model("tiny", FP16)


@pytest.fixture(autouse=True)
def only_known_faults(card: PlayedCard, base: BaseModel) -> Iterator[None]:
    """Check that nothing unpinned was sent without waiting, and start each test with clean counters."""
    card.waits.clear()
    card.peak_bytes, card.live_bytes_at_empty_cache = card.live_bytes, []
    memory_mode = base.memory_mode
    yield
    card.capacity_bytes = float("inf")
    base.set_memory_mode(memory_mode)
    unpinned = dict(card.unpinned_sends)
    card.unpinned_sends.clear()
    assert unpinned == {}


@dataclass
class PlayedTraining:
    """What a training on the played card did."""

    lora: bytes
    checkpoint: bytes | None = None
    waits_of_steps: list[dict[str, int]] = field(default_factory=list)
    fallbacks: list[FallbackEvent] = field(default_factory=list)


def play_training(
    base: BaseModel, card: PlayedCard, photos: tuple[bytes, ...], config: TrainingConfig, **changes: object
) -> PlayedTraining:
    size_px = (config.resolution_px, config.resolution_px)
    latent_cache = LatentCache()
    for photo in photos:
        encode_photo(base, photo, size_px, latent_cache)
    card.waits.clear()
    training = PlayedTraining(b"")
    for event in train(
        base, TrainRequest(job_id=7, attempt=2, photos=photos, seed=3, **changes), config, latent_cache
    ):
        match event:
            case ProgressEvent():
                training.waits_of_steps.append(dict(card.waits))
            case CheckpointEvent():
                training.checkpoint = event.data
            case FallbackEvent():
                training.fallbacks.append(event)
            case DoneEvent():
                training.lora = event.lora
        card.waits.clear()
    return training


@pytest.fixture
def short(quick: TrainingConfig) -> TrainingConfig:
    return replace(quick, steps=2, checkpoint_every_steps=1, sample_every_steps=None, save_precision="float")


@pytest.fixture(scope="module")
def lora(base: BaseModel, card: PlayedCard, photos: tuple[bytes, ...]) -> bytes:
    return play_training(base, card, photos, TrainingConfig(steps=1, resolution_px=64, rank=4)).lora


@pytest.mark.parametrize("dtype", [FP16, pytest.param(BF16, marks=pytest.mark.soak)], ids=str)
def test_a_training_step_waits_only_where_it_is_named_and_resumes_bit_for_bit(
    base: BaseModel, card: PlayedCard, photos: tuple[bytes, ...], short: TrainingConfig, dtype: torch.dtype
) -> None:
    base.set_memory_mode(MemoryMode(dtype))
    whole = play_training(base, card, photos, short)
    assert whole.fallbacks == []
    assert whole.waits_of_steps[1] == WAITS_OF_A_STEP  # the first step has no loss to read yet
    resumed = play_training(base, card, photos, short, resume_checkpoint=whole.checkpoint)
    assert len(resumed.waits_of_steps) == 1
    names = [lora_file.read(each.lora).metadata["sshs_model_hash"] for each in (whole, resumed)]
    assert names[0] == names[1]


@pytest.mark.parametrize("sampler", with_soak(SAMPLERS, kept=("euler a", "unipc")))
def test_each_sampler_draws_on_the_card(base: BaseModel, lora: bytes, sampler: str) -> None:
    request = with_(sampler=sampler, steps=2, loras=(use(lora),), prompt="(sks:1.2) person")
    assert len(draw(base, request)) == 1


def test_a_denoising_step_waits_once_and_prompts_are_sent_once(base: BaseModel, card: PlayedCard) -> None:
    context, request = GenerationContext(base), with_(is_fast=True, steps=3)
    waits_by_picture = []
    for _ in range(2):
        waits_of_events = []
        card.waits.clear()
        for _event in generate(context, request):
            waits_of_events.append(dict(card.waits))
            card.waits.clear()
        # The first step of diffusers' samplers looks for its timestep.
        assert waits_of_events[2:-1] == [{"synchronize in generation/denoiser.py:step": 1}] * 2
        waits_by_picture.append(waits_of_events)
    first, second = (sum(waits[0].values()) for waits in waits_by_picture)
    assert first - second == 2, "a copy for the prompt and one for the negative prompt"


def test_a_picture_from_a_picture_is_drawn_in_tiles_with_previews(base: BaseModel) -> None:
    image = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(image, "PNG")
    request = with_(
        width_px=192,
        height_px=128,
        steps=3,
        init_image=InitImage(data=image.getvalue(), denoising_strength=0.7),
        preview_interval_s=0.0,
    )
    events = list(generate(GenerationContext(base), request))
    assert any(isinstance(event, PreviewEvent) for event in events)
    assert isinstance(events[-1], DoneEvent)
    assert size_of(events[-1].pictures[0]) == (192, 128)


def test_pictures_of_several_people_share_a_pass_beside_a_training(
    base: BaseModel, photos: tuple[bytes, ...], short: TrainingConfig, lora: bytes
) -> None:
    searches: set[tuple[bool, bool]] = set()
    hook = base.components["unet"].register_forward_pre_hook(
        lambda *_: searches.add((torch.is_grad_enabled(), torch.backends.cudnn.benchmark))
    )
    context = GenerationContext(base)
    jobs = [
        train(base, TrainRequest(job_id=8, attempt=1, photos=photos, seed=2), replace(short, steps=2)),
        generate(context, with_(job_id=2, loras=(use(lora),))),
        generate(context, with_(job_id=3)),
    ]
    finished: Counter[type] = Counter()
    while jobs:
        for job in list(jobs):
            event = next(job)
            if isinstance(event, DoneEvent):
                jobs.remove(job)
                finished[DoneEvent] += 1
    hook.remove()
    assert finished[DoneEvent] == 3
    assert searches == {(True, True), (False, False)}  # convolutions are searched in training steps alone


def test_a_training_that_is_too_large_takes_the_next_mode_with_nothing_left_on_the_card(
    base: BaseModel, card: PlayedCard, photos: tuple[bytes, ...], short: TrainingConfig
) -> None:
    config = replace(short, steps=1, resolution_px=128)
    at_rest = card.live_bytes
    peaks = []
    for gradient_checkpointing in (False, True):
        base.set_memory_mode(MemoryMode(FP16, gradient_checkpointing))
        card.peak_bytes = card.live_bytes
        play_training(base, card, photos, config)
        peaks.append(card.peak_bytes)
    assert peaks[1] < peaks[0]
    base.set_memory_mode(MemoryMode(FP16))
    card.capacity_bytes = sum(peaks) // 2
    training = play_training(base, card, photos, config)
    assert [fallback.cause for fallback in training.fallbacks] == [FallbackCause.OUT_OF_MEMORY]
    assert card.live_bytes_at_empty_cache == [at_rest]
    assert card.live_bytes == at_rest


def test_pictures_that_are_too_many_are_drawn_row_by_row_with_nothing_left_on_the_card(
    base: BaseModel, card: PlayedCard, lora: bytes
) -> None:
    request = with_(count=4, steps=1, loras=(use(lora),))
    at_rest = card.live_bytes
    draw(base, request)
    card.capacity_bytes = card.peak_bytes - 1
    context = GenerationContext(base)
    events = list(generate(context, request))
    assert isinstance(events[-1], DoneEvent)
    assert context.denoiser.is_sequential
    [live_bytes] = card.live_bytes_at_empty_cache
    # Outside of the handler, which holds megabytes of the failed pass; an encoded prompt is kept.
    assert live_bytes <= at_rest + 64 * 1024


def test_a_picture_is_decoded_beside_others_where_the_card_has_room(
    base: BaseModel, card: PlayedCard
) -> None:
    assert can_decode_beside(base)
    card.capacity_bytes = card.live_bytes + 1
    assert not can_decode_beside(base)


def draw(base: BaseModel, request: object) -> tuple[bytes, ...]:
    last = list(generate(GenerationContext(base), request))[-1]
    assert isinstance(last, DoneEvent)
    return last.pictures


def test_channels_last_changes_the_layout_of_weights_and_no_picture(base: BaseModel) -> None:
    request = with_(steps=2, is_fast=True)
    plain = draw(base, request)[0]
    other = load_base_model("tiny", FP16)
    use_channels_last((other.denoiser, other.components["vae"]))
    found = draw(other, request)[0]
    assert np.abs(pixels_of(found) - pixels_of(plain)).max() <= 12
    weight = other.components["vae"].decoder.conv_in.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not base.components["vae"].decoder.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    with other.use_precision(True):
        assert other.denoiser.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
