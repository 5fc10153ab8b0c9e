"""What administrators see and decide. Nothing here reads all jobs but `count_all`."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.core.accounts import Identity
from bot.core.jobs import TERMINAL_STATUSES, Job, JobKind, JobStatus, LatencyStats
from bot.core.loras import LoraState
from bot.core.monitoring import AuditEntry, MonitorSample
from bot.db.sqlite.connection import HOUR_MS, Connection, from_ms, to_ms
from bot.db.statements import messages, queue

#: Jobs whose times are looked at: enough for a 95th percentile, few enough to sort at once.
MAX_LATENCY_JOBS = 1000
#: Of a minute's samples, so many become one where a whole day is asked for.
PEAK_INTERVAL_MS = 4 * 60_000
_PEAKS_SQL = """
SELECT max(at_ms) AS at_ms, max(waiting_train) AS waiting_train, max(waiting_generate) AS waiting_generate,
    max(device) AS device, max(load_percent) AS load_percent, max(memory_used_bytes) AS memory_used_bytes,
    max(memory_total_bytes) AS memory_total_bytes, max(temperature_c) AS temperature_c,
    max(worker_deaths) AS worker_deaths
FROM samples WHERE at_ms >= ?1 GROUP BY at_ms / ?2 ORDER BY at_ms
"""
#: How the switches of alarms begin.
_ALERT_PREFIX = "alarm:"


@dataclass(frozen=True, slots=True)
class TableCounts:
    """The number of rows of each kind."""

    jobs: dict[tuple[JobKind, JobStatus], int]
    loras: dict[LoraState, int]
    pending_notices: int
    accounts: int


class MonitoringRepository:
    """Figures of the queue and the worker, switches, alerts and the audit log."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add_sample(self, sample: MonitorSample) -> None:
        """Save a sample."""
        queued_counts = sample.queued_counts
        values = (
            to_ms(sample.at),
            queued_counts[JobKind.TRAIN],
            queued_counts[JobKind.GENERATE],
            sample.device,
        )
        gpu_values = (sample.load_percent, sample.memory_used_bytes, sample.memory_total_bytes)
        await self._connection.execute(
            "INSERT OR REPLACE INTO samples VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *values,
            *gpu_values,
            sample.temperature_c,
            sample.worker_crashes,
        )

    async def list_samples_since(self, since: datetime) -> list[MonitorSample]:
        """Return the samples since a time, the oldest first."""
        rows = await self._connection.fetch_rows(
            "SELECT * FROM samples WHERE at_ms >= ? ORDER BY at_ms", to_ms(since)
        )
        return [sample_from_row(row) for row in rows]

    async def list_peaks_since(self, since: datetime) -> list[MonitorSample]:
        """Return one sample for every four minutes since a time, with the highest values in them."""
        return [
            sample_from_row(row)
            for row in await self._connection.fetch_rows(_PEAKS_SQL, to_ms(since), PEAK_INTERVAL_MS)
        ]

    async def delete_samples_before(self, before: datetime) -> None:
        """Delete older samples."""
        await self._connection.execute("DELETE FROM samples WHERE at_ms < ?", to_ms(before))

    async def count_queued(self) -> dict[JobKind, int]:
        """Count the queued jobs by kind."""
        sql = "SELECT count(*) FROM jobs WHERE kind = ? AND status = 'queued'"
        return {kind: (await self._connection.fetch_rows(sql, str(kind)))[0][0] for kind in JobKind}

    async def get_oldest_queued_at(self) -> datetime | None:
        """Return when the oldest queued job was created, None where none waits."""
        sql = (
            "SELECT created_ms FROM jobs WHERE kind = ? AND status = 'queued' ORDER BY created_ms, id LIMIT 1"
        )
        created_times = [
            from_ms(row[0]) for kind in JobKind for row in await self._connection.fetch_rows(sql, str(kind))
        ]
        return min(created_times, default=None)

    async def count_all(self) -> TableCounts:
        """Count the rows of each kind. It reads all of them."""
        jobs = await self._connection.fetch_rows(
            "SELECT kind, status, count(*) AS n FROM jobs GROUP BY kind, status"
        )
        loras = await self._connection.fetch_rows("SELECT state, count(*) AS n FROM loras GROUP BY state")
        pending_notices = await self._connection.fetch_rows(
            "SELECT count(*) AS n FROM notices WHERE state = 'owed'"
        )
        accounts = await self._connection.fetch_rows("SELECT count(*) AS n FROM accounts")
        return TableCounts(
            jobs={(JobKind(row["kind"]), JobStatus(row["status"])): row["n"] for row in jobs},
            loras={LoraState(row["state"]): row["n"] for row in loras},
            pending_notices=pending_notices[0]["n"],
            accounts=accounts[0]["n"],
        )

    async def count_ended_by_hour(self, status: JobStatus, until: datetime, hours: int) -> list[int]:
        """Count the jobs that ended with a status in each of the hours before `until`, the earliest first."""
        since_ms = to_ms(until) - hours * HOUR_MS
        counts = [0] * hours
        for kind in JobKind:
            rows = await self._connection.fetch_rows(
                "SELECT (finished_ms - ?) / ? AS hour, count(*) AS n FROM jobs"
                " WHERE kind = ? AND status = ? AND finished_ms >= ? AND finished_ms < ? GROUP BY hour",
                *(since_ms, HOUR_MS, str(kind), str(status), since_ms, to_ms(until)),
            )
            for row in rows:
                counts[row["hour"]] += row["n"]
        return counts

    async def count_ended_between(
        self, since: datetime, until: datetime
    ) -> dict[tuple[JobKind, JobStatus], int]:
        """Count the jobs that ended from `since` on and before `until`, by kind and status."""
        sql = (
            "SELECT count(*) FROM jobs WHERE kind = ? AND status = ? AND finished_ms >= ? AND finished_ms < ?"
        )
        return {
            (kind, status): (
                await self._connection.fetch_rows(sql, str(kind), str(status), to_ms(since), to_ms(until))
            )[0][0]
            for kind in JobKind
            for status in TERMINAL_STATUSES
        }

    async def get_latency_stats(self, kind: JobKind, since: datetime) -> LatencyStats | None:
        """Return how long the jobs that were done since a time waited and ran, None where there are none.

        Jobs of one attempt only: a second one overwrites when the first started.
        """
        rows = await self._connection.fetch_rows(
            "SELECT started_ms - created_ms AS waited, finished_ms - started_ms AS ran FROM jobs"
            " WHERE kind = ? AND status = 'done' AND finished_ms >= ? AND attempt = 1"
            " ORDER BY finished_ms DESC LIMIT ?",
            *(str(kind), to_ms(since), MAX_LATENCY_JOBS),
        )
        if not rows:
            return None
        return LatencyStats(
            _median_and_p95_s([row["waited"] for row in rows]),
            _median_and_p95_s([row["ran"] for row in rows]),
        )

    async def list_last_failed(self, since: datetime, limit: int) -> list[Job]:
        """Return up to `limit` jobs that failed since a time, the newest first."""

        def query(connection: sqlite3.Connection) -> list[Job]:
            sql = (
                "SELECT * FROM jobs WHERE kind = ? AND status = 'failed' AND finished_ms >= ?"
                " ORDER BY finished_ms DESC LIMIT ?"
            )
            return [
                queue.job_from_row(row)
                for kind in JobKind
                for row in connection.execute(sql, (str(kind), to_ms(since), limit))
            ]

        jobs = await self._connection.read(query)
        return sorted(jobs, key=lambda job: (job.finished_at or job.created_at, job.id), reverse=True)[:limit]

    async def set_switch(self, name: str, is_on: bool) -> None:
        """Turn a switch on or off; `paused` lets no job begin. It outlives a restart."""
        if is_on:
            await self._connection.execute(
                "INSERT OR IGNORE INTO switches VALUES (?, ?)", name, self._connection.now_ms()
            )
        else:
            await self._connection.execute("DELETE FROM switches WHERE name = ?", name)

    async def list_active_switches(self) -> set[str]:
        """Return the names of the switches that are on."""
        return {row["name"] for row in await self._connection.fetch_rows("SELECT name FROM switches")}

    async def set_alert(self, name: str, is_on: bool, recipients: Sequence[Identity], text: str) -> bool:
        """Turn an alert on or off and queue a message to people.

        Return False, and queue none, where it is so already.
        """
        now_ms = self._connection.now_ms()
        key = f"{_ALERT_PREFIX}{name}"

        def transaction(connection: sqlite3.Connection) -> bool:
            if is_on:
                cursor = connection.execute("INSERT OR IGNORE INTO switches VALUES (?, ?)", (key, now_ms))
            else:
                cursor = connection.execute("DELETE FROM switches WHERE name = ?", (key,))
            if cursor.rowcount:
                messages.insert_direct_messages(
                    connection,
                    [(str(identity.platform), identity.user_id) for identity in recipients],
                    text,
                    now_ms,
                )
            return bool(cursor.rowcount)

        return await self._connection.write(transaction)

    async def list_active_alerts(self) -> set[str]:
        """Return the names of the alerts that are on."""
        return {
            name.removeprefix(_ALERT_PREFIX)
            for name in await self.list_active_switches()
            if name.startswith(_ALERT_PREFIX)
        }

    async def add_audit_entry(self, admin: Identity, command: str, details: str) -> None:
        """Record a command of an administrator."""
        sql = "INSERT INTO audit (at_ms, admin, command, about) VALUES (?, ?, ?, ?)"
        await self._connection.execute(sql, self._connection.now_ms(), str(admin), command, details)

    async def list_audit_entries(self, limit: int) -> list[AuditEntry]:
        """Return the last `limit` commands of administrators, the newest first."""
        rows = await self._connection.fetch_rows("SELECT * FROM audit ORDER BY id DESC LIMIT ?", limit)
        return [AuditEntry(from_ms(row["at_ms"]), row["admin"], row["command"], row["about"]) for row in rows]


def sample_from_row(row: sqlite3.Row) -> MonitorSample:
    """Read a row of `samples`."""
    return MonitorSample(
        at=from_ms(row["at_ms"]),
        queued_counts={JobKind.TRAIN: row["waiting_train"], JobKind.GENERATE: row["waiting_generate"]},
        device=row["device"],
        load_percent=row["load_percent"],
        memory_used_bytes=row["memory_used_bytes"],
        memory_total_bytes=row["memory_total_bytes"],
        temperature_c=row["temperature_c"],
        worker_crashes=row["worker_deaths"],
    )


def _median_and_p95_s(times_ms: Sequence[int]) -> tuple[float, float]:
    """Return the median and the 95th percentile in seconds; both are among the times given."""
    sorted_ms = sorted(times_ms)
    last_index = len(sorted_ms) - 1
    return sorted_ms[last_index // 2] / 1000, sorted_ms[-(-last_index * 95 // 100)] / 1000
