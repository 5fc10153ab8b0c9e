"""Training a LoRA, from photos to file. Read it from top to bottom.

Every generator here yields after each step and keeps no torch context open across a yield, because one
thread advances several of them in turn: between two steps a picture may have been drawn on the same model.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from torch import Tensor

from gpu_worker import adapters, dataset, lora_file, lora_metadata, training_state
from gpu_worker.base_model import BaseModel
from gpu_worker.dataset import CaptionedPhoto
from gpu_worker.dials import Dials
from gpu_worker.errors import BadInput
from gpu_worker.protocol import Checkpoint, Done, Event, Progress, Started, Train
from gpu_worker.training_state import Snapshot, TrainingState

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingTask:
    """One training: what to learn from, how, and whose job it is."""

    photos: tuple[CaptionedPhoto, ...] = field(repr=False)
    dials: Dials
    job_id: int = 0
    attempt: int = 0
    name: str = "lora"  #: put into the file's metadata
    resume: bytes | None = field(default=None, repr=False)


def train(base: BaseModel, request: Train, dials: Dials) -> Generator[Event, None, None]:
    """Train the LoRA of a request; the request's own steps and seed go before the dials'."""
    caption = f"{request.token} {request.class_word}"
    steps = dials.steps if request.steps is None else request.steps
    repeats = max(1, steps * dials.batch_size // max(1, len(request.photos)))
    task = TrainingTask(
        photos=tuple(CaptionedPhoto(photo, caption, repeats) for photo in request.photos),
        dials=replace(dials, steps=steps, seed=request.seed),
        job_id=request.job_id,
        attempt=request.attempt,
        resume=request.resume,
    )
    yield from train_photos(base, task)


def train_photos(base: BaseModel, task: TrainingTask) -> Generator[Event, None, None]:
    """Train a LoRA: Started, Progress after every step, Checkpoint now and then, Done with the file.

    Raises BadInput when the photos or settings cannot be used.
    """
    _check(task)
    diary = _Diary(base, task)
    pixels = [dataset.to_pixels(photo.data, task.dials.resolution_px) for photo in task.photos]
    yield Started(**diary.job, step=diary.first_step, steps=task.dials.steps)
    # Each photo is encoded once. Its own random stream: a resumed training must see the same latents.
    encoding = torch.Generator().manual_seed(task.dials.seed)
    latents: list[Tensor] = []
    for picture in pixels:
        latents.append(base.encode(picture.unsqueeze(0), encoding))
        yield Progress(**diary.job, step=diary.first_step, steps=task.dials.steps)

    lesson = Lesson(base, task, torch.cat(latents))
    state = TrainingState(base, task.dials, diary.snapshot)
    try:
        yield from _learn(lesson, state, task.dials, diary)
        record = lora_metadata.TrainingRecord(task.name, state.step, diary.started_at, time.time())
        metadata = lora_metadata.describe(base, task.photos, task.dials, record)
        file = lora_file.write(state.adapter.matrices(), metadata, task.dials.save_precision)
        yield Done(**diary.job, lora=file, seconds=diary.seconds())
    finally:
        state.adapter.remove()


def _learn(lesson: Lesson, state: TrainingState, dials: Dials, diary: _Diary) -> Generator[Event, None, None]:
    """Step until done; give out checkpoints by count and by clock, whichever is due first."""
    saved_step, saved_at = state.step, time.monotonic()
    while state.step < dials.steps:
        lesson.step(state)
        yield Progress(**diary.job, step=state.step, steps=dials.steps)
        due = state.step - saved_step >= dials.checkpoint_every_steps
        due = due or time.monotonic() - saved_at >= dials.checkpoint_every_s
        if due and state.step < dials.steps:
            saved = state.snapshot(diary.seconds(), diary.started_at, diary.fingerprint)
            yield Checkpoint(**diary.job, step=state.step, data=saved.encode())
            saved_step, saved_at = state.step, time.monotonic()


class _Diary:
    """Where a training began, this time and at first, and which one it is."""

    def __init__(self, base: BaseModel, task: TrainingTask) -> None:
        self._began = time.monotonic()
        self.job: Any = {"job_id": task.job_id, "attempt": task.attempt}
        self.fingerprint = training_state.fingerprint(base, task.dials, _contents(task))
        self.snapshot = _usable_snapshot(task, self.fingerprint)
        self.first_step = self.snapshot.step if self.snapshot else 0
        self.started_at = self.snapshot.started_at if self.snapshot else time.time()
        self._seconds_before = self.snapshot.seconds if self.snapshot else 0.0

    def seconds(self) -> float:
        """Return how long the training has taken, its earlier attempts up to their checkpoint included."""
        return self._seconds_before + time.monotonic() - self._began


class Lesson:
    """What stays the same during a training, and one step of it."""

    def __init__(self, base: BaseModel, task: TrainingTask, latents: Tensor) -> None:
        self._base, self._dials, self._latents = base, task.dials, latents
        self._schedule = DDPMScheduler.from_config(base.scheduler_config)
        self._order = dataset.Order(
            [photo.repeats for photo in task.photos], task.dials.batch_size, task.dials.seed
        )
        self._captions = [photo.caption for photo in task.photos]
        # A text encoder that does not learn says the same at every step.
        self._said = None if task.dials.train_text_encoder else self._embed_once()

    @torch.no_grad()
    def _embed_once(self) -> Tensor:
        adapters.deactivate_all(self._base)
        return self._base.embed(self._captions)

    def _words(self, chosen: list[int]) -> Tensor:
        if self._said is not None:
            return self._said[chosen]
        return self._base.embed([self._captions[index] for index in chosen])

    def step(self, state: TrainingState) -> None:
        """Do one optimizer step."""
        # Whoever ran between two steps left another adapter on, or none.
        state.adapter.activate(train=True)
        with torch.enable_grad():
            loss = self.loss(state)
            state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        state.scaler.unscale_(state.optimizer)
        torch.nn.utils.clip_grad_norm_(state.parameters, self._dials.max_gradient_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        state.step += 1

    def loss(self, state: TrainingState) -> Tensor:
        """Return how badly the model tells the noise in a noisy photo, weighted by min-SNR."""
        chosen = self._order.batch(state.step)
        clean = self._latents[chosen]  # (batch, 4, side / 8, side / 8), fp32
        # Drawn on the CPU from the training's own stream: the same on every card, and nobody else's.
        noise = torch.randn(clean.shape, generator=state.generator).to(clean.device)
        count = self._schedule.config.num_train_timesteps
        times = torch.randint(0, count, (len(chosen),), generator=state.generator).to(clean.device)
        noisy = self._schedule.add_noise(clean, noise, times)
        words = self._words(chosen)
        told = self._base.unet(noisy.to(self._base.dtype), times, words).sample.float()
        velocity = self._schedule.config.prediction_type == "v_prediction"
        wanted = self._schedule.get_velocity(clean, noise, times) if velocity else noise
        losses = F.mse_loss(told, wanted, reduction="none").mean(dim=(1, 2, 3))
        if self._dials.min_snr_gamma is not None:
            losses = losses * self._weights(times, velocity, self._dials.min_snr_gamma)
        return losses.mean()

    def _weights(self, times: Tensor, velocity: bool, gamma: float) -> Tensor:
        """Return min(SNR, gamma) / SNR, so that nearly clean photos do not drown the rest."""
        kept: Tensor = self._schedule.alphas_cumprod.to(times.device)[times]
        snr = kept / (1 - kept)
        return snr.clamp(max=gamma) / (snr + 1 if velocity else snr)


def _check(task: TrainingTask) -> None:
    if not task.photos:
        raise BadInput("There are no photos to train on.")
    if task.dials.steps < 1:
        raise BadInput("A training needs at least one step.")
    if task.dials.resolution_px % 64 or task.dials.resolution_px < 64:
        raise BadInput(f"The resolution must be a multiple of 64 pixels, not {task.dials.resolution_px}.")


def _contents(task: TrainingTask) -> list[str]:
    return [
        f"{hashlib.sha256(photo.data).hexdigest()} {photo.caption} {photo.repeats}" for photo in task.photos
    ]


def _usable_snapshot(task: TrainingTask, fingerprint: str) -> Snapshot | None:
    """Read the checkpoint; one that does not fit costs its steps, never the training."""
    if task.resume is None:
        return None
    try:
        snapshot = Snapshot.decode(task.resume)
    except BadInput as error:
        log.warning("job %d starts over: %s", task.job_id, error)
        return None
    if snapshot.fingerprint != fingerprint:
        log.warning("job %d starts over: the checkpoint was made with other settings or photos", task.job_id)
        return None
    return snapshot
