"""Checks the machine and the queue every minute, stores a sample and alerts administrators."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.core.accounts import Identity
from bot.core.jobs import PAUSED_SWITCH
from bot.core.monitoring import Alert, MonitorSample, MonitorSnapshot, evaluate_alerts
from bot.db import Database
from bot.texts.admin.alerts import alert_raised, alert_resolved
from gpu_worker.protocol import WorkerHealth

log = logging.getLogger(__name__)

#: An hour more than is shown, so that the picture has no ragged edge.
SAMPLE_RETENTION = timedelta(hours=25)
#: Alerts look at this time minute by minute. Before it the highest values are enough.
RECENT_WINDOW = timedelta(minutes=20)


@dataclass(frozen=True, slots=True)
class HealthInputs:
    """What is checked besides the database. `wake_sender` says that messages are owed.

    `crash_count` counts workers that ended by themselves since the start. `disk_free_share` is 0 to 1 and may
    wait for the disk. `backup_error` says why the last backup failed.
    """

    admins: Sequence[Identity]
    wake_sender: Callable[[], None]
    crash_count: Callable[[], int]
    disk_free_share: Callable[[], float]
    backup_error: Callable[[], str | None]


class Monitor:
    """Stores samples of the queue and the card. Without inputs it does nothing else."""

    def __init__(
        self,
        database: Database,
        health: Callable[[], WorkerHealth | None],
        clock: Callable[[], datetime],
        inputs: HealthInputs | None = None,
    ) -> None:
        self._database = database
        self._health = health
        self._clock = clock
        self._inputs = inputs

    async def check(self) -> None:
        """Store a sample, delete old ones, and send an alert for each change of state."""
        now = self._clock()
        await self._database.monitoring.add_sample(await self._take_sample(now))
        await self._database.monitoring.delete_samples_before(now - SAMPLE_RETENTION)
        if self._inputs is not None:
            for alert in evaluate_alerts(await self._take_snapshot(self._inputs, now)):
                await self._send_alert(self._inputs, alert)

    async def _take_snapshot(self, inputs: HealthInputs, now: datetime) -> MonitorSnapshot:
        recent_samples = await self._database.monitoring.list_samples_since(now - RECENT_WINDOW)
        peak_samples = await self._database.monitoring.list_peaks_since(now - SAMPLE_RETENTION)
        return MonitorSnapshot(
            samples=[*(each for each in peak_samples if each.at < recent_samples[0].at), *recent_samples],
            disk_free_share=await asyncio.to_thread(inputs.disk_free_share),
            oldest_queued_at=await self._database.monitoring.get_oldest_queued_at(),
            is_paused=PAUSED_SWITCH in await self._database.monitoring.list_active_switches(),
            backup_error=inputs.backup_error(),
        )

    async def _send_alert(self, inputs: HealthInputs, alert: Alert) -> None:
        """Notify administrators of a change of state.

        The state and the messages are written in one transaction, so each change is reported once.
        """
        if alert.is_bad is None:
            return
        text = alert_raised(alert) if alert.is_bad else alert_resolved(alert)
        if await self._database.monitoring.set_alert(alert.kind, alert.is_bad, inputs.admins, text):
            log.log(logging.ERROR if alert.is_bad else logging.INFO, "%s", text)
            inputs.wake_sender()

    async def _take_sample(self, now: datetime) -> MonitorSample:
        waiting_counts, health = await self._database.monitoring.count_queued(), self._health()
        crash_count = 0 if self._inputs is None else self._inputs.crash_count()
        if health is None:
            return MonitorSample(now, waiting_counts, worker_crashes=crash_count)
        return MonitorSample(
            at=now,
            queued_counts=waiting_counts,
            device=health.device,
            load_percent=health.device_load_percent,
            memory_used_bytes=health.device_memory_used_bytes,
            memory_total_bytes=health.device_memory_total_bytes,
            temperature_c=health.device_temperature_c,
            worker_crashes=crash_count,
        )
