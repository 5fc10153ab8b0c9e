"""How CUDA's libraries compute: when cuDNN searches for the fastest convolution, and whether fp32 is TF32.

A search tries ten ways for each size of input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

#: In fp16 the way that cuDNN chooses without a search gives NaN on these cards, which have no tensor cores:
#: AUTOMATIC1111/stable-diffusion-webui issue 4407, pytorch issue 58123.
_NEEDS_SEARCH = "GTX 16"
#: The first cards with TF32: RTX 30.
_FIRST_WITH_TF32 = (8, 0)


def set_default_search(gpu_name: str) -> None:
    """Search everywhere on cards that need it, and nowhere on others.

    Pictures have many sizes and numbers of rows: on a slow card their searches take most of a minute, in
    which no cancel is heard, and they try with all the memory that is free.
    """
    torch.backends.cudnn.benchmark = _NEEDS_SEARCH in gpu_name


def set_tf32(capability: tuple[int, int]) -> None:
    """Multiply fp32 matrices as TF32 where the card can: twice as fast, with the exponent of fp32."""
    torch.backends.cuda.matmul.allow_tf32 = capability >= _FIRST_WITH_TF32


@contextmanager
def search_convolutions() -> Iterator[None]:
    """Search inside: a training has few sizes and many steps, so there it pays off."""
    default_search = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = default_search


def use_channels_last(modules: Iterable[nn.Module]) -> None:
    """Lay out the weights of convolutions channels last; what they compute is then laid out alike.

    Tensor cores compute in that layout, from Turing on. Cards without them, as Pascal, may lose.
    """
    for module in modules:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
