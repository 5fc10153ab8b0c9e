"""What administrators see: gathered here, worded in `bot.texts`."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from importlib import metadata

from bot import texts
from bot.core.jobs import PAUSED, JobKind, JobStatus, estimate
from bot.core.messages import Reply
from bot.media import status_chart
from bot.services.context import Tools

MAX_ERRORS = 10
MAX_ACTS = 5
MAX_REPORTS = 10
DAY = timedelta(hours=status_chart.HOURS)


class Overview:
    """Tells how the machine is doing. `since` is when the bot was started."""

    def __init__(self, tools: Tools, since: datetime) -> None:
        self._tools = tools
        self._since = since

    async def status(self) -> Reply:
        """Tell how the machine is doing, with a picture of the last 24 hours."""
        now, ledger = self._tools.clock(), self._tools.ledger
        day = await self._day(now)
        disk = await asyncio.to_thread(shutil.disk_usage, self._tools.files.root)
        report = texts.StatusReport(
            version=metadata.version("loracode"),
            uptime=now - self._since,
            health=self._tools.queue.health(),
            running=[(job, (await estimate(ledger, job, now)).left_s) for job in await ledger.running_jobs()],
            waiting=await ledger.waiting(),
            done=sum(day.done),
            failed=sum(day.failed),
            times={kind: await ledger.times(kind, now - DAY) for kind in JobKind},
            notices_owed=await ledger.notices_owed(),
            disk_free_bytes=disk.free,
            disk_total_bytes=disk.total,
            errors=await self._errors(now, texts.MAX_ERRORS_LISTED),
            is_paused=PAUSED in await ledger.switches_on(),
            alarms=sorted(await ledger.alarms_on()),
        )
        return texts.status(report, await asyncio.to_thread(status_chart.drawn, day))

    async def logs(self) -> Reply:
        """List the last errors, of failed jobs too, and what administrators did last."""
        listed = texts.errors(await self._errors(self._tools.clock(), MAX_ERRORS))
        acts = texts.acts(await self._tools.ledger.last_acts(MAX_ACTS))
        return replace(listed, text=listed.text + acts)

    async def reports(self) -> Reply:
        """List what people reported last."""
        return texts.reports(await self._tools.ledger.last_reports(MAX_REPORTS))

    async def _day(self, now: datetime) -> status_chart.Day:
        ledger = self._tools.ledger
        done, failed = [
            await ledger.ended_by_hour(status, now, status_chart.HOURS)
            for status in (JobStatus.DONE, JobStatus.FAILED)
        ]
        return status_chart.Day(now, await ledger.peaks_since(now - DAY), done, failed)

    async def _errors(self, now: datetime, count: int) -> list[texts.Happened]:
        logged = [texts.Happened(each.at, each.words) for each in self._tools.troubles.last(count)]
        failed = [
            texts.Happened(job.finished_at or job.created_at, f"job {job.id} ({job.kind}): {job.error or ''}")
            for job in await self._tools.ledger.last_failed(now - DAY, count)
        ]
        return sorted([*logged, *failed], key=lambda each: each.at, reverse=True)[:count]
