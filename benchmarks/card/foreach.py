"""How many kernels torch starts for an operation on a list of tensors, by MultiTensorApply.cuh of ATen.

A launch takes so many tensors and blocks as its arguments hold; a block works on one chunk of one tensor. The
limits are those of builds for CUDA 12; builds for CUDA 13 take seven times as many.
"""

from __future__ import annotations

from collections.abc import Sequence

_CHUNK = 65_536
_MAX_BLOCKS = 320
#: By the number of lists that a launch reads and writes, from one on.
_MAX_TENSORS = (110, 64, 48, 36, 30)
#: The same where each tensor has a number of its own.
_MAX_TENSORS_WITH_SCALARS = (96, 64, 48, 36, 30)
#: Lists of an operation, by the files `ATen/native/cuda/Foreach*.cu`, `FusedAdam*.cu` and `AmpKernels.cu`.
_NUM_LISTS = {
    "_foreach_norm": 1,
    "_foreach_mul": 2,
    "_foreach_mul_": 1,
    "_foreach_add_": 1,
    "_foreach_sub_": 2,
    "_foreach_copy_": 2,
    "_fused_adamw_": 4,
    "_amp_foreach_non_finite_check_and_unscale_": 1,
}
#: A norm fills two buffers first, and gathers so many tensors a launch at the end (ForeachReduceOp.cu).
_NORM_FILLS, _NORM_GATHERS = 2, 512


def count_launches(name: str, overload: str, num_elements: Sequence[int]) -> int | None:
    """Return the kernels of an operation on tensors of so many elements; None if it is of another kind."""
    num_lists = _NUM_LISTS.get(name)
    if num_lists is None:
        return None
    limits = _MAX_TENSORS_WITH_SCALARS if overload == "ScalarList" else _MAX_TENSORS
    launches = _count_chunked(num_elements, limits[num_lists - 1])
    if name == "_foreach_norm":
        launches += _NORM_FILLS + -(-len(num_elements) // _NORM_GATHERS)
    return launches


def _count_chunked(num_elements: Sequence[int], max_tensors: int) -> int:
    launches = tensors = blocks = 0
    for count in filter(None, num_elements):
        tensors += 1
        for chunks_left in reversed(range(-(-count // _CHUNK))):
            blocks += 1
            is_tensor_done = not chunks_left
            if blocks == _MAX_BLOCKS or (tensors == max_tensors and is_tensor_done):
                launches, blocks, tensors = launches + 1, 0, 0 if is_tensor_done else 1
    return launches + bool(blocks)
