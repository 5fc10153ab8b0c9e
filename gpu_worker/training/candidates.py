"""Candidates: the LoRA as it is at a step, with pictures that tell how well it does.

Every candidate of a training draws the same words with the same seeds, so that only the LoRA differs. Which
one is handed out is not decided here: whoever looks at the pictures says how alike they are.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from gpu_worker.generation import denoiser, generate
from gpu_worker.generation.identity import IdentityEmbeddings, IdentityEncoder
from gpu_worker.lora import file as lora_file
from gpu_worker.lora.layers import Adapter
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import CandidateEvent, GenerateRequest, ProgressEvent, WorkerEvent
from gpu_worker.training.config import TrainingConfig

#: The first picture's seed; any would do.
FIRST_SEED = 500


def is_candidate_due(step: int, config: TrainingConfig) -> bool:
    """Say whether a candidate comes after this step; the last step's is always one."""
    if not config.candidate_prompts or config.candidate_every_steps is None:
        return False
    if step == config.steps:
        return True
    return step >= config.candidates_from_step and step % config.candidate_every_steps == 0


def is_initial_candidate_due(step: int, initial_lora: bytes | None, config: TrainingConfig) -> bool:
    """Say whether the LoRA that is gone on with is a candidate itself: nothing learnt may be worth it."""
    return initial_lora is not None and step == 0 and bool(config.candidate_prompts)


class CandidateMaker:
    """Makes the candidates of one training."""

    def __init__(self, base: BaseModel, photos: Sequence[bytes], config: TrainingConfig) -> None:
        self._base, self._photos, self._config = base, photos, config
        self._identity_encoder = IdentityEncoder(base)
        self._photo_identities: IdentityEmbeddings = ()

    def make_candidate(
        self, adapter: Adapter, metadata: dict[str, str], step: int, job_fields: Any
    ) -> Generator[WorkerEvent, None, None]:
        """Draw the pictures of a candidate, a Progress after each denoising step, and hand it out."""
        pictures: list[bytes] = []
        for index, prompt in enumerate(self._config.candidate_prompts):
            request = GenerateRequest(
                **job_fields,
                prompt=prompt,
                steps=self._config.candidate_picture_steps,
                seed=FIRST_SEED + index,
            )
            recipe = generate.resolve_recipes(self._base, request)[0]
            image = generate.create_image(
                self._base, recipe, adapter, generate.encode_recipe_prompts(self._base, recipe, adapter)
            )
            while not image.is_done:
                # Both halves of the guidance in one pass, which still takes less memory than a training step.
                denoiser.denoise_step(
                    self._base, [image], is_sequential=self._base.memory_mode.gradient_checkpointing
                )
                yield ProgressEvent(**job_fields, step=step, steps=self._config.steps)
            pictures.append(generate.decode_to_png(self._base, image.latents, recipe))
        yield CandidateEvent(
            **job_fields,
            step=self._config.steps_before + step,
            lora=lora_file.write(adapter.copy_weights(), metadata, self._config.save_precision),
            pictures=tuple(pictures),
            picture_embeddings=self._identity_encoder.embed(pictures),
            photo_embeddings=self._encode_photos(),
        )

    def _encode_photos(self) -> IdentityEmbeddings:
        if not self._photo_identities:
            self._photo_identities = self._identity_encoder.embed(self._photos)
        return self._photo_identities
