"""How operations of a played card are taken apart and computed on the CPU."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

#: Operations that look at values, so the program waits for the card.
READS_VALUES = {
    *("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_linalg_check_errors"),
    *("_unique2", "unique_dim", "bincount", "argwhere", "_assert_async"),
}
_HALF = (torch.float16, torch.bfloat16)
#: Operations that are slow in half precision on a CPU, where there are any.
_COMPUTED_IN_FP32 = {
    *("convolution", "convolution_backward", "addmm", "addmm_", "mm", "bmm", "baddbmm"),
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention_for_cpu_backward",
    *("native_group_norm", "native_group_norm_backward", "native_layer_norm", "native_layer_norm_backward"),
    *("_softmax", "_softmax_backward_data", "upsample_nearest2d", "upsample_nearest2d_backward"),
}


def compute(func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if name not in _COMPUTED_IN_FP32 or all(leaf.dtype not in _HALF for leaf in tensors_of(args)):
        return func(*args, **kwargs)
    dtype = next(leaf.dtype for leaf in tensors_of(args) if leaf.dtype in _HALF)
    outputs = func(*map_tensors(args, _widen), **map_tensors(kwargs, _widen))
    if name.endswith("_"):
        return args[0].copy_(outputs)
    return map_tensors(outputs, lambda each: each.to(dtype) if each.dtype is torch.float32 else each)


def _widen(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in _HALF else tensor


@functools.cache
def has_aliases(func: Any) -> bool:
    return any(each.alias_info for each in (*func._schema.arguments, *func._schema.returns))


# torch's own `tree_map` and `tree_leaves` take most of the time of a step.
def leaves(tree: Any) -> Iterator[Any]:
    """Yield what is in nested tuples, lists and dictionaries."""
    if isinstance(tree, tuple | list):
        for each in tree:
            yield from leaves(each)
    elif isinstance(tree, dict):
        for each in tree.values():
            yield from leaves(each)
    else:
        yield tree


def tensors_of(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in leaves(tree) if isinstance(leaf, Tensor))


def map_tensors(tree: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Return a tree like this one, with every tensor replaced."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, tuple | list):
        return type(tree)(map_tensors(each, function) for each in tree)
    if isinstance(tree, dict):
        return {key: map_tensors(each, function) for key, each in tree.items()}
    return tree
