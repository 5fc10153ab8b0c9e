"""`/healthz` and `/metrics`: true figures over real HTTP, nothing of anybody's, and rules that fit them."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bot.app.root import open_app
from bot.app.settings import Settings
from bot.core.addresses import ListenAddress
from bot.core.errors import SettingsError
from bot.core.jobs import JobFailure, JobKind
from bot.jobs.backends.fake import FakeBackend
from bot.ops.health_server import HealthServer
from bot.ops.metrics import COUNTING_LAG, MetricsExporter, MetricSources
from gpu_worker.protocol import WorkerHealth
from tests.support.engine import until
from tests.support.services import ADMIN, ANNA, ANNAS, Desk, open_desk

OPS = Path(__file__).parents[3] / "docs" / "ops"
RULES = OPS / "loracode.rules.yml"
HEALTH = WorkerHealth("NVIDIA GeForce GTX 1060 6GB", "tiny", True, 2**30, 3 * 2**30, 6 * 2**30, 71, 98)
PROMTOOL = shutil.which("promtool")
CANARY = "a canary in a red hat"


@dataclass
class Machine:
    """A desk, and what is read besides its database."""

    desk: Desk
    health: WorkerHealth | None = HEALTH
    deaths: int = 2
    backup_at: datetime | None = None
    meter: MetricsExporter = field(init=False)

    def __post_init__(self) -> None:
        dials = MetricSources(
            lambda: self.health, lambda: self.deaths, lambda: 5, lambda: self.backup_at, self.desk.files.root
        )
        self.meter = MetricsExporter(self.desk.ledger, dials, self.desk.clock)

    async def figures(self) -> dict[str, float]:
        """Every sample by its name and labels."""
        text = (await self.meter.export()).decode()
        return {
            each.name + "".join(f" {value}" for _, value in sorted(each.labels.items())): each.value
            for family in text_string_to_metric_families(text)
            for each in family.samples
        }


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    async with open_desk(tmp_path) as desk:
        yield Machine(desk)


@asynccontextmanager
async def listening(machine: Machine) -> AsyncIterator[str]:
    lookout = HealthServer(machine.meter, ListenAddress("127.0.0.1", 0))
    serving = asyncio.create_task(lookout.run())

    async def is_up() -> bool:
        return lookout.port > 0 or serving.done()

    await until(is_up)
    try:
        yield f"http://127.0.0.1:{lookout.port}"
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def test_figures_are_those_of_the_queue_the_card_and_the_disk(machine: Machine) -> None:
    desk = machine.desk
    await desk.train(ANNA)
    desk.clock.forward(seconds=90)
    machine.backup_at = desk.clock.now
    figures = await machine.figures()
    assert figures["loracode_jobs_waiting train"] == 1
    assert figures["loracode_jobs_waiting generate"] == 0
    assert figures["loracode_oldest_waiting_seconds"] == 90
    assert figures["loracode_worker_up"] == 1
    assert figures["loracode_worker_deaths_total"] == 2
    assert figures["loracode_logged_errors_total"] == 5
    assert figures["loracode_card_temperature_celsius"] == 71
    assert figures["loracode_card_load_ratio"] == 0.98
    assert figures["loracode_last_backup_timestamp_seconds"] == desk.clock.now.timestamp()
    assert 0 < figures["loracode_disk_free_bytes"] < figures["loracode_disk_total_bytes"]
    assert figures["loracode_paused"] == 0
    await desk.studio.run_admin_command(ADMIN, "pause")
    assert (await machine.figures())["loracode_paused"] == 1


async def test_unknown_figures_are_left_out(machine: Machine) -> None:
    machine.health = None
    figures = await machine.figures()
    assert figures["loracode_worker_up"] == 0
    assert not [name for name in figures if "card_" in name or "backup_timestamp" in name]


async def test_each_end_of_a_job_is_counted_once(machine: Machine) -> None:
    desk = machine.desk
    await desk.ready(ANNA)
    await desk.train(ANNA, first=6)
    job = await desk.claim(JobKind.TRAIN)
    assert await desk.ledger.jobs.fail(job.id, job.attempt, JobFailure(sentence="It broke."))
    assert (await machine.figures())["loracode_jobs_ended_total train failed"] == 0, "it may be of just now"
    desk.clock.forward(seconds=COUNTING_LAG.total_seconds() + 1)
    for _ in range(3):
        figures = await machine.figures()
        assert figures["loracode_jobs_ended_total train failed"] == 1
        assert figures["loracode_jobs_ended_total train done"] == 1
        desk.clock.forward(minutes=1)
    desk.clock.now -= timedelta(days=1)  # a clock that was set back
    assert (await machine.figures())["loracode_jobs_ended_total train done"] == 1


async def test_an_alarm_that_is_on_is_a_figure(machine: Machine) -> None:
    assert (await machine.figures())["loracode_alarm disk"] == 0
    await machine.desk.ledger.monitoring.set_alert("disk", True, [], "words")
    assert (await machine.figures())["loracode_alarm disk"] == 1


async def test_metrics_are_served_over_http_and_name_no_person(machine: Machine) -> None:
    desk = machine.desk
    job = await desk.ready(ANNA)
    await desk.studio.generate_from_text(ANNA, ANNAS, f"{job.code} {CANARY}")
    async with listening(machine) as url, aiohttp.ClientSession() as client:
        async with client.get(f"{url}/metrics") as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith("text/plain")
            text = await answer.text()
        async with client.get(f"{url}/healthz") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ok"})
        async with client.get(f"{url}/") as answer:
            assert answer.status == 404
        async with client.post(f"{url}/metrics", data=b"x") as answer:
            assert answer.status == 405
    assert "loracode_jobs_waiting" in text
    assert "process_resident_memory_bytes" in text
    assert job.code not in text
    assert not re.search("canary|telegram|discord", text)


async def test_an_unreadable_database_makes_the_bot_unhealthy(machine: Machine) -> None:
    async with listening(machine) as url, aiohttp.ClientSession() as client:
        await machine.desk.ledger._connection.write(lambda db: db.execute("ALTER TABLE jobs RENAME TO gone"))
        async with client.get(f"{url}/healthz") as answer:
            assert answer.status == 503
            assert (await answer.json())["why"] == "the database cannot be read"


async def test_a_port_that_is_taken_is_one_line(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"^METRICS_LISTEN: 127\.0\.0\.1:{port} cannot be"):
            await HealthServer(machine.meter, ListenAddress("127.0.0.1", port)).run()


async def test_every_figure_that_an_alert_rule_asks_for_is_told(machine: Machine) -> None:
    machine.backup_at = machine.desk.clock.now
    told = {name.split(" ")[0] for name in await machine.figures()} | {"up"}
    rules = [rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]]
    assert len(rules) > 5
    for rule in rules:
        asked = set(re.findall(r"\b(?:loracode_\w+|up)\b(?=[\s{\[)]|$)", rule["expr"]))
        assert asked, rule["alert"]
        assert asked <= told, f"{rule['alert']} asks for {asked - told}"
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in {"page", "warn"}


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed here")
def test_promtool_finds_nothing_wrong_with_rules_and_configuration() -> None:
    assert PROMTOOL is not None
    for order in (
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "loracode.rules.yml"],
        ["test", "rules", "loracode.rules.test.yml"],
    ):
        ran = subprocess.run([PROMTOOL, *order], cwd=OPS, capture_output=True, check=False)
        assert ran.returncode == 0, ran.stdout.decode() + ran.stderr.decode()


async def test_metrics_are_answered_as_long_as_the_bot_runs(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = {"DATA_DIR": str(tmp_path), "METRICS_LISTEN": f"127.0.0.1:{port}", "BACKUP_DAYS": "0"}
    async with (
        aiohttp.ClientSession() as client,
        open_app(Settings.from_environ(environ), FakeBackend()) as app,
    ):
        running = asyncio.create_task(app.run({}))

        async def is_well() -> bool:
            assert not running.done()
            try:
                async with client.get(f"http://127.0.0.1:{port}/healthz") as answer:
                    return answer.status == 200
            except aiohttp.ClientConnectionError:
                return False

        await until(is_well)
        async with client.get(f"http://127.0.0.1:{port}/metrics") as answer:
            assert "loracode_worker_up 1.0" in await answer.text()
        running.cancel()
        await asyncio.wait([running])
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get(f"http://127.0.0.1:{port}/healthz")
