"""The first start, with a real worker and a hub on this machine: a download is told, and outlives a kill."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from bot.jobs.backends.local import ProcessBackend, WorkerTimeouts
from gpu_worker.protocol import WorkerHealth
from tests.support.model_hub import MODEL, UNET, small_hub

ROOT = Path(__file__).resolve().parents[3]
DRAWN = ROOT / "gpu_worker/models/sd15/drawn/model"


async def until(backend: ProcessBackend, holds: Callable[[WorkerHealth], bool]) -> WorkerHealth:
    """Wait until what the worker says of itself is as wished."""
    async with asyncio.timeout(240):
        while (health := backend.health()) is None or not holds(health):
            await asyncio.sleep(0.01)
    return health


async def test_a_download_is_told_of_and_resumed_after_a_kill(tmp_path: Path) -> None:
    with small_hub() as hub:
        hub.files = {
            str(path.relative_to(DRAWN)): path.read_bytes() for path in DRAWN.rglob("*") if path.is_file()
        }
        half = len(hub.files[UNET]) // 2
        go_on = threading.Event()
        hub.holds[UNET] = (half, go_on)
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path)}
        command = [sys.executable, "-m", "gpu_worker", "--base-model", MODEL]
        backend = ProcessBackend(command, environ, WorkerTimeouts(min_uptime_s=0.0))
        await backend.start()
        try:
            total = sum(len(content) for content in hub.files.values())
            percent = 100 * half // total
            told = await until(backend, lambda health: f", {percent} % of" in health.loading)
            assert not told.base_model_loaded and told.loading.startswith("downloading, ")

            assert backend.pid is not None
            os.kill(backend.pid, signal.SIGKILL)
            go_on.set()

            loaded = await until(backend, lambda health: health.base_model_loaded)
        finally:
            go_on.set()
            await backend.close()
    assert loaded.loading == ""
    first, second = hub.starts(UNET)
    assert first == 0 and half - 2**20 < second <= half  # what was on the disk did not come again
