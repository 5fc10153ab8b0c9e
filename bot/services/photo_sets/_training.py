"""The training that a photo set starts: whether it may, and the reply when it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bot.core.accounts import ChatAddress
from bot.core.errors import UserError
from bot.core.jobs import Job, JobKind, estimate_job
from bot.core.loras import LoraCode, format_code
from bot.core.messages import Reply, Request
from bot.core.photos import PHOTOS_PER_LORA, PhotoSet, StoredPhoto
from bot.media.quality._sentences import can_start_training
from bot.services.access import check_queue_limit, check_training_quota
from bot.services.context import ServiceContext
from bot.services.photo_sets._cards import end_previous_card
from bot.texts import translate
from bot.texts.photo_sets import continuation_started, training_started
from bot.texts.words import format_time_left

MAX_OPEN_TRAININGS = 2


class TrainingStarter:
    """Checks and shows the trainings of photo sets."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def can_start(self, photo_set: PhotoSet, photos: Sequence[StoredPhoto]) -> bool:
        """Return whether five photos start a training by themselves: not before a person knows of a bad one.

        A photo that is there already is refused and not added; five may be left of more.
        """
        photos = list(dict.fromkeys(photos))
        if len(photos) < PHOTOS_PER_LORA:
            return True
        return can_start_training(await self._context.coach.review_photos(photos, photo_set.class_word))

    async def show_started(
        self, job: Job, previous_set: PhotoSet, address: ChatAddress, photo_hashes: Sequence[str]
    ) -> Reply:
        """Return the reply to the photo that started a training; the set's message ends."""
        self._context.queue.wake()
        self._context.forget_cached_photos(photo_hashes)
        eta = await estimate_job(self._context.database.jobs, job, self._context.clock())
        reply = continuation_started(job, eta) if job.is_continuation else training_started(job, eta)
        complete_text = translate("set-complete", code=format_code(job.code))
        return replace(reply, closed_photo_set=end_previous_card(previous_set, address, complete_text))

    async def check_open(self, request: Request, code: LoraCode | None = None) -> PhotoSet:
        """Return the set as it is now. Raise UserError when no training may be started.

        That is: a person has had enough trainings, the queue is full, or the Lora of the set, or `code`, is
        being trained already.
        """
        state = await self._context.database.access.read_request_state(request.identity)
        account_state = state.account_state or request.account_state
        code = code or account_state.photo_set.code
        trainings = [job for job in account_state.open_jobs if job.kind is JobKind.TRAIN]
        for job in trainings:
            if job.code == code:
                eta = await estimate_job(self._context.database.jobs, job, self._context.clock())
                left = format_time_left(eta.remaining_s)
                raise UserError(translate("still-training", code=format_code(job.code), left=left))
        if len(trainings) >= MAX_OPEN_TRAININGS:
            raise UserError(translate("too-many-trainings", most=MAX_OPEN_TRAININGS))
        await check_training_quota(self._context, request, state)
        return account_state.photo_set

    async def check_queue_limit(self, request: Request) -> None:
        """Raise UserError when the queue is full by now."""
        state = await self._context.database.access.read_request_state(request.identity)
        await check_queue_limit(self._context, request, state)
