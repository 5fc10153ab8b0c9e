"""`/queue` and `/cancel`: a person's jobs that have not ended."""

from __future__ import annotations

from bot import texts
from bot.core.accounts import AccountId
from bot.core.errors import UserError
from bot.core.jobs import TERMINAL_STATUSES, Job, JobId, estimate_job
from bot.core.messages import Reply
from bot.services import generation_options, ownership
from bot.services.context import ServiceContext


class JobService:
    """Lists them and stops them."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._database = context.database

    async def show_queue(self, account: AccountId) -> Reply:
        """List them, with their places in line."""
        now = self._context.clock()
        jobs = await self._database.list_open_for_account(account)
        return texts.job_queue([(job, await estimate_job(self._database, job, now)) for job in jobs])

    async def cancel_latest(self, account: AccountId, text: str) -> Reply:
        """Stop the newest, or that of a code."""
        jobs = await self._database.list_open_for_account(account)
        nothing_message = texts.NOTHING_OPEN
        if text.strip():
            code = generation_options.read_code(text)
            jobs = [job for job in jobs if job.code == code]  # also with a code that is shared with them
            nothing_message = texts.no_open_job_for(code)
            if not jobs:
                await ownership.require_lora(self._database, account, code)
        if not jobs:
            raise UserError(nothing_message)
        return await self._cancel(max(jobs, key=lambda job: job.id))

    async def cancel_job(self, account: AccountId, job_id: JobId) -> Reply:
        """Stop this one."""
        job = await ownership.require_job(self._database, account, job_id, texts.STALE_BUTTON)
        if job.status in TERMINAL_STATUSES:
            raise UserError(texts.ALREADY_ENDED)
        return await self._cancel(job)

    async def _cancel(self, job: Job) -> Reply:
        photo_hashes = await self._database.list_job_hashes(job.id)
        cancelled_job = await self._database.cancel(job.id)
        if cancelled_job is None:  # it finished between the look and the stop
            raise UserError(texts.ALREADY_ENDED)
        await self._context.queue.abort_job(job.id)
        self._context.forget_photos(photo_hashes)
        return texts.job_cancelled(cancelled_job)
