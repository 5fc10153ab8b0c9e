"""Sample pictures while a training runs: the same words and the same seed, so that only the LoRA differs."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from gpu_worker.generation import denoiser, generate
from gpu_worker.lora.layers import Adapter
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import GenerateRequest, ProgressEvent, SampleEvent, WorkerEvent
from gpu_worker.training.config import SamplePrompt, TrainingConfig


def due_sample_steps(step: int, config: TrainingConfig) -> list[int]:
    """Return which samples are due after a step: the first ones, without the LoRA, only after step 1.

    Step 1 comes first, so that nobody waits for a picture before the training has begun; and a LoRA has no
    effect yet at step 0, so that the bare base model draws the same.
    """
    if not config.sample_prompts or config.sample_every_steps is None:
        return []
    due_steps = [0] if step == 1 and config.sample_at_first else []
    return [*due_steps, step] if step % config.sample_every_steps == 0 else due_steps


def generate_samples(
    base: BaseModel, adapter: Adapter, job_fields: Any, config: TrainingConfig, step: int, current_step: int
) -> Generator[WorkerEvent, None, None]:
    """Draw the samples of a step, one picture and one half of the guidance at a time: memory stays low.

    `now` is the training's own step, which the Progress between two denoising steps repeats.
    """
    active_adapter = adapter if step else None
    for prompt in config.sample_prompts:
        recipe = generate.resolve_recipes(base, _build_request(prompt, job_fields))[0]
        image = generate.create_image(
            base, recipe, active_adapter, generate.encode_recipe_prompts(base, recipe, active_adapter)
        )
        while not image.is_done:
            denoiser.denoise_step(base, [image], is_sequential=True)
            yield ProgressEvent(**job_fields, step=current_step, steps=config.steps)
        png = generate.decode_to_png(base, image.latents, recipe)
        yield SampleEvent(**job_fields, step=config.steps_before + step, png=png)


def _build_request(prompt: SamplePrompt, job_fields: Any) -> GenerateRequest:
    return GenerateRequest(
        **job_fields,
        prompt=prompt.prompt,
        negative_prompt=prompt.negative_prompt,
        width_px=prompt.width_px,
        height_px=prompt.height_px,
        steps=prompt.steps,
        guidance_scale=prompt.guidance_scale,
        seed=prompt.seed,
    )
