"""Drawing pictures: one denoising step per yield.

Every picture is a function of its own seed and wish, so the third of four can be drawn again by itself. No
torch context stays open across a yield, and each step puts its own adapter on first, because a training may
take a step in between.
"""

from __future__ import annotations

import io
import math
import secrets
import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gpu_worker.device import memory_modes
from gpu_worker.device.memory_modes import NotFinite, OutOfMemory
from gpu_worker.errors import BadInput
from gpu_worker.generation import config as generation_config
from gpu_worker.generation import denoiser, image_file, prompts, samplers
from gpu_worker.generation.denoiser import Canvas, Easel, Measured
from gpu_worker.generation.identity import Who
from gpu_worker.generation.image_file import LoraMention, Recipe
from gpu_worker.generation.preview import Colours
from gpu_worker.lora import layers
from gpu_worker.lora.cache import LoraShelf
from gpu_worker.lora.layers import Adapter
from gpu_worker.models.base import BaseModel
from gpu_worker.models.pixels import to_pixels
from gpu_worker.protocol import SHAPES, Done, Event, Generate, Preview, Progress, Started

SIDES_PX = range(64, 2048 + 1, 8)
STEPS = range(1, 150 + 1)
COUNTS = range(1, 16 + 1)
SEEDS = range(2**63 - COUNTS.stop)
STRENGTHS = (-2.0, 2.0)
MAX_LORAS = 4
#: A drawn seed has at most ten digits, so that people can type it.
_DRAWN_SEEDS = 2**32
_MAX_GUIDANCE = 50.0
_TOO_LARGE = "This is too large for the graphics card here; ask for a smaller size or fewer pictures."
_OUT_OF_BOUNDS = "The picture went out of bounds (numbers too large); try less strength or guidance."


class Room:
    """What drawing keeps between requests on one base model."""

    def __init__(self, base: BaseModel, together: Measured | None = None) -> None:
        self.base = base
        self.shelf = LoraShelf()
        self.who = Who(base)
        self.easel = Easel(base, together)
        self._colours: Colours | None = None

    def preview(self, latents: Tensor) -> bytes:
        """Return a small picture of latents as PNG."""
        if self._colours is None:
            self._colours = Colours(self.base)
        return self._colours.png(latents)


def generate(room: Room, request: Generate) -> Generator[Event, None, None]:
    """Draw the pictures of a request: Started, Progress per denoising step, Done with PNGs and recipes.

    When memory is short, or half precision is not precise enough, the card is used more modestly and the
    pictures are begun again. Raises BadInput when something cannot be drawn.
    """
    began = time.monotonic()
    recipes = settle(room.base, request)
    while True:
        dtype = room.base.dtype
        try:
            pictures = yield from _Drawing(room, request, recipes).run()
        except Exception as error:
            if not _adjusted(room, error, dtype):
                raise
        else:
            break
    told = tuple(recipe.parameters() for recipe in _recipes_of(room, request, recipes))
    job: Any = {"job_id": request.job_id, "attempt": request.attempt}
    yield Done(
        **job,
        pictures=pictures,
        recipes=told,
        seconds=time.monotonic() - began,
        identities=room.who.is_in(pictures) if request.compare_with else (),
        compared_identities=room.who.is_in(request.compare_with),
    )


class _Drawing:
    """One try at a request's pictures."""

    def __init__(self, room: Room, request: Generate, recipes: Sequence[Recipe]) -> None:
        self._room, self._request, self._recipes = room, request, recipes
        self._job: Any = {"job_id": request.job_id, "attempt": request.attempt}
        self._previewed_at = time.monotonic()

    def run(self) -> Generator[Event, None, tuple[bytes, ...]]:
        room, request = self._room, self._request
        adapter, _ = room.shelf.take(room.base, request.loras)
        recipes = _recipes_of(room, request, self._recipes)
        canvases: list[Canvas] = []
        try:
            known = _known(room.base, request, recipes[0])
            canvases = _canvases(room.base, recipes, adapter, known)
            steps = sum(each.steps for each in canvases)
            yield Started(**self._job, step=0, steps=steps)
            room.easel.put(canvases)
            yield from self._denoise(canvases, steps)
            pictures: list[bytes] = []
            for each, recipe in zip(canvases, recipes, strict=True):
                if pictures:
                    yield Progress(**self._job, step=steps, steps=steps)  # a training may go on in between
                pictures.append(to_png(room.base, each.latents, recipe))
            return tuple(pictures)
        finally:
            room.easel.remove(canvases)
            layers.deactivate_all(room.base)

    def _denoise(self, canvases: Sequence[Canvas], steps: int) -> Generator[Event, None, None]:
        told = 0
        while told < steps:
            done = sum(each.step for each in canvases)
            if done > told:  # also when another request took the step along
                told = done
                yield Progress(**self._job, step=told, steps=steps)
                yield from self._preview(canvases)
            else:
                self._room.easel.advance(next(each for each in canvases if not each.is_done))

    def _preview(self, canvases: Sequence[Canvas]) -> Generator[Event, None, None]:
        every_s, now = self._request.preview_every_s, time.monotonic()
        if every_s is None or now - self._previewed_at < every_s:
            return
        self._previewed_at = now
        current = next((each for each in canvases if not each.is_done), canvases[-1])
        if current.guess is not None:
            yield Preview(**self._job, png=self._room.preview(current.guess))


def _adjusted(room: Room, error: Exception, dtype: torch.dtype) -> bool:
    """Use the card more modestly after trouble; False when it was none, BadInput when nothing is left.

    `dtype` is the precision that the picture was begun in.
    """
    trouble = memory_modes.trouble_of(error)
    if trouble is None:
        return False
    if isinstance(trouble, OutOfMemory):
        if room.easel.is_modest:
            raise BadInput(_TOO_LARGE) from error
        room.easel.is_modest = True
        room.shelf.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return True
    if room.base.dtype is not dtype:  # others met the same, and the picture was not yet tried in this one
        return True
    gear = memory_modes.lower(room.base.gear, trouble, room.base.placement.wide_dtype)
    if gear is None:
        raise BadInput(_OUT_OF_BOUNDS) from error
    try:
        room.base.shift(gear)
    except torch.OutOfMemoryError as too_large:
        raise BadInput(_OUT_OF_BOUNDS) from too_large
    return True


def _recipes_of(room: Room, request: Generate, recipes: Sequence[Recipe]) -> list[Recipe]:
    _, hashes = room.shelf.take(room.base, request.loras)
    mentions = tuple(
        LoraMention(use.name, short, use.strength) for use, short in zip(request.loras, hashes, strict=True)
    )
    return [replace(recipe, loras=mentions) for recipe in recipes]


def _known(base: BaseModel, request: Generate, recipe: Recipe) -> tuple[Tensor, float] | None:
    """Return the latents of the picture to begin from, and how much of it is drawn again."""
    if request.start is None:
        return None
    size_px = drawn_px(base, recipe)
    return base.encode_tiled(to_pixels(request.start.picture, size_px))[None], request.start.redraw


def _canvases(
    base: BaseModel, recipes: Sequence[Recipe], adapter: Adapter | None, known: tuple[Tensor, float] | None
) -> list[Canvas]:
    words = listen(base, recipes[0], adapter)
    return [canvas(base, recipe, adapter, words, known) for recipe in recipes]


def listen(base: BaseModel, recipe: Recipe, adapter: Adapter | None) -> Tensor:
    """Take in the prompt; with guidance also what to keep away from, which comes first."""
    if adapter is None:
        layers.deactivate_all(base)
    else:
        adapter.activate()
    return prompts.embed(base, [recipe.negative, recipe.prompt] if recipe.guidance > 1.0 else [recipe.prompt])


def canvas(
    base: BaseModel,
    recipe: Recipe,
    adapter: Adapter | None,
    words: Tensor,
    known: tuple[Tensor, float] | None = None,
) -> Canvas:
    """Set up one picture."""
    width_px, height_px = drawn_px(base, recipe)
    shape = (1, 4, height_px // base.vae_scale, width_px // base.vae_scale)
    # Drawn on the CPU, so that a seed means the same picture on every card.
    generator = torch.Generator().manual_seed(recipe.seed)
    noise = torch.randn(shape, generator=generator)
    if recipe.variation:
        other = torch.randn(shape, generator=torch.Generator().manual_seed(recipe.variation_seed))
        noise = _between(noise, other, recipe.variation)
    name = recipe.sampler.lower()
    rest = {"words": words, "guidance": recipe.guidance, "adapter": adapter, "generator": generator}
    return denoiser.canvas(base, name, recipe.steps, noise, known, **rest)


def _between(noise: Tensor, other: Tensor, share: float) -> Tensor:
    """Go a share of the way from one noise to another on the sphere that they lie on (slerp)."""
    cosine = float((noise * other).sum() / (noise.norm() * other.norm()))
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    return (math.sin((1 - share) * angle) * noise + math.sin(share * angle) * other) / math.sin(angle)


def to_png(base: BaseModel, latents: Tensor, recipe: Recipe) -> bytes:
    """Return a finished picture's file, as large as this kind of base model hands pictures out.

    Raises NotFinite when the numbers went out of bounds on the way.
    """
    pixels = base.decode(latents)
    if not bool(pixels.isfinite().all()):
        raise NotFinite(_OUT_OF_BOUNDS)
    return image_file.to_png(pixels, recipe, generation_config.picture_dials(base.kind).enlarge)


def drawn_px(base: BaseModel, recipe: Recipe) -> tuple[int, int]:
    """Return width and height as they are drawn, before the picture is enlarged to what was asked for."""
    enlarge = generation_config.picture_dials(base.kind).enlarge
    return recipe.width_px // enlarge, recipe.height_px // enlarge


def settle(base: BaseModel, request: Generate) -> list[Recipe]:
    """Fill in what the person left open, for each picture; BadInput when something cannot be drawn."""
    _check(request)
    usual = generation_config.picture_dials(base.kind)
    width_px, height_px = _size_px(base, request)
    first = Recipe(
        prompt=request.prompt,
        negative=request.negative,
        seed=secrets.randbelow(_DRAWN_SEEDS) if request.seed is None else request.seed,
        width_px=width_px,
        height_px=height_px,
        steps=usual.steps if request.steps is None else request.steps,
        guidance=usual.guidance if request.guidance is None else request.guidance,
        sampler=samplers.TITLES[samplers.checked(request.sampler)],
        model=base.name,
        variation=request.variation,
        variation_seed=request.variation_seed,
        redraw=None if request.start is None else request.start.redraw,
    )
    if request.variation:  # one seed, each with other noise mixed in
        return [
            replace(first, variation_seed=first.variation_seed + number) for number in range(request.count)
        ]
    return [replace(first, seed=first.seed + number) for number in range(request.count)]


def _size_px(base: BaseModel, request: Generate) -> tuple[int, int]:
    """Return the size of the file: what was asked for, in steps that this base model can draw."""
    enlarge = generation_config.picture_dials(base.kind).enlarge
    if request.shape and request.shape not in SHAPES:
        raise BadInput(f"There is no shape {request.shape[:40]!r}; there are {', '.join(SHAPES)}.")
    shape = SHAPES[request.shape or "square"]
    native = [round(base.native_px * enlarge * side) for side in shape]
    asked = (request.width_px, request.height_px)
    wanted = [own if given is None else given for own, given in zip(native, asked, strict=True)]
    step = 8 * enlarge
    width_px, height_px = (max(step, round(side / step) * step) for side in wanted)
    return width_px, height_px


def _check(request: Generate) -> None:
    sides = f"{SIDES_PX.start} to {SIDES_PX.stop - 1}"
    for value, allowed, sentence in (
        (request.width_px, SIDES_PX, f"The width must be a multiple of 8 from {sides} pixels."),
        (request.height_px, SIDES_PX, f"The height must be a multiple of 8 from {sides} pixels."),
        (request.steps, STEPS, f"Steps must be {STEPS.start} to {STEPS.stop - 1}."),
        (request.count, COUNTS, f"The number of pictures must be {COUNTS.start} to {COUNTS.stop - 1}."),
        (request.seed, SEEDS, "The seed must be a whole number from 0 on."),
        (request.variation_seed, SEEDS, "The seed must be a whole number from 0 on."),
    ):
        if value is not None and value not in allowed:
            raise BadInput(sentence)
    redraw = None if request.start is None else request.start.redraw
    for number, low, high, what in (
        (request.guidance, 0.0, _MAX_GUIDANCE, "Guidance"),
        (request.variation, 0.0, 1.0, "The variation"),
        (redraw, 0.0, 1.0, "How much is drawn again"),
        *((use.strength, *STRENGTHS, "The strength") for use in request.loras),
    ):
        if number is not None and not low <= number <= high:  # NaN is in no range
            raise BadInput(f"{what} must be {low:g} to {high:g}.")
    if len(request.loras) > MAX_LORAS:
        raise BadInput(f"At most {MAX_LORAS} LoraCodes fit into one picture.")
    if request.start is not None:
        _check_picture(request.start.picture)


def _check_picture(data: bytes) -> None:
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as picture:
            picture.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput("The picture to begin from is damaged.") from error
