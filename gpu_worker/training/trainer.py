"""Training a LoRA, from photos to file. Read it from top to bottom.

Every generator here yields after each step and keeps no torch context open across a yield, because one
thread advances several of them in turn: between two steps a picture may have been drawn on the same model.
"""

from __future__ import annotations

import gc
import logging
import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from gpu_worker.device import memory_modes
from gpu_worker.device.memory_modes import ComputeError, NotFinite
from gpu_worker.errors import BadInput
from gpu_worker.lora import file as lora_file
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import (
    CheckpointEvent,
    DoneEvent,
    FallbackEvent,
    ProgressEvent,
    StartedEvent,
    TrainRequest,
    WorkerEvent,
)
from gpu_worker.training import candidates, samples
from gpu_worker.training import metadata as training_metadata
from gpu_worker.training.checkpoint import Checkpoint, TrainingState
from gpu_worker.training.config import SamplePrompt, TrainingConfig
from gpu_worker.training.data import TrainingImage
from gpu_worker.training.fingerprint import compute_fingerprint
from gpu_worker.training.latents import LatentCache, LatentDataset
from gpu_worker.training.loss_reader import AsyncLossReader
from gpu_worker.training.step import TrainStep

log = logging.getLogger(__name__)

#: So many steps in a row without a finite loss, and half precision is too narrow for this training: one or
#: two are the loss scaler finding its scale.
_MAX_BAD_FP16_STEPS = 8


@dataclass(frozen=True)
class StepReport:
    """What one optimizer step did. Rates are those it was taken with."""

    step: int
    loss: float
    unet_lr: float
    text_encoder_lr: float


@dataclass(frozen=True)
class TrainingTask:
    """One training: what to learn from, how, and whose job it is."""

    images: tuple[TrainingImage, ...] = field(repr=False)
    config: TrainingConfig
    job_id: int = 0
    attempt: int = 0
    name: str = "lora"  #: put into the file's metadata
    comment: str = ""  #: put into the file's metadata
    resume_checkpoint: bytes | None = field(default=None, repr=False)  #: the data of a Checkpoint
    initial_lora: bytes | None = field(default=None, repr=False)  #: a finished LoRA to go on from
    must_resume: bool = (
        False  #: a checkpoint that does not fit is an error, and not a start from the beginning
    )
    checkpoint_at_end: bool = False  #: give one after the last step too, to go on with more steps later
    latents_dir: Path | None = None  #: where encoded pictures are kept for another time
    on_step: Callable[[StepReport], None] | None = None

    @property
    def job_fields(self) -> Any:
        """The fields that every event of this training has."""
        return {"job_id": self.job_id, "attempt": self.attempt}


def train(
    base: BaseModel, request: TrainRequest, config: TrainingConfig, latent_cache: LatentCache | None = None
) -> Generator[WorkerEvent, None, None]:
    """Train the LoRA of a request; the request's own steps and seed go before the dials'."""
    steps = config.steps if request.steps is None else request.steps
    if request.initial_lora is not None:  # it has learnt enough to be somebody's choice, and is no bare model
        config = replace(
            config, steps_before=request.start_step, candidates_from_step=0, sample_at_first=False
        )
    repeats = max(1, steps * config.batch_size // max(1, len(request.photos)))
    sample_prompts = (SamplePrompt(request.sample_prompt),) if request.sample_prompt else ()
    task = TrainingTask(
        images=_build_images(request, repeats),
        config=replace(
            config,
            masked_loss=config.masked_loss or any(request.masks),
            steps=steps,
            seed=request.seed,
            sample_prompts=config.sample_prompts or sample_prompts,
            candidate_prompts=config.candidate_prompts or request.candidate_prompts,
        ),
        job_id=request.job_id,
        attempt=request.attempt,
        resume_checkpoint=request.resume_checkpoint,
        initial_lora=request.initial_lora,
    )
    yield from train_photos(base, task, latent_cache)


def _build_images(request: TrainRequest, repeats: int) -> tuple[TrainingImage, ...]:
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


def train_photos(
    base: BaseModel, task: TrainingTask, latent_cache: LatentCache | None = None
) -> Generator[WorkerEvent, None, None]:
    """Train a LoRA: Started, Progress after every step, Sample and Checkpoint now and then, Done at last.

    When the card cannot do a step, the training shifts a gear down, goes on from its last checkpoint and says
    so with Adjusted. Raises BadInput when the photos or settings cannot be used, or no gear is left.
    """
    _validate_task(task)
    run_state = RunState(base, task)
    yield StartedEvent(**task.job_fields, step=run_state.step, steps=task.config.steps)
    if latent_cache is None:  # an empty one is a cache too
        latent_cache = LatentCache(task.latents_dir)
    if task.config.gradient_checkpointing is not None:
        base.set_memory_mode(
            replace(base.memory_mode, gradient_checkpointing=task.config.gradient_checkpointing)
        )
    compute_error = None
    while True:
        try:
            # Outside the handler, so that the error no longer holds the failed step's tensors.
            if compute_error is not None:
                yield _fall_back(base, task, run_state, compute_error)
                compute_error = None  # its traceback holds the failed attempt's tensors
            yield from _run_attempt(base, task, latent_cache, run_state)
            return
        except Exception as error:  # also when a wider precision needs more memory than there is
            compute_error = memory_modes.as_compute_error(error)
            if compute_error is None:
                raise


def _run_attempt(
    base: BaseModel, task: TrainingTask, latent_cache: LatentCache, run_state: RunState
) -> Generator[WorkerEvent, None, None]:
    """Train in one gear, from the last snapshot on."""
    config = task.config
    dataset = LatentDataset(base, task.images, config, latent_cache)
    initial_weights = lora_file.read(task.initial_lora).weights if task.initial_lora else None
    state = TrainingState(base, config, run_state.checkpoint, initial_weights)
    train_step = TrainStep(base, config, dataset)
    try:
        yield from _run_steps(train_step, state, base, task, run_state)
        lora = lora_file.write(
            state.adapter.copy_weights(), run_state.build_metadata(task, state.step), config.save_precision
        )
        yield DoneEvent(**task.job_fields, lora=lora, elapsed_s=run_state.elapsed_s())
    finally:
        state.adapter.deactivate()


def _run_steps(
    train_step: TrainStep, state: TrainingState, base: BaseModel, task: TrainingTask, run_state: RunState
) -> Generator[WorkerEvent, None, None]:
    """Step until done; give out checkpoints by count and by clock, whichever is due first, and samples."""
    config = task.config
    loss_reader, nan_guard = AsyncLossReader(base.device), NanGuard(base)
    candidate_maker = candidates.CandidateMaker(base, [image.data for image in task.images], config)
    last_saved_at = time.monotonic()
    if candidates.is_initial_candidate_due(state.step, task.initial_lora, config):
        yield from candidate_maker.make_candidate(
            state.adapter, run_state.build_metadata(task, state.step), state.step, task.job_fields
        )
    while state.step < config.steps:
        report = _run_step(train_step, state, loss_reader, nan_guard)
        if task.on_step is not None and report is not None:
            task.on_step(report)
        yield ProgressEvent(**task.job_fields, step=state.step, steps=config.steps)
        for sampled_step in samples.due_sample_steps(state.step, config):
            yield from samples.generate_samples(
                base, state.adapter, task.job_fields, config, sampled_step, state.step
            )
        if candidates.is_candidate_due(state.step, config):
            nan_guard.check(loss_reader.flush())
            yield from candidate_maker.make_candidate(
                state.adapter, run_state.build_metadata(task, state.step), state.step, task.job_fields
            )
        is_checkpoint_due = state.step % config.checkpoint_every_steps == 0
        is_checkpoint_due = is_checkpoint_due or time.monotonic() - last_saved_at >= config.checkpoint_every_s
        if is_checkpoint_due and state.step < config.steps:
            yield run_state.save_checkpoint(state, task)
            last_saved_at = time.monotonic()
    nan_guard.check(loss_reader.flush())
    _ensure_finite_gradients(state)
    if task.checkpoint_at_end:
        yield run_state.save_checkpoint(state, task)


def _run_step(
    train_step: TrainStep, state: TrainingState, loss_reader: AsyncLossReader, nan_guard: NanGuard
) -> StepReport | None:
    """Do one step; report the one whose loss is known by now, on a card the one before."""
    learning_rates = state.set_learning_rates()
    loss = loss_reader.push(train_step.run(state))
    nan_guard.check(loss)
    if loss is None:
        return None
    return StepReport(state.step, loss, learning_rates["lora_unet_"], learning_rates["lora_te_"])


def _ensure_finite_gradients(state: TrainingState) -> None:
    if not state.has_finite_gradients:
        raise NotFinite("the gradients are no numbers")


class NanGuard:
    """Sees to it that the numbers stay numbers."""

    def __init__(self, base: BaseModel) -> None:
        self._max_bad_steps = _MAX_BAD_FP16_STEPS if base.dtype is torch.float16 else 1
        self._bad_steps = 0

    def check(self, loss: float | None) -> None:
        """Look at a step's loss; NotFinite when too many in a row were none."""
        if loss is None:
            return
        self._bad_steps = 0 if math.isfinite(loss) else self._bad_steps + 1
        if self._bad_steps >= self._max_bad_steps:
            raise NotFinite("the loss is no number")


class RunState:
    """Where a training began, this time and at first, which one it is, and where it can go on."""

    def __init__(self, base: BaseModel, task: TrainingTask) -> None:
        self._resumed_at = time.monotonic()
        self._base = base
        self.fingerprint = compute_fingerprint(base.name, task.config, task.images)
        self.checkpoint = _load_checkpoint(task, self.fingerprint)
        self._started_at = self.checkpoint.started_at if self.checkpoint else time.time()
        self._previous_seconds = self.checkpoint.seconds if self.checkpoint else 0.0

    @property
    def step(self) -> int:
        """The step to go on from."""
        return self.checkpoint.step if self.checkpoint else 0

    def elapsed_s(self) -> float:
        """Return how long the training has taken, its earlier attempts up to their checkpoint included."""
        return self._previous_seconds + time.monotonic() - self._resumed_at

    def save_checkpoint(self, state: TrainingState, task: TrainingTask) -> CheckpointEvent:
        """Remember where the training is; NotFinite when it could not go on from here."""
        checkpoint = state.to_checkpoint(self.elapsed_s(), self._started_at, self.fingerprint)
        if not checkpoint.is_finite():
            raise NotFinite("the LoRA's numbers went out of bounds")
        _ensure_finite_gradients(state)
        self.checkpoint = checkpoint
        return CheckpointEvent(**task.job_fields, step=state.step, data=checkpoint.encode())

    def build_metadata(self, task: TrainingTask, steps_done: int) -> dict[str, str]:
        """Return what a file tells of the training so far."""
        record = training_metadata.TrainingRecord(
            task.name,
            task.config.steps_before + steps_done,
            self._started_at,
            time.time(),
            task.comment,
        )
        return training_metadata.build_metadata(self._base, task.images, task.config, record)


def _fall_back(
    base: BaseModel, task: TrainingTask, run_state: RunState, compute_error: ComputeError
) -> FallbackEvent:
    """Take the next gear down; BadInput when there is none."""
    gc.collect()
    if base.device.type == "cuda":
        torch.cuda.empty_cache()
    is_out_of_memory = isinstance(compute_error, memory_modes.OutOfMemory)
    memory_mode = memory_modes.fall_back(base.memory_mode, compute_error, base.device_config.fallback_dtype)
    if memory_mode is None and is_out_of_memory:
        raise BadInput(
            f"There is too little memory for a training at {task.config.resolution_px} px; "
            "use a smaller resolution or batch."
        ) from compute_error
    if memory_mode is None:
        raise BadInput(lora_file.OUT_OF_BOUNDS_MESSAGE) from compute_error
    cause = "there was too little memory" if is_out_of_memory else "the numbers went out of bounds"
    reason = f"At step {run_state.step}, {cause} with {base.memory_mode}; going on with {memory_mode}."
    log.warning("job %d: %s (%s)", task.job_id, reason, compute_error)
    base.set_memory_mode(memory_mode)
    return FallbackEvent(**task.job_fields, step=run_state.step, reason=reason)


def _validate_task(task: TrainingTask) -> None:
    config = task.config
    if not task.images:
        raise BadInput("There are no photos to train on.")
    if config.steps < 1:
        raise BadInput("A training needs at least one step.")
    if config.resolution_px % 64 or config.resolution_px < 64:
        raise BadInput(f"The resolution must be a multiple of 64 pixels, not {config.resolution_px}.")
    if not (config.train_unet or config.train_text_encoder):
        raise BadInput("A training needs something to train: the UNet, the text encoder, or both.")


def _load_checkpoint(task: TrainingTask, fingerprint: str) -> Checkpoint | None:
    """Read the checkpoint; one that does not fit costs its steps, never the training."""
    if task.resume_checkpoint is None:
        return None
    try:
        checkpoint = Checkpoint.decode(task.resume_checkpoint)
        if checkpoint.fingerprint != fingerprint:
            raise BadInput("The state to go on from was made with other settings or photos.")
    except BadInput as error:
        if task.must_resume:
            raise
        log.warning("job %d starts over: %s", task.job_id, error)
        return None
    return checkpoint
