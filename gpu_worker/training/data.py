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
class TrainingImage:
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

    def sample_caption(self, rng: Random) -> str:
        """Return the caption as it is shown this time."""
        rules = self.caption_rules
        if rules.dropout_rate and rng.random() < rules.dropout_rate:
            return ""
        if not rules.shuffle:
            return self.caption
        parts = [part.strip() for part in self.caption.split(rules.separator)]
        fixed_parts, free_parts = parts[: rules.keep_tokens], parts[rules.keep_tokens :]
        rng.shuffle(free_parts)
        return ", ".join([*fixed_parts, *free_parts])  # whatever parted them, as in sd-scripts

    def class_caption(self, caption: str) -> str | None:
        """Return words of this example without the trigger; None when they are no other than before."""
        if not self.trigger:
            return None
        pieces = re.split(rf"(?<!\w){re.escape(self.trigger)}(?!\w)", caption)
        class_text = " ".join(piece.strip(", ") for piece in pieces if piece.strip(", "))
        return class_text if class_text and len(pieces) > 1 else None


class BatchSampler:
    """Which pictures a batch holds: every round a new shuffle, a pure function of seed and batch number.

    So a resumed training needs no memory of it, and nobody else's random draws can change it. A batch holds
    pictures of one size only; the last of a size may be smaller, as in sd-scripts.
    """

    def __init__(self, images: tuple[TrainingImage, ...], batch_size: int, seed: int) -> None:
        self._buckets: dict[Size | None, list[int]] = {}
        for index, repeat_count in enumerate(balance_repeats(images)):
            self._buckets.setdefault(images[index].size_px, []).extend([index] * repeat_count)
        self._batch_size = batch_size
        self._seed = seed
        self.batches_per_epoch = sum(-(-len(bucket) // batch_size) for bucket in self._buckets.values())
        self._shuffled_epoch: tuple[int, list[list[int]]] = (-1, [])

    def get_batch(self, batch_number: int) -> list[int]:
        """Return the indices of batch `number`, counted from 0."""
        epoch, batch_index = divmod(batch_number, self.batches_per_epoch)
        if self._shuffled_epoch[0] != epoch:
            self._shuffled_epoch = (epoch, self._shuffle_epoch(epoch))
        return self._shuffled_epoch[1][batch_index]

    def _shuffle_epoch(self, epoch: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + epoch)
        batches = []
        for bucket in self._buckets.values():
            order = [bucket[index] for index in torch.randperm(len(bucket), generator=generator).tolist()]
            batches += [
                order[start : start + self._batch_size] for start in range(0, len(order), self._batch_size)
            ]
        order = [batches[index] for index in torch.randperm(len(batches), generator=generator).tolist()]
        if epoch == 0:
            self._defer_last_photo(order)
        return order

    def _defer_last_photo(self, batches: list[list[int]]) -> None:
        """Let the first batch be without the picture that came last: it may not be encoded yet."""
        last_index = max(index for batch in batches for index in batch)
        for position, batch in enumerate(batches):
            if last_index not in batch:
                batches[0], batches[position] = batches[position], batches[0]
                return


def balance_repeats(images: tuple[TrainingImage, ...]) -> list[int]:
    """Return how often each comes in a round: regularisation pictures as often in all as the others.

    As sd-scripts does it: they are taken in turn, each with its repeats, until there are as many or more.
    """
    repeats = [0 if image.is_regularisation else image.repeats for image in images]
    subject_count, regularisation_indices = (
        sum(repeats),
        [i for i, image in enumerate(images) if image.is_regularisation],
    )
    regularisation_count, is_first_pass = 0, True
    while regularisation_indices and regularisation_count < subject_count:
        for index in regularisation_indices:
            # After the first time round each comes once more, until there are enough.
            repeat_count = images[index].repeats if is_first_pass else 1
            repeats[index] += repeat_count
            regularisation_count += repeat_count
            if regularisation_count >= subject_count:
                break
        is_first_pass = False
    return repeats
