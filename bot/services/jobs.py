"""`/queue` and `/cancel`: a person's jobs that have not ended."""

from __future__ import annotations

from bot import texts
from bot.core.accounts import AccountId
from bot.core.errors import UserError
from bot.core.jobs import TERMINAL, Job, JobId, estimate
from bot.core.messages import Reply
from bot.services import generation_options, ownership
from bot.services.context import Tools


class OpenJobs:
    """Lists them and stops them."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._ledger = tools.ledger

    async def queue(self, account: AccountId) -> Reply:
        """List them, with their places in line."""
        now = self._tools.clock()
        jobs = await self._ledger.open_jobs_of(account)
        return texts.queue([(job, await estimate(self._ledger, job, now)) for job in jobs])

    async def cancel(self, account: AccountId, text: str) -> Reply:
        """Stop the newest, or that of a code."""
        jobs = await self._ledger.open_jobs_of(account)
        nothing = texts.NOTHING_OPEN
        if text.strip():
            code = generation_options.read_code(text)
            jobs = [job for job in jobs if job.code == code]  # also with a code that is shared with them
            nothing = texts.nothing_open_for(code)
            if not jobs:
                await ownership.lora(self._ledger, account, code)
        if not jobs:
            raise UserError(nothing)
        return await self._cancelled(max(jobs, key=lambda job: job.id))

    async def cancel_one(self, account: AccountId, job_id: JobId) -> Reply:
        """Stop this one."""
        job = await ownership.job(self._ledger, account, job_id, texts.STALE_BUTTON)
        if job.status in TERMINAL:
            raise UserError(texts.ALREADY_ENDED)
        return await self._cancelled(job)

    async def _cancelled(self, job: Job) -> Reply:
        photos = await self._ledger.names_of(job.id)
        ended = await self._ledger.cancel(job.id)
        if ended is None:  # it finished between the look and the stop
            raise UserError(texts.ALREADY_ENDED)
        await self._tools.queue.stop(job.id)
        self._tools.forget(photos)
        return texts.cancelled(ended)
