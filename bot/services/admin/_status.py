"""How the machine is doing, as administrators see it."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from importlib import metadata

from bot.core.jobs import PAUSED_SWITCH, JobKind, JobStatus, estimate_job
from bot.core.messages import Reply, Request
from bot.media import status_chart
from bot.services.context import ServiceContext
from bot.texts.admin.commands import audit_log, report_list
from bot.texts.admin.status import MAX_ERRORS_LISTED, ErrorEntry, StatusReport, error_list, status_card
from bot.texts.cards import failure_sentence

MAX_ERRORS = 10
MAX_AUDIT_ENTRIES = 5
MAX_REPORTS = 10
CHART_PERIOD = timedelta(hours=status_chart.HOURS)


class StatusService:
    """Tells how the machine is doing. `since` is when the bot was started."""

    def __init__(self, context: ServiceContext, started_at: datetime) -> None:
        self._context = context
        self._started_at = started_at

    async def show_status(self, request: Request) -> Reply:
        """Return how the machine is doing, with a picture of the last 24 hours."""
        now, database = self._context.clock(), self._context.database
        day = await self._read_day(now)
        disk = await asyncio.to_thread(shutil.disk_usage, self._context.storage.root)
        report = StatusReport(
            version=metadata.version("loracode"),
            uptime=now - self._started_at,
            health=self._context.queue.health(),
            running_jobs=[
                (job, (await estimate_job(database.jobs, job, now)).remaining_s)
                for job in await database.jobs.list_running()
            ],
            queued_counts=await database.monitoring.count_queued(),
            done_count=sum(day.done_per_hour),
            failed_count=sum(day.failed_per_hour),
            latencies={
                kind: await database.monitoring.get_latency_stats(kind, now - CHART_PERIOD)
                for kind in JobKind
            },
            pending_notices=await database.outbox.count_undelivered(),
            disk_free_bytes=disk.free,
            disk_total_bytes=disk.total,
            errors=await self._list_errors(now, MAX_ERRORS_LISTED),
            is_paused=PAUSED_SWITCH in await database.monitoring.list_active_switches(),
            active_alerts=sorted(await database.monitoring.list_active_alerts()),
        )
        return status_card(report, await asyncio.to_thread(status_chart.render_chart, day))

    async def show_logs(self, request: Request) -> Reply:
        """List the last errors, of failed jobs too, and what administrators did last."""
        reply = error_list(await self._list_errors(self._context.clock(), MAX_ERRORS))
        audit_text = audit_log(await self._context.database.monitoring.list_audit_entries(MAX_AUDIT_ENTRIES))
        return replace(reply, text=reply.text + audit_text)

    async def show_reports(self, request: Request) -> Reply:
        """List what people reported last."""
        return report_list(await self._context.database.sharing.list_reports(MAX_REPORTS))

    async def _read_day(self, now: datetime) -> status_chart.DayStatistics:
        database = self._context.database
        done_counts, failed_counts = [
            await database.monitoring.count_ended_by_hour(status, now, status_chart.HOURS)
            for status in (JobStatus.DONE, JobStatus.FAILED)
        ]
        return status_chart.DayStatistics(
            now, await database.monitoring.list_peaks_since(now - CHART_PERIOD), done_counts, failed_counts
        )

    async def _list_errors(self, now: datetime, count: int) -> list[ErrorEntry]:
        logged_errors = [
            ErrorEntry(entry.at, entry.text) for entry in self._context.recent_errors.last(count)
        ]
        failed_jobs = [
            ErrorEntry(
                job.finished_at or job.created_at,
                f"job {job.id} ({job.kind}): {failure_sentence(job.error) or ''}",
            )
            for job in await self._context.database.monitoring.list_last_failed(now - CHART_PERIOD, count)
        ]
        return sorted([*logged_errors, *failed_jobs], key=lambda entry: entry.at, reverse=True)[:count]
