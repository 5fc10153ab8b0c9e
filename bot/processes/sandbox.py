"""The parent's side of one child process: start it, send it requests, read its replies, end it."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from bot.processes.kill import kill_process, reap
from bot.processes.sandboxed import REPLY_HEADER, REQUEST_HEADER, Reply, ReplyKind

#: One core per child; each further thread would also take memory.
SINGLE_THREAD_ENV = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
#: Keep so much memory for the next picture: to return it and take it again costs a quarter of the time.
#: libheif has four threads: an arena for each would take 500 MB of address space.
KEEP_MEMORY_ENV = {
    "MALLOC_TRIM_THRESHOLD_": str(2**26),
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_ARENA_MAX": "2",
}
#: All that a child inherits of the environment: somebody who breaks into it finds no token there.
_INHERITED_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "VIRTUAL_ENV")
_CODE_ROOT = Path(__file__).parents[2]


def sandbox_environ() -> dict[str, str]:
    """Return the environment of a child: what it needs to run our code, and no secret."""
    inherited = {name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ}
    return inherited | {"PYTHONPATH": str(_CODE_ROOT)}


class SandboxLost(Exception):
    """The child ended, or sent a reply that no sound child sends."""


class SandboxProcess:
    """One child process."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None  # noqa: S101 - both were asked for as pipes
        assert process.stdout is not None  # noqa: S101
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout

    @classmethod
    async def start(cls, module: str, *arguments: str, environ: Mapping[str, str] | None = None) -> Self:
        """Start a module as a child, which then sends READY. Raise SandboxLost if it cannot be started."""
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module, *arguments),
                stdin=PIPE,
                stdout=PIPE,
                env=sandbox_environ() | dict(environ or {}),
                start_new_session=True,  # Ctrl-C does not reach it: its parent ends it
            )
        except OSError as error:  # no memory, no more processes
            raise SandboxLost(f"it could not be started: {error.strerror}") from error
        return cls(process)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def send(self, request: bytes) -> None:
        """Send a request. Raise SandboxLost when the child does not listen."""
        try:
            self._stdin.write(REQUEST_HEADER.pack(len(request)) + request)
            await self._stdin.drain()
        except OSError as error:
            raise SandboxLost("it does not listen") from error

    async def read_reply(self, max_bytes: int) -> Reply:
        """Read one reply. Raise SandboxLost when the child ends before it, or announces too many bytes."""
        try:
            kind, size_bytes = REPLY_HEADER.unpack(await self._stdout.readexactly(REPLY_HEADER.size))
            if size_bytes > max_bytes:
                raise SandboxLost(f"it announced {size_bytes} bytes")
            return ReplyKind(kind), await self._stdout.readexactly(size_bytes)
        except asyncio.IncompleteReadError as error:
            raise SandboxLost("it ended") from error
        except ValueError as error:
            raise SandboxLost(f"it sent a reply of kind {kind}") from error

    async def end(self) -> None:
        """Kill the child and wait until it is gone."""
        kill_process(self._process)
        await reap(self._process)
