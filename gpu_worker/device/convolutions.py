"""When cuDNN searches for the fastest way to compute a convolution: it tries ten for each size of input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

#: In fp16 the way that cuDNN chooses without a search gives NaN on these cards, which have no tensor cores:
#: AUTOMATIC1111/stable-diffusion-webui issue 4407, pytorch issue 58123.
_NEEDS_SEARCH = "GTX 16"


def set_default_search(gpu_name: str) -> None:
    """Search everywhere on cards that need it, and nowhere on others.

    Pictures have many sizes and numbers of rows: on a slow card their searches take most of a minute, in
    which no cancel is heard, and they try with all the memory that is free.
    """
    torch.backends.cudnn.benchmark = _NEEDS_SEARCH in gpu_name


@contextmanager
def search_convolutions() -> Iterator[None]:
    """Search inside: a training has few sizes and many steps, so there it pays off."""
    default_search = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = default_search
