"""Dropout in adapted modules while they are trained."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class DropoutRates:
    """What is dropped at random in a training step, as shares from 0 to 1; see `TrainingConfig`."""

    activations: float = 0.0
    rank: float = 0.0
    modules: float = 0.0

    @property
    def is_enabled(self) -> bool:
        """Whether anything is dropped."""
        return bool(self.activations or self.rank or self.modules)


class LayerDropout:
    """Dropout of one layer, a function of seed and layer: gradient checkpointing draws the same again."""

    def __init__(self, rates: DropoutRates, index: int) -> None:
        self._rates, self._index = rates, index
        self.seed = 0

    def should_skip_module(self) -> bool:
        """Return True if the whole layer is dropped in this step."""
        return bool(
            torch.rand((), generator=self._create_generator(torch.device("cpu"))) < self._rates.modules
        )

    def apply(self, hidden_states: Tensor, channel_dim: int) -> Tensor:
        """Return activations with entries and ranks dropped, and the rest scaled to keep the mean."""
        generator = self._create_generator(hidden_states.device)
        if not self._rates.activations:
            # The first number has decided about the whole layer: a rank that it kept would never be dropped.
            torch.rand((), generator=generator, device=hidden_states.device)
        if self._rates.activations:
            hidden_states = hidden_states * _build_dropout_mask(
                hidden_states.shape, self._rates.activations, generator, hidden_states
            )
        if self._rates.rank:
            shape = [1] * hidden_states.dim()
            shape[0], shape[channel_dim] = hidden_states.shape[0], hidden_states.shape[channel_dim]
            hidden_states = hidden_states * _build_dropout_mask(
                tuple(shape), self._rates.rank, generator, hidden_states
            )
        return hidden_states

    def drop_rows(self, outputs: Tensor, channel_dim: int) -> Tensor:
        """Return outputs with whole channels dropped by the rank's rate, and the rest as it was."""
        if not self._rates.rank:
            return outputs
        generator = self._create_generator(outputs.device)
        shape = [1] * outputs.dim()
        shape[channel_dim] = outputs.shape[channel_dim]
        torch.rand((), generator=generator, device=outputs.device)  # the number for the whole layer
        kept = torch.rand(shape, generator=generator, device=outputs.device) >= self._rates.rank
        return outputs * kept.to(outputs.dtype)

    def _create_generator(self, device: torch.device) -> torch.Generator:
        return torch.Generator(device).manual_seed(self.seed * 1_009 + self._index)


def _build_dropout_mask(
    shape: tuple[int, ...], rate: float, generator: torch.Generator, reference: Tensor
) -> Tensor:
    mask = torch.rand(shape, generator=generator, device=reference.device) >= rate
    return mask.to(reference.dtype) / (1 - rate)
