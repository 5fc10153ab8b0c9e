"""Layout of convolutions on a card: channels last is what tensor cores compute in, from Turing on.

Without tensor cores, as on Pascal, cuDNN has no such kernels for fp32 and converts back and forth. So it is a
switch, off until it was measured on the card at hand.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


def use_channels_last(modules: Iterable[nn.Module]) -> None:
    """Lay out the weights of convolutions channels last; what they compute is then laid out alike."""
    for module in modules:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
