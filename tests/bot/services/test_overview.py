"""What an administrator sees: the state of things, quickly, however much is in the database."""

from __future__ import annotations

import io
import logging
import re
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from bot.core.jobs import JobFailure, JobKind, JobStatus, LatencyStats
from bot.core.monitoring import MonitorSample
from bot.ops.error_log import RecentErrors
from bot.ops.metrics import MetricsExporter, MetricSources
from bot.ops.monitor import HealthInputs, Monitor
from gpu_worker.protocol import WorkerHealth
from tests.support.services import (
    ADMIN,
    ANNA,
    BERT,
    BERTS,
    Desk,
    InProcessDecoder,
    album,
    open_desk,
    tools,
)
from tests.support.use_cases import Studio

HEALTH = WorkerHealth("NVIDIA GeForce GTX 1060 6GB", "tiny", True, 2**30, 3 * 2**30, 6 * 2**30, 71, 98)
JOBS = 100_000
#: Of 1000 jobs 2 wait, 1 runs, 27 failed and the rest is done, one every 5 seconds, the last one now.
_MANY_JOBS = f"""
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {JOBS})
INSERT INTO jobs (kind, status, account, code, wish, platform, chat_id, user_id, attempt, step, steps, error,
    created_ms, started_ms, finished_ms)
SELECT
    iif(n % 5 = 0, 'train', 'generate'),
    CASE WHEN n % 1000 < 2 THEN 'queued' WHEN n = {JOBS} - 1 THEN 'running' WHEN n % 1000 < 30 THEN 'failed'
        ELSE 'done' END,
    1, '40713386', iif(n % 5 = 0, '{{}}', '{{"prompt": "a boat"}}'), 'telegram', '100', '1', 1, 10, 25,
    'It broke.',
    :now - ({JOBS} - n) * 5000 - 60000, :now - ({JOBS} - n) * 5000 - 40000, :now - ({JOBS} - n) * 5000
FROM numbers
"""  # noqa: S608 - our own numbers


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def fill(desk: Desk) -> None:
    """Put many jobs into the database."""
    now_ms = round(desk.clock.now.timestamp() * 1000)

    def work(db: sqlite3.Connection) -> None:
        db.execute(
            "INSERT INTO loras (code, account, token, class_word, state, created_ms)"
            " VALUES ('40713386', 1, 'sks', 'person', 'ready', 0)"
        )
        db.execute(_MANY_JOBS, {"now": now_ms})

    await desk.ledger._connection.write(work)


def scans(plan: list[sqlite3.Row]) -> list[str]:
    """Which of the tables that grow for ever are read from end to end."""
    return [row["detail"] for row in plan if re.match(r"SCAN (jobs|notices|pictures|loras)\b", row["detail"])]


def watchman(desk: Desk) -> Monitor:
    outlook = HealthInputs((ADMIN,), lambda: None, lambda: 0, lambda: 0.5, lambda: "")
    return Monitor(desk.ledger, desk.queue.health, desk.clock, outlook)


def meter(desk: Desk) -> MetricsExporter:
    dials = MetricSources(desk.queue.health, lambda: 0, lambda: 0, lambda: None, desk.files.root)
    return MetricsExporter(desk.ledger, dials, desk.clock)


async def test_status_reads_a_few_of_a_hundred_thousand_jobs(desk: Desk) -> None:
    await fill(desk)
    statements: list[str] = []
    await desk.ledger._connection.read(lambda db: db.set_trace_callback(statements.append))
    text = (await desk.studio.run_admin_command(ADMIN, "status")).text
    await desk.studio.run_admin_command(ADMIN, "logs")
    await watchman(desk).check()
    await desk.studio.add_photos(BERT, BERTS, album(1))  # which looks whether there is room in line
    figures = meter(desk)
    desk.clock.forward(minutes=1)
    await figures.export()
    await desk.ledger._connection.read(lambda db: db.set_trace_callback(None))
    assert "Waiting: 100 train, 100 generate" in text
    read = [each for each in statements if each.startswith("SELECT")]
    assert len(read) > 10
    for statement in read:
        plan = await desk.ledger._connection.fetch_rows(f"EXPLAIN QUERY PLAN {statement}")
        assert not scans(plan), statement
    everything = await desk.ledger._connection.fetch_rows(
        "EXPLAIN QUERY PLAN SELECT count(*) FROM jobs WHERE error NOT NULL"
    )
    assert scans(everything) == ["SCAN jobs"], "such a statement would be noticed"


async def test_figures_are_those_of_the_last_day(desk: Desk) -> None:
    await fill(desk)
    done = await desk.ledger.monitoring.count_ended_by_hour(
        JobStatus.DONE, desk.clock.now + timedelta(seconds=1), 24
    )
    assert len(done) == 24
    assert all(690 <= count <= 720 for count in done), "one every five seconds, but those that failed"
    assert sum(done) == 17280 - sum(n % 1000 < 30 for n in range(JOBS - 17279, JOBS + 1)) - 1
    times = await desk.ledger.monitoring.get_latency_stats(
        JobKind.TRAIN, desk.clock.now - timedelta(hours=24)
    )
    assert times == LatencyStats((20.0, 20.0), (40.0, 40.0))
    assert (
        await desk.ledger.monitoring.get_latency_stats(JobKind.TRAIN, desk.clock.now + timedelta(hours=1))
        is None
    )


async def test_the_95th_percentile_is_a_time_that_few_exceeded(desk: Desk) -> None:
    await fill(desk)

    def work(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM jobs WHERE status != 'done' OR kind != 'train'")
        db.execute("DELETE FROM jobs WHERE id NOT IN (SELECT id FROM jobs ORDER BY id DESC LIMIT 100)")
        db.execute("UPDATE jobs SET started_ms = created_ms + 1000 * (100001 - id) / 5")

    await desk.ledger._connection.write(work)
    times = await desk.ledger.monitoring.get_latency_stats(
        JobKind.TRAIN, desk.clock.now - timedelta(hours=24)
    )
    assert times is not None
    median, most = times.wait_s
    assert 45 <= median <= 55
    assert 92 <= most <= 99


async def test_status_comes_with_a_picture_of_the_day(desk: Desk) -> None:
    desk.queue.current_health = HEALTH
    await watchman(desk).check()
    desk.clock.forward(minutes=1)
    await watchman(desk).check()
    (picture,) = (await desk.studio.run_admin_command(ADMIN, "status")).pictures
    assert isinstance(picture, bytes)
    with Image.open(io.BytesIO(picture)) as opened:
        assert opened.format == "PNG"


async def test_a_sample_holds_the_queue_and_the_card(desk: Desk) -> None:
    desk.queue.current_health = HEALTH
    await desk.train(ANNA)
    await watchman(desk).check()
    (sample,) = await desk.ledger.monitoring.list_samples_since(desk.clock.now)
    assert sample == MonitorSample(
        at=desk.clock.now,
        queued_counts={JobKind.TRAIN: 1, JobKind.GENERATE: 0},
        device="NVIDIA GeForce GTX 1060 6GB",
        load_percent=98,
        memory_used_bytes=3 * 2**30,
        memory_total_bytes=6 * 2**30,
        temperature_c=71,
    )
    assert sample.memory_percent == 50


async def test_samples_are_kept_for_25_hours(desk: Desk) -> None:
    start = desk.clock.now
    await watchman(desk).check()
    desk.clock.forward(hours=24, minutes=59)
    await watchman(desk).check()
    assert len(await desk.ledger.monitoring.list_samples_since(start)) == 2
    desk.clock.forward(minutes=2)
    await watchman(desk).check()
    assert [each.at > start for each in await desk.ledger.monitoring.list_samples_since(start)] == [
        True,
        True,
    ]
    assert (await desk.ledger.monitoring.list_samples_since(start))[-1].device is None, "there is no worker"


async def test_samples_are_thinned_to_the_highest_of_four_minutes(desk: Desk) -> None:
    start = desk.clock.now
    for minute in range(8):
        desk.clock.now = start + timedelta(minutes=minute)
        load = {2: 90, 6: 70}.get(minute, 10)
        waiting = {JobKind.TRAIN: int(minute == 1), JobKind.GENERATE: 0}
        await desk.ledger.monitoring.add_sample(MonitorSample(desk.clock.now, waiting, "card", load))
    first, second = await desk.ledger.monitoring.list_peaks_since(start)
    assert (first.at, second.at) == (start + timedelta(minutes=3), start + timedelta(minutes=7))
    assert (first.load_percent, second.load_percent) == (90, 70)
    assert (first.queued_counts[JobKind.TRAIN], second.queued_counts[JobKind.TRAIN]) == (1, 0)
    assert first.temperature_c is None


async def test_errors_of_the_log_and_failed_jobs_stand_in_status_and_logs(desk: Desk) -> None:
    troubles = RecentErrors()
    desk_tools = replace(tools(desk.ledger, desk.queue, desk.files, desk.clock), recent_errors=troubles)
    desk.studio = Studio(desk_tools, InProcessDecoder(), {ADMIN})
    assert "Nothing has gone wrong" in (await desk.studio.run_admin_command(ADMIN, "logs")).text
    await desk.train(ANNA)
    job = await desk.claim(JobKind.TRAIN)
    assert await desk.ledger.jobs.fail(job.id, job.attempt, JobFailure(sentence="It broke."))
    troubles.handle(logging.makeLogRecord({"name": "bot.x", "msg": "no luck", "created": 0.0, "levelno": 40}))
    assert f"job {job.id} (train): It broke." in (await desk.studio.run_admin_command(ADMIN, "status")).text
    lines = (await desk.studio.run_admin_command(ADMIN, "logs")).text.splitlines()
    assert lines[0].endswith("It broke.")
    assert lines[1] == "01-01 00:00 bot.x: no luck"
