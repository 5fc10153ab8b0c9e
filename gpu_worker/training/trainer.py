"""Train a LoRA, from photos to file.

Every generator here yields after each step and keeps no torch context open across a yield: one thread runs
several of them in turn, so between two steps another job may have used the same base model.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gpu_worker.device import memory_modes
from gpu_worker.device.memory_modes import ComputeError
from gpu_worker.device.placement import empty_cache
from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.lora.layers import read_lora, write_lora
from gpu_worker.memory import mode_retry
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import (
    CheckpointEvent,
    DoneEvent,
    FallbackCause,
    FallbackEvent,
    ProgressEvent,
    StartedEvent,
    TrainRequest,
    WorkerEvent,
)
from gpu_worker.training import metadata as training_metadata
from gpu_worker.training import previews
from gpu_worker.training.checkpoint import TrainingState
from gpu_worker.training.config import SamplePrompt, TrainingConfig, check_config
from gpu_worker.training.data import TrainingImage, build_images
from gpu_worker.training.fingerprint import compute_fingerprint, find_checkpoint
from gpu_worker.training.latents import LatentCache, LatentDataset
from gpu_worker.training.loss_reader import AsyncLossReader, NanGuard, StepLoss
from gpu_worker.training.previews import PreviewMaker
from gpu_worker.training.step import TrainStep

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepReport:
    """Losses of one optimizer step, and the learning rates that follow it, by sd-scripts' names."""

    step: int  #: counted from 1
    batch_losses: tuple[float, ...]
    learning_rates: dict[str, float]
    adapted_rates: dict[str, float]  #: these times the factor that Prodigy found


@dataclass(frozen=True)
class TrainingTask:
    """One training: images, settings, and the job it belongs to."""

    images: tuple[TrainingImage, ...] = field(repr=False)
    config: TrainingConfig
    job_id: int = 0
    attempt: int = 0
    name: str = "lora"  #: written into the file's metadata
    comment: str = ""  #: written into the file's metadata
    metadata: Mapping[str, object] = field(default_factory=dict)  #: goes before what the settings say
    resume_checkpoint: bytes | None = field(default=None, repr=False)  #: an encoded Checkpoint
    initial_lora: bytes | None = field(default=None, repr=False)  #: a finished LoRA to train further
    must_resume: bool = False  #: raise BadInput for a checkpoint that does not fit, instead of starting over
    checkpoint_at_end: bool = False  #: save one after the last step too, so that more steps can follow later
    latents_dir: Path | None = None  #: folder that keeps encoded images for later trainings
    on_step: Callable[[StepReport], None] | None = None


def train(
    base: BaseModel, request: TrainRequest, config: TrainingConfig, latent_cache: LatentCache | None = None
) -> Generator[WorkerEvent, None, None]:
    """Train the LoRA of a request. Steps and seed of the request override those of `config`."""
    if base.family.takes_letters_only and not request.token.isalpha():
        raise BadInput(JobProblem.TRIGGER_NOT_LETTERS, name=request.token[:40], model=base.family.title)
    steps = config.steps if request.steps is None else request.steps
    if request.initial_lora is not None:
        # It has learnt enough to be a candidate at once, and samples of the bare base model say nothing new.
        config = replace(
            config, previous_steps=request.start_step, candidates_from_step=0, sample_at_first=False
        )
    repeats = max(1, steps * config.batch_size // max(1, len(request.photos)))
    sample_prompts = (SamplePrompt(request.sample_prompt),) if request.sample_prompt else ()
    task = TrainingTask(
        images=build_images(request, repeats),
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


def train_photos(
    base: BaseModel, task: TrainingTask, latent_cache: LatentCache | None = None
) -> Generator[WorkerEvent, None, None]:
    """Train a LoRA and yield its events.

    These are StartedEvent, ProgressEvent after every step, SampleEvent, CandidateEvent and CheckpointEvent as
    they are due, and DoneEvent. After OOM or NaN the training takes the next memory mode, continues from its
    last checkpoint and yields FallbackEvent. Raises BadInput if images or settings cannot be used, or if no
    memory mode is left.
    """
    if not task.images:
        raise BadInput(JobProblem.NO_PHOTOS)
    check_config(task.config)
    run_state = RunState(base, task)
    yield StartedEvent(
        job_id=task.job_id,
        attempt=task.attempt,
        step=run_state.step,
        steps=task.config.steps,
        family=base.family.name,
    )
    if latent_cache is None:  # not `or`: an empty cache is falsy
        latent_cache = LatentCache(task.latents_dir)
    mode_retry.restore_memory_mode(base, base.family.memory)
    if run_state.checkpoint is not None:
        mode_retry.resume_storage(base, run_state.checkpoint.storage)
    if task.config.gradient_checkpointing is not None:
        base.set_memory_mode(
            replace(base.memory_mode, gradient_checkpointing=task.config.gradient_checkpointing)
        )
    compute_error = None
    while True:
        try:
            # Not in the handler below: there the exception would keep the failed step's tensors alive.
            if compute_error is not None:
                yield _fall_back(base, task, run_state, compute_error)
                compute_error = None  # its traceback refers to the failed attempt's tensors
            yield from _run_attempt(base, task, latent_cache, run_state)
            return
        except Exception as error:  # also raised when the wider dtype needs more memory than there is
            compute_error = memory_modes.as_compute_error(error)
            if compute_error is None:
                raise


def _run_attempt(
    base: BaseModel, task: TrainingTask, latent_cache: LatentCache, run_state: RunState
) -> Generator[WorkerEvent, None, None]:
    """Train in one memory mode, from the last checkpoint on."""
    config = task.config
    dataset = LatentDataset(base, task.images, config, latent_cache)
    initial_weights = read_lora(base, task.initial_lora).weights if task.initial_lora else None
    state = TrainingState(base, config, run_state.checkpoint, initial_weights)
    train_step = TrainStep(base, config, dataset)
    base.keep_text_encoders(config.train_text_encoder)
    try:
        yield from _run_steps(train_step, state, base, task, run_state)
        metadata = run_state.build_metadata(task, state.step)
        lora = write_lora(base, state.adapter.copy_weights(), metadata, config.save_precision)
        yield DoneEvent(job_id=task.job_id, attempt=task.attempt, lora=lora, elapsed_s=run_state.elapsed_s())
    finally:
        state.adapter.deactivate()
        base.keep_text_encoders(False)


def _run_steps(
    train_step: TrainStep, state: TrainingState, base: BaseModel, task: TrainingTask, run_state: RunState
) -> Generator[WorkerEvent, None, None]:
    """Run the remaining steps; yield previews as they are due, and checkpoints by steps or by seconds."""
    config = task.config
    loss_reader, nan_guard = AsyncLossReader(base.device), NanGuard(base.dtype)
    photos = [image.data for image in task.images]
    preview_maker = PreviewMaker(base, photos, config, job_id=task.job_id, attempt=task.attempt)
    last_saved_at = time.monotonic()
    if previews.is_initial_candidate_due(state.step, task.initial_lora, config):
        metadata = run_state.build_metadata(task, state.step)
        yield from preview_maker.make_candidate(state.adapter, metadata, state.step)
    while state.step < config.steps:
        step_loss = loss_reader.push(state.step + 1, train_step.run(state))
        nan_guard.check(step_loss)
        _report_step(task, state, step_loss)
        yield ProgressEvent(job_id=task.job_id, attempt=task.attempt, step=state.step, steps=config.steps)
        for sampled_step in previews.due_sample_steps(state.step, config):
            yield from preview_maker.draw_samples(state.adapter, sampled_step, state.step)
        if previews.is_first_sample_due(state.step, config, base.family.sampling.fast_steps):
            yield from preview_maker.draw_samples(state.adapter, state.step, state.step, is_fast=True)
        if previews.is_candidate_due(state.step, config):
            step_loss = loss_reader.flush()
            nan_guard.check(step_loss)
            _report_step(task, state, step_loss)
            metadata = run_state.build_metadata(task, state.step)
            yield from preview_maker.make_candidate(state.adapter, metadata, state.step)
        is_due_by_steps = state.step % config.checkpoint_every_steps == 0
        is_due_by_time = time.monotonic() - last_saved_at >= config.checkpoint_every_s
        if (is_due_by_steps or is_due_by_time) and state.step < config.steps:
            yield run_state.save_checkpoint(state, task)
            last_saved_at = time.monotonic()
    step_loss = loss_reader.flush()
    nan_guard.check(step_loss)
    _report_step(task, state, step_loss)
    state.check_finite()
    if task.checkpoint_at_end:
        yield run_state.save_checkpoint(state, task)


def _report_step(task: TrainingTask, state: TrainingState, step_loss: StepLoss | None) -> None:
    """Report the step whose losses are known: on a GPU the one before."""
    if task.on_step is None or step_loss is None:
        return
    learning_rates = state.learning_rates(step_loss.step)
    task.on_step(
        StepReport(step_loss.step, step_loss.batch_losses, learning_rates, state.adapt_rates(learning_rates))
    )


class RunState:
    """Fingerprint, last checkpoint and clock of a training, over all its attempts."""

    def __init__(self, base: BaseModel, task: TrainingTask) -> None:
        self._resumed_at = time.monotonic()
        self._base = base
        self.fingerprint = compute_fingerprint(base.identity, task.config, task.images)
        self.checkpoint = find_checkpoint(
            task.resume_checkpoint, self.fingerprint, task.job_id, task.must_resume
        )
        self._started_at = self.checkpoint.started_at if self.checkpoint else time.time()
        self._previous_seconds = self.checkpoint.seconds if self.checkpoint else 0.0

    @property
    def step(self) -> int:
        """The step to resume from; 0 without a checkpoint."""
        return self.checkpoint.step if self.checkpoint else 0

    def elapsed_s(self) -> float:
        """Return the training time, including that of earlier attempts up to the checkpoint."""
        return self._previous_seconds + time.monotonic() - self._resumed_at

    def save_checkpoint(self, state: TrainingState, task: TrainingTask) -> CheckpointEvent:
        """Keep a checkpoint to fall back to, and return it as an event; NotFinite if it is not usable."""
        state.check_finite()
        checkpoint = state.to_checkpoint(self.elapsed_s(), self._started_at, self.fingerprint)
        self.checkpoint = checkpoint = replace(checkpoint, storage=self._base.memory_mode.storage)
        return CheckpointEvent(
            job_id=task.job_id, attempt=task.attempt, step=state.step, data=checkpoint.encode()
        )

    def build_metadata(self, task: TrainingTask, steps_done: int) -> dict[str, str]:
        """Return the metadata of a LoRA file written after so many steps."""
        record = training_metadata.TrainingRecord(
            name=task.name,
            steps_done=task.config.previous_steps + steps_done,
            started_at=self._started_at,
            finished_at=time.time(),
            comment=task.comment,
            overrides=task.metadata,
        )
        return training_metadata.build_metadata(self._base, task.images, task.config, record)


def _fall_back(
    base: BaseModel, task: TrainingTask, run_state: RunState, compute_error: ComputeError
) -> FallbackEvent:
    """Set the next memory mode after OOM or NaN; BadInput if there is none."""
    gc.collect()
    empty_cache()
    is_out_of_memory = isinstance(compute_error, memory_modes.OutOfMemory)
    memory_mode = mode_retry.find_lower_mode(base, base.family.memory, compute_error)
    if memory_mode is None and is_out_of_memory:
        raise BadInput(
            JobProblem.TRAINING_OUT_OF_MEMORY, resolution_px=str(task.config.resolution_px)
        ) from compute_error
    if memory_mode is None:
        raise BadInput(JobProblem.TRAINING_NOT_FINITE) from compute_error
    cause = FallbackCause.OUT_OF_MEMORY if is_out_of_memory else FallbackCause.NOT_FINITE
    is_rounded = memory_mode.storage is not base.memory_mode.storage
    log.warning(
        "job %d: %s with %s; going on from step %d with %s%s (%s)",
        *(task.job_id, cause, base.memory_mode, run_state.step, memory_mode),
        *(" until the base model is loaded again" * is_rounded, compute_error),
    )
    base.mode_retry.note_fallback(base.memory_mode)
    base.set_memory_mode(memory_mode)
    return FallbackEvent(
        job_id=task.job_id,
        attempt=task.attempt,
        step=run_state.step,
        cause=cause,
        memory_mode=str(memory_mode),
    )
