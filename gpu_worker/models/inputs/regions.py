"""Where each person's LoRA acts in a picture, and which words the person's part of it reads.

Every LoRA with a region has a mask of the latents' size. The prompt is read once for each of them, with that
LoRA alone, and the readings lie one behind the other: a part of the picture attends to its own one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from gpu_worker.models.inputs.conditioning import Conditioning

#: Names of tensors in a `Conditioning`: (rows, people, h, w) from 0 to 1, and while regions are looked for
#: (rows, people, tokens of a reading), 1 where the person's trigger is.
MASKS, TRIGGERS = "region_masks", "trigger_tokens"
#: (rows, people, tokens of the prompt): 0 at the triggers of others, where one reading serves all.
WORDS = "region_words"
#: Whose each rank of a layer is: a person's number and how many ranks; None acts everywhere.
Owners: TypeAlias = tuple[tuple[int | None, int], ...]
#: A mask's logarithm is added to attention scores; this stands for zero.
_LEAST_MASK = 1e-6
_MAX_HALVINGS = 7


@dataclass(frozen=True)
class JointTokens:
    """How a transformer lines up the tokens of picture and text, which attend to each other."""

    size: tuple[int, int]  #: height and width of the picture in tokens
    num_image_tokens: int  #: with those that fill it up
    is_text_first: bool


@dataclass(frozen=True, eq=False)
class Regions:
    """The regions of all rows of one pass."""

    masks: Tensor  #: (rows, people, h, w)
    num_readings: int  #: one a person, or one for all
    triggers: Tensor | None = None
    words: Tensor | None = None  #: (rows, people, tokens of the prompt)
    joint_tokens: JointTokens | None = None  #: None: layers see tokens of one kind
    _cache: dict[object, Tensor] = field(default_factory=dict)
    _parts: dict[tuple[int, int], Regions] = field(default_factory=dict)

    @staticmethod
    def from_conditioning(
        conditioning: Conditioning, prompt_embeds: Tensor, joint_tokens: JointTokens | None = None
    ) -> Regions | None:
        """Return the regions that a conditioning has; None if it has none."""
        tensors = conditioning.tensors
        masks = tensors.get(MASKS)
        if masks is None:
            return None
        num_readings = prompt_embeds.shape[1] if prompt_embeds.dim() == 4 else 1
        return Regions(masks, num_readings, tensors.get(TRIGGERS), tensors.get(WORDS), joint_tokens)

    def select_rows(self, start: int, stop: int) -> Regions:
        """Return the regions of some rows."""
        if (start, stop) not in self._parts:
            words = None if self.words is None else self.words[start:stop]
            self._parts[start, stop] = replace(
                self, masks=self.masks[start:stop], triggers=None, words=words, _cache={}, _parts={}
            )
        return self._parts[start, stop]

    def find_size(self, num_tokens: int) -> tuple[int, int]:
        """Return height and width of so many image tokens: the latents, halved as often as needed."""
        height, width = self.masks.shape[-2:]
        for _ in range(_MAX_HALVINGS):
            if height * width == num_tokens:
                return height, width
            height, width = (height + 1) // 2, (width + 1) // 2
        raise ValueError(f"{num_tokens} tokens are no picture of {tuple(self.masks.shape[-2:])} latents")

    def mask_pixels(self, size: tuple[int, int], owners: Owners, dtype: torch.dtype) -> Tensor:
        """Return a mask for channels of an image, (rows, ranks, h, w)."""
        key = ("pixels", size, owners, dtype)
        if key not in self._cache:
            self._cache[key] = _spread(self._resize(size), owners).to(dtype)
        return self._cache[key]

    def mask_tokens(self, num_tokens: int, owners: Owners, dtype: torch.dtype) -> Tensor:
        """Return a mask for image tokens, (rows, tokens, ranks), and for the text's where they are joint."""
        key = ("tokens", num_tokens, owners, dtype)
        if key not in self._cache:
            joint = self.joint_tokens
            size = self.find_size(num_tokens) if joint is None else joint.size
            mask = self.mask_pixels(size, owners, dtype).flatten(2)
            if joint is not None:
                mask = _fill_up(mask, joint.num_image_tokens)
                words = self._spread_words(num_tokens - joint.num_image_tokens, owners).to(dtype)
                mask = torch.cat([words, mask] if joint.is_text_first else [mask, words], dim=2)
            self._cache[key] = mask.transpose(1, 2).contiguous()
        return self._cache[key]

    def mask_words(self, num_tokens: int, owners: Owners, dtype: torch.dtype) -> Tensor | None:
        """Return a mask for text tokens, (1 or rows, tokens, ranks): each LoRA has its own reading, or words.

        None where all LoRAs act on all words.
        """
        if self.num_readings == 1 and self.words is None:
            return None
        key = ("words", num_tokens, owners, dtype)
        if key not in self._cache:
            spread = self._spread_words(num_tokens, owners)
            self._cache[key] = spread.transpose(1, 2).contiguous().to(dtype)
        return self._cache[key]

    def _spread_words(self, num_tokens: int, owners: Owners) -> Tensor:
        if self.num_readings > 1:
            own_readings = torch.eye(self.num_readings, device=self.masks.device)
            return _spread(
                own_readings.repeat_interleave(num_tokens // self.num_readings, dim=1)[None], owners
            )
        words = self.words
        if words is None:
            words = self.masks.new_ones(*self.masks.shape[:2], num_tokens)
        return _spread(_fill_up(words[..., :num_tokens], num_tokens), owners)

    def bias_words(self, num_queries: int, num_words: int, dtype: torch.dtype) -> Tensor | None:
        """Return what attention from image to text adds to its scores, (rows, 1, queries, words)."""
        if self.num_readings == 1:
            return None
        key = ("bias", num_queries, num_words, dtype)
        if key not in self._cache:
            masks = self._resize(self.find_size(num_queries)).flatten(2).clamp(min=_LEAST_MASK).log()
            bias = masks.transpose(1, 2).repeat_interleave(num_words // self.num_readings, dim=2)
            self._cache[key] = bias[:, None].to(dtype)
        return self._cache[key]

    def _resize(self, size: tuple[int, int]) -> Tensor:
        return F.interpolate(self.masks, size, mode="area")


@dataclass(eq=False)
class RegionState:
    """The regions of the pass that is running, and where it looked; one for each base model."""

    current: Regions | None = None
    _maps: list[Tensor] = field(default_factory=list)
    _finished: list[Tensor] = field(default_factory=list)

    @contextlib.contextmanager
    def use(self, regions: Regions | None) -> Iterator[None]:
        """Have these regions during a pass."""
        self.current = regions
        try:
            yield
            if self._maps:
                self._finished.append(torch.stack(self._maps).mean(0))
        finally:
            self.current = None
            self._maps.clear()

    @contextlib.contextmanager
    def select_rows(self, start: int, stop: int) -> Iterator[None]:
        """Have the regions of some rows alone."""
        whole = self.current
        self.current = whole.select_rows(start, stop) if whole is not None else None
        try:
            yield
        finally:
            self.current = whole

    def record_map(self, attention: Tensor) -> None:
        """Record one layer's attention to each trigger, (rows, people, h, w)."""
        if self.current is not None:
            self._maps.append(F.interpolate(attention, self.current.masks.shape[-2:], mode="bilinear"))

    def take_maps(self) -> Tensor | None:
        """Return the mean attention to each trigger since it was asked last, row by row; None without."""
        maps = torch.cat(self._finished) if self._finished else None
        self._finished.clear()
        return maps


def flatten_readings(prompt_embeds: Tensor) -> Tensor:
    """Return prompt embeddings, (rows, tokens, width), whose readings lie one behind the other."""
    return prompt_embeds.flatten(1, 2) if prompt_embeds.dim() == 4 else prompt_embeds


def _fill_up(mask: Tensor, num_tokens: int) -> Tensor:
    """Return a mask, (rows, ranks, tokens), of so many tokens; LoRAs act on all that it did not have."""
    return F.pad(mask, (0, num_tokens - mask.shape[-1]), value=1.0)


def _spread(masks: Tensor, owners: Owners) -> Tensor:
    """Return the mask of each rank, (rows, ranks, …), from those of people, (rows, people, …)."""
    ones = torch.ones_like(masks[:, :1])
    parts = [(ones if person is None else masks[:, person : person + 1], ranks) for person, ranks in owners]
    return torch.cat([mask.expand(-1, ranks, *masks.shape[2:]) for mask, ranks in parts], dim=1)
