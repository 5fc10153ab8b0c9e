"""Metrics for Prometheus: numbers of the machine and its queue, without words, codes or names.

They are read on request, into a registry of our own, so that no library adds to them.
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

from bot.core.jobs import PAUSED_SWITCH, TERMINAL_STATUSES, JobKind, JobStatus
from bot.core.monitoring import AlertKind
from bot.db import Database
from gpu_worker.protocol import WorkerHealth

#: A job's end is counted so much later, lest one that is just being written be missed.
COUNTING_LAG = timedelta(seconds=10)
_DAY = timedelta(hours=24)
_QUANTILES = ("0.5", "0.95")


@dataclass(frozen=True, slots=True)
class MetricSources:
    """What is read besides the database. `error_count` counts log records. `last_backup_at` reads a disk."""

    health: Callable[[], WorkerHealth | None]
    crash_count: Callable[[], int]
    error_count: Callable[[], int]
    last_backup_at: Callable[[], datetime | None]
    data_dir: Path


class MetricsExporter:
    """Reads all metrics at once."""

    def __init__(self, database: Database, sources: MetricSources, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._sources = sources
        self._clock = clock
        self._started_at = self._counted_until = clock()
        self._ended_counts: Counter[tuple[JobKind, JobStatus]] = Counter()
        self._lock = asyncio.Lock()
        self._metric_families: list[Metric] = []
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Return what was read last, for the registry."""
        return self._metric_families

    async def export(self) -> bytes:
        """Read every metric. Return them in Prometheus' text format."""
        async with self._lock:
            await self._count_ended_jobs()
            disk_usage = await asyncio.to_thread(shutil.disk_usage, self._sources.data_dir)
            last_backup_at = await asyncio.to_thread(self._sources.last_backup_at)
            self._metric_families = [
                InfoMetricFamily("loracode", "What runs.", {"version": metadata.version("loracode")}),
                _gauge("start_time_seconds", "When the bot was started.", self._started_at.timestamp()),
                *await self._queue_metrics(),
                *self._worker_metrics(),
                _gauge("disk_free_bytes", "Free on the disk of DATA_DIR.", disk_usage.free),
                _gauge("disk_total_bytes", "Size of the disk of DATA_DIR.", disk_usage.total),
                *_optional_gauge(
                    "last_backup_timestamp_seconds",
                    "When the last backup was made.",
                    _timestamp_s(last_backup_at),
                ),
                *await self._alert_metrics(),
                _counter(
                    "logged_errors",
                    "What was logged as an error since the start.",
                    self._sources.error_count(),
                ),
            ]
            return generate_latest(self._registry)

    async def check_database(self) -> None:
        """Raise the error that keeps the database from being read."""
        await self._database.monitoring.count_queued()

    async def _count_ended_jobs(self) -> None:
        end = self._clock() - COUNTING_LAG
        if end > self._counted_until:
            self._ended_counts.update(
                await self._database.monitoring.count_ended_between(self._counted_until, end)
            )
            self._counted_until = end

    async def _queue_metrics(self) -> list[Metric]:
        database, now = self._database, self._clock()
        waiting_counts, oldest_at = (
            await database.monitoring.count_queued(),
            await database.monitoring.get_oldest_queued_at(),
        )
        running_counts = Counter(job.kind for job in await database.jobs.list_running())
        waiting_metric = GaugeMetricFamily(*_name_and_help("jobs_waiting", "Jobs in line."), labels=["kind"])
        running_metric = GaugeMetricFamily(*_name_and_help("jobs_running", "Jobs at work."), labels=["kind"])
        ended_metric = CounterMetricFamily(
            *_name_and_help("jobs_ended", "Jobs that ended since the start."), labels=["kind", "status"]
        )
        for kind in JobKind:
            waiting_metric.add_metric([kind], waiting_counts[kind])
            running_metric.add_metric([kind], running_counts[kind])
            for status in sorted(TERMINAL_STATUSES):
                ended_metric.add_metric([kind, status], self._ended_counts[kind, status])
        oldest_s = 0.0 if oldest_at is None else max(0.0, (now - oldest_at).total_seconds())
        return [
            *(waiting_metric, running_metric, ended_metric),
            _gauge("oldest_waiting_seconds", "How long the job that waits longest has waited.", oldest_s),
            _gauge(
                "notices_owed",
                "Messages that people are still owed.",
                await database.outbox.count_undelivered(),
            ),
            *await self._latency_metrics(now),
        ]

    async def _latency_metrics(self, now: datetime) -> Iterator[Metric]:
        labels = ["kind", "quantile"]
        wait_metric = GaugeMetricFamily(
            *_name_and_help("job_wait_seconds", "Waits of the last 24 hours."), labels=labels
        )
        run_metric = GaugeMetricFamily(
            *_name_and_help("job_run_seconds", "Times at work, last 24 hours."), labels=labels
        )
        for kind in JobKind:
            latency = await self._database.monitoring.get_latency_stats(kind, now - _DAY)
            if latency is not None:
                for index, quantile in enumerate(_QUANTILES):
                    wait_metric.add_metric([kind, quantile], latency.wait_s[index])
                    run_metric.add_metric([kind, quantile], latency.run_s[index])
        return iter((wait_metric, run_metric))

    def _worker_metrics(self) -> Iterator[Metric]:
        health = self._sources.health()
        yield _gauge("worker_up", "1 while there is a worker.", float(health is not None))
        yield _counter("worker_deaths", "Workers that ended by themselves.", self._sources.crash_count())
        if health is None:
            return
        yield _gauge("base_model_loaded", "1 once the base model is there.", float(health.base_model_loaded))
        yield _gauge("worker_memory_bytes", "Memory of the worker.", health.process_memory_bytes)
        load_percent = health.device_load_percent
        for name, help_text, value in (
            ("card_temperature_celsius", "Temperature of the graphics card.", health.device_temperature_c),
            ("card_memory_used_bytes", "Memory in use on the card.", health.device_memory_used_bytes),
            ("card_memory_total_bytes", "Memory of the card.", health.device_memory_total_bytes),
            (
                "card_load_ratio",
                "How busy the card is, 0 to 1.",
                None if load_percent is None else load_percent / 100,
            ),
        ):
            yield from _optional_gauge(name, help_text, value)

    async def _alert_metrics(self) -> list[Metric]:
        switches = await self._database.monitoring.list_active_switches()
        alert_metric = GaugeMetricFamily(
            *_name_and_help("alarm", "1 while administrators stand warned of it."), labels=["name"]
        )
        active_alerts = await self._database.monitoring.list_active_alerts()
        for kind in AlertKind:
            alert_metric.add_metric([kind], float(kind in active_alerts))
        return [
            alert_metric,
            _gauge("paused", "1 while an administrator lets no job begin.", float(PAUSED_SWITCH in switches)),
        ]


def _name_and_help(name: str, help_text: str) -> tuple[str, str]:
    return f"loracode_{name}", help_text


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(*_name_and_help(name, help_text), value=value)


def _counter(name: str, help_text: str, value: float) -> Metric:
    return CounterMetricFamily(*_name_and_help(name, help_text), value=value)


def _optional_gauge(name: str, help_text: str, value: float | None) -> Iterator[Metric]:
    """Return a gauge, without a sample if the value is unknown: a zero would be wrong."""
    if value is not None:
        yield _gauge(name, help_text, value)


def _timestamp_s(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()
