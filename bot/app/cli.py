"""The commands and their options; each reads the settings, calls one function and gives the exit status.

What is told of a bot from beside it: its pulse, and a look at the database.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bot.core.errors import LoraCodeError, SettingsError

if TYPE_CHECKING:
    from bot.app.settings import Settings
from bot.db import read_status_snapshot
from bot.ops import heartbeat
from bot.ops.heartbeat import Heartbeat

#: Exit statuses: a setting or the machine is not right; doctor found something; no bot runs here.
EXIT_ERROR, EXIT_PROBLEMS, EXIT_NOT_RUNNING = 2, 1, 3


EXIT_INTERRUPTED = 130


#: No backup is kept longer.
MAX_BACKUP_DAYS = 30


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line; gives the exit status."""
    try:
        status = loracode.main(args=arguments, prog_name="loracode", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except LoraCodeError as error:
        click.echo(f"loracode: {error}", err=True)
        return EXIT_ERROR
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    return int(status or 0)


@click.group(invoke_without_command=True)
@click.version_option(package_name="loracode")
@click.pass_context
def loracode(context: click.Context) -> int | None:
    """Five photos in, a LoRA out: a bot for Telegram and Discord.

    Settings come from the environment and from .env in this folder. Without a command the bot runs, or the
    demo where no token is set.
    """
    if context.invoked_subcommand is not None:
        return None
    settings = _load_settings()
    return _start(settings, is_demo=not _has_token(settings))


@loracode.command()
def run() -> int:
    """Be the bot on every platform there is a token for."""
    settings = _load_settings()
    if not _has_token(settings):
        raise SettingsError(
            "TELEGRAM_BOT_TOKEN or DISCORD_BOT_TOKEN has to be set (docs/install.md says where tokens come "
            "from); `loracode demo` needs none."
        )
    return _start(settings, is_demo=False)


@loracode.command()
def demo() -> int:
    """Play the demo in this console: five drawn photos become a LoraCode, a LoRA and pictures."""
    return _start(_load_settings(), is_demo=True)


@loracode.command()
@click.option("--offline", is_flag=True, help="Ask neither Telegram nor Discord about the tokens.")
@click.option(
    "--plan", metavar="BASE", help="Say how trainings of a base model fit a card: sd15, sdxl, any source."
)
@click.option("--card-gb", type=float, help="With --plan: the card's memory. Default: this machine's.")
@click.option("--ram-gb", type=float, help="With --plan: the machine's memory. Default: this machine's.")
def doctor(offline: bool, plan: str | None, card_gb: float | None, ram_gb: float | None) -> int:
    """Look at all that LoraCode needs and say what to do. Exit status 1: something has to be done."""
    from bot.app import doctor as diagnostics

    if plan is not None:
        memory = _read_environ().get("MEMORY") or "auto"
        (diagnosis,) = diagnostics.check_plan(plan, card_gb, ram_gb, memory)
        click.echo(" ".join(part for part in (diagnosis.detail, diagnosis.advice) if part))
        return EXIT_PROBLEMS if diagnosis.verdict == "bad" else 0
    diagnoses = diagnostics.run_checks(_read_environ(), diagnostics.Endpoints(is_online=not offline))
    click.echo(diagnostics.format_table(diagnoses))
    return EXIT_PROBLEMS if diagnostics.has_problems(diagnoses) else 0


@loracode.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def backup(folder: Path) -> int:
    """Back the database, LoRAs and pictures up into a new folder inside FOLDER, also while the bot runs.

    Backups there that are older than BACKUP_DAYS (at most 30) are deleted, because photos are in them.
    """
    from bot.ops import backup as backup_tools

    settings = _load_settings()
    new_backup = backup_tools.create_backup(settings.data_dir, folder, _now())
    expired_backups = backup_tools.delete_old_backups(folder, settings.backup_days or MAX_BACKUP_DAYS, _now())
    click.echo(f"{new_backup.folder}: {new_backup}")
    if expired_backups:
        click.echo(f"{len(expired_backups)} that were too old are deleted")
    return 0


@loracode.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--replace", is_flag=True, help="Replace what is in DATA_DIR; it is backed up first.")
def restore(folder: Path, replace: bool) -> int:
    """Put a backup back into DATA_DIR. FOLDER is one backup, or holds several: then the newest is taken."""
    from bot.ops import backup as backup_tools

    restored_backup = backup_tools.restore(folder, _load_settings().data_dir, _now(), replace=replace)
    click.echo(f"restored {restored_backup.folder}: {restored_backup}")
    return 0


@loracode.command()
@click.option("--health", is_flag=True, help="Only say whether the bot is well; exit status 0 or 1.")
def status(health: bool) -> int:
    """Return how the bot on this DATA_DIR is doing. Exit status 3: none runs."""
    pass

    # Not through the settings, which load much: this is asked twice a minute.
    data_dir = Path(_read_environ_value("DATA_DIR") or "data").expanduser()
    if health:
        is_healthy, line = check_health(data_dir, _now())
        click.echo(line)
        return 0 if is_healthy else EXIT_PROBLEMS
    is_running, lines = describe_bot(data_dir, _now())
    click.echo("\n".join(lines))
    return 0 if is_running else EXIT_NOT_RUNNING


def _start(settings: Settings, is_demo: bool) -> int:
    from bot.app import run as app_run

    return app_run.run(settings, is_demo)


def _read_environ() -> dict[str, str]:
    from bot.app.env_file import read_environ

    return read_environ(os.environ, Path(".env"))


def _read_environ_value(name: str) -> str:
    return (os.environ.get(name) or _read_environ().get(name, "")).strip()


def _load_settings() -> Settings:
    from bot.app.settings import Settings

    return Settings.from_environ(_read_environ())


def _has_token(settings: Settings) -> bool:
    return settings.telegram_bot_token is not None or settings.discord_bot_token is not None


def _now() -> datetime:
    return datetime.now(UTC)


def check_health(data_dir: Path, now: datetime) -> tuple[bool, str]:
    """Return whether a bot runs and beats, and why not."""
    try:
        last = heartbeat.read_heartbeat(data_dir)
    except SettingsError as error:
        return False, str(error)
    if last is None:
        return False, "no bot runs here"
    if last.is_stale(now):
        return False, f"the bot last beat at {_format_time(last.at)}"
    return True, "the bot is well" if last.health is not None else "the bot is well; its worker is starting"


def describe_bot(data_dir: Path, now: datetime) -> tuple[bool, list[str]]:
    """Return whether a bot runs, and how it is doing."""
    last = heartbeat.read_heartbeat(data_dir)
    if last is None:
        return False, [f"No LoraCode runs on {data_dir}."]
    if last.is_stale(now):
        return False, [
            f"LoraCode on {data_dir} hangs or was killed: it last beat at {_format_time(last.at)}."
        ]
    snapshot = read_status_snapshot(data_dir / "ledger.sqlite3")
    return True, [
        f"Bot: process {last.pid}, up since {_format_time(last.since)}",
        *_format_worker(last),
        f"Queue: {snapshot.running_jobs} running, {snapshot.queued_jobs} waiting",
        f"Notices owed: {snapshot.pending_notices}",
    ]


def _format_worker(heartbeat: Heartbeat) -> list[str]:
    health = heartbeat.health
    if health is None:
        return ["Worker: not there (starting, or it died and is being restarted)"]
    load_state = "loaded" if health.base_model_loaded else health.loading or "not loaded yet"
    return [
        f"Worker: {health.device}, {health.process_memory_bytes / 2**30:.1f} GB",
        f"Base model: {health.base_model} ({load_state})",
    ]


def _format_time(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
