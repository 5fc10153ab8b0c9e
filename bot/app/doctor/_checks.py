"""The checks, each of one thing; the worker's half runs in a process of its own that may load torch."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bot import db
from bot.app.doctor._ports import check_ports
from bot.app.doctor._table import Diagnosis
from bot.app.doctor._tokens import DISCORD_API, check_discord_token, check_telegram_token
from bot.app.settings import Settings
from bot.app.worker_command import make_acceleration_arguments
from bot.core.errors import DatabaseError, SettingsError
from bot.media.moderation import is_installed

GIB = 2**30
#: The first start downloads Stable Diffusion 1.5, 2 GB, and a LoRA is some MB.
MIN_DISK_BYTES, RECOMMENDED_DISK_BYTES = 1 * GIB, 10 * GIB
#: Python releases that the tests run on; newer ones may lack wheels.
TESTED_PYTHON = ((3, 11), (3, 14))
_WORKER_TIMEOUT_S = 300.0
#: File systems over which SQLite's locks and shared memory are not to be trusted: Windows folders, shares.
_NETWORK_FILE_SYSTEMS = {
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
class Endpoints:
    """How the outside is asked."""

    is_online: bool = True
    discord_url: str = DISCORD_API
    timeout_s: float = 5.0


def run_checks(environ: Mapping[str, str], endpoints: Endpoints) -> list[Diagnosis]:
    """Look at everything; one thing that is wrong hides no other."""
    diagnoses = [check_python(sys.version_info[:3])]
    settings, diagnosis = check_settings(environ)
    diagnoses.append(diagnosis)
    diagnoses += check_user()
    diagnoses += check_worker(settings.base_model, settings.base_vae, make_acceleration_arguments(settings))
    diagnoses += check_data_folder(settings.data_dir)
    diagnoses += check_tokens(settings, endpoints)
    diagnoses += check_moderation(settings)
    diagnoses += check_ports(settings)
    return diagnoses


def check_python(version: tuple[int, int, int]) -> Diagnosis:
    """Return whether LoraCode was tested with this Python."""
    detail = f"{'.'.join(map(str, version))}, {platform.system()} {platform.machine()}"
    oldest, newest = TESTED_PYTHON
    if version[:2] > newest:
        advice = f"Tested up to {newest[0]}.{newest[1]}; if something is missing, take that."
        return Diagnosis("Python", "warn", detail, advice)
    if version[:2] < oldest:
        return Diagnosis("Python", "bad", detail, f"Install Python {oldest[0]}.{oldest[1]} or newer.")
    return Diagnosis("Python", "ok", detail)


def check_user() -> Iterator[Diagnosis]:
    """Return a diagnosis: nothing here needs root."""
    if os.name == "posix" and os.geteuid() == 0:
        advice = "LoraCode needs no rights: run it as an ordinary user (docs/install.md)."
        yield Diagnosis("user", "warn", "root", advice)


def check_settings(environ: Mapping[str, str]) -> tuple[Settings, Diagnosis]:
    """Read the settings; where one is wrong, the others' defaults are looked at."""
    try:
        settings = Settings.from_environ(environ)
    except SettingsError as error:
        # The data folder is worth a look whatever else is wrong.
        fallback_environ = {"DATA_DIR": environ["DATA_DIR"]} if environ.get("DATA_DIR") else {}
        return Settings.from_environ(fallback_environ), Diagnosis(
            "settings", "bad", str(error), "Correct it in .env."
        )
    return settings, Diagnosis("settings", "ok", "readable")


def check_worker(base_model: str, base_vae: str = "", more_arguments: Sequence[str] = ()) -> list[Diagnosis]:
    """Let a process that may load torch look at torch, card, memory and model files."""
    return _ask_worker("--base-model", base_model, "--base-vae", base_vae, *more_arguments)


def check_plan(base_model: str, card_gb: float | None, ram_gb: float | None, memory: str) -> list[Diagnosis]:
    """Ask how a training of a base model fits a card; None: the one that is here."""
    sizes = {"--card-gb": card_gb, "--ram-gb": ram_gb}
    known_sizes = [part for name, size in sizes.items() if size for part in (name, str(size))]
    return _ask_worker("--plan", base_model, "--memory", memory, *known_sizes)


def _ask_worker(*arguments: str) -> list[Diagnosis]:
    command = [sys.executable, "-m", "gpu_worker.doctor", *arguments]
    environ = {name: value for name, value in os.environ.items() if "_BOT_TOKEN" not in name}
    try:
        result = subprocess.run(  # noqa: S603 - our own module
            command,
            capture_output=True,
            timeout=_WORKER_TIMEOUT_S,
            check=False,
            env=environ,
            stdin=subprocess.DEVNULL,
        )
        return msgspec.json.decode(result.stdout, type=list[Diagnosis])
    except subprocess.TimeoutExpired:
        detail = f"no answer in {_WORKER_TIMEOUT_S:.0f} s"
    except msgspec.MsgspecError:
        last_lines = result.stderr.decode(errors="replace").strip().splitlines()[-1:]
        detail = f"ended with status {result.returncode}" + (f": {last_lines[0]}" if last_lines else "")
    advice = f"The worker cannot be looked at: {_install_hint('worker')}"
    return [Diagnosis("worker", "bad", detail, advice)]


def check_data_folder(data_dir: Path) -> Iterator[Diagnosis]:
    """Look at the data folder, its disk and the database in it."""
    folder = data_dir.absolute()
    try:
        yield from _check_folder(folder)
    except OSError as error:
        advice = f"Let the user {_current_user()} look into {folder}, or run this as the bot's user."
        yield Diagnosis("data folder", "bad", f"{folder} cannot be looked into ({error.strerror})", advice)


def _check_folder(folder: Path) -> Iterator[Diagnosis]:
    existing_folder = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing_folder.is_dir() or not os.access(existing_folder, os.W_OK | os.X_OK):
        advice = f"Let the user {_current_user()} write to {existing_folder}."
        yield Diagnosis("data folder", "bad", f"{folder} is not writable", advice)
        return
    file_system = find_file_system(existing_folder, _MOUNTS.read_text("utf-8") if _MOUNTS.is_file() else "")
    if file_system in _NETWORK_FILE_SYSTEMS:
        advice = "The database needs a local disk: a Docker volume, or a folder of Linux itself (not /mnt/c)."
        yield Diagnosis("data folder", "bad", f"{folder} is on {file_system}", advice)
    else:
        yield Diagnosis(
            "data folder", "ok", f"{folder}{'' if existing_folder == folder else ' (will be created)'}"
        )
    if folder.is_dir() and os.name == "posix" and (mode := stat.S_IMODE(folder.stat().st_mode)) & 0o077:
        advice = f"Photos lie in it: chmod 700 {folder} (the bot does so when it starts)."
        yield Diagnosis("data folder", "warn", f"others on this machine may look into it ({mode:o})", advice)
    yield check_disk(shutil.disk_usage(existing_folder).free)
    if (folder / "ledger.sqlite3").is_file():
        yield _check_database(folder / "ledger.sqlite3")


def _current_user() -> str:
    return os.environ.get("USER") or "that runs LoraCode"


def find_file_system(path: Path, mounts: str) -> str:
    """Name the file system a path is on, by the text of /proc/mounts; empty where that is unknown."""
    best_match = ("", "")
    for line in mounts.splitlines():
        _, mount_point, file_system, *_ = line.split(" ")
        mount_point = mount_point.replace("\\040", " ")
        if path.is_relative_to(mount_point) and len(mount_point) >= len(best_match[0]):
            best_match = (mount_point, file_system)
    return best_match[1]


def check_disk(free_bytes: int) -> Diagnosis:
    """Return whether the disk has room."""
    detail = f"{free_bytes / GIB:.1f} GB free"
    if free_bytes < MIN_DISK_BYTES:
        return Diagnosis(
            "disk", "bad", detail, "Free some: the base model needs 2 GB, LoRAs and pictures more."
        )
    if free_bytes < RECOMMENDED_DISK_BYTES:
        return Diagnosis("disk", "warn", detail, "Enough to begin; 10 GB last longer.")
    return Diagnosis("disk", "ok", detail)


def _check_database(path: Path) -> Diagnosis:
    try:
        db.check_integrity(path)
        snapshot = db.read_status_snapshot(path)
    except DatabaseError as error:
        return Diagnosis("database", "bad", str(error), "Put the last backup back: loracode restore <folder>")
    try:
        with db.hold_exclusively(path):
            use = "no bot runs on it"
    except DatabaseError:
        use = "a bot runs on it"
    return Diagnosis(
        "database", "ok", f"whole, {snapshot.running_jobs} running, {snapshot.queued_jobs} waiting; {use}"
    )


def check_tokens(settings: Settings, endpoints: Endpoints) -> Iterator[Diagnosis]:
    """Ask each platform whose token is set who the bot is."""
    if settings.telegram_bot_token is None and settings.discord_bot_token is None:
        advice = "Without one only `loracode demo` runs; docs/install.md says where tokens come from."
        yield Diagnosis("tokens", "warn", "none is set", advice)
    if settings.telegram_bot_token is not None:
        token = settings.telegram_bot_token.get_secret_value()
        yield check_telegram_token(token, settings.telegram_api_url, endpoints.timeout_s, endpoints.is_online)
    if settings.discord_bot_token is not None:
        token = settings.discord_bot_token.get_secret_value()
        yield check_discord_token(token, endpoints.discord_url, endpoints.timeout_s, endpoints.is_online)


def check_moderation(settings: Settings) -> Iterator[Diagnosis]:
    """Return whether the content check can run, where it is wanted."""
    if settings.content_check.is_active and is_installed():
        yield Diagnosis("content check", "ok", "installed; docs/SECURITY.md says what it does not catch")
    elif settings.content_check.is_active:
        advice = f"{_install_hint('safety')}, or leave CONTENT_CHECK empty."
        yield Diagnosis("content check", "bad", "wanted, and not installed", advice)


def _install_hint(extra: str) -> str:
    return f"pip install --constraint requirements.lock --editable '.[{extra}]'"
