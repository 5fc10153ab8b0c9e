"""The checks, each of one thing; the worker's half runs in a process of its own that may load torch."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bot import db
from bot.app.doctor._ports import port_findings
from bot.app.doctor._table import Finding
from bot.app.doctor._tokens import DISCORD_API, discord, telegram
from bot.app.settings import Settings
from bot.core.errors import LedgerError, SettingsError
from bot.media.moderation import is_installed

GIB = 2**30
#: The first start downloads Stable Diffusion 1.5, 2 GB, and a LoRA is some MB.
LEAST_DISK_BYTES, ENOUGH_DISK_BYTES = 1 * GIB, 10 * GIB
#: Python releases that the tests run on; newer ones may lack wheels.
TESTED_PYTHON = ((3, 11), (3, 14))
_CHECKUP_S = 300.0
#: File systems over which SQLite's locks and shared memory are not to be trusted: Windows folders, shares.
_FAR_FILE_SYSTEMS = {
    "9p",
    "drvfs",
    "v9fs",
    "cifs",
    "smb3",
    "nfs",
    "nfs4",
    "fuse.sshfs",
    "virtiofs",
    "fakeowner",
}
_MOUNTS = Path("/proc/mounts")


@dataclass(frozen=True, slots=True)
class Doors:
    """How the outside is asked."""

    online: bool = True
    discord_url: str = DISCORD_API
    timeout_s: float = 5.0


def examine(environ: Mapping[str, str], doors: Doors) -> list[Finding]:
    """Look at everything; one thing that is wrong hides no other."""
    found = [python_finding(sys.version_info[:3])]
    settings, finding = settings_finding(environ)
    found.append(finding)
    found += user_finding()
    found += checkup(settings.base_model)
    found += data_findings(settings.data_dir)
    found += token_findings(settings, doors)
    found += content_check_finding(settings)
    found += port_findings(settings)
    return found


def python_finding(version: tuple[int, int, int]) -> Finding:
    """Say whether LoraCode was tested with this Python."""
    shown = f"{'.'.join(map(str, version))}, {platform.system()} {platform.machine()}"
    oldest, newest = TESTED_PYTHON
    if version[:2] > newest:
        advice = f"Tested up to {newest[0]}.{newest[1]}; if something is missing, take that."
        return Finding("Python", "warn", shown, advice)
    if version[:2] < oldest:
        return Finding("Python", "bad", shown, f"Install Python {oldest[0]}.{oldest[1]} or newer.")
    return Finding("Python", "ok", shown)


def user_finding() -> Iterator[Finding]:
    """Say that nothing here needs root."""
    if os.name == "posix" and os.geteuid() == 0:
        advice = "LoraCode needs no rights: run it as an ordinary user (docs/install.md)."
        yield Finding("user", "warn", "root", advice)


def settings_finding(environ: Mapping[str, str]) -> tuple[Settings, Finding]:
    """Read the settings; where one is wrong, the others' defaults are looked at."""
    try:
        settings = Settings.from_environ(environ)
    except SettingsError as error:
        # The data folder is worth a look whatever else is wrong.
        rest = {"DATA_DIR": environ["DATA_DIR"]} if environ.get("DATA_DIR") else {}
        return Settings.from_environ(rest), Finding("settings", "bad", str(error), "Correct it in .env.")
    return settings, Finding("settings", "ok", "readable")


def checkup(base_model: str) -> list[Finding]:
    """Let a process that may load torch look at torch, card, memory and model files."""
    command = [sys.executable, "-m", "gpu_worker.doctor", "--base-model", base_model]
    environ = {name: value for name, value in os.environ.items() if "_BOT_TOKEN" not in name}
    try:
        ran = subprocess.run(  # noqa: S603 - our own module
            command,
            capture_output=True,
            timeout=_CHECKUP_S,
            check=False,
            env=environ,
            stdin=subprocess.DEVNULL,
        )
        return msgspec.json.decode(ran.stdout, type=list[Finding])
    except subprocess.TimeoutExpired:
        line = f"no answer in {_CHECKUP_S:.0f} s"
    except msgspec.MsgspecError:
        last = ran.stderr.decode(errors="replace").strip().splitlines()[-1:]
        line = f"ended with status {ran.returncode}" + (f": {last[0]}" if last else "")
    advice = f"The worker cannot be looked at: {_install('worker')}"
    return [Finding("worker", "bad", line, advice)]


def data_findings(data_dir: Path) -> Iterator[Finding]:
    """Look at the data folder, its disk and the ledger in it."""
    folder = data_dir.absolute()
    try:
        yield from _in_data_folder(folder)
    except OSError as error:
        advice = f"Let the user {_us()} look into {folder}, or run this as the bot's user."
        yield Finding("data folder", "bad", f"{folder} cannot be looked into ({error.strerror})", advice)


def _in_data_folder(folder: Path) -> Iterator[Finding]:
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        advice = f"Let the user {_us()} write to {existing}."
        yield Finding("data folder", "bad", f"{folder} is not writable", advice)
        return
    kind = file_system_of(existing, _MOUNTS.read_text("utf-8") if _MOUNTS.is_file() else "")
    if kind in _FAR_FILE_SYSTEMS:
        advice = "The ledger needs a local disk: a Docker volume, or a folder of Linux itself (not /mnt/c)."
        yield Finding("data folder", "bad", f"{folder} is on {kind}", advice)
    else:
        yield Finding("data folder", "ok", f"{folder}{'' if existing == folder else ' (will be created)'}")
    if folder.is_dir() and os.name == "posix" and (mode := stat.S_IMODE(folder.stat().st_mode)) & 0o077:
        advice = f"Photos lie in it: chmod 700 {folder} (the bot does so when it starts)."
        yield Finding("data folder", "warn", f"others on this machine may look into it ({mode:o})", advice)
    yield disk_finding(shutil.disk_usage(existing).free)
    if (folder / "ledger.sqlite3").is_file():
        yield _ledger_finding(folder / "ledger.sqlite3")


def _us() -> str:
    return os.environ.get("USER") or "that runs LoraCode"


def file_system_of(path: Path, mounts: str) -> str:
    """Name the file system a path is on, by the text of /proc/mounts; empty where that is unknown."""
    found = ("", "")
    for line in mounts.splitlines():
        _, place, kind, *_ = line.split(" ")
        place = place.replace("\\040", " ")
        if path.is_relative_to(place) and len(place) >= len(found[0]):
            found = (place, kind)
    return found[1]


def disk_finding(free_bytes: int) -> Finding:
    """Say whether the disk has room."""
    shown = f"{free_bytes / GIB:.1f} GB free"
    if free_bytes < LEAST_DISK_BYTES:
        return Finding("disk", "bad", shown, "Free some: the base model needs 2 GB, LoRAs and pictures more.")
    if free_bytes < ENOUGH_DISK_BYTES:
        return Finding("disk", "warn", shown, "Enough to begin; 10 GB last longer.")
    return Finding("disk", "ok", shown)


def _ledger_finding(path: Path) -> Finding:
    try:
        db.check(path)
        seen = db.glance(path)
    except LedgerError as error:
        return Finding("ledger", "bad", str(error), "Put the last backup back: loracode restore <folder>")
    try:
        with db.nobody_else(path):
            use = "no bot runs on it"
    except LedgerError:
        use = "a bot runs on it"
    return Finding("ledger", "ok", f"whole, {seen.running} running, {seen.waiting} waiting; {use}")


def token_findings(settings: Settings, doors: Doors) -> Iterator[Finding]:
    """Ask each platform whose token is set who the bot is."""
    if settings.telegram_bot_token is None and settings.discord_bot_token is None:
        advice = "Without one only `loracode demo` runs; docs/install.md says where tokens come from."
        yield Finding("tokens", "warn", "none is set", advice)
    if settings.telegram_bot_token is not None:
        token = settings.telegram_bot_token.get_secret_value()
        yield telegram(token, settings.telegram_api_url, doors.timeout_s, doors.online)
    if settings.discord_bot_token is not None:
        token = settings.discord_bot_token.get_secret_value()
        yield discord(token, doors.discord_url, doors.timeout_s, doors.online)


def content_check_finding(settings: Settings) -> Iterator[Finding]:
    """Say whether the content check can run, where it is wanted."""
    if settings.content_check.looks and is_installed():
        yield Finding("content check", "ok", "installed; docs/SECURITY.md says what it does not catch")
    elif settings.content_check.looks:
        advice = f"{_install('safety')}, or leave CONTENT_CHECK empty."
        yield Finding("content check", "bad", "wanted, and not installed", advice)


def _install(extra: str) -> str:
    return f"pip install --constraint requirements.lock --editable '.[{extra}]'"
