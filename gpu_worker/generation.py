"""Drawing pictures: one at a time, one denoising step per yield.

Every picture is a function of its own seed alone, so the third of four can be drawn again by itself. No torch
context stays open across a yield, and each step puts its own adapter on first, because a training may take
a step in between.
"""

from __future__ import annotations

import math
import re
import secrets
import time
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler
from torch import Tensor

from gpu_worker import adapters, dials, lora_file, picture_file
from gpu_worker.adapters import Adapter
from gpu_worker.base_model import BaseModel
from gpu_worker.errors import BadInput
from gpu_worker.picture_file import Recipe
from gpu_worker.protocol import Done, Event, Generate, Progress, Started

SAMPLER = "DPM++ 2M Karras"
SIDES_PX = range(64, 2048 + 1, 8)
STEPS = range(1, 150 + 1)
COUNTS = range(1, 16 + 1)
SEEDS = range(2**63 - COUNTS.stop)
#: A drawn seed has at most ten digits, so that people can type it.
_DRAWN_SEEDS = 2**32
_MAX_GUIDANCE = 50.0


def generate(base: BaseModel, request: Generate) -> Generator[Event, None, None]:
    """Draw the pictures of a request: Started, Progress per denoising step, Done with PNGs.

    Raises BadInput when the size, another number or the LoRA cannot be used.
    """
    began = time.monotonic()
    recipe = settle(base, request)
    adapter = None
    if request.lora is not None:
        lora = lora_file.read(request.lora)
        recipe = replace(recipe, lora_hash=lora.short_hash)
        adapter = Adapter(base, lora.matrices)
    painter = Painter(base, adapter)
    job: Any = {"job_id": request.job_id, "attempt": request.attempt}
    steps = recipe.steps * request.count
    try:
        yield Started(**job, step=0, steps=steps)
        painter.listen(recipe)
        pictures = []
        for number in range(request.count):
            this = replace(recipe, seed=recipe.seed + number)
            painter.begin(this)
            for step in range(this.steps):
                painter.step(step)
                yield Progress(**job, step=number * this.steps + step + 1, steps=steps)
            pictures.append(to_png(base, painter.latents, this))
        yield Done(**job, pictures=tuple(pictures), seconds=time.monotonic() - began)
    finally:
        if adapter:
            adapter.remove()


class Painter:
    """Denoises one picture after the other for one prompt."""

    latents: Tensor  #: (1, 4, height / 8, width / 8), fp32

    def __init__(self, base: BaseModel, adapter: Adapter | None, one_at_a_time: bool = False) -> None:
        """Draw with an adapter, or with the bare base model.

        `one_at_a_time` runs the two halves of the guidance one after the other: half the memory.
        """
        self._base, self._adapter = base, adapter
        self._one_at_a_time = one_at_a_time
        self._sampler = DPMSolverMultistepScheduler.from_config(
            base.scheduler_config, algorithm_type="dpmsolver++", solver_order=2, use_karras_sigmas=True
        )
        # diffusers hands this to numpy, which torch's tensors answer with a deprecation warning.
        self._sampler.alphas_cumprod = self._sampler.alphas_cumprod.numpy()
        self._guidance = 1.0
        self._words = torch.empty(0)

    @torch.no_grad()
    def listen(self, recipe: Recipe) -> None:
        """Take in the prompt; with guidance also what to keep away from."""
        self._take_turn()
        self._guidance = recipe.guidance
        texts = [recipe.negative, recipe.prompt] if self._guided else [recipe.prompt]
        self._words = self._base.embed(texts)

    def begin(self, recipe: Recipe) -> None:
        """Start a picture: nothing but noise."""
        self._sampler.set_timesteps(recipe.steps, device=self._base.device)
        shape = (1, 4, *(side // self._base.vae_scale for side in (recipe.height_px, recipe.width_px)))
        # Drawn on the CPU, so that a seed means the same picture on every card.
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(recipe.seed))
        self.latents = noise.to(self._base.device) * self._sampler.init_noise_sigma

    @torch.no_grad()
    def step(self, number: int) -> None:
        """Take one step from noise towards the picture."""
        self._take_turn()
        moment = self._sampler.timesteps[number]
        noisy = self._sampler.scale_model_input(self.latents, moment)
        told = self._answer(noisy.to(self._base.dtype), moment)
        if self._guided:
            away, towards = told.chunk(2)
            told = away + self._guidance * (towards - away)
        self.latents = self._sampler.step(told, moment, self.latents).prev_sample

    def _answer(self, noisy: Tensor, moment: Tensor) -> Tensor:
        unet, words = self._base.unet, self._words.to(self._base.dtype)
        if self._one_at_a_time:
            return torch.cat([unet(noisy, moment, word[None]).sample.float() for word in words])
        told: Tensor = unet(noisy.expand(len(words), -1, -1, -1), moment, words).sample.float()
        return told

    @property
    def _guided(self) -> bool:
        return self._guidance > 1.0

    def _take_turn(self) -> None:
        if self._adapter:
            self._adapter.activate()
        else:
            adapters.deactivate_all(self._base)


def to_png(base: BaseModel, latents: Tensor, recipe: Recipe) -> bytes:
    """Return a finished picture's file, as large as this kind of base model hands pictures out."""
    return picture_file.to_png(base.decode(latents), recipe, dials.picture_dials(base.kind).enlarge)


def settle(base: BaseModel, request: Generate) -> Recipe:
    """Fill in what the person left open; BadInput when something cannot be drawn."""
    usual = dials.picture_dials(base.kind)
    recipe = Recipe(
        prompt=with_trigger(request.prompt, request.trigger),
        negative=request.negative,
        seed=secrets.randbelow(_DRAWN_SEEDS) if request.seed is None else request.seed,
        width_px=base.native_px if request.width_px is None else request.width_px,
        height_px=base.native_px if request.height_px is None else request.height_px,
        steps=usual.steps if request.steps is None else request.steps,
        guidance=usual.guidance if request.guidance is None else request.guidance,
        sampler=SAMPLER,
        model=base.name,
        lora_name=request.lora_name if request.lora is not None else "",
    )
    sides = f"{SIDES_PX.start} to {SIDES_PX.stop - 1}"
    for value, allowed, sentence in (
        (recipe.width_px, SIDES_PX, f"The width must be a multiple of 8 from {sides} pixels."),
        (recipe.height_px, SIDES_PX, f"The height must be a multiple of 8 from {sides} pixels."),
        (recipe.steps, STEPS, f"Steps must be {STEPS.start} to {STEPS.stop - 1}."),
        (request.count, COUNTS, f"The number of pictures must be {COUNTS.start} to {COUNTS.stop - 1}."),
        (recipe.seed, SEEDS, "The seed must be a whole number from 0 on."),
    ):
        if value not in allowed:
            raise BadInput(sentence)
    if not (math.isfinite(recipe.guidance) and 0 <= recipe.guidance <= _MAX_GUIDANCE):
        raise BadInput(f"Guidance must be 0 to {_MAX_GUIDANCE:g}.")
    return recipe


def with_trigger(prompt: str, trigger: str) -> str:
    """Put the trigger words into a prompt that lacks them; whole words count, upper or lower case alike."""
    words = trigger.split()
    if not words:
        return prompt
    if _whole(words).search(prompt):
        return prompt
    token = _whole(words[:1])
    if token.search(prompt):  # `sks on the moon`: the class word is all that lacks
        return token.sub(lambda _: trigger, prompt, count=1)
    return f"{trigger}, {prompt}" if prompt.strip() else trigger


def _whole(words: list[str]) -> re.Pattern[str]:
    return re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)", re.IGNORECASE)
