"""What administrators see: gathered here, worded in `bot.texts`."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from importlib import metadata

from bot import texts
from bot.core.jobs import PAUSED_SWITCH, JobKind, JobStatus, estimate_job
from bot.core.messages import Reply
from bot.media import status_chart
from bot.services.context import ServiceContext

MAX_ERRORS = 10
MAX_AUDIT_ENTRIES = 5
MAX_REPORTS = 10
CHART_PERIOD = timedelta(hours=status_chart.HOURS)


class StatusService:
    """Tells how the machine is doing. `since` is when the bot was started."""

    def __init__(self, context: ServiceContext, started_at: datetime) -> None:
        self._context = context
        self._started_at = started_at

    async def show_status(self) -> Reply:
        """Tell how the machine is doing, with a picture of the last 24 hours."""
        now, database = self._context.clock(), self._context.database
        day = await self._read_day(now)
        disk = await asyncio.to_thread(shutil.disk_usage, self._context.storage.root)
        report = texts.StatusReport(
            version=metadata.version("loracode"),
            uptime=now - self._started_at,
            health=self._context.queue.health(),
            running_jobs=[
                (job, (await estimate_job(database, job, now)).remaining_s)
                for job in await database.list_running()
            ],
            queued_counts=await database.count_queued(),
            done_count=sum(day.done_per_hour),
            failed_count=sum(day.failed_per_hour),
            latencies={kind: await database.get_latency_stats(kind, now - CHART_PERIOD) for kind in JobKind},
            pending_notices=await database.count_undelivered(),
            disk_free_bytes=disk.free,
            disk_total_bytes=disk.total,
            errors=await self._list_errors(now, texts.MAX_ERRORS_LISTED),
            is_paused=PAUSED_SWITCH in await database.list_active_switches(),
            active_alerts=sorted(await database.list_active_alerts()),
        )
        return texts.status_card(report, await asyncio.to_thread(status_chart.render_chart, day))

    async def show_logs(self) -> Reply:
        """List the last errors, of failed jobs too, and what administrators did last."""
        reply = texts.error_list(await self._list_errors(self._context.clock(), MAX_ERRORS))
        audit_text = texts.audit_log(await self._context.database.list_audit_entries(MAX_AUDIT_ENTRIES))
        return replace(reply, text=reply.text + audit_text)

    async def show_reports(self) -> Reply:
        """List what people reported last."""
        return texts.report_list(await self._context.database.list_reports(MAX_REPORTS))

    async def _read_day(self, now: datetime) -> status_chart.DayStatistics:
        database = self._context.database
        done_counts, failed_counts = [
            await database.count_ended_by_hour(status, now, status_chart.HOURS)
            for status in (JobStatus.DONE, JobStatus.FAILED)
        ]
        return status_chart.DayStatistics(
            now, await database.list_peaks_since(now - CHART_PERIOD), done_counts, failed_counts
        )

    async def _list_errors(self, now: datetime, count: int) -> list[texts.ErrorEntry]:
        logged_errors = [
            texts.ErrorEntry(entry.at, entry.text) for entry in self._context.recent_errors.last(count)
        ]
        failed_jobs = [
            texts.ErrorEntry(
                job.finished_at or job.created_at, f"job {job.id} ({job.kind}): {job.error or ''}"
            )
            for job in await self._context.database.list_last_failed(now - CHART_PERIOD, count)
        ]
        return sorted([*logged_errors, *failed_jobs], key=lambda entry: entry.at, reverse=True)[:count]
