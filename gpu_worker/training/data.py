"""The pictures of a training: what each one is, how it becomes pixels, and the order they come in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from random import Random

import torch

from gpu_worker.models.pixels import Size
from gpu_worker.protocol import Crop


@dataclass(frozen=True)
class CaptionRules:
    """What is done to a caption each time it is shown; sd-scripts' flags of the same names."""

    shuffle: bool = False  #: put its parts into a new order
    keep_tokens: int = 0  #: this many parts in front stay where they are
    separator: str = ","
    dropout_rate: float = 0.0  #: the share of times that it is shown empty


@dataclass(frozen=True)
class Example:
    """One training picture as a file's bytes, the words for it, and how often it comes in a round."""

    data: bytes = field(repr=False)
    caption: str
    repeats: int = 1
    folder: str = ""  #: the data folder it came from, for the LoRA file's metadata
    size_px: Size | None = None  #: its bucket; None: the training's square resolution
    is_regularisation: bool = False  #: shows the class, not the subject
    flip: bool = False  #: shown mirrored half of the times
    mask: bytes | None = field(default=None, repr=False)  #: a grey picture: white is learnt, black is not
    crop: Crop | None = None  #: the part of picture and mask that counts; None: all of it
    caption_rules: CaptionRules = CaptionRules()
    trigger: str = ""  #: the word that calls the subject; a caption without it is of the class alone

    def words(self, draw: Random) -> str:
        """Return the caption as it is shown this time."""
        rules = self.caption_rules
        if rules.dropout_rate and draw.random() < rules.dropout_rate:
            return ""
        if not rules.shuffle:
            return self.caption
        parts = [part.strip() for part in self.caption.split(rules.separator)]
        kept, free = parts[: rules.keep_tokens], parts[rules.keep_tokens :]
        draw.shuffle(free)
        return ", ".join([*kept, *free])  # whatever parted them, as in sd-scripts

    def class_words(self, words: str) -> str | None:
        """Return words of this example without the trigger; None when they are no other than before."""
        if not self.trigger:
            return None
        parted = re.split(rf"(?<!\w){re.escape(self.trigger)}(?!\w)", words)
        bare = " ".join(part.strip(", ") for part in parted if part.strip(", "))
        return bare if bare and len(parted) > 1 else None


class Order:
    """Which pictures a batch holds: every round a new shuffle, a pure function of seed and batch number.

    So a resumed training needs no memory of it, and nobody else's random draws can change it. A batch holds
    pictures of one size only; the last of a size may be smaller, as in sd-scripts.
    """

    def __init__(self, examples: tuple[Example, ...], batch_size: int, seed: int) -> None:
        self._buckets: dict[Size | None, list[int]] = {}
        for index, times in enumerate(balanced_repeats(examples)):
            self._buckets.setdefault(examples[index].size_px, []).extend([index] * times)
        self._batch_size = batch_size
        self._seed = seed
        self.batches_per_round = sum(-(-len(bucket) // batch_size) for bucket in self._buckets.values())
        self._shuffled: tuple[int, list[list[int]]] = (-1, [])

    def batch(self, number: int) -> list[int]:
        """Return the indices of batch `number`, counted from 0."""
        round_number, within = divmod(number, self.batches_per_round)
        if self._shuffled[0] != round_number:
            self._shuffled = (round_number, self._shuffle(round_number))
        return self._shuffled[1][within]

    def _shuffle(self, round_number: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + round_number)
        batches = []
        for bucket in self._buckets.values():
            order = [bucket[place] for place in torch.randperm(len(bucket), generator=generator).tolist()]
            batches += [
                order[start : start + self._batch_size] for start in range(0, len(order), self._batch_size)
            ]
        order = [batches[place] for place in torch.randperm(len(batches), generator=generator).tolist()]
        if round_number == 0:
            self._put_last_photo_later(order)
        return order

    def _put_last_photo_later(self, order: list[list[int]]) -> None:
        """Let the first batch be without the picture that came last: it may not be encoded yet."""
        last = max(index for batch in order for index in batch)
        for place, batch in enumerate(order):
            if last not in batch:
                order[0], order[place] = order[place], order[0]
                return


def balanced_repeats(examples: tuple[Example, ...]) -> list[int]:
    """Return how often each comes in a round: regularisation pictures as often in all as the others.

    As sd-scripts does it: they are taken in turn, each with its repeats, until there are as many or more.
    """
    repeats = [0 if example.is_regularisation else example.repeats for example in examples]
    wanted, regularisation = (
        sum(repeats),
        [i for i, example in enumerate(examples) if example.is_regularisation],
    )
    shown, first_time = 0, True
    while regularisation and shown < wanted:
        for index in regularisation:
            # After the first time round each comes once more, until there are enough.
            times = examples[index].repeats if first_time else 1
            repeats[index] += times
            shown += times
            if shown >= wanted:
                break
        first_time = False
    return repeats
