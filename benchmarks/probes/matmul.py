"""How fast this machine multiplies matrices now: the roof over every training step."""

from __future__ import annotations

import json
import time

import torch

_SIDE = 2048
_TIMES = 5


def gflops(dtype: torch.dtype) -> float:
    """Return the best of a few products of two square matrices, in 10^9 operations a second."""
    left, right = torch.randn(_SIDE, _SIDE).to(dtype), torch.randn(_SIDE, _SIDE).to(dtype)
    left @ right  # the first one also prepares the kernels
    best_s = float("inf")
    for _ in range(_TIMES):
        began = time.perf_counter()
        left @ right
        best_s = min(best_s, time.perf_counter() - began)
    return 2 * _SIDE**3 / best_s / 1e9


def main() -> None:
    """Measure both precisions."""
    document = {
        "fp32": gflops(torch.float32),
        "bf16": gflops(torch.bfloat16),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "card": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
