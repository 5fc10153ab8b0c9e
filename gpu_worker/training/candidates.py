"""Candidates: the LoRA as it is at a step, with pictures that tell how well it does.

Every candidate of a training draws the same words with the same seeds, so that only the LoRA differs. Which
one is handed out is not decided here: whoever looks at the pictures says how alike they are.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from gpu_worker.generation import denoiser, generate
from gpu_worker.generation.identity import Identities, Who
from gpu_worker.lora import file as lora_file
from gpu_worker.lora.layers import Adapter
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import Candidate, Event, Generate, Progress
from gpu_worker.training.config import Dials

#: The first picture's seed; any would do.
FIRST_SEED = 500


def due(step: int, dials: Dials) -> bool:
    """Say whether a candidate comes after this step; the last step's is always one."""
    if not dials.candidate_prompts or dials.candidate_every_steps is None:
        return False
    if step == dials.steps:
        return True
    return step >= dials.candidates_from_step and step % dials.candidate_every_steps == 0


def due_as_it_was(step: int, start_from: bytes | None, dials: Dials) -> bool:
    """Say whether the LoRA that is gone on with is a candidate itself: nothing learnt may be worth it."""
    return start_from is not None and step == 0 and bool(dials.candidate_prompts)


class Candidates:
    """Makes the candidates of one training."""

    def __init__(self, base: BaseModel, photos: Sequence[bytes], dials: Dials) -> None:
        self._base, self._photos, self._dials = base, photos, dials
        self._who = Who(base)
        self._of_photos: Identities = ()

    def make(
        self, adapter: Adapter, metadata: dict[str, str], step: int, job: Any
    ) -> Generator[Event, None, None]:
        """Draw the pictures of a candidate, a Progress after each denoising step, and hand it out."""
        pictures: list[bytes] = []
        for number, prompt in enumerate(self._dials.candidate_prompts):
            wish = Generate(
                **job, prompt=prompt, steps=self._dials.candidate_picture_steps, seed=FIRST_SEED + number
            )
            recipe = generate.settle(self._base, wish)[0]
            canvas = generate.canvas(
                self._base, recipe, adapter, generate.listen(self._base, recipe, adapter)
            )
            while not canvas.is_done:
                # Both halves of the guidance in one pass, which still takes less memory than a training step.
                denoiser.draw_step(self._base, [canvas], one_at_a_time=self._base.gear.checkpointing)
                yield Progress(**job, step=step, steps=self._dials.steps)
            pictures.append(generate.to_png(self._base, canvas.latents, recipe))
        yield Candidate(
            **job,
            step=self._dials.steps_before + step,
            lora=lora_file.write(adapter.matrices(), metadata, self._dials.save_precision),
            pictures=tuple(pictures),
            identities=self._who.is_in(pictures),
            photo_identities=self._identities_of_photos(),
        )

    def _identities_of_photos(self) -> Identities:
        if not self._of_photos:
            self._of_photos = self._who.is_in(self._photos)
        return self._of_photos
