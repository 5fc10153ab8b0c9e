"""What is told of a bot from beside it: its pulse, and a look at the ledger."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from bot import pulse
from bot.errors import SettingsError
from bot.ledger import glance
from bot.pulse import Pulse


def is_well(data_dir: Path, now: datetime) -> tuple[bool, str]:
    """Say whether a bot runs and beats, and why not."""
    try:
        last = pulse.read(data_dir)
    except SettingsError as error:
        return False, str(error)
    if last is None:
        return False, "no bot runs here"
    if last.is_stale(now):
        return False, f"the bot last beat at {_clock(last.at)}"
    return True, "the bot is well" if last.health is not None else "the bot is well; its worker is starting"


def describe(data_dir: Path, now: datetime) -> tuple[bool, list[str]]:
    """Say whether a bot runs, and how it is doing."""
    last = pulse.read(data_dir)
    if last is None:
        return False, [f"No LoraCode runs on {data_dir}."]
    if last.is_stale(now):
        return False, [f"LoraCode on {data_dir} hangs or was killed: it last beat at {_clock(last.at)}."]
    queue = glance(data_dir / "ledger.sqlite3")
    return True, [
        f"Bot: process {last.pid}, up since {_clock(last.since)}",
        *_worker(last),
        f"Queue: {queue.running} running, {queue.waiting} waiting",
        f"Notices owed: {queue.notices_owed}",
    ]


def _worker(last: Pulse) -> list[str]:
    health = last.health
    if health is None:
        return ["Worker: not there (starting, or it died and is being restarted)"]
    loaded = "loaded" if health.base_model_loaded else health.loading or "not loaded yet"
    return [
        f"Worker: {health.device}, {health.process_memory_bytes / 2**30:.1f} GB",
        f"Base model: {health.base_model} ({loaded})",
    ]


def _clock(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
