"""The end of a process that was killed, and its status."""

from __future__ import annotations

import logging
import os
import signal
from asyncio.subprocess import Process

log = logging.getLogger(__name__)


def kill_process(process: Process, *, kill_group: bool = False) -> None:
    """Kill a process, if it has not ended by itself; `kill_group` with all that it has started.

    `Process.kill` asks after its status first, and takes that of one that has just ended away from who waits.
    """
    if process.returncode is not None:
        return
    try:
        if os.name == "posix":
            (os.killpg if kill_group else os.kill)(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except ProcessLookupError:
        log.debug("process %d was gone already", process.pid)


async def reap(process: Process) -> int:
    """Wait for the end of a process that was killed; gives its status.

    asyncio waits for the end of its pipes too, and would for ever: of one that nobody reads any more, or that
    a child of the process holds. So they are closed first, each by itself: to close all of its transport
    would ask after the process as well, and take its status away from whoever waits for it.
    """
    transport = process._transport  # type: ignore[attr-defined]
    for fd in range(3):
        pipe = transport.get_pipe_transport(fd)
        if pipe is not None:
            pipe.close()
    return await process.wait()
