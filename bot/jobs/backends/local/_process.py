"""The process of a worker: what is sent to it, what it logs, and its end."""

from __future__ import annotations

import asyncio
import logging
from asyncio.subprocess import Process

from bot.core.errors import WorkerLost
from bot.processes.kill import kill_process, reap
from gpu_worker.protocol import ProtocolMessage, ShutdownRequest, encode_frame

log = logging.getLogger(__name__)
worker_log = logging.getLogger("gpu_worker")

#: The last of what a worker wrote to its stderr may take so long to arrive; children of its may hold it open.
FINAL_OUTPUT_TIMEOUT_S = 2.0


async def send_message(process: Process, message: ProtocolMessage) -> None:
    """Write a message to the worker, or raise WorkerLost."""
    if process.stdin is None:
        raise WorkerLost("the worker process has no input")
    try:
        process.stdin.write(encode_frame(message))
        await process.stdin.drain()
    except OSError as error:
        raise WorkerLost("the worker process ended") from error


async def forward_stderr(process: Process) -> None:
    """Log what the worker writes to its stderr."""
    assert process.stderr is not None  # noqa: S101 - it was asked for as a pipe
    while chunk := await process.stderr.read(65536):
        for line in chunk.decode(errors="replace").splitlines():
            worker_log.info("%s", line)


async def shut_down(process: Process, timeout_s: float) -> None:
    """Ask the worker to end, and kill it where it takes too long."""
    try:
        async with asyncio.timeout(timeout_s):
            await send_message(process, ShutdownRequest())
            if process.stdin is not None:
                process.stdin.close()
            await process.communicate()
    except (WorkerLost, TimeoutError):
        kill_process(process, kill_group=True)
        await reap(process)


async def reap_process(process: Process, stderr_task: asyncio.Task[None], name: str) -> None:
    """Wait for the end of a worker that was killed, and log its last words and its status."""
    await asyncio.wait([stderr_task], timeout=FINAL_OUTPUT_TIMEOUT_S)
    stderr_task.cancel()
    exit_status = await reap(process)
    log.warning("%s (pid %d) has ended with status %d", name, process.pid, exit_status)
