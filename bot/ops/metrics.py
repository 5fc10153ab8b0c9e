"""Figures for Prometheus: numbers of the machine and its queue, nobody's words, codes or names.

They are read when somebody asks, into a registry of our own, so that no library adds to them.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

from bot.core.jobs import PAUSED, TERMINAL, JobKind, JobStatus
from bot.core.monitoring import Alarm
from bot.db import Ledger
from gpu_worker.protocol import Health

#: A job's end is counted so much later, lest one that is just being written be missed.
LAG = timedelta(seconds=10)
_DAY = timedelta(hours=24)
_QUANTILES = ("0.5", "0.95")


@dataclass(frozen=True, slots=True)
class Dials:
    """What is read besides the ledger. `errors` counts what was logged so; `last_backup_at` reads a disk."""

    health: Callable[[], Health | None]
    deaths: Callable[[], int]
    errors: Callable[[], int]
    last_backup_at: Callable[[], datetime | None]
    data_dir: Path


class Meter:
    """Reads all figures at once."""

    def __init__(self, ledger: Ledger, dials: Dials, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._dials = dials
        self._clock = clock
        self._since = self._counted_until = clock()
        self._ended: Counter[tuple[JobKind, JobStatus]] = Counter()
        self._one_at_a_time = asyncio.Lock()
        self._families: list[Metric] = []
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Give what was read last; the registry asks."""
        return self._families

    async def read(self) -> bytes:
        """Read every figure and write them in Prometheus' text format."""
        async with self._one_at_a_time:
            await self._count_ended()
            disk = await asyncio.to_thread(shutil.disk_usage, self._dials.data_dir)
            backup_at = await asyncio.to_thread(self._dials.last_backup_at)
            self._families = [
                InfoMetricFamily("loracode", "What runs.", {"version": metadata.version("loracode")}),
                _gauge("start_time_seconds", "When the bot was started.", self._since.timestamp()),
                *await self._queue(),
                *self._worker(),
                _gauge("disk_free_bytes", "Free on the disk of DATA_DIR.", disk.free),
                _gauge("disk_total_bytes", "Size of the disk of DATA_DIR.", disk.total),
                *_optional(
                    "last_backup_timestamp_seconds", "When the last backup was made.", _time(backup_at)
                ),
                *await self._alarms(),
                _counter(
                    "logged_errors", "What was logged as an error since the start.", self._dials.errors()
                ),
            ]
            return generate_latest(self._registry)

    async def check(self) -> None:
        """Raise whatever keeps the ledger from being read."""
        await self._ledger.waiting()

    async def _count_ended(self) -> None:
        until = self._clock() - LAG
        if until > self._counted_until:
            self._ended.update(await self._ledger.ended_between(self._counted_until, until))
            self._counted_until = until

    async def _queue(self) -> list[Metric]:
        ledger, now = self._ledger, self._clock()
        waiting, oldest_at = await ledger.waiting(), await ledger.oldest_waiting_at()
        running = Counter(job.kind for job in await ledger.running_jobs())
        waits = GaugeMetricFamily(*_named("jobs_waiting", "Jobs in line."), labels=["kind"])
        runs = GaugeMetricFamily(*_named("jobs_running", "Jobs at work."), labels=["kind"])
        ended = CounterMetricFamily(
            *_named("jobs_ended", "Jobs that ended since the start."), labels=["kind", "status"]
        )
        for kind in JobKind:
            waits.add_metric([kind], waiting[kind])
            runs.add_metric([kind], running[kind])
            for status in sorted(TERMINAL):
                ended.add_metric([kind, status], self._ended[kind, status])
        oldest_s = 0.0 if oldest_at is None else max(0.0, (now - oldest_at).total_seconds())
        return [
            *(waits, runs, ended),
            _gauge("oldest_waiting_seconds", "How long the job that waits longest has waited.", oldest_s),
            _gauge("notices_owed", "Messages that people are still owed.", await ledger.notices_owed()),
            *await self._times(now),
        ]

    async def _times(self, now: datetime) -> Iterator[Metric]:
        labels = ["kind", "quantile"]
        waited = GaugeMetricFamily(*_named("job_wait_seconds", "Waits of the last 24 hours."), labels=labels)
        ran = GaugeMetricFamily(*_named("job_run_seconds", "Times at work, last 24 hours."), labels=labels)
        for kind in JobKind:
            times = await self._ledger.times(kind, now - _DAY)
            if times is not None:
                for number, quantile in enumerate(_QUANTILES):
                    waited.add_metric([kind, quantile], times.waited_s[number])
                    ran.add_metric([kind, quantile], times.ran_s[number])
        return iter((waited, ran))

    def _worker(self) -> Iterator[Metric]:
        health = self._dials.health()
        yield _gauge("worker_up", "1 while there is a worker.", float(health is not None))
        yield _counter("worker_deaths", "Workers that ended by themselves.", self._dials.deaths())
        if health is None:
            return
        yield _gauge("base_model_loaded", "1 once the base model is there.", float(health.base_model_loaded))
        yield _gauge("worker_memory_bytes", "Memory of the worker.", health.process_memory_bytes)
        load = health.device_load_percent
        for name, what, value in (
            ("card_temperature_celsius", "Temperature of the graphics card.", health.device_temperature_c),
            ("card_memory_used_bytes", "Memory in use on the card.", health.device_memory_used_bytes),
            ("card_memory_total_bytes", "Memory of the card.", health.device_memory_total_bytes),
            ("card_load_ratio", "How busy the card is, 0 to 1.", None if load is None else load / 100),
        ):
            yield from _optional(name, what, value)

    async def _alarms(self) -> list[Metric]:
        on = await self._ledger.switches_on()
        alarms = GaugeMetricFamily(
            *_named("alarm", "1 while administrators stand warned of it."), labels=["name"]
        )
        names_on = await self._ledger.alarms_on()
        for alarm in Alarm:
            alarms.add_metric([alarm], float(alarm in names_on))
        return [alarms, _gauge("paused", "1 while an administrator lets no job begin.", float(PAUSED in on))]


def _named(name: str, what: str) -> tuple[str, str]:
    return f"loracode_{name}", what


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(*_named(name, what), value=value)


def _counter(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(*_named(name, what), value=value)


def _optional(name: str, what: str, value: float | None) -> Iterator[Metric]:
    """A figure that nobody can tell is left out: a zero would be a lie."""
    if value is not None:
        yield _gauge(name, what, value)


def _time(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()
