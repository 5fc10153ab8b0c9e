"""Blocks that wait in system memory and come to the card one ahead of their use. They never travel back.

Which block follows is learnt in the first pass, forward and backward: families differ in it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from gpu_worker.memory.quantized_layers import QuantizedLayer, get_weight_shape, list_layers, move_codes

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Transfer:
    """Tensors on their way to the card, and what says that they are there."""

    tensors: list[Tensor]
    event: torch.cuda.Event | None = None


class Transport(Protocol):
    """How tensors get to the card."""

    def keep(self, tensor: Tensor) -> Tensor:
        """Return the tensor in system memory, from where it is sent again and again."""

    def start(self, tensors: Sequence[Tensor]) -> Transfer:
        """Begin to send tensors, beside what is computed."""

    def wait(self, transfer: Transfer) -> None:
        """Let what is computed next wait until the tensors are there."""


class HostMemory:
    """Pinned memory, as far as the system gives it; WSL2 has a limit."""

    def __init__(self, pin: Callable[[Tensor], Tensor] = lambda tensor: tensor.pin_memory()) -> None:
        self._pin: Callable[[Tensor], Tensor] | None = pin

    def keep(self, tensor: Tensor) -> Tensor:
        """Return a copy, in pageable memory after the first refusal."""
        host = tensor.cpu()
        if self._pin is not None:
            try:
                return self._pin(host)
            except RuntimeError as error:
                self._pin = None
                log.warning("blocks wait in pageable memory, which is slower: %s", error)
        return host


class CardTransport:
    """Sends on a stream of its own, from pinned memory as far as the system gives it."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._host_memory = HostMemory()

    def keep(self, tensor: Tensor) -> Tensor:
        """Return a copy in system memory, pinned if possible."""
        return self._host_memory.keep(tensor)

    def start(self, tensors: Sequence[Tensor]) -> Transfer:
        """Begin to send. Memory is that of the computing stream, so what was freed there is used again."""
        targets = [torch.empty_like(tensor, device=self._device) for tensor in tensors]
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            for target, tensor in zip(targets, tensors, strict=True):
                target.copy_(tensor, non_blocking=True)
        return Transfer(targets, self._stream.record_event())

    def wait(self, transfer: Transfer) -> None:
        """Let the computing stream wait."""
        if transfer.event is not None:
            torch.cuda.current_stream(self._device).wait_event(transfer.event)


class BlockStream:
    """The streamed blocks of one component; at most two of them are on the card."""

    def __init__(self, blocks: Sequence[nn.Module], transport: Transport) -> None:
        self._transport = transport
        self._layers = [
            [layer for layer in block.modules() if isinstance(layer, QuantizedLayer)] for block in blocks
        ]
        self._places = {
            layer: (index, place)
            for index, layers in enumerate(self._layers)
            for place, layer in enumerate(layers)
        }
        self._current = self._previous = -1
        self._transfers: dict[int, Transfer] = {}
        self._successors: dict[tuple[int, int, bool], int] = {}
        self._key = (-1, -1, False)
        for layer in self._places:
            layer.weight_codes = transport.keep(layer.weight_codes)
            layer.weight_scales = transport.keep(layer.weight_scales)
            layer.stream = self

    def get_codes(self, layer: QuantizedLayer, needs_backward: bool) -> tuple[Tensor, Tensor]:
        """Return codes and scales of a layer on the card. The block that follows is sent meanwhile."""
        index, place = self._places[layer]
        if index != self._current:
            self._move_to(index, needs_backward)
        tensors = self._transfers[index].tensors
        return tensors[2 * place], tensors[2 * place + 1]

    def release(self) -> None:
        """Let what is on the card go, and learn the order anew."""
        for transfer in self._transfers.values():
            self._transport.wait(transfer)
        self._transfers.clear()
        self._successors.clear()
        self._current = self._previous = -1

    def _move_to(self, index: int, needs_backward: bool) -> None:
        self._successors[self._key] = index
        self._previous, self._current = self._current, index
        self._key = (self._previous, index, needs_backward)
        for other in [other for other in self._transfers if other != index]:
            self._transport.wait(self._transfers[other])  # its memory is free only when nothing writes there
            del self._transfers[other]
        if index not in self._transfers:
            self._start(index)
        self._transport.wait(self._transfers[index])
        successor = self._successors.get(self._key)
        if successor is not None and successor != index:
            self._start(successor)

    def _start(self, index: int) -> None:
        layers = self._layers[index]
        tensors = [tensor for layer in layers for tensor in (layer.weight_codes, layer.weight_scales)]
        self._transfers[index] = self._transport.start(tensors)


def stream_blocks(
    component: nn.Module, block_classes: Sequence[str], count: int, transport: Transport
) -> BlockStream | None:
    """Let so many blocks of a component wait in system memory; None for a component without blocks."""
    blocks = select_blocks(component, block_classes, count)
    streamed_layers = {layer for block in blocks for layer in block.modules()}
    for _, layer in list_layers(component):
        if isinstance(layer, QuantizedLayer) and layer not in streamed_layers:
            move_codes(layer, layer.weight_pairs.device)  # of blocks that are streamed no more
    return BlockStream(blocks, transport) if blocks else None


def select_blocks(component: nn.Module, block_classes: Sequence[str], count: int) -> list[nn.Module]:
    """Return so many of a component's blocks, class by class, in the order in which they are computed.

    Of each class it is the largest, spread evenly: others are computed meanwhile.
    """
    selected: set[nn.Module] = set()
    for block_class in block_classes:
        blocks = [module for module in component.modules() if type(module).__name__ == block_class]
        sizes = [sum(get_weight_shape(layer).numel() for _, layer in list_layers(block)) for block in blocks]
        largest = [block for block, size in zip(blocks, sizes, strict=True) if size == max(sizes)]
        share = min(count - len(selected), len(largest))  # a text encoder has none
        selected.update(largest[number * len(largest) // share] for number in range(share))
    return [module for module in component.modules() if module in selected]
