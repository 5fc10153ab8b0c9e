"""`torch.cuda` of a played card: what the worker asks of it is answered as a card would."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import clip_grad
from torch.utils._foreach_utils import _group_tensors_by_device_and_dtype

from tests.support.card.graphs import build_graph_answers
from tests.support.card.tensors import CARD, CardGenerator, CardTensor, PlayedCard

_GIB = 2**30


@contextlib.contextmanager
def play(card: PlayedCard) -> Iterator[PlayedCard]:
    """Give torch this card; everything inside that is put on `cuda` is played."""
    replaced = [
        *((torch.cuda, name, answer) for name, answer in _build_answers(card).items()),
        *((torch.cuda, name, answer) for name, answer in build_graph_answers(card).items()),
        (torch, "Generator", _build_generator_class()),
        (torch.Tensor, "pin_memory", lambda tensor, *_: card.pin(tensor.clone())),
        (F, "scaled_dot_product_attention", _build_attention(F.scaled_dot_product_attention)),
        (torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
        (clip_grad, "_group_tensors_by_device_and_dtype", _group_by_device_and_dtype),
        (
            sys.modules[torch.optim.Optimizer.__module__],
            "_group_tensors_by_device_and_dtype",
            _group_by_device_and_dtype,
        ),
    ]
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced]
    allows_tf32 = torch.backends.cuda.matmul.allow_tf32
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    lifts_cpu_tensors = torch._C._only_lift_cpu_tensors()
    for owner, name, value in replaced:
        setattr(owner, name, value)
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    torch._C._set_only_lift_cpu_tensors(True)  # `torch.tensor(…, device=…)` is made on the host and sent
    try:
        with torch.autograd.set_multithreading_enabled(False), card:
            yield card
    finally:
        torch._C._set_only_lift_cpu_tensors(lifts_cpu_tensors)
        torch.backends.cuda.matmul.allow_tf32 = allows_tf32
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
        for owner, name, value in originals:
            setattr(owner, name, value)


def _build_answers(card: PlayedCard) -> dict[str, Any]:
    def get_memory(*_: object) -> tuple[float, int]:
        total_bytes = 6 * _GIB if card.capacity_bytes == float("inf") else int(card.capacity_bytes)
        return total_bytes - card.live_bytes, total_bytes

    class Event:
        """An event; it knows what was queued before it."""

        def __init__(self, **options: object) -> None:
            card.event_options.append(options)
            self._copies = self._operations = 0

        def record(self, *_: object) -> None:
            self._copies, self._operations = card.queued_copies, card.operations

        def synchronize(self) -> None:
            has_work = card.operations > self._operations
            card.wait("an event with work queued after it" if has_work else "the last event", self._copies)

        def elapsed_time(self, other: Event) -> float:
            return float(other._operations - self._operations)

    class Stream:
        """A stream; what is sent on it is there at once."""

        def __init__(self, *_: object) -> None:
            pass

        def wait_stream(self, _: Stream) -> None:
            pass

        def wait_event(self, _: Event) -> None:
            pass

        def record_event(self) -> Event:
            return Event()

    return {
        "Stream": Stream,
        "current_stream": lambda *_: Stream(),
        "stream": lambda _: contextlib.nullcontext(),
        "is_available": lambda: True,
        "_lazy_init": lambda: None,
        "current_device": lambda: 0,
        "Event": Event,
        "synchronize": lambda *_: card.wait("synchronize"),
        "empty_cache": lambda: card.live_bytes_at_empty_cache.append(card.live_bytes),
        "mem_get_info": get_memory,
        "is_bf16_supported": lambda *_: card.capability >= (8, 0),
        "set_per_process_memory_fraction": lambda fraction, *_: card.memory_fractions.append(fraction),
        "get_device_name": lambda *_: card.name,
        "get_device_capability": lambda *_: card.capability,
        "get_arch_list": lambda: ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"],
        "get_device_properties": lambda *_: SimpleNamespace(uuid="played"),
    }


def _group_by_device_and_dtype(tensor_lists: Any, with_indices: bool = False) -> dict[Any, Any]:
    """Group tensors for `_foreach_` operations; torch's own sees those of the card on the host."""
    groups = {}
    for (_, dtype), (lists, indices) in _group_tensors_by_device_and_dtype(
        tensor_lists, with_indices
    ).items():
        device = next(tensor.device for tensor in lists[0] if tensor is not None)
        groups[device, dtype] = lists, indices
    return groups


def _build_generator_class() -> type[torch.Generator]:
    class Generator(torch.Generator):
        """Makes generators of the host and of the card."""

        def __new__(cls, device: torch.device | str = "cpu") -> torch.Generator:
            return CardGenerator() if torch.device(device).type == CARD.type else super().__new__(cls, device)

    return Generator


def _build_attention(attention: Any) -> Any:
    """Return an attention that gives a card's tensors one kernel, which keeps no scores."""

    def attend(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not isinstance(query, CardTensor):
            return attention(query, key, value, *args, **kwargs)
        return _attend_on_card(query, key, value, *args, **kwargs)

    return attend


def _attend_on_card(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **_: object,
) -> Tensor:
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    output, _ = attend(query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale)
    return output
