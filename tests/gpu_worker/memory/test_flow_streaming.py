"""klein and Z-Image with blocks that wait in system memory: two classes of them, and a twin that draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gpu_worker.device.memory_profile import WeightStorage
from gpu_worker.memory.quantized_layers import QuantizedLayer, count_card_bytes
from gpu_worker.memory.streaming import BlockStream, select_blocks, stream_blocks
from gpu_worker.models.base import BaseModel
from gpu_worker.models.family import TRANSFORMERS
from gpu_worker.models.flow.klein.family import KLEIN
from gpu_worker.models.flow.z_image.family import Z_IMAGE
from gpu_worker.models.registry import load_base_model
from tests.gpu_worker.memory.test_streaming import CountingTransport, count_bytes
from tests.gpu_worker.training.test_flow_parity import our_gradients

FAMILIES = {"tiny-klein": KLEIN, "tiny-zimage": Z_IMAGE}


@pytest.fixture(params=FAMILIES)
def stored(request: pytest.FixtureRequest) -> BaseModel:
    base = load_base_model(request.param)
    base.set_memory_mode(replace(base.memory_mode, storage=WeightStorage.INT8))
    return base


def stream(base: BaseModel, count: int = 99) -> dict[str, BlockStream]:
    classes = FAMILIES[base.name].memory.block_classes
    streams = {
        name: stream_blocks(component, classes, count, CountingTransport())
        for name, component in base.components.items()
    }
    return {name: found for name, found in streams.items() if found is not None}


def draw_picture(base: BaseModel) -> Tensor:
    latents = torch.randn(1, *base.latent_shape((64, 64)), generator=torch.Generator().manual_seed(2))
    with torch.no_grad(), base.for_pictures():
        return base.predict(latents, torch.tensor([300.0]), base.encode_prompts(["a person"]))


def gradients(base: BaseModel) -> list[Tensor]:
    return [tensor for pair in our_gradients(base)[0].values() for tensor in pair]


def test_streamed_flows_give_the_same_bits_also_with_pictures_of_the_twin_between_steps(
    stored: BaseModel,
) -> None:
    steps: list[Callable[[], list[Tensor]]] = []
    expected = []
    for is_checkpointed in (False, True):

        def step(is_checkpointed: bool = is_checkpointed) -> list[Tensor]:
            stored.set_memory_mode(replace(stored.memory_mode, gradient_checkpointing=is_checkpointed))
            return [*gradients(stored), draw_picture(stored)]

        steps.append(step)
        expected.append(step())
    streams = stream(stored)
    assert set(streams) == set(TRANSFORMERS)
    for step, values in zip(steps, expected, strict=True):
        found = step()
        assert all(torch.equal(one, other) for one, other in zip(found, values, strict=True))


def test_the_next_block_is_under_way_and_two_are_there_at_most(stored: BaseModel) -> None:
    transports = {}
    for name in TRANSFORMERS:
        transports[name] = CountingTransport()
        classes = FAMILIES[stored.name].memory.block_classes
        stream_blocks(stored.components[name], classes, 99, transports[name])
    for _ in range(2):
        gradients(stored)
        draw_picture(stored)
    for transport in transports.values():
        transport.late = transport.sent = 0
    gradients(stored)
    draw_picture(stored)
    transformer, twin = (transports[name] for name in TRANSFORMERS)
    assert (transformer.late, twin.late) == (0, 0)
    assert transformer.sent > twin.sent > FAMILIES[stored.name].memory.block_count / 2
    blocks = select_blocks(stored.denoiser, FAMILIES[stored.name].memory.block_classes, 99)
    sizes = sorted(map(count_bytes, blocks))
    assert transformer.peak_bytes <= sum(sizes[-2:])


def test_blocks_are_as_many_and_as_large_as_the_record_says(stored: BaseModel) -> None:
    profile = FAMILIES[stored.name].memory
    counts = [len(select_blocks(stored.denoiser, [group.class_name], 99)) for group in profile.blocks]
    assert counts == [group.count for group in profile.blocks]
    few = select_blocks(stored.denoiser, profile.block_classes, profile.blocks[0].count)
    assert {type(block).__name__ for block in few} == {profile.blocks[0].class_name}


def test_what_is_streamed_stays_where_it_is_when_its_component_moves(stored: BaseModel) -> None:
    whole_bytes = count_card_bytes(stored.denoiser)
    released = stream(stored)[TRANSFORMERS[0]]
    blocks = select_blocks(stored.denoiser, FAMILIES[stored.name].memory.block_classes, 99)
    assert whole_bytes - count_card_bytes(stored.denoiser) == sum(map(count_bytes, blocks))
    gradients(stored)
    stored.denoiser.to("meta")
    codes = [layer.weight_codes for layer in stored.denoiser.modules() if isinstance(layer, QuantizedLayer)]
    assert {tensor.device.type for tensor in codes} == {"cpu", "meta"}  # refiners and embedders went
    released.release()
    assert not released._transfers


def test_blocks_that_are_streamed_no_more_go_to_their_component(stored: BaseModel) -> None:
    def count_streamed() -> int:
        layers = [layer for layer in stored.denoiser.modules() if isinstance(layer, QuantizedLayer)]
        return sum(layer.stream is not None for layer in layers)

    stream(stored)
    many = count_streamed()
    stream(stored, 3)
    assert 0 < count_streamed() < many
