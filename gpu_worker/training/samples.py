"""Sample pictures while a training runs: the same words and the same seed, so that only the LoRA differs."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from gpu_worker.generation import denoiser, generate
from gpu_worker.lora.layers import Adapter
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import Event, Generate, Progress, Sample
from gpu_worker.training.config import Dials, SamplePrompt


def due(step: int, dials: Dials) -> list[int]:
    """Return which samples are due after a step: the first ones, without the LoRA, only after step 1.

    Step 1 comes first, so that nobody waits for a picture before the training has begun; and a LoRA has no
    effect yet at step 0, so that the bare base model draws the same.
    """
    if not dials.sample_prompts or dials.sample_every_steps is None:
        return []
    found = [0] if step == 1 and dials.sample_at_first else []
    return [*found, step] if step % dials.sample_every_steps == 0 else found


def draw(
    base: BaseModel, adapter: Adapter, job: Any, dials: Dials, step: int, now: int
) -> Generator[Event, None, None]:
    """Draw the samples of a step, one picture and one half of the guidance at a time: memory stays low.

    `now` is the training's own step, which the Progress between two denoising steps repeats.
    """
    own = adapter if step else None
    for prompt in dials.sample_prompts:
        recipe = generate.settle(base, _wish(prompt, job))[0]
        canvas = generate.canvas(base, recipe, own, generate.listen(base, recipe, own))
        while not canvas.is_done:
            denoiser.draw_step(base, [canvas], one_at_a_time=True)
            yield Progress(**job, step=now, steps=dials.steps)
        png = generate.to_png(base, canvas.latents, recipe)
        yield Sample(**job, step=dials.steps_before + step, png=png)


def _wish(prompt: SamplePrompt, job: Any) -> Generate:
    return Generate(
        **job,
        prompt=prompt.prompt,
        negative=prompt.negative,
        width_px=prompt.width_px,
        height_px=prompt.height_px,
        steps=prompt.steps,
        guidance=prompt.guidance,
        seed=prompt.seed,
    )
