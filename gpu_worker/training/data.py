"""The images of a training, their captions, and the batches they come in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from random import Random

import torch

from gpu_worker.errors import BadInput
from gpu_worker.models.inputs.pixels import Size
from gpu_worker.protocol import Crop, TrainRequest


@dataclass(frozen=True)
class CaptionRules:
    """How a caption is changed each time it is used; as sd-scripts' flags of these names."""

    shuffle: bool = False  #: shuffle its parts
    keep_tokens: int = 0  #: number of leading parts that are not shuffled
    separator: str = ","
    dropout_rate: float = 0.0  #: probability that it is replaced by an empty one


@dataclass(frozen=True)
class TrainingImage:
    """One training image: the bytes of its file, its caption, and how often an epoch has it."""

    data: bytes = field(repr=False)
    caption: str
    repeats: int = 1
    folder: str = ""  #: the data folder it came from, for the LoRA file's metadata
    size_px: Size | None = None  #: its bucket size; None: the training's square resolution
    is_regularisation: bool = False  #: shows the class, not the subject
    flip: bool = False  #: flipped horizontally half of the time
    mask: bytes | None = field(default=None, repr=False)  #: a grey image: white is trained on, black is not
    crop: Crop | None = None  #: the part of image and mask that is used; None: all of it
    caption_rules: CaptionRules = CaptionRules()
    trigger: str = ""  #: the word for the subject; a caption without it is of the class alone

    def sample_caption(self, rng: Random) -> str:
        """Return the caption for one use, shuffled or dropped by its rules."""
        rules = self.caption_rules
        if rules.dropout_rate and rng.random() < rules.dropout_rate:
            return ""
        if not rules.shuffle:
            return self.caption
        parts = [part.strip() for part in self.caption.split(rules.separator)]
        fixed_parts, free_parts = parts[: rules.keep_tokens], parts[rules.keep_tokens :]
        rng.shuffle(free_parts)
        # Joined by commas whatever the separator was, as in sd-scripts.
        return ", ".join([*fixed_parts, *free_parts])

    def class_caption(self, caption: str) -> str | None:
        """Return the caption without the trigger; None if it has no trigger or nothing else."""
        if not self.trigger:
            return None
        pieces = re.split(rf"(?<!\w){re.escape(self.trigger)}(?!\w)", caption)
        class_text = " ".join(piece.strip(", ") for piece in pieces if piece.strip(", "))
        return class_text if class_text and len(pieces) > 1 else None


def build_images(request: TrainRequest, repeats: int) -> tuple[TrainingImage, ...]:
    """Return the photos of a request, each with its caption, crop and mask; BadInput if they do not match."""
    num_photos = len(request.photos)
    for values in (request.captions, request.crops, request.masks):
        if len(values) not in (0, num_photos):
            raise BadInput("There must be one caption, crop and mask for each photo, or none.")
    captions = request.captions or (f"{request.token} {request.class_word}",) * num_photos
    crops, masks = request.crops or (None,) * num_photos, request.masks or (None,) * num_photos
    return tuple(
        TrainingImage(photo, caption, repeats, trigger=request.token, mask=mask, crop=crop)
        for photo, caption, crop, mask in zip(request.photos, captions, crops, masks, strict=True)
    )


class BatchSampler:
    """Chooses the images of each batch: a new shuffle every epoch, a pure function of seed and batch number.

    So a resumed training needs no saved state of it, and other random draws do not change it. A batch holds
    images of one size only; the last batch of a size may be smaller, as in sd-scripts.
    """

    def __init__(self, images: tuple[TrainingImage, ...], batch_size: int, seed: int) -> None:
        self._buckets: dict[Size | None, list[int]] = {}
        for index, repeat_count in enumerate(balance_repeats(images)):
            self._buckets.setdefault(images[index].size_px, []).extend([index] * repeat_count)
        self._batch_size = batch_size
        self._seed = seed
        self.batches_per_epoch = sum(-(-len(bucket) // batch_size) for bucket in self._buckets.values())
        self._shuffled_epoch: tuple[int, list[list[int]]] = (-1, [])

    def steps_per_epoch(self, batches_per_step: int) -> int:
        """Return the optimizer steps of an epoch; its last one may have fewer batches."""
        return -(-self.batches_per_epoch // batches_per_step)

    def list_batch_numbers(self, step: int, batches_per_step: int) -> range:
        """Return the batches of an optimizer step, counted from 0; an epoch's end ends it too."""
        epoch, step_index = divmod(step, self.steps_per_epoch(batches_per_step))
        first = epoch * self.batches_per_epoch + step_index * batches_per_step
        return range(first, min(first + batches_per_step, (epoch + 1) * self.batches_per_epoch))

    def get_batch(self, batch_number: int) -> list[int]:
        """Return the image indices of a batch; batches are counted from 0."""
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
        """Move a batch without the last photo to the front: that photo may not be encoded yet."""
        last_index = max(index for batch in batches for index in batch)
        for position, batch in enumerate(batches):
            if last_index not in batch:
                batches[0], batches[position] = batches[position], batches[0]
                return


def balance_repeats(images: tuple[TrainingImage, ...]) -> list[int]:
    """Return how often an epoch has each image, with as many regularisation images as others.

    As in sd-scripts: regularisation images are taken in turn, each with its repeats, until they are enough.
    """
    repeats = [0 if image.is_regularisation else image.repeats for image in images]
    subject_count = sum(repeats)
    regularisation_indices = [index for index, image in enumerate(images) if image.is_regularisation]
    regularisation_count, is_first_pass = 0, True
    while regularisation_indices and regularisation_count < subject_count:
        for index in regularisation_indices:
            # After the first pass, each image is added once more until there are enough.
            repeat_count = images[index].repeats if is_first_pass else 1
            repeats[index] += repeat_count
            regularisation_count += repeat_count
            if regularisation_count >= subject_count:
                break
        is_first_pass = False
    return repeats
