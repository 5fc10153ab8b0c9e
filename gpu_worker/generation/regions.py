"""Which part of a picture each person gets: named, or found where the first steps look for them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gpu_worker.models.base import BaseModel
from gpu_worker.models.inputs.conditioning import Conditioning
from gpu_worker.models.inputs.regions import MASKS, TRIGGERS, WORDS
from gpu_worker.protocol import Crop, LoraUse, Place

_BANDS = (Place.LEFT, Place.MIDDLE, Place.RIGHT)
#: Share of the steps that look for people; what is where is settled by then.
SEARCH_SHARE = 0.25
#: How many standard deviations of attention the plain bands count for: weaker evidence moves nobody. Of 40
#: pairs on `drawn`, both are in their place in 36 with 2, and in 32 with 1.
_BANDS_WEIGHT = 2.0
#: A region smaller than this share of the picture is noise, and people get bands instead.
_LEAST_SHARE = 0.06
#: Where attention to every person is this many standard deviations below its mean, there is background.
_BACKGROUND = -0.5
_SMOOTHING, _SMOOTHING_ROUNDS = (0.25, 0.5, 0.25), 4


def assign_people(loras: Sequence[LoraUse]) -> tuple[int | None, ...] | None:
    """Return the number of each LoRA's region, None for one that acts everywhere; None without regions."""
    placed = [lora for lora in loras if lora.place is not Place.EVERYWHERE]
    if len(placed) < 2:
        return None
    return tuple(placed.index(lora) if lora in placed else None for lora in loras)


def list_reader_loras(loras: Sequence[LoraUse], people: Sequence[int | None]) -> list[tuple[LoraUse, ...]]:
    """Return for each person the LoRAs that its reading of the prompt has: its own, and those of all."""
    return [
        tuple(lora for lora, owner in zip(loras, people, strict=True) if owner in (person, None))
        for person in range(sum(owner is not None for owner in people))
    ]


def build_bands(places: Sequence[Place], height: int, width: int) -> Tensor:
    """Return masks of upright bands, (people, h, w): in the order of their places, else of the words."""
    ranks = [_BANDS.index(place) if place in _BANDS else 1 for place in places]
    order = sorted(range(len(places)), key=ranks.__getitem__)
    columns = torch.arange(width) * len(places) // width
    masks = torch.stack([(columns == order.index(person)).float() for person in range(len(places))])
    return masks[:, None].expand(-1, height, -1).contiguous()


def find_regions(attention: Tensor, bands: Tensor) -> Tensor:
    """Return masks, (people, h, w), from the attention to each, and the bands that it began with.

    A place belongs to the person that it attends to most, and the background to all. Where attention does
    not tell people apart, the bands decide.
    """
    mean, std = attention.mean((1, 2), keepdim=True), attention.std((1, 2), keepdim=True)
    scores = _smooth((attention - mean) / std.clamp(min=1e-12))
    owner = (scores + _BANDS_WEIGHT * bands).argmax(0)
    masks = F.one_hot(owner, len(attention)).permute(2, 0, 1).to(bands)
    is_person = scores.max(0).values >= _BACKGROUND
    if bool(((masks * is_person).mean((1, 2)) < _LEAST_SHARE).any()):
        return bands
    return torch.where(is_person, masks, 1.0)


def _smooth(maps: Tensor) -> Tensor:
    kernel = torch.tensor(_SMOOTHING, device=maps.device)
    weights = (kernel[:, None] * kernel)[None, None]
    for _ in range(_SMOOTHING_ROUNDS):
        maps = F.conv2d(F.pad(maps[:, None], (1, 1, 1, 1), mode="replicate"), weights)[:, 0]
    return maps


def find_triggers(base: BaseModel, prompt: str, triggers: Sequence[str]) -> Tensor | None:
    """Return where each person's trigger is, (people, tokens); None where one is not in the prompt."""
    places: list[tuple[int, ...]] = []
    for person, trigger in enumerate(triggers):
        found = base.find_words(prompt, trigger)
        if not found:
            return None
        # Of two people with one trigger, the first is the first one that stands there.
        places.append(found[min(triggers[:person].count(trigger), len(found) - 1)])
    rows = torch.zeros(len(triggers), max(map(max, places)) + 1)
    for row, tokens in zip(rows, places, strict=True):
        row[list(tokens)] = 1.0
    return rows


def place_people(
    base: BaseModel,
    loras: Sequence[LoraUse],
    prompt: str,
    readings: Sequence[Conditioning],
    latent_size: tuple[int, int],
) -> Conditioning:
    """Return the readings of a prompt with a region for each person.

    Those not named are looked for if the model shows where it looks. Else they stand as their words do.
    """
    placed = [lora for lora in loras if lora.place is not Place.EVERYWHERE]
    places = [lora.place for lora in placed]
    conditioning = base.join_readings(readings)
    masks = build_bands(places, *latent_size).to(base.device)
    is_named = Place.FOUND not in places and len(set(places)) == len(places)
    if base.has_readings and is_named:
        return set_masks(conditioning, masks)
    triggers = find_triggers(base, prompt, [lora.trigger for lora in placed])
    if triggers is None:
        return set_masks(conditioning, masks)
    triggers = triggers.to(base.device)
    if base.has_readings:
        return set_masks(conditioning, masks, triggers)
    is_others = (triggers.sum(0) - triggers).clamp(max=1)
    words = (1 - is_others).expand(len(conditioning), *triggers.shape)
    return Conditioning({**set_masks(conditioning, masks).tensors, WORDS: words})


def start_search(conditioning: Conditioning, total_steps: int) -> RegionSearch | None:
    """Return a search for people in one picture; None where it is known where they are."""
    return RegionSearch(total_steps) if TRIGGERS in conditioning.tensors else None


class RegionSearch:
    """Adds up where the first steps of one picture look, and then gives each person a region."""

    def __init__(self, total_steps: int) -> None:
        self._steps_left = max(1, math.ceil(total_steps * SEARCH_SHARE))
        self._attention: Tensor | None = None

    def observe(self, conditioning: Conditioning, attention: Tensor) -> Conditioning:
        """Add the attention of a step, (people, h, w); return the conditioning of the next one."""
        self._attention = attention if self._attention is None else self._attention + attention
        self._steps_left -= 1
        if self._steps_left:
            return conditioning
        bands = conditioning.tensors[MASKS][0]
        return set_masks(conditioning, find_regions(self._attention, bands))


def list_regions(conditioning: Conditioning) -> tuple[Crop, ...]:
    """Return the columns of a picture in which each person is alone, at full height; () without regions."""
    if MASKS not in conditioning.tensors:
        return ()
    masks = conditioning.tensors[MASKS][0] > 0.5
    is_single = masks & (masks.sum(0) == 1)
    crops = []
    for own in is_single.any(1).cpu():
        columns = own.nonzero().flatten() / len(own)
        left, right = (float(columns[0]), float(columns[-1]) + 1 / len(own)) if len(columns) else (0.0, 1.0)
        crops.append(Crop(left, 0.0, right - left, 1.0))
    return tuple(crops)


def set_masks(conditioning: Conditioning, masks: Tensor, triggers: Tensor | None = None) -> Conditioning:
    """Return a conditioning with these regions, (people, h, w), in all rows; with triggers to look for."""
    tensors = {name: tensor for name, tensor in conditioning.tensors.items() if name not in (MASKS, TRIGGERS)}
    for name, tensor in ((MASKS, masks), (TRIGGERS, triggers)):
        if tensor is not None:
            tensors[name] = tensor.expand(len(conditioning), *tensor.shape)
    return Conditioning(tensors)
