"""Pictures that are drawn during a training: samples to watch it, and candidates to choose from.

Each prompt is drawn with the same seed every time, so that only the LoRA differs. Which candidate is handed
out is not decided here: the bot compares the pictures' identity embeddings with those of the photos.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from gpu_worker.device.memory_modes import NotFinite
from gpu_worker.generation import denoiser, generate
from gpu_worker.generation.identity import IdentityEmbeddings, IdentityEncoder
from gpu_worker.generation.prompts import encode_recipe_prompts
from gpu_worker.generation.recipes import resolve_recipes
from gpu_worker.lora.layers import Adapter, write_lora
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import CandidateEvent, GenerateRequest, ProgressEvent, SampleEvent, WorkerEvent
from gpu_worker.training.config import TrainingConfig

#: The seed of a candidate's first picture; any would do.
FIRST_SEED = 500


def due_sample_steps(step: int, config: TrainingConfig) -> list[int]:
    """Return the steps whose samples are drawn after a step: 0 stands for the base model without the LoRA.

    The samples of step 0 are drawn after step 1, so that nobody waits for a picture before the training has
    begun. They are the same: at step 0 a LoRA has no effect yet.
    """
    if not config.sample_prompts or config.sample_every_steps is None:
        return []
    due_steps = [0] if step == 1 and config.sample_at_first else []
    return [*due_steps, step] if step % config.sample_every_steps == 0 else due_steps


def is_first_sample_due(step: int, config: TrainingConfig, fast_steps: int) -> bool:
    """Return True if an early sample, drawn in `fast_steps`, takes at most 1 % of the training.

    A denoising step with guidance was measured at 0.8 of a training step (SD 1.5, 512 px), and decoding at
    one; counted here as a whole step each, and decoding not at all, which comes to about the same.
    """
    is_shown = step == config.first_sample_step and config.sample_at_first and bool(config.sample_prompts)
    return is_shown and 100 * fast_steps * len(config.sample_prompts) <= config.steps


def is_candidate_due(step: int, config: TrainingConfig) -> bool:
    """Return True if a candidate follows this step; the last step always has one."""
    if not config.candidate_prompts or config.candidate_every_steps is None:
        return False
    if step == config.steps:
        return True
    return step >= config.candidates_from_step and step % config.candidate_every_steps == 0


def is_initial_candidate_due(step: int, initial_lora: bytes | None, config: TrainingConfig) -> bool:
    """Return True if the starting LoRA is evaluated too, so that more training cannot make it worse."""
    return initial_lora is not None and step == 0 and bool(config.candidate_prompts)


class PreviewMaker:
    """Draws the samples and candidates of one training, and yields them as events of its job."""

    def __init__(
        self, base: BaseModel, photos: Sequence[bytes], config: TrainingConfig, *, job_id: int, attempt: int
    ) -> None:
        self._base = base
        self._photos = photos
        self._config = config
        self._job_id = job_id
        self._attempt = attempt
        self._identity_encoder = IdentityEncoder(base)
        self._photo_embeddings: IdentityEmbeddings = ()

    def draw_samples(
        self, adapter: Adapter, step: int, current_step: int, is_fast: bool = False
    ) -> Generator[WorkerEvent, None, None]:
        """Draw the samples of a step, with the two halves of the guidance one after the other to save memory.

        `current_step` is where the training is; the ProgressEvent after each denoising step repeats it.
        """
        for prompt in self._config.sample_prompts:
            request = GenerateRequest(
                job_id=self._job_id,
                attempt=self._attempt,
                prompt=prompt.prompt,
                negative_prompt=prompt.negative_prompt,
                width_px=prompt.width_px,
                height_px=prompt.height_px,
                steps=prompt.steps,
                is_fast=is_fast,
                guidance_scale=prompt.guidance_scale,
                seed=prompt.seed,
            )
            png = yield from self._draw(request, adapter if step else None, current_step, is_sequential=True)
            yield SampleEvent(
                job_id=self._job_id,
                attempt=self._attempt,
                step=self._config.previous_steps + step,
                png=png,
            )

    def make_candidate(
        self, adapter: Adapter, metadata: dict[str, str], step: int
    ) -> Generator[WorkerEvent, None, None]:
        """Draw the pictures of a candidate, and yield it with its LoRA file."""
        pictures: list[bytes] = []
        # Both halves of the guidance in one pass still take less memory than a training step.
        is_sequential = self._base.memory_mode.gradient_checkpointing
        for index, prompt in enumerate(self._config.candidate_prompts):
            request = GenerateRequest(
                job_id=self._job_id,
                attempt=self._attempt,
                prompt=prompt,
                steps=self._config.candidate_picture_steps,
                seed=FIRST_SEED + index,
            )
            png = yield from self._draw(request, adapter, step, is_sequential=is_sequential)
            pictures.append(png)
        yield CandidateEvent(
            job_id=self._job_id,
            attempt=self._attempt,
            step=self._config.previous_steps + step,
            lora=write_lora(self._base, adapter.copy_weights(), metadata, self._config.save_precision),
            pictures=tuple(pictures),
            picture_embeddings=self._identity_encoder.embed(pictures),
            photo_embeddings=self._embed_photos(),
        )

    def _draw(
        self, request: GenerateRequest, adapter: Adapter | None, current_step: int, *, is_sequential: bool
    ) -> Generator[WorkerEvent, None, bytes]:
        """Yield a ProgressEvent after each denoising step, and return the picture as a PNG file.

        Where its numbers are not finite it is drawn again in full precision; the training keeps its own.
        """
        try:
            return (yield from self._try_drawing(request, adapter, current_step, is_sequential, False))
        except NotFinite:
            return (yield from self._try_drawing(request, adapter, current_step, is_sequential, True))

    def _try_drawing(
        self,
        request: GenerateRequest,
        adapter: Adapter | None,
        current_step: int,
        is_sequential: bool,
        is_full_precision: bool,
    ) -> Generator[WorkerEvent, None, bytes]:
        base = self._base
        recipe = resolve_recipes(base, request)[0]
        with base.use_precision(is_full_precision):
            conditioning = encode_recipe_prompts(base, recipe, adapter)
        image = generate.create_image(base, recipe, adapter, conditioning)
        image.is_full_precision = is_full_precision
        while not image.is_done:
            denoiser.denoise_step(base, [image], is_sequential=is_sequential)
            yield ProgressEvent(
                job_id=self._job_id, attempt=self._attempt, step=current_step, steps=self._config.steps
            )
        return generate.decode_to_png(base, image.latents, recipe)

    def _embed_photos(self) -> IdentityEmbeddings:
        if not self._photo_embeddings:
            self._photo_embeddings = self._identity_encoder.embed(self._photos)
        return self._photo_embeddings
