"""Keeping the class as it was: without the trigger, the base model's own answer is the right one.

A LoRA that only ever sees one person learns that everybody looks so. Photos of other people would tell it
otherwise (regularisation); the frozen base model can say the same without any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_worker.lora import layers
from gpu_worker.models.base import BaseModel
from gpu_worker.training.config import Dials
from gpu_worker.training.data import Example


@dataclass(frozen=True)
class Shown:
    """What the model is shown: (batch, 4, h, w) noisy latents, (batch,) timesteps, and words for each."""

    noisy: Tensor
    times: Tensor
    words: tuple[str, ...]

    def __add__(self, other: Shown) -> Shown:
        noisy, times = torch.cat([self.noisy, other.noisy]), torch.cat([self.times, other.times])
        return Shown(noisy, times, self.words + other.words)

    def pick(self, rows: Sequence[int], words: tuple[str, ...]) -> Shown:
        """Return some of it with other words."""
        # Stacked row by row: a list of places would have to be sent to the card, which waits for it.
        noisy, times = (torch.stack([tensor[row] for row in rows]) for tensor in (self.noisy, self.times))
        return Shown(noisy, times, words)


@dataclass(frozen=True)
class Again:
    """What of a batch is shown again, the base model's own answers (fp32), and how much they count."""

    shown: Shown
    own: Tensor
    weight: float


class Preservation:
    """Chooses what is shown again in a step, and asks the base model itself about it."""

    def __init__(self, base: BaseModel, dials: Dials) -> None:
        self._base, self._dials = base, dials
        # The frozen text encoder says the same of the same words at every step.
        self._said: dict[str, Tensor] = {}

    def of(self, shown: Shown, examples: Sequence[Example], batch_number: int) -> Again | None:
        """Return what of a batch is shown again, None when nothing is. May leave every adapter off."""
        rows = self._choose(shown, examples, batch_number) if self._dials.preserve_class else {}
        if not rows:
            return None
        weight = self._dials.preserve_class * self._dials.preserve_every * len(rows) / len(examples)
        again = shown.pick(tuple(rows), tuple(rows.values()))
        return Again(again, self._answers(again), weight)

    def _choose(self, shown: Shown, examples: Sequence[Example], batch_number: int) -> dict[int, str]:
        """Return rows with their words without the trigger; by number, so that resuming changes none."""
        first, found = batch_number * self._dials.batch_size, {}
        for row, (example, said) in enumerate(zip(examples, shown.words, strict=True)):
            words = example.class_words(said)
            if words is not None and (first + row + 1) % self._dials.preserve_every == 0:
                found[row] = words
        return found

    @torch.no_grad()
    def _answers(self, shown: Shown) -> Tensor:
        layers.deactivate_all(self._base)
        for text in shown.words:
            if text not in self._said:
                self._said[text] = self._base.embed([text], self._dials.clip_skip)[0]
        heard = torch.stack([self._said[text] for text in shown.words])
        told: Tensor = self._base.unet(shown.noisy, shown.times, heard).sample
        return told.float()
