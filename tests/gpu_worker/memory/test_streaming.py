"""Blocks that wait in system memory: the same bits, in little memory, in time, and never back."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from gpu_worker.device.memory_profile import WeightStorage
from gpu_worker.memory.plan import RESIDENT_BLOCKS
from gpu_worker.memory.quantized_layers import QuantizedLayer, store_layers
from gpu_worker.memory.streaming import BlockStream, HostMemory, Transfer, select_blocks
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from tests.gpu_worker.training.test_parity import CASES, our_gradients


class CountingTransport:
    """Stands in for a card: counts what is there, what was sent, and what was sent too late."""

    def __init__(self) -> None:
        self.resident_bytes = self.peak_bytes = self.sent = self.late = 0
        self._started: Transfer | None = None

    def keep(self, tensor: Tensor) -> Tensor:
        return tensor.clone()

    def start(self, tensors: Sequence[Tensor]) -> Transfer:
        transfer = Transfer([tensor.clone() for tensor in tensors])
        num_bytes = sum(tensor.nbytes for tensor in tensors)
        self.sent += 1
        self.resident_bytes += num_bytes
        self.peak_bytes = max(self.peak_bytes, self.resident_bytes)
        weakref.finalize(transfer, self._free, num_bytes)
        self._started = transfer
        return transfer

    def wait(self, transfer: Transfer) -> None:
        self.late += transfer is self._started  # nothing was computed since
        self._started = None

    def _free(self, num_bytes: int) -> None:
        self.resident_bytes -= num_bytes


def list_blocks(base: BaseModel) -> list[nn.Module]:
    unet = base.components["unet"]
    return [module for module in unet.modules() if type(module).__name__ == "BasicTransformerBlock"]


def list_quantized(block: nn.Module) -> list[QuantizedLayer]:
    return [layer for layer in block.modules() if isinstance(layer, QuantizedLayer)]


def count_bytes(block: nn.Module) -> int:
    return sum(layer.weight_codes.nbytes + layer.weight_scales.nbytes for layer in list_quantized(block))


@pytest.fixture(scope="module")
def stored() -> BaseModel:
    base = load_base_model("tiny")
    base.set_memory_mode(replace(base.memory_mode, storage=WeightStorage.INT8))
    return base


@pytest.fixture
def transport(stored: BaseModel) -> Iterator[CountingTransport]:
    counting = CountingTransport()
    BlockStream(list_blocks(stored), counting)
    yield counting
    for block in list_blocks(stored):
        for layer in list_quantized(block):
            layer.stream = None


def draw_picture(base: BaseModel) -> Tensor:
    latents = torch.randn(1, *base.latent_shape((64, 64)), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return base.predict(latents, torch.tensor([300]), base.encode_prompts(["a person"]))


def gradients(base: BaseModel) -> list[Tensor]:
    return [tensor for pair in our_gradients(base, CASES["plain"])[0].values() for tensor in pair]


@pytest.mark.parametrize("is_checkpointed", [pytest.param(False, marks=pytest.mark.soak), True])
def test_streamed_weights_give_the_same_bits_also_with_pictures_between_steps(
    stored: BaseModel, request: pytest.FixtureRequest, is_checkpointed: bool
) -> None:
    stored.set_memory_mode(replace(stored.memory_mode, gradient_checkpointing=is_checkpointed))
    resident, picture = gradients(stored), draw_picture(stored)
    before = [layer.weight_codes.clone() for block in list_blocks(stored) for layer in list_quantized(block)]
    transport: CountingTransport = request.getfixturevalue("transport")
    for _ in range(2):
        assert all(torch.equal(one, other) for one, other in zip(gradients(stored), resident, strict=True))
        assert torch.equal(draw_picture(stored), picture)
    assert transport.sent > 4 * len(before) / 10
    after = [layer.weight_codes for block in list_blocks(stored) for layer in list_quantized(block)]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("is_checkpointed", [pytest.param(False, marks=pytest.mark.soak), True])
def test_no_more_than_two_blocks_are_resident_and_the_next_is_under_way(
    stored: BaseModel, transport: CountingTransport, is_checkpointed: bool
) -> None:
    stored.set_memory_mode(replace(stored.memory_mode, gradient_checkpointing=is_checkpointed))
    gradients(stored)  # the order is learnt
    gradients(stored)
    transport.late = transport.sent = 0
    gradients(stored)
    assert transport.late == 0
    assert transport.sent >= 2 * len(list_blocks(stored)) - 3
    largest = sorted(count_bytes(block) for block in list_blocks(stored))[-RESIDENT_BLOCKS:]
    assert transport.peak_bytes <= sum(largest)


def test_pictures_have_their_next_block_under_way_too(
    stored: BaseModel, transport: CountingTransport
) -> None:
    for _ in range(2):
        draw_picture(stored)
    transport.late = 0
    draw_picture(stored)
    assert transport.late == 0


def test_a_block_that_was_not_expected_is_still_the_right_one(stored: BaseModel) -> None:
    layers = [nn.Linear(8, 8) for _ in range(4)]
    for layer in layers:
        store_layers(layer, WeightStorage.INT8)
    quantized = [layer for layer in layers if isinstance(layer, QuantizedLayer)]
    wide = [layer.widen_weight(torch.float32) for layer in quantized]
    transport = CountingTransport()
    BlockStream(layers, transport)
    for index in (0, 1, 2, 0, 3, 1, 0, 2, 2, 1):
        assert torch.equal(quantized[index].widen_weight(torch.float32), wide[index])
        assert transport.resident_bytes <= RESIDENT_BLOCKS * count_bytes(layers[0])


def test_pinning_that_is_refused_is_said_once_and_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    asked = []

    def refuse(tensor: Tensor) -> Tensor:
        asked.append(tensor)
        raise RuntimeError("cudaHostAlloc failed")

    memory, tensor = HostMemory(refuse), torch.arange(3)
    assert torch.equal(memory.keep(tensor), tensor)
    assert torch.equal(memory.keep(tensor), tensor)
    assert len(asked) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "blocks wait in pageable memory, which is slower: cudaHostAlloc failed"
    ]
    assert HostMemory(lambda host: host + 1).keep(tensor).tolist() == [1, 2, 3]


class ThreeSizes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([_Block(8), *(_Block(16) for _ in range(6)), _Block(8)])


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)


@pytest.mark.parametrize(("count", "places"), [(0, []), (2, [1, 4]), (3, [1, 3, 5]), (9, [1, 2, 3, 4, 5, 6])])
def test_the_largest_blocks_are_streamed_with_others_between_them(count: int, places: list[int]) -> None:
    model = ThreeSizes()
    store_layers(model, WeightStorage.NF4)
    assert select_blocks(model, ["_Block"], count) == [model.blocks[place] for place in places]
