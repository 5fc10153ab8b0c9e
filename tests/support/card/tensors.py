"""A played graphics card: its tensors say `cuda:0` and are computed on the CPU, so the CUDA path runs.

What a card refuses is refused: tensors of host and card in one operation, a generator of the other device,
more memory than there is. What a card does later is done later: a copy to pinned memory holds NaN until an
event or `synchronize` was waited for. What makes the program wait for the card is counted by place.
Half precision is computed in fp32 and rounded, as CUDA's kernels accumulate.
"""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

import gpu_worker
from tests.support.card.operations import READS_VALUES, compute, has_aliases, leaves, map_tensors

CARD = torch.device("cuda", 0)

#: Operations besides the pointwise ones that take a 0-dimensional tensor of the host, as CUDA does.
_TAKES_HOST_SCALAR = {"index_put_", "fill_", "masked_fill", "where", "_fused_adamw_"}
_ALLOCATION_BYTES = 512
_WORKER = Path(gpu_worker.__file__).parent


class MixedDevices(RuntimeError):
    """An operation with tensors or generators of host and card."""


class RecordingError(RuntimeError):
    """Something that may not be done while a graph is recorded."""


class CardTensor(Tensor):
    """A tensor of the card; `values` is its copy on the host."""

    values: Tensor

    def __new__(cls, values: Tensor, card: PlayedCard) -> CardTensor:
        return Tensor._make_wrapper_subclass(
            *(cls, values.size()),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            layout=values.layout,
            device="cpu",  # autograd's engine asks a real device for its streams
        )

    # What Python code sees; below Python these are tensors of the host.
    device = property(lambda self: CARD)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)
    __torch_function__ = torch._C._disabled_torch_function_impl

    def __init__(self, values: Tensor, card: PlayedCard) -> None:
        self.values, self._card = values, card

    def __repr__(self) -> str:
        return f"CardTensor({tuple(self.shape)}, {self.dtype})"

    def cpu(self, *_: object, **__: object) -> Tensor:
        return self.to("cpu")

    def to(self, *args: Any, copy: bool = False, **kwargs: Any) -> Tensor:
        device, dtype, _, memory_format = torch._C._nn._parse_to(*args, **kwargs)
        if device is not None and device.type == "cpu":
            return self._card.copy_to_host(self, dtype)
        options = {} if memory_format is None else {"memory_format": memory_format}
        return Tensor.to(self, dtype=dtype or self.dtype, copy=copy, **options)

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        card = next(leaf for leaf in leaves([args, kwargs]) if isinstance(leaf, CardTensor))._card
        return card.run(func, args, kwargs)


class CardGenerator(torch.Generator):
    """A random generator of the card."""

    device = property(lambda self: CARD)
    #: Operations are given another Python object for the same generator.
    addresses: ClassVar[set[int]] = set()

    def __init__(self) -> None:
        self.addresses.add(self._cdata)

    def __del__(self) -> None:
        self.addresses.discard(self._cdata)


class PlayedCard(TorchDispatchMode):
    """Runs every operation below autograd, and notes what a card would have done with it."""

    def __init__(self, capability: tuple[int, int] = (8, 6), name: str = "Played Card") -> None:
        super().__init__()
        self.capability, self.name = capability, name
        self.memory_fractions: list[float] = []
        #: Calls of the graph that is recorded, each with what it returned; None: none is.
        self.recorded_calls: list[tuple[Callable[[], Any], Any]] | None = None
        self.replays = 0
        #: What events were created with.
        self.event_options: list[dict[str, object]] = []
        self.capacity_bytes: float = float("inf")
        self.live_bytes = self.peak_bytes = 0
        self.operations = 0
        #: What made the program wait, by kind and place.
        self.waits: Counter[str] = Counter()
        #: Places that sent memory which is not pinned with `non_blocking`: the copy would wait all the same.
        self.unpinned_sends: Counter[str] = Counter()
        self.live_bytes_at_empty_cache: list[int] = []
        self._storages: dict[int, object] = {}
        self._pinned: dict[int, object] = {}
        self._late_copies: list[tuple[Tensor, Tensor]] = []
        self.finished_copies = 0

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return self.run(func, args, kwargs or {})

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Compute an operation; if a graph is recorded, note it too."""
        outputs = self._compute(func, args, kwargs)
        is_on_card = any(isinstance(leaf, CardTensor) for leaf in leaves([args, kwargs, outputs]))
        if self.recorded_calls is not None and is_on_card:
            self.recorded_calls.append((lambda: self._compute(func, args, kwargs), outputs))
        return outputs

    def _compute(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = func._schema.name.split("::")[1]
        values = list(leaves([args, kwargs]))
        inputs = [leaf for leaf in values if isinstance(leaf, CardTensor)]
        device = kwargs.get("device")
        is_created_on_card = device is not None and torch.device(device).type == "cuda"
        if kwargs.get("pin_memory"):
            return self.pin(func(*args, **{**kwargs, "pin_memory": False}))
        self._check_generators(name, values, bool(inputs) or is_created_on_card)
        if not inputs and not is_created_on_card:
            return func(*args, **kwargs)
        if name == "_to_copy":
            return self._convert(func, args[0], kwargs)
        if name == "copy_":
            return self._copy(*args[:3], **kwargs)
        hosts = [leaf for leaf in values if isinstance(leaf, Tensor) and not isinstance(leaf, CardTensor)]
        _check_devices(func, name, hosts, inputs)
        self._note_waits(name, args, hosts)
        self.operations += 1
        if is_created_on_card:
            kwargs = {**kwargs, "device": torch.device("cpu")}
        outputs = compute(func, name, *map_tensors((args, kwargs), _get_values))
        return self._wrap_outputs(func, name, args, kwargs, outputs)

    def _wrap_outputs(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any
    ) -> Any:
        if name.startswith(("_foreach_", "_fused_", "_amp_")):
            if isinstance(outputs, Tensor):
                return args[0]
            return None if outputs is None else [self.wrap(output) for output in outputs]
        wrapped = map_tensors(outputs, self.wrap)
        return return_and_correct_aliasing(func, args, kwargs, wrapped) if has_aliases(func) else wrapped

    # --- copies and waits

    def _note_waits(self, name: str, args: tuple[Any, ...], hosts: list[Tensor]) -> None:
        if name in READS_VALUES:
            self.wait(name)
        elif name == "index":
            indices = [index for index in args[1] if index is not None]
            if hosts or any(index.dtype in (torch.bool, torch.uint8) for index in indices):
                self.wait("an index of the host" if hosts else "a mask as index")

    def _convert(self, func: Any, source: Tensor, kwargs: dict[str, Any]) -> CardTensor:
        values = source.values if isinstance(source, CardTensor) else source
        # `CardTensor.to` brings tensors to the host; autograd, which asks here, sees the host everywhere.
        options = {key: kwargs[key] for key in kwargs.keys() - {"device", "non_blocking", "pin_memory"}}
        converted = func(values, **options)
        if converted.data_ptr() == values.data_ptr():
            converted = converted.clone()
        if not isinstance(source, CardTensor):
            self._note_send(source, bool(kwargs.get("non_blocking")))
        self.operations += 1
        return self.wrap(converted)

    def _copy(self, target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
        if isinstance(target, CardTensor):
            if not isinstance(source, CardTensor):
                self._note_send(source, non_blocking)
            target.values.copy_(source.values if isinstance(source, CardTensor) else source)
            self.operations += 1
        elif non_blocking and self._is_pinned(target):
            self._late_copies.append((target, source.values.clone()))
            target.fill_(float("nan") if target.is_floating_point() else -1)
        else:
            self.wait("a copy to the host")
            target.copy_(source.values)
        return target

    def copy_to_host(self, tensor: CardTensor, dtype: torch.dtype | None) -> Tensor:
        self.wait("a copy to the host")
        return tensor.values.detach().to(dtype or tensor.dtype, copy=True)

    def _note_send(self, source: Tensor, non_blocking: bool) -> None:
        if self.recorded_calls is not None:
            raise RecordingError(f"a copy from the host in a recorded graph, in {find_place()}")
        if not non_blocking:
            self.wait("a copy to the card")
        elif not self._is_pinned(source):
            self.unpinned_sends[find_place()] += 1

    @property
    def queued_copies(self) -> int:
        """How many late copies were ever queued."""
        return self.finished_copies + len(self._late_copies)

    def wait(self, kind: str, copies: int | None = None) -> None:
        """Count a wait; finish the late copies, or the first so many that were ever queued."""
        if self.recorded_calls is not None:
            raise RecordingError(f"{kind} while a graph is recorded, in {find_place()}")
        self.waits[f"{kind} in {find_place()}"] += 1
        copies = self.queued_copies if copies is None else copies
        while self.finished_copies < copies and self._late_copies:
            target, values = self._late_copies.pop(0)
            target.copy_(values)
            self.finished_copies += 1

    # --- memory

    def wrap(self, values: Tensor) -> CardTensor:
        """Return a tensor of the card, whose memory is counted until it is freed."""
        storage = values.untyped_storage()
        key = storage._cdata
        if key not in self._storages and storage.nbytes():
            num_bytes = -(-storage.nbytes() // _ALLOCATION_BYTES) * _ALLOCATION_BYTES
            if self.live_bytes + num_bytes > self.capacity_bytes:
                raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {num_bytes} bytes.")
            self.live_bytes += num_bytes
            self.peak_bytes = max(self.peak_bytes, self.live_bytes)

            def free(_: object) -> None:
                self.live_bytes -= num_bytes
                self._storages.pop(key, None)

            self._storages[key] = weakref.ref(storage, free)
        return CardTensor(values, self)

    def pin(self, tensor: Tensor) -> Tensor:
        """Take a tensor's memory as pinned."""
        key = tensor.untyped_storage()._cdata
        self._pinned[key] = weakref.ref(tensor.untyped_storage(), lambda _: self._pinned.pop(key, None))
        return tensor

    def _is_pinned(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._pinned

    def _check_generators(self, name: str, values: list[Any], is_on_card: bool) -> None:
        for generator in values:
            if not isinstance(generator, torch._C.Generator):
                continue
            if (generator._cdata in CardGenerator.addresses) is not is_on_card:
                raise MixedDevices(f"{name}: a generator of the other device, in {find_place()}")


def _check_devices(func: Any, name: str, hosts: list[Tensor], inputs: list[CardTensor]) -> None:
    """Raise MixedDevices unless CUDA takes these tensors of the host beside those of the card."""
    for host in hosts if inputs else ():
        is_scalar = host.dim() == 0
        takes_scalar = torch.Tag.pointwise in func.tags or name.startswith(("_foreach_", "_fused_"))
        if is_scalar and (takes_scalar or name in _TAKES_HOST_SCALAR):
            continue
        if name not in ("index", "index_put_"):
            shapes = [tuple(each.shape) for each in inputs][:3]
            raise MixedDevices(
                f"{name}: {shapes} on the card, {tuple(host.shape)} on the host, {find_place()}"
            )


def _get_values(tensor: Tensor) -> Tensor:
    return tensor.values if isinstance(tensor, CardTensor) else tensor


def find_place() -> str:
    """Return the innermost function of the worker on the stack, as `training/step.py:run`."""
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(_WORKER):
            return f"{path.relative_to(_WORKER)}:{frame.f_code.co_name}"
        frame = frame.f_back
    return "no code of the worker"
