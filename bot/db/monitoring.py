"""What administrators see and do: the ledger's fourth part. Nothing here reads all jobs."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from bot.core.accounts import Identity
from bot.core.jobs import TERMINAL, Job, JobKind, JobStatus, Times
from bot.core.monitoring import Act, Sample
from bot.db.direct_messages import owe
from bot.db.rows import job_of, ms, sample_of, time_of
from bot.db.shares import Shares

#: Jobs whose times are looked at: enough for a 95th percentile, few enough to sort at once.
MAX_TIMED = 1000
HOUR_MS = 3_600_000
#: Of a minute's samples, so many become one where a whole day is asked for.
PEAK_MS = 4 * 60_000
_PEAKS = """
SELECT max(at_ms) AS at_ms, max(waiting_train) AS waiting_train, max(waiting_generate) AS waiting_generate,
    max(device) AS device, max(load_percent) AS load_percent, max(memory_used_bytes) AS memory_used_bytes,
    max(memory_total_bytes) AS memory_total_bytes, max(temperature_c) AS temperature_c,
    max(worker_deaths) AS worker_deaths
FROM samples WHERE at_ms >= ?1 GROUP BY at_ms / ?2 ORDER BY at_ms
"""
#: How the switches of alarms begin.
_ALARM = "alarm:"


class Administration(Shares):
    """Figures of the last day, and what administrators decided."""

    # --- the state of things -----------------------------------------------------------------------------

    async def add_sample(self, sample: Sample) -> None:
        """Keep a sample."""
        waiting = sample.waiting
        values = (ms(sample.at), waiting[JobKind.TRAIN], waiting[JobKind.GENERATE], sample.device)
        card = (sample.load_percent, sample.memory_used_bytes, sample.memory_total_bytes)
        await self._change(
            "INSERT OR REPLACE INTO samples VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *values,
            *card,
            sample.temperature_c,
            sample.worker_deaths,
        )

    async def samples_since(self, since: datetime) -> list[Sample]:
        """List the samples from then on, the oldest first."""
        rows = await self._rows("SELECT * FROM samples WHERE at_ms >= ? ORDER BY at_ms", ms(since))
        return [sample_of(row) for row in rows]

    async def peaks_since(self, since: datetime) -> list[Sample]:
        """List one sample for every four minutes from then on, with the highest values in them."""
        return [sample_of(row) for row in await self._rows(_PEAKS, ms(since), PEAK_MS)]

    async def forget_samples_before(self, before: datetime) -> None:
        """Delete older samples."""
        await self._change("DELETE FROM samples WHERE at_ms < ?", ms(before))

    async def waiting(self) -> dict[JobKind, int]:
        """Count what waits, by kind."""
        sql = "SELECT count(*) FROM jobs WHERE kind = ? AND status = 'queued'"
        return {kind: (await self._rows(sql, str(kind)))[0][0] for kind in JobKind}

    async def oldest_waiting_at(self) -> datetime | None:
        """Tell since when what waits longest does."""
        sql = (
            "SELECT created_ms FROM jobs WHERE kind = ? AND status = 'queued' ORDER BY created_ms, id LIMIT 1"
        )
        found = [time_of(row[0]) for kind in JobKind for row in await self._rows(sql, str(kind))]
        return min(found, default=None)

    async def notices_owed(self) -> int:
        """Count the messages that people are still owed."""
        rows = await self._rows(
            "SELECT (SELECT count(*) FROM notices WHERE state = 'owed') + (SELECT count(*) FROM letters)"
        )
        return int(rows[0][0])

    async def ended_by_hour(self, status: JobStatus, until: datetime, hours: int) -> list[int]:
        """Count the jobs that ended so in each of the hours before `until`, the earliest first."""
        since_ms = ms(until) - hours * HOUR_MS
        counts = [0] * hours
        for kind in JobKind:
            rows = await self._rows(
                "SELECT (finished_ms - ?) / ? AS hour, count(*) AS n FROM jobs"
                " WHERE kind = ? AND status = ? AND finished_ms >= ? AND finished_ms < ? GROUP BY hour",
                *(since_ms, HOUR_MS, str(kind), str(status), since_ms, ms(until)),
            )
            for row in rows:
                counts[row["hour"]] += row["n"]
        return counts

    async def ended_between(self, since: datetime, until: datetime) -> dict[tuple[JobKind, JobStatus], int]:
        """Count the jobs that ended from `since` on and before `until`, by kind and how they ended."""
        sql = (
            "SELECT count(*) FROM jobs WHERE kind = ? AND status = ? AND finished_ms >= ? AND finished_ms < ?"
        )
        return {
            (kind, status): (await self._rows(sql, str(kind), str(status), ms(since), ms(until)))[0][0]
            for kind in JobKind
            for status in TERMINAL
        }

    async def times(self, kind: JobKind, since: datetime) -> Times | None:
        """Tell how long jobs that were done since then took; None when there were none.

        Of those that were carried out at the first attempt: a second one forgets when the first began.
        """
        rows = await self._rows(
            "SELECT started_ms - created_ms AS waited, finished_ms - started_ms AS ran FROM jobs"
            " WHERE kind = ? AND status = 'done' AND finished_ms >= ? AND attempt = 1"
            " ORDER BY finished_ms DESC LIMIT ?",
            *(str(kind), ms(since), MAX_TIMED),
        )
        if not rows:
            return None
        return Times(_summary([row["waited"] for row in rows]), _summary([row["ran"] for row in rows]))

    async def last_failed(self, since: datetime, limit: int) -> list[Job]:
        """List the jobs that failed last, the newest first."""

        def work(db: sqlite3.Connection) -> list[Job]:
            sql = (
                "SELECT * FROM jobs WHERE kind = ? AND status = 'failed' AND finished_ms >= ?"
                " ORDER BY finished_ms DESC LIMIT ?"
            )
            return [job_of(row) for kind in JobKind for row in db.execute(sql, (str(kind), ms(since), limit))]

        jobs = await self._db.read(work)
        return sorted(jobs, key=lambda job: (job.finished_at or job.created_at, job.id), reverse=True)[:limit]

    # --- what administrators decided ---------------------------------------------------------------------

    async def switch(self, name: str, on: bool) -> None:
        """Turn a switch on or off; `paused` lets no job begin. It outlives a restart."""
        if on:
            await self._change("INSERT OR IGNORE INTO switches VALUES (?, ?)", name, self._db.now_ms())
        else:
            await self._change("DELETE FROM switches WHERE name = ?", name)

    async def switches_on(self) -> set[str]:
        """List the switches that are on."""
        return {row["name"] for row in await self._rows("SELECT name FROM switches")}

    async def turn_alarm(self, name: str, is_on: bool, to: Sequence[Identity], words: str) -> bool:
        """Turn an alarm on or off and owe people the words; False, telling nobody, when it is so already."""
        now = self._db.now_ms()
        key = f"{_ALARM}{name}"

        def work(db: sqlite3.Connection) -> bool:
            if is_on:
                changed = db.execute("INSERT OR IGNORE INTO switches VALUES (?, ?)", (key, now))
            else:
                changed = db.execute("DELETE FROM switches WHERE name = ?", (key,))
            if changed.rowcount:
                owe(db, [(str(who.platform), who.user_id) for who in to], words, now)
            return bool(changed.rowcount)

        return await self._db.write(work)

    async def alarms_on(self) -> set[str]:
        """List the alarms that are on."""
        return {name.removeprefix(_ALARM) for name in await self.switches_on() if name.startswith(_ALARM)}

    async def note_act(self, admin: Identity, command: str, about: str) -> None:
        """Note what an administrator does."""
        sql = "INSERT INTO audit (at_ms, admin, command, about) VALUES (?, ?, ?, ?)"
        await self._change(sql, self._db.now_ms(), str(admin), command, about)

    async def last_acts(self, limit: int) -> list[Act]:
        """List what administrators did last, the newest first."""
        rows = await self._rows("SELECT * FROM audit ORDER BY id DESC LIMIT ?", limit)
        return [Act(time_of(row["at_ms"]), row["admin"], row["command"], row["about"]) for row in rows]


def _summary(times_ms: Sequence[int]) -> tuple[float, float]:
    """Give the median and the 95th percentile in seconds, both of them times that were really taken."""
    ordered = sorted(times_ms)
    last = len(ordered) - 1
    return ordered[last // 2] / 1000, ordered[-(-last * 95 // 100)] / 1000
