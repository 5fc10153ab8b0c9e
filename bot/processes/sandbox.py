"""The parent's side: it starts a child, asks it, ends it, and never believes more than it has to."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from bot.processes.kill import kill_process, reap
from bot.processes.sandboxed import REQUEST_HEADER

#: A cold disk reads Python, libraries and networks first.
START_TIMEOUT_S = 60.0
#: One core is what a picture may take; each thread more would also take memory.
SINGLE_THREAD_ENV = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
#: Up to so much is kept for the next picture: to give it back and take it anew costs a quarter of the time.
KEEP_MEMORY_ENV = {"MALLOC_TRIM_THRESHOLD_": str(2**26), "MALLOC_MMAP_THRESHOLD_": str(2**25)}
#: All that a child is told of its surroundings: whoever breaks it finds no token there.
_INHERITED_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "VIRTUAL_ENV")
_CODE_ROOT = Path(__file__).parents[2]


def sandbox_environ() -> dict[str, str]:
    """Give the environment of a child: what it needs to run our code, and no secret."""
    inherited = {name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ}
    return inherited | {"PYTHONPATH": str(_CODE_ROOT)}


class SandboxLost(Exception):
    """The child ended, or said what no child says."""


class SandboxProcess:
    """One child."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None  # noqa: S101 - both were asked for as pipes
        assert process.stdout is not None  # noqa: S101
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout

    @classmethod
    async def start(cls, module: str, *arguments: str, environ: Mapping[str, str] | None = None) -> Self:
        """Start a module as a child, of use once it has said that it is ready; ChildLost if it cannot be."""
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module, *arguments),
                stdin=PIPE,
                stdout=PIPE,
                env=sandbox_environ() | dict(environ or {}),
                start_new_session=True,  # deaf to Ctrl-C: its parent ends it
            )
        except OSError as error:  # no memory, no more processes
            raise SandboxLost(f"it could not be started: {error.strerror}") from error
        return cls(process)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def send(self, picture: bytes) -> None:
        """Hand it a picture; ChildLost when it does not listen."""
        try:
            self._stdin.write(REQUEST_HEADER.pack(len(picture)) + picture)
            await self._stdin.drain()
        except OSError as error:
            raise SandboxLost("it does not listen") from error

    async def read(self, count: int) -> bytes:
        """Read so many bytes of its answer; ChildLost when it ends before."""
        try:
            return await self._stdout.readexactly(count)
        except asyncio.IncompleteReadError as error:
            raise SandboxLost("it ended") from error

    async def end(self) -> None:
        """Kill it and wait until it is gone."""
        kill_process(self._process)
        await reap(self._process)
