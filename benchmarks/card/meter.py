"""What operations on fake CUDA tensors would take: memory, kernels, arithmetic and bytes moved."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks.card.allocator import CachingAllocator, round_up
from benchmarks.card.foreach import count_launches

#: Operations that start no kernel though they are no views.
_NO_KERNEL = {
    *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "empty_permuted"),
    *("detach", "alias", "_unsafe_view", "lift_fresh", "resize_", "set_", "_local_scalar_dense"),
    *("_reshape_alias", "is_same_size", "device"),
}
#: Kernels of one operation, where it is not one; counted in torch's CUDA sources.
_KERNELS = {
    "convolution": 2,  # and the bias
    "native_group_norm": 3,  # moments, fused scale and shift, elementwise
    "native_group_norm_backward": 4,
    "_scaled_dot_product_efficient_attention_backward": 3,
}
_INSPECTIONS = {"device", "is_same_size"}


class CardMeter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation below autograd."""

    def __init__(self, allocator: CachingAllocator | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.allocator = allocator or CachingAllocator()
        self.live_bytes = self.peak_bytes = 0
        self._storages: dict[int, object] = {}
        self.reset()

    def reset(self) -> None:
        """Count from here on."""
        self.kernels = 0
        self.flops = 0
        self.moved_bytes = 0
        self.peak_bytes = self.live_bytes
        self.allocator.peak_reserved_bytes = self.allocator.reserved_bytes

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by torch for each operation."""
        kwargs = kwargs or {}
        outputs = func(*args, **kwargs)
        name = func._schema.name.split("::")[1]
        created = [each for each in _tensors(outputs) if isinstance(each, FakeTensor) and each.is_cuda]
        for tensor in created:
            self._track(tensor)
        inputs = [*_tensors(args), *_tensors(kwargs)]
        if name in _INSPECTIONS or not (created or any(each.is_cuda for each in inputs)):
            return outputs
        if not (func.is_view or name in _NO_KERNEL):
            self.kernels += _count_kernels(func, name, args)
            self.moved_bytes += sum(each.numel() * each.element_size() for each in (*inputs, *created))
        packet = func._overloadpacket
        if packet in flop_registry:
            self.flops += flop_registry[packet](*args, **kwargs, out_val=outputs)
        return outputs

    def _track(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, num_bytes = storage._cdata, storage.nbytes()
        if key in self._storages or not num_bytes:
            return
        taken_bytes, block = round_up(num_bytes), self.allocator.allocate(num_bytes)
        self.live_bytes += taken_bytes
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)

        def free(_: object) -> None:
            self.live_bytes -= taken_bytes
            self.allocator.free(block)
            self._storages.pop(key, None)

        self._storages[key] = weakref.ref(storage, free)


def _count_kernels(func: Any, name: str, args: tuple[Any, ...]) -> int:
    """Return the kernels of an operation; one on a list of tensors has the list as its first argument."""
    if args and isinstance(args[0], list | tuple):
        num_elements = [each.numel() for each in _tensors(args[0])]
        launches = count_launches(name, func._schema.overload_name, num_elements)
        if launches is not None:
            return launches
    return _KERNELS.get(name, 1)


def _tensors(tree: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and dictionaries."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, tuple | list):
        for each in tree:
            yield from _tensors(each)
    elif isinstance(tree, dict):
        for each in tree.values():
            yield from _tensors(each)
