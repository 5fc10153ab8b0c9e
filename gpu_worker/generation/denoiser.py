"""Pictures that are being drawn, a denoising step at a time, together where that is faster.

Each picture has its own sampler, prompt, guidance and LoRA, so any that have the same size can share a pass
through the UNet, whatever step each is at: one that comes late joins at the next step. Whether sharing
pays is measured on the work itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gpu_worker.generation import samplers
from gpu_worker.lora import layers
from gpu_worker.lora.layers import Adapter, Mixture
from gpu_worker.models.base import BaseModel

#: Most pictures that share a pass: with guidance twice as many rows, which is what a 6 GB card can hold.
MAX_TOGETHER = 4
#: How often a number of pictures is tried before its time is believed; the first pass is slow everywhere.
_TRIALS = 2
#: Sharing must win so much, because it gives up equality bit by bit with a picture drawn alone.
_GAIN = 1.05


@dataclass(eq=False)
class Canvas:
    """One picture being drawn."""

    words: Tensor  #: (1 or 2, tokens, width): with guidance, what to keep away from comes first
    guidance: float
    adapter: Adapter | None
    sampler: Any
    latents: Tensor  #: (1, 4, height / 8, width / 8), fp32
    generator: torch.Generator  #: of the noise that some samplers add on the way; on the CPU
    step: int = 0  #: denoising steps done
    guess: Tensor | None = None  #: latents of the finished picture as they look from here

    @property
    def steps(self) -> int:
        """Denoising steps in all."""
        return len(self.sampler.timesteps) - self._begin

    @property
    def is_done(self) -> bool:
        """Whether it is finished."""
        return self.step >= self.steps

    @property
    def moment(self) -> Tensor:
        """The timestep that comes next."""
        moment: Tensor = self.sampler.timesteps[self._begin + self.step]
        return moment

    @property
    def kind(self) -> tuple[object, ...]:
        """What pictures must have in common to share a pass."""
        return (*self.latents.shape[1:], self.words.shape[1])

    @property
    def _begin(self) -> int:
        return self.sampler.begin_index or 0


def canvas(
    base: BaseModel, sampler: str, steps: int, noise: Tensor, start: tuple[Tensor, float] | None, **rest: Any
) -> Canvas:
    """Set up a picture: nothing but noise, or latents of another one and how much of it is drawn again.

    `noise` has the latents' shape, a standard deviation of 1, and lies on the CPU; `rest` are the fields of
    `Canvas` that have no default.
    """
    walk = samplers.make(sampler, base.scheduler_config, steps)
    walk.set_timesteps(steps, device=base.device)
    if start is None:
        latents = noise.to(base.device) * walk.init_noise_sigma
    else:
        known, redraw = start
        begin = min(steps - 1, steps - round(steps * redraw))
        walk.set_begin_index(begin)
        moment = walk.timesteps[begin : begin + 1]
        latents = walk.add_noise(known.to(base.device), noise.to(base.device), moment)
    return Canvas(sampler=walk, latents=latents, **rest)


@dataclass
class Measured:
    """How long a pass takes for one, two, … pictures of a kind, in seconds; finds the best number."""

    most: int = MAX_TOGETHER
    _seconds: dict[tuple[object, int], list[float]] = field(default_factory=dict)

    def choose(self, kind: object, waiting: int) -> int:
        """Return how many of `waiting` pictures to draw together."""
        numbers = [number for number in range(1, min(waiting, self.most) + 1)]
        for number in reversed(numbers):
            if len(self._seconds.get((kind, number), ())) < _TRIALS:
                return number
        alone = self._each(kind, 1)
        best = min(numbers, key=lambda number: self._each(kind, number))
        return best if self._each(kind, best) * _GAIN <= alone else 1

    def note(self, kind: object, number: int, seconds: float) -> None:
        """Remember what a pass took."""
        times = self._seconds.setdefault((kind, number), [])
        times.append(seconds)
        if len(times) > _TRIALS:  # the shortest ones: what is longer had other causes
            times.remove(max(times))

    def _each(self, kind: object, number: int) -> float:
        return min(self._seconds[kind, number]) / number


class Easel:
    """The pictures of all who draw now."""

    def __init__(self, base: BaseModel, together: Measured | None = None) -> None:
        self._base = base
        self._together = together or Measured()
        self._canvases: list[Canvas] = []
        self.is_modest = False  #: rows go through the UNet one by one, because memory was too short

    def put(self, canvases: Sequence[Canvas]) -> None:
        """Let pictures take part."""
        self._canvases += canvases

    def remove(self, canvases: Sequence[Canvas]) -> None:
        """Take pictures away, finished or not."""
        self._canvases = [each for each in self._canvases if not any(each is gone for gone in canvases)]

    def advance(self, first: Canvas) -> None:
        """Take one step in a picture, and in as many others that wait as make it faster."""
        others = [
            each
            for each in self._canvases
            if each is not first and not each.is_done and each.kind == first.kind
        ]
        number = 1 if self.is_modest else self._together.choose(first.kind, 1 + len(others))
        chosen = [first, *others[: number - 1]]
        began = time.perf_counter()
        draw_step(self._base, chosen, one_at_a_time=self.is_modest)
        if self._base.device.type == "cuda":
            torch.cuda.synchronize()  # once a denoising step: a trifle, and else nothing is measured
        self._together.note(first.kind, number, time.perf_counter() - began)


@torch.no_grad()
def draw_step(base: BaseModel, canvases: Sequence[Canvas], one_at_a_time: bool = False) -> None:
    """Take one denoising step in each picture, in one pass through the UNet.

    `one_at_a_time` runs the rows one after the other: a fraction of the memory.
    """
    _take_turn(base, canvases)
    noisy = [each.sampler.scale_model_input(each.latents, each.moment) for each in canvases]
    rows = torch.cat([each.expand(len(c.words), -1, -1, -1) for each, c in zip(noisy, canvases, strict=True)])
    moments = torch.cat([each.moment.reshape(1).expand(len(each.words)) for each in canvases])
    words = torch.cat([each.words for each in canvases]).to(base.dtype)
    answers = _answers(base, rows.to(base.dtype), moments, words, one_at_a_time)
    shares = torch.split(answers, [len(each.words) for each in canvases])
    for each, seen, told in zip(canvases, noisy, shares, strict=True):
        _apply(each, seen, told)


def _answers(base: BaseModel, rows: Tensor, moments: Tensor, words: Tensor, one_at_a_time: bool) -> Tensor:
    if not one_at_a_time:
        told: Tensor = base.unet(rows, moments, words).sample.float()
        return told
    each = zip(torch.split(rows, 1), torch.split(moments, 1), torch.split(words, 1), strict=True)
    return torch.cat([base.unet(row, moment, word).sample.float() for row, moment, word in each])


def _apply(canvas: Canvas, noisy: Tensor, told: Tensor) -> None:
    if len(told) == 2:
        away, towards = told.chunk(2)
        told = away + canvas.guidance * (towards - away)
    canvas.guess = _guess(canvas.sampler, noisy, told, canvas.moment)
    canvas.latents = samplers.step(canvas.sampler, told, canvas.moment, canvas.latents, canvas.generator)
    canvas.step += 1


def _guess(sampler: Any, noisy: Tensor, told: Tensor, moment: Tensor) -> Tensor:
    """Return the latents without their noise, if what was told is right (Song et al. 2021, eq. 12)."""
    kept = float(sampler.alphas_cumprod[int(moment)])
    if sampler.config.prediction_type == "v_prediction":
        return noisy * math.sqrt(kept) - told * math.sqrt(1 - kept)
    return (noisy - told * math.sqrt(1 - kept)) / math.sqrt(kept)


def _take_turn(base: BaseModel, canvases: Sequence[Canvas]) -> None:
    """Put each picture's LoRA on; a training may have had its own in the meantime."""
    first = canvases[0].adapter
    if any(each.adapter is not first for each in canvases):
        Mixture(base, [(each.adapter, len(each.words)) for each in canvases]).activate()
    elif first is None:
        layers.deactivate_all(base)
    else:
        first.activate()
