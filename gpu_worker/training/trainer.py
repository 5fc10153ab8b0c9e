"""Training a LoRA, from photos to file. Read it from top to bottom.

Every generator here yields after each step and keeps no torch context open across a yield, because one
thread advances several of them in turn: between two steps a picture may have been drawn on the same model.
"""

from __future__ import annotations

import gc
import hashlib
import logging
import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from gpu_worker.device import memory_modes
from gpu_worker.device.memory_modes import NotFinite, Trouble
from gpu_worker.errors import BadInput
from gpu_worker.lora import file as lora_file
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import Adjusted, Checkpoint, Done, Event, Progress, Started, Train
from gpu_worker.training import candidates, checkpoint, samples
from gpu_worker.training import metadata as training_metadata
from gpu_worker.training.checkpoint import Snapshot, TrainingState
from gpu_worker.training.config import Dials, SamplePrompt
from gpu_worker.training.data import Example
from gpu_worker.training.latents import LatentCache, Shelf
from gpu_worker.training.loss_reader import Pace
from gpu_worker.training.step import Lesson

log = logging.getLogger(__name__)

#: So many steps in a row without a finite loss, and half precision is too narrow for this training: one or
#: two are the loss scaler finding its scale.
_BAD_STEPS_IN_FP16 = 8


@dataclass(frozen=True)
class StepReport:
    """What one optimizer step did. Rates are those it was taken with."""

    step: int
    loss: float
    unet_rate: float
    text_rate: float


@dataclass(frozen=True)
class TrainingTask:
    """One training: what to learn from, how, and whose job it is."""

    photos: tuple[Example, ...] = field(repr=False)
    dials: Dials
    job_id: int = 0
    attempt: int = 0
    name: str = "lora"  #: put into the file's metadata
    comment: str = ""  #: put into the file's metadata
    resume: bytes | None = field(default=None, repr=False)  #: the data of a Checkpoint
    start_from: bytes | None = field(default=None, repr=False)  #: a finished LoRA to go on from
    must_resume: bool = (
        False  #: a checkpoint that does not fit is an error, and not a start from the beginning
    )
    checkpoint_at_end: bool = False  #: give one after the last step too, to go on with more steps later
    latents_dir: Path | None = None  #: where encoded pictures are kept for another time
    on_step: Callable[[StepReport], None] | None = None

    @property
    def job(self) -> Any:
        """The fields that every event of this training has."""
        return {"job_id": self.job_id, "attempt": self.attempt}


def train(
    base: BaseModel, request: Train, dials: Dials, cache: LatentCache | None = None
) -> Generator[Event, None, None]:
    """Train the LoRA of a request; the request's own steps and seed go before the dials'."""
    steps = dials.steps if request.steps is None else request.steps
    if request.start_from is not None:  # it has learnt enough to be somebody's choice, and is no bare model
        dials = replace(dials, steps_before=request.start_step, candidates_from_step=0, sample_at_first=False)
    repeats = max(1, steps * dials.batch_size // max(1, len(request.photos)))
    shown = (SamplePrompt(request.sample_prompt),) if request.sample_prompt else ()
    task = TrainingTask(
        photos=_examples(request, repeats),
        dials=replace(
            dials,
            masked_loss=dials.masked_loss or any(request.masks),
            steps=steps,
            seed=request.seed,
            sample_prompts=dials.sample_prompts or shown,
            candidate_prompts=dials.candidate_prompts or request.candidate_prompts,
        ),
        job_id=request.job_id,
        attempt=request.attempt,
        resume=request.resume,
        start_from=request.start_from,
    )
    yield from train_photos(base, task, cache)


def _examples(request: Train, repeats: int) -> tuple[Example, ...]:
    count = len(request.photos)
    for told in (request.captions, request.crops, request.masks):
        if len(told) not in (0, count):
            raise BadInput("There must be one caption, crop and mask for each photo, or none.")
    captions = request.captions or (f"{request.token} {request.class_word}",) * count
    crops, masks = request.crops or (None,) * count, request.masks or (None,) * count
    return tuple(
        Example(photo, caption, repeats, trigger=request.token, mask=mask, crop=crop)
        for photo, caption, crop, mask in zip(request.photos, captions, crops, masks, strict=True)
    )


def train_photos(
    base: BaseModel, task: TrainingTask, cache: LatentCache | None = None
) -> Generator[Event, None, None]:
    """Train a LoRA: Started, Progress after every step, Sample and Checkpoint now and then, Done at last.

    When the card cannot do a step, the training shifts a gear down, goes on from its last checkpoint and says
    so with Adjusted. Raises BadInput when the photos or settings cannot be used, or no gear is left.
    """
    _check(task)
    diary = _Diary(base, task)
    yield Started(**task.job, step=diary.step, steps=task.dials.steps)
    if cache is None:  # an empty one is a cache too
        cache = LatentCache(task.latents_dir)
    if task.dials.gradient_checkpointing is not None:
        base.shift(replace(base.gear, checkpointing=task.dials.gradient_checkpointing))
    trouble = None
    while True:
        try:
            # Outside the handler, so that the error no longer holds the failed step's tensors.
            if trouble is not None:
                yield _shift_down(base, task, diary, trouble)
                trouble = None  # its traceback holds the failed attempt's tensors
            yield from _attempt(base, task, cache, diary)
            return
        except Exception as error:  # also when a wider precision needs more memory than there is
            trouble = memory_modes.trouble_of(error)
            if trouble is None:
                raise


def _attempt(
    base: BaseModel, task: TrainingTask, cache: LatentCache, diary: _Diary
) -> Generator[Event, None, None]:
    """Train in one gear, from the last snapshot on."""
    dials = task.dials
    shelf = Shelf(base, task.photos, dials, cache)
    start = lora_file.read(task.start_from).matrices if task.start_from else None
    state = TrainingState(base, dials, diary.snapshot, start)
    lesson = Lesson(base, dials, shelf)
    try:
        yield from _learn(lesson, state, base, task, diary)
        file = lora_file.write(
            state.adapter.matrices(), diary.metadata(task, state.step), dials.save_precision
        )
        yield Done(**task.job, lora=file, seconds=diary.seconds())
    finally:
        state.adapter.remove()


def _learn(
    lesson: Lesson, state: TrainingState, base: BaseModel, task: TrainingTask, diary: _Diary
) -> Generator[Event, None, None]:
    """Step until done; give out checkpoints by count and by clock, whichever is due first, and samples."""
    dials = task.dials
    pace, guard = Pace(base.device), _Guard(base)
    maker = candidates.Candidates(base, [photo.data for photo in task.photos], dials)
    saved_at = time.monotonic()
    if candidates.due_as_it_was(state.step, task.start_from, dials):
        yield from maker.make(state.adapter, diary.metadata(task, state.step), state.step, task.job)
    while state.step < dials.steps:
        report = _step(lesson, state, pace, guard)
        if task.on_step is not None and report is not None:
            task.on_step(report)
        yield Progress(**task.job, step=state.step, steps=dials.steps)
        for sampled_step in samples.due(state.step, dials):
            yield from samples.draw(base, state.adapter, task.job, dials, sampled_step, state.step)
        if candidates.due(state.step, dials):
            guard.watch(pace.last())
            yield from maker.make(state.adapter, diary.metadata(task, state.step), state.step, task.job)
        due = state.step % dials.checkpoint_every_steps == 0
        due = due or time.monotonic() - saved_at >= dials.checkpoint_every_s
        if due and state.step < dials.steps:
            yield diary.save(state, task)
            saved_at = time.monotonic()
    guard.watch(pace.last())
    _make_sure_it_learns(state)
    if task.checkpoint_at_end:
        yield diary.save(state, task)


def _step(lesson: Lesson, state: TrainingState, pace: Pace, guard: _Guard) -> StepReport | None:
    """Do one step; report the one whose loss is known by now, on a card the one before."""
    rates = state.set_rates()
    loss = pace.after(lesson.step(state))
    guard.watch(loss)
    if loss is None:
        return None
    return StepReport(state.step, loss, rates["lora_unet_"], rates["lora_te_"])


def _make_sure_it_learns(state: TrainingState) -> None:
    if not state.is_learning:
        raise NotFinite("the gradients are no numbers")


class _Guard:
    """Sees to it that the numbers stay numbers."""

    def __init__(self, base: BaseModel) -> None:
        self._patience = _BAD_STEPS_IN_FP16 if base.dtype is torch.float16 else 1
        self._bad_steps = 0

    def watch(self, loss: float | None) -> None:
        """Look at a step's loss; NotFinite when too many in a row were none."""
        if loss is None:
            return
        self._bad_steps = 0 if math.isfinite(loss) else self._bad_steps + 1
        if self._bad_steps >= self._patience:
            raise NotFinite("the loss is no number")


class _Diary:
    """Where a training began, this time and at first, which one it is, and where it can go on."""

    def __init__(self, base: BaseModel, task: TrainingTask) -> None:
        self._began = time.monotonic()
        self._base = base
        self.fingerprint = checkpoint.fingerprint(base, task.dials, _contents(task))
        self.snapshot = _usable_snapshot(task, self.fingerprint)
        self._started_at = self.snapshot.started_at if self.snapshot else time.time()
        self._seconds_before = self.snapshot.seconds if self.snapshot else 0.0

    @property
    def step(self) -> int:
        """The step to go on from."""
        return self.snapshot.step if self.snapshot else 0

    def seconds(self) -> float:
        """Return how long the training has taken, its earlier attempts up to their checkpoint included."""
        return self._seconds_before + time.monotonic() - self._began

    def save(self, state: TrainingState, task: TrainingTask) -> Checkpoint:
        """Remember where the training is; NotFinite when it could not go on from here."""
        snapshot = state.snapshot(self.seconds(), self._started_at, self.fingerprint)
        if not snapshot.is_finite():
            raise NotFinite("the LoRA's numbers went out of bounds")
        _make_sure_it_learns(state)
        self.snapshot = snapshot
        return Checkpoint(**task.job, step=state.step, data=snapshot.encode())

    def metadata(self, task: TrainingTask, steps_done: int) -> dict[str, str]:
        """Return what a file tells of the training so far."""
        record = training_metadata.TrainingRecord(
            task.name,
            task.dials.steps_before + steps_done,
            self._started_at,
            time.time(),
            task.comment,
        )
        return training_metadata.describe(self._base, task.photos, task.dials, record)


def _shift_down(base: BaseModel, task: TrainingTask, diary: _Diary, trouble: Trouble) -> Adjusted:
    """Take the next gear down; BadInput when there is none."""
    gc.collect()
    if base.device.type == "cuda":
        torch.cuda.empty_cache()
    is_memory = isinstance(trouble, memory_modes.OutOfMemory)
    gear = memory_modes.lower(base.gear, trouble, base.placement.wide_dtype)
    if gear is None and is_memory:
        raise BadInput(
            f"There is too little memory for a training at {task.dials.resolution_px} px; "
            "use a smaller resolution or batch."
        ) from trouble
    if gear is None:
        raise BadInput(lora_file.OUT_OF_BOUNDS) from trouble
    why = "there was too little memory" if is_memory else "the numbers went out of bounds"
    reason = f"At step {diary.step}, {why} with {base.gear}; going on with {gear}."
    log.warning("job %d: %s (%s)", task.job_id, reason, trouble)
    base.shift(gear)
    return Adjusted(**task.job, step=diary.step, reason=reason)


def _check(task: TrainingTask) -> None:
    dials = task.dials
    if not task.photos:
        raise BadInput("There are no photos to train on.")
    if dials.steps < 1:
        raise BadInput("A training needs at least one step.")
    if dials.resolution_px % 64 or dials.resolution_px < 64:
        raise BadInput(f"The resolution must be a multiple of 64 pixels, not {dials.resolution_px}.")
    if not (dials.train_unet or dials.train_text_encoder):
        raise BadInput("A training needs something to train: the UNet, the text encoder, or both.")


def _contents(task: TrainingTask) -> list[str]:
    told = []
    for photo in task.photos:
        rest = replace(photo, data=b"", mask=None)
        mask = hashlib.sha256(photo.mask).hexdigest() if photo.mask else ""
        told.append(f"{hashlib.sha256(photo.data).hexdigest()} {mask} {rest}")
    return told


def _usable_snapshot(task: TrainingTask, fingerprint: str) -> Snapshot | None:
    """Read the checkpoint; one that does not fit costs its steps, never the training."""
    if task.resume is None:
        return None
    try:
        snapshot = Snapshot.decode(task.resume)
        if snapshot.fingerprint != fingerprint:
            raise BadInput("The state to go on from was made with other settings or photos.")
    except BadInput as error:
        if task.must_resume:
            raise
        log.warning("job %d starts over: %s", task.job_id, error)
        return None
    return snapshot
