"""A person's open jobs, and the further training of a Lora: `/queue`, `/cancel`, `/more`, `/replace`."""

from __future__ import annotations

import re

from bot.core.accounts import AccountId
from bot.core.errors import UserError
from bot.core.jobs import TERMINAL_STATUSES, Job, JobId, estimate_job
from bot.core.loras import (
    DEFAULT_EXTRA_STEPS,
    MAX_EXTRA_STEPS,
    MIN_EXTRA_STEPS,
    LoraCode,
    format_code,
    split_code,
)
from bot.core.messages import AccountState, Reply, Request
from bot.core.photos import PHOTOS_PER_LORA
from bot.services import access, generation_options
from bot.services.context import ServiceContext
from bot.services.photo_sets import PhotoSetService
from bot.texts import translate
from bot.texts.accounts import job_queue
from bot.texts.cards import job_cancelled, question_dropped
from bot.texts.commands import usage_example
from bot.texts.photo_sets import continuation_started, nothing_to_replace


class JobService:
    """Lists them and stops them."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._database = context.database

    async def show_queue(self, request: Request) -> Reply:
        """List a person's open jobs, with their places in line."""
        now = self._context.clock()
        jobs = request.account_state.open_jobs
        return job_queue([(job, await estimate_job(self._database.jobs, job, now)) for job in jobs])

    async def cancel_latest(self, request: Request) -> Reply:
        """Stop the newest open job, or that of a code."""
        jobs = list(request.account_state.open_jobs)
        if not request.text.strip() and (dropped_reply := _describe_dropped(request.account_state)):
            return dropped_reply
        nothing_message = translate("nothing-open")
        if request.text.strip():
            code = generation_options.read_code(
                request.text, usage_example(request.identity.platform, "cancel")
            )
            jobs = [job for job in jobs if job.code == code]  # also with a code that is shared with them
            nothing_message = translate("nothing-open-for", code=format_code(code))
            if not jobs:
                await access.require_lora(self._database, request.account, code)
        if not jobs:
            raise UserError(nothing_message)
        return await self._cancel(max(jobs, key=lambda job: job.id))

    async def cancel_job(self, request: Request) -> Reply:
        """Stop the job of a button."""
        job_id = JobId(int(request.arguments[0]))
        job = await access.require_job(self._database, request.account, job_id, translate("stale-button"))
        if job.status in TERMINAL_STATUSES:
            raise UserError(translate("already-ended"))
        return await self._cancel(job)

    async def has_card(self, job_id: JobId) -> bool:
        """Return whether a message shows a job's progress already."""
        job = await self._database.jobs.get(job_id)
        return job is not None and job.card_message_id is not None

    async def record_card(self, job_id: JobId, message_id: str) -> None:
        """Store which message shows a job's progress."""
        await self._database.results.save_card_message(job_id, message_id)

    async def _cancel(self, job: Job) -> Reply:
        photo_hashes = await self._database.photos.list_job_hashes(job.id)
        cancelled_job = await self._database.jobs.cancel(job.id)
        if cancelled_job is None:  # it finished between the look and the stop
            raise UserError(translate("already-ended"))
        await self._context.queue.abort_job(job.id)
        self._context.forget_photos(photo_hashes)
        return job_cancelled(cancelled_job)


def _describe_dropped(state: AccountState) -> Reply | None:
    """Return what `/cancel` says of the question that it ended, as every command does; None without one."""
    if state.question is not None:
        return question_dropped("question-dropped", has_jobs=bool(state.open_jobs))
    if state.draft is not None and state.draft.waits_for_words:
        return question_dropped("draft-dropped", has_jobs=bool(state.open_jobs))
    return None


class ContinuationService:
    """Trains Loras further."""

    def __init__(self, context: ServiceContext, photo_sets: PhotoSetService) -> None:
        self._context = context
        self._photo_sets = photo_sets

    async def continue_from_text(self, request: Request) -> Reply:
        """Train a Lora further: `4071 3386 300`."""
        code_text, steps_text = split_code(generation_options.clean_text(request.text))
        usage = usage_example(request.identity.platform, "more")
        code, steps = generation_options.read_code(code_text, usage), _parse_steps(steps_text, usage)
        return await self._continue_training(request, code, steps)

    async def continue_from_button(self, request: Request) -> Reply:
        """Train the Lora of a button further."""
        return await self._continue_training(request, LoraCode(request.arguments[0]), DEFAULT_EXTRA_STEPS)

    async def _continue_training(self, request: Request, code: LoraCode, steps: int) -> Reply:
        """Begin at once where its photos are kept; else ask for five."""
        database, account, address = self._context.database, request.account, request.address
        async with self._context.locks.get_lock(account):
            lora = await access.require_ready_lora(database, account, code, self._context.clock())
            access.check_family(lora, self._context.queue.health())
            async with self._context.admission_lock:
                await self._photo_sets.trainings.check_open(request, code)
                job = await database.photos.continue_training(
                    account, code, address, steps, request.idempotency_key
                )
            if job is None:
                await self._check_no_other_set(account, code)
                await database.photo_sets.collect_for_lora(account, code, steps)
        if job is None:
            return await self._photo_sets.cards.repost(request)
        self._context.queue.wake()
        return continuation_started(job, await estimate_job(database.jobs, job, self._context.clock()))

    async def replace_photo(self, request: Request) -> Reply:
        """Return the reply that asks for the photo that takes the place of one: `4071 3386 4`."""
        database, account = self._context.database, request.account
        code_text, photo_text = split_code(generation_options.clean_text(request.text))
        usage = usage_example(request.identity.platform, "replace")
        code = generation_options.read_code(code_text, usage)
        lora = await access.require_ready_lora(database, account, code, self._context.clock())
        access.check_family(lora, self._context.queue.health())
        photo_number = re.fullmatch(rf"(?:photo|foto)? ?#?([1-{PHOTOS_PER_LORA}])", photo_text.lower())
        if photo_number is None:
            raise UserError(translate("replace-range", most=PHOTOS_PER_LORA, example=usage))
        async with self._context.locks.get_lock(account):
            await self._photo_sets.trainings.check_open(request, code)
            if await database.photos.has_kept_photos(code):
                await self._check_no_other_set(account, code)
            if not await database.photo_sets.collect_replacement(
                account, code, int(photo_number[1]), DEFAULT_EXTRA_STEPS
            ):
                return nothing_to_replace(code)
        return await self._photo_sets.cards.repost(request)

    async def _check_no_other_set(self, account: AccountId, code: LoraCode) -> None:
        photo_set = await self._context.database.photo_sets.get_set(account)
        if photo_set.photo_ids and photo_set.code != code:
            raise UserError(translate("set-is-open", held=len(photo_set.photo_ids)))


def _parse_steps(text: str, usage: str) -> int:
    if not text:
        return DEFAULT_EXTRA_STEPS
    steps = re.fullmatch(r"\+?([0-9]{1,6})(?: ?(?:more )?(?:steps|passi))?", text.lower())
    if steps is None or not MIN_EXTRA_STEPS <= int(steps[1]) <= MAX_EXTRA_STEPS:
        raise UserError(translate("more-range", least=MIN_EXTRA_STEPS, most=MAX_EXTRA_STEPS, example=usage))
    return int(steps[1])
