"""The command line: quick, quiet where it should be, and its exit statuses mean something."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path

import msgspec
import pytest

from bot.app import cli
from bot.app.cli import main
from bot.db import Database
from bot.ops import heartbeat
from bot.ops.heartbeat import Heartbeat
from gpu_worker.protocol import WorkerHealth

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HEALTH = WorkerHealth(device="cpu", base_model="drawn", base_model_loaded=True, process_memory_bytes=2**30)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder without tokens; DATA_DIR inside it."""
    for name in ("TELEGRAM_BOT_TOKEN", "DISCORD_BOT_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def beats(folder: Path, at: datetime, health: WorkerHealth | None = HEALTH) -> None:
    data = folder / "data"
    data.mkdir(exist_ok=True)
    last = Heartbeat(at=at, since=at - timedelta(hours=2), pid=77, health=health)
    (data / heartbeat.FILE_NAME).write_bytes(msgspec.json.encode(last))


def loaded_by(*arguments: str) -> set[str]:
    """List the modules that a command line loads."""
    program = (
        "import sys\nfrom bot.app.cli import main\n"
        f"main({list(arguments)!r})\nsys.stderr.write('\\n'.join(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DATA_DIR": "/nowhere"},
        timeout=60,
    )
    return set(ran.stderr.splitlines())


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("status", "--health")])
def test_the_help_and_the_health_check_load_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert not loaded_by(*arguments) & {"torch", "diffusers", "telegram", "discord", "PIL", "pydantic"}


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"loracode, version {metadata.version('loracode')}\n"


def test_the_readme_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    commands = re.findall(r"^  ([a-z]+)  ", shown[shown.index("Commands:") :], re.MULTILINE)
    assert commands == ["backup", "demo", "doctor", "restore", "run", "status"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [each for each in commands if f"`loracode {each}" not in readme]


def test_a_run_without_a_token_is_one_line_that_says_where_from(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("loracode: TELEGRAM_BOT_TOKEN or DISCORD_BOT_TOKEN has to be set")
    assert len(told.splitlines()) == 1


def test_an_unknown_command_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dance"]) == 2
    assert "dance" in capsys.readouterr().err


def test_the_status_has_its_own_exit_code_where_nothing_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status"]) == 3
    assert main(["status", "--health"]) == 1
    assert "No LoraCode runs on" in capsys.readouterr().out


def test_an_empty_data_folder_has_nothing_to_back_up_or_restore(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backup", "safe"]) == 2
    assert "no database" in capsys.readouterr().err
    assert main(["restore", str(folder)]) == 2
    assert "no backup" in capsys.readouterr().err


def test_a_bot_is_well_as_long_as_it_beats(folder: Path) -> None:
    beats(folder, NOW)
    assert cli.check_health(folder / "data", NOW + timedelta(seconds=30)) == (True, "the bot is well")
    well, line = cli.check_health(folder / "data", NOW + timedelta(seconds=60))
    assert not well
    assert "2026-11-23 12:00:00 UTC" in line
    runs, lines = cli.describe_bot(folder / "data", NOW + timedelta(seconds=60))
    assert not runs
    assert "hangs or was killed" in lines[0]


def test_a_bot_without_its_worker_is_well(folder: Path) -> None:
    beats(folder, NOW, health=None)
    assert cli.check_health(folder / "data", NOW) == (True, "the bot is well; its worker is starting")


async def test_status_tells_how_far_a_download_is(folder: Path) -> None:
    line = "downloading, 35 % of 2.0 GB"
    loading = msgspec.structs.replace(HEALTH, base_model="a/b", base_model_loaded=False, loading=line)
    beats(folder, NOW, loading)
    ledger = await Database.open(folder / "data" / "ledger.sqlite3", lambda: NOW)
    await ledger.close()
    assert f"Base model: a/b ({line})" in cli.describe_bot(folder / "data", NOW)[1]


def test_a_torn_heartbeat_file_counts_as_none(folder: Path) -> None:
    beats(folder, NOW)
    (folder / "data" / heartbeat.FILE_NAME).write_text('{"at":')
    assert cli.check_health(folder / "data", NOW)[0] is False


def test_an_unreadable_data_folder_is_not_called_idle(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody can look there, not even root.
    monkeypatch.setenv("DATA_DIR", str(folder / ("x" * 300)))
    assert main(["status"]) == 2
    assert main(["backup", "safe"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert "cannot be looked into (File name too long)" in told[0]
    assert "could not be made: File name too long" in told[1]
    assert len(told) == 2
    assert main(["status", "--health"]) == 1
    assert "cannot be looked into" in capsys.readouterr().out


def test_a_setting_found_wrong_at_start_is_one_line(
    folder: Path,
) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "bot", "run"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DATA_DIR": str(folder / "data"),
            "TELEGRAM_BOT_TOKEN": f"123456:{'A' * 35}",
            "WORKERS": "2",
            "CUDA_VISIBLE_DEVICES": "0",
        },
        timeout=60,
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("loracode: WORKERS: 2 workers need a card each")
    assert len(ran.stderr.splitlines()) == 1


def test_a_plan_is_one_line_and_a_refusal_ends_with_one(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["doctor", "--plan", "sdxl", "--card-gb", "6", "--ram-gb", "16"]) == 0
    assert "6 GB, 16 GB of RAM: weights int8" in capsys.readouterr().out
    monkeypatch.setenv("MEMORY", "whole")
    assert main(["doctor", "--plan", "sdxl", "--card-gb", "6", "--ram-gb", "16"]) == 1
    told = capsys.readouterr().out
    assert "does not fit: it needs" in told
    assert len(told.splitlines()) == 1
