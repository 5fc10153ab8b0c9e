"""Lets autograd run on tensors that say `cuda` in a build of torch without CUDA. Nothing is compiled.

c10's table of device guards has no entry for CUDA there: it gets one that answers as a card with one stream.
And `at::getAccelerator()` must name CUDA, so a few of the hooks' virtual functions are replaced.
For counting and tests only: `torch.cuda` itself stays as it is.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import torch

#: The order of virtual functions was read in this version's headers.
KNOWN_TORCH = "2.13."
_REGISTRY = "_ZN3c104impl26device_guard_impl_registryE"
_GET_HOOKS = "_ZN2at6detail12getCUDAHooksEv"
_NUM_DEVICE_TYPES, _CUDA, _PRIVATE_USE = 21, 1, 20
_TABLE_ENTRIES = 80
#: Two words stand before the functions of a table, and two destructors before ours.
_WORD_BYTES, _DESTRUCTORS = 8, 2

#: What must live as long as the process.
_kept: list[Any] = []


class CannotCount(Exception):
    """Fake CUDA tensors cannot be computed with in this build of torch."""


def lend_device_guard() -> None:
    """Give torch a guard for CUDA, once; CannotCount where that is not possible."""
    if _kept:
        return
    if not torch.__version__.startswith(KNOWN_TORCH):
        raise CannotCount(f"counting knows torch {KNOWN_TORCH}x, and this is {torch.__version__}")
    folder = Path(torch.__file__).parent / "lib"
    try:
        c10, aten = ctypes.CDLL(str(folder / "libc10.so")), ctypes.CDLL(str(folder / "libtorch_cpu.so"))
    except OSError as error:
        raise CannotCount("counting needs torch on Linux") from error
    registry = (ctypes.c_void_p * _NUM_DEVICE_TYPES).in_dll(c10, _REGISTRY)
    if registry[_CUDA]:  # a build with CUDA has its own
        if not torch.cuda.is_available():
            raise CannotCount("a build of torch for CUDA counts only where there is a card")
        return
    guard = _Guard()
    torch._C._acc.register_python_privateuseone_device_guard(guard)
    registry[_CUDA] = registry[_PRIVATE_USE]
    _kept.extend([guard, *_replace_hooks(aten)])


class _Guard(torch._C._acc.DeviceGuard):
    def type_(self) -> Any:
        return torch._C._autograd.DeviceType.CUDA


def _replace_hooks(aten: ctypes.CDLL) -> list[Any]:
    """Make the hooks of a build without CUDA name one device; return what must be kept alive."""
    get_hooks = getattr(aten, _GET_HOOKS)
    get_hooks.restype = ctypes.c_void_p
    hooks = get_hooks()
    table = ctypes.c_void_p.from_address(hooks).value
    if table is None:
        raise CannotCount("torch has no hooks for CUDA")
    entries = ctypes.c_void_p * _TABLE_ENTRIES
    copy = entries.from_buffer_copy(entries.from_address(table - 2 * _WORD_BYTES))
    yes = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)(lambda _: True)
    yes_of = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_int8)(lambda *_: True)
    nothing = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
    one = ctypes.CFUNCTYPE(ctypes.c_int8, ctypes.c_void_p)(lambda _: 1)
    zero = ctypes.CFUNCTYPE(ctypes.c_int8, ctypes.c_void_p)(lambda _: 0)
    zero_of = ctypes.CFUNCTYPE(ctypes.c_int8, ctypes.c_void_p, ctypes.c_int8)(lambda *_: 0)
    # In the order of AcceleratorHooksInterface.h and CUDAHooksInterface.h.
    functions = {2: yes, 3: yes, 4: yes_of, 5: nothing, 6: one, 8: zero, 9: zero_of, 10: zero_of, 16: yes}
    for slot, function in functions.items():
        copy[_DESTRUCTORS + slot] = ctypes.cast(function, ctypes.c_void_p).value
    ctypes.c_void_p.from_address(hooks).value = ctypes.addressof(copy) + 2 * _WORD_BYTES
    return [copy, yes, yes_of, nothing, one, zero, zero_of]
