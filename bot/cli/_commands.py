"""The commands and their options; each reads the settings, calls one function and gives the exit status."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bot.errors import LoraCodeError, SettingsError

if TYPE_CHECKING:
    from bot.settings import Settings

#: Exit statuses: a setting or the machine is not right; doctor found something; no bot runs here.
NOT_RIGHT, FOUND_SOMETHING, NOT_RUNNING = 2, 1, 3
INTERRUPTED = 130
#: No backup is kept longer.
LONGEST_DAYS = 30


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line; gives the exit status."""
    try:
        status = loracode.main(args=arguments, prog_name="loracode", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except LoraCodeError as error:
        click.echo(f"loracode: {error}", err=True)
        return NOT_RIGHT
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
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
    settings = _settings()
    return _start(settings, is_demo=not _has_token(settings))


@loracode.command()
def run() -> int:
    """Be the bot on every platform there is a token for."""
    settings = _settings()
    if not _has_token(settings):
        raise SettingsError(
            "TELEGRAM_BOT_TOKEN or DISCORD_BOT_TOKEN has to be set (docs/install.md says where tokens come "
            "from); `loracode demo` needs none."
        )
    return _start(settings, is_demo=False)


@loracode.command()
def demo() -> int:
    """Play the demo in this console: five drawn photos become a LoraCode, a LoRA and pictures."""
    return _start(_settings(), is_demo=True)


@loracode.command()
@click.option("--offline", is_flag=True, help="Ask neither Telegram nor Discord about the tokens.")
def doctor(offline: bool) -> int:
    """Look at all that LoraCode needs and say what to do. Exit status 1: something has to be done."""
    from bot import doctor as surgery

    findings = surgery.examine(_environ(), surgery.Doors(online=not offline))
    click.echo(surgery.table(findings))
    return FOUND_SOMETHING if surgery.is_ill(findings) else 0


@loracode.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def backup(folder: Path) -> int:
    """Back the ledger, LoRAs and pictures up into a new folder inside FOLDER, also while the bot runs.

    Backups there that are older than BACKUP_DAYS (at most 30) are deleted, because photos are in them.
    """
    from bot import backup as safe

    settings = _settings()
    made = safe.back_up(settings.data_dir, folder, _now())
    gone = safe.forget_old(folder, settings.backup_days or LONGEST_DAYS, _now())
    click.echo(f"{made.folder}: {made}")
    if gone:
        click.echo(f"{len(gone)} that were too old are deleted")
    return 0


@loracode.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--replace", is_flag=True, help="Replace what is in DATA_DIR; it is backed up first.")
def restore(folder: Path, replace: bool) -> int:
    """Put a backup back into DATA_DIR. FOLDER is one backup, or holds several: then the newest is taken."""
    from bot import backup as safe

    restored = safe.restore(folder, _settings().data_dir, _now(), replace=replace)
    click.echo(f"restored {restored.folder}: {restored}")
    return 0


@loracode.command()
@click.option("--health", is_flag=True, help="Only say whether the bot is well; exit status 0 or 1.")
def status(health: bool) -> int:
    """Say how the bot on this DATA_DIR is doing. Exit status 3: none runs."""
    from bot.cli import _status

    # Not through the settings, which load much: this is asked twice a minute.
    data_dir = Path(_environ_value("DATA_DIR") or "data").expanduser()
    if health:
        well, line = _status.is_well(data_dir, _now())
        click.echo(line)
        return 0 if well else FOUND_SOMETHING
    runs, lines = _status.describe(data_dir, _now())
    click.echo("\n".join(lines))
    return 0 if runs else NOT_RUNNING


def _start(settings: Settings, is_demo: bool) -> int:
    from bot.cli import _run

    return _run.run(settings, is_demo)


def _environ() -> dict[str, str]:
    from bot.settings import read_environ

    return read_environ(os.environ, Path(".env"))


def _environ_value(name: str) -> str:
    return (os.environ.get(name) or _environ().get(name, "")).strip()


def _settings() -> Settings:
    from bot.settings import Settings

    return Settings.from_environ(_environ())


def _has_token(settings: Settings) -> bool:
    return settings.telegram_bot_token is not None or settings.discord_bot_token is not None


def _now() -> datetime:
    return datetime.now(UTC)
