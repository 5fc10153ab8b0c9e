"""A picture whose numbers go out of bounds is drawn in full precision, and nothing beside it notices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from gpu_worker.device.memory_modes import MemoryMode, NotFinite
from gpu_worker.errors import BadInput
from gpu_worker.generation.context import GenerationContext
from gpu_worker.generation.generate import generate
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from gpu_worker.protocol import (
    DoneEvent,
    FallbackEvent,
    GenerateRequest,
    SampleEvent,
    StartedEvent,
    WorkerEvent,
)
from gpu_worker.training.config import SamplePrompt, TrainingConfig
from gpu_worker.training.trainer import train
from tests.gpu_worker.conftest import weights_hash
from tests.gpu_worker.training.test_trainer import lora_of, request, same_weights
from tests.support.generated_images import alone, done, pixels_of, use, with_
from tests.support.variants import with_soak

HALF = MemoryMode(torch.bfloat16)
Lora = tuple[TrainingConfig, bytes]


@pytest.fixture
def half() -> Iterator[BaseModel]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    base = load_base_model("tiny")
    base.set_memory_mode(HALF)
    yield base
    torch.set_num_threads(threads)


def break_pictures(base: BaseModel, part: str, dtypes: set[torch.dtype]) -> None:
    """Let a part return NaN in these precisions, in pictures and not in training steps."""

    def overflow(_: object, __: object, output: torch.Tensor) -> torch.Tensor:
        is_picture = not torch.is_grad_enabled()
        return output * float("nan") if is_picture and output.dtype in dtypes else output

    module = base.components["vae"].decoder.conv_out if part == "vae" else base.denoiser.conv_out
    module.register_forward_hook(overflow)


def draw_beside(
    base: BaseModel, training: Iterator[WorkerEvent], wish: GenerateRequest
) -> tuple[list[WorkerEvent], list[WorkerEvent], BadInput | None]:
    """Advance a picture and a training in turn, as the worker does; return both's events."""
    context = GenerationContext(base)
    picture, trained, drawn, failure = generate(context, wish), [], [], None
    for event in training:
        trained.append(event)
        try:
            drawn += [event for event in [next(picture, None)] if event is not None]
        except BadInput as error:
            failure = error
    return trained, drawn, failure


@pytest.fixture(scope="module")
def undisturbed(photos: tuple[bytes, ...], quick: TrainingConfig) -> Lora:
    """Train with nothing beside it: what each training below must come to."""
    config = replace(quick, steps=4, save_precision="float")
    base = load_base_model("tiny")
    base.set_memory_mode(HALF)
    return config, lora_of(train(base, request(photos), config))


@pytest.mark.parametrize(
    ("part", "dtypes", "is_drawn"),
    [
        ("vae", {torch.bfloat16}, True),
        pytest.param("unet", {torch.bfloat16}, True, marks=pytest.mark.soak),
        pytest.param("vae", {torch.bfloat16, torch.float32}, False, marks=pytest.mark.soak),
        ("unet", {torch.bfloat16, torch.float32}, False),
    ],
)
def test_a_training_beside_a_picture_out_of_bounds_is_the_same_bit_for_bit(
    half: BaseModel,
    photos: tuple[bytes, ...],
    undisturbed: Lora,
    part: str,
    dtypes: set[torch.dtype],
    is_drawn: bool,
) -> None:
    config, lora = undisturbed
    before = weights_hash(half)
    break_pictures(half, part, dtypes)
    wish = with_(steps=2, loras=(use(lora),))

    trained, drawn, failure = draw_beside(half, train(half, request(photos), config), wish)

    assert not [event for event in trained if isinstance(event, FallbackEvent)]
    assert same_weights(lora_of(trained), lora)
    assert half.memory_mode == HALF
    assert weights_hash(half) == before
    assert isinstance(drawn[-1], DoneEvent) is is_drawn
    assert ("out of bounds" in str(failure)) is not is_drawn


def test_a_picture_in_full_precision_is_that_of_a_base_model_in_full_precision(half: BaseModel) -> None:
    break_pictures(half, "unet", {torch.bfloat16})
    events = list(generate(alone(half), with_(steps=3)))
    wide = load_base_model("tiny", torch.float32)
    for name, component in half.components.items():
        wide.components[name].load_state_dict(component.float().state_dict())
    half.set_memory_mode(MemoryMode(torch.float32))
    half.set_memory_mode(HALF)
    expected = pixels_of(done(wide, with_(steps=3)).pictures[0]).astype(int)
    found = pixels_of(done_of(events).pictures[0]).astype(int)
    assert abs(found - expected).max() <= 12  # the VAE stays in half precision, where it is finite
    assert [event for event in events if isinstance(event, StartedEvent)] == [events[0]] * 2


def done_of(events: list[WorkerEvent]) -> DoneEvent:
    last = events[-1]
    assert isinstance(last, DoneEvent)
    return last


def test_a_picture_that_finds_no_room_for_full_precision_is_told_and_the_base_stays(half: BaseModel) -> None:
    break_pictures(half, "unet", {torch.bfloat16})
    before = weights_hash(half)

    def fill(module: object, _: object) -> None:
        if half.dtype is torch.float32:
            raise torch.OutOfMemoryError("CUDA out of memory")

    half.denoiser.register_forward_pre_hook(fill)
    context = alone(half)
    with pytest.raises(BadInput, match="out of bounds"):
        list(generate(context, with_()))
    assert half.memory_mode == HALF
    assert weights_hash(half) == before
    assert not context.denoiser.is_sequential  # other people's pictures are as fast as before


def test_a_vae_that_finds_no_room_is_half_again(half: BaseModel) -> None:
    break_pictures(half, "vae", {torch.bfloat16})

    def fill(module: object, given: tuple[torch.Tensor, ...]) -> None:
        if given[0].dtype is torch.float32:
            raise torch.OutOfMemoryError("CUDA out of memory")

    half.components["vae"].decoder.register_forward_pre_hook(fill)
    with pytest.raises(NotFinite, match="no memory"):
        half.decode(torch.zeros(1, 4, 8, 8))
    assert half.components["vae"].dtype is torch.bfloat16


def test_infinite_pixels_are_no_white_ones(half: BaseModel) -> None:
    half.components["vae"].decoder.conv_out.register_forward_hook(lambda _, __, output: output / 0)
    with pytest.raises(NotFinite):
        half.decode(torch.zeros(1, 4, 8, 8))


@pytest.mark.parametrize("part", with_soak(["vae", "unet"], kept=("unet",)))
def test_a_sample_out_of_bounds_leaves_its_training_as_it_was(
    half: BaseModel, photos: tuple[bytes, ...], undisturbed: Lora, part: str
) -> None:
    config, lora = undisturbed
    config = replace(config, sample_every_steps=2, sample_prompts=(SamplePrompt("sks person", steps=2),))
    break_pictures(half, part, {torch.bfloat16})
    events = list(train(half, request(photos), config))
    assert not [event for event in events if isinstance(event, FallbackEvent)]
    assert [event.step for event in events if isinstance(event, SampleEvent)] == [0, 2, 4]
    assert same_weights(lora_of(events), lora)
