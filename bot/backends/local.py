"""One worker process on this machine, started, watched and restarted here."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Mapping, Sequence

from bot.errors import WorkerLost
from gpu_worker.protocol import (
    VERSION,
    Cancel,
    Done,
    Event,
    Failed,
    Forget,
    Health,
    Heartbeat,
    JobRequest,
    Message,
    Prepare,
    ProtocolError,
    Ready,
    Shutdown,
    Stopped,
    decode_answer,
    encode,
    read_frame_async,
)

log = logging.getLogger(__name__)
worker_log = logging.getLogger("gpu_worker")

#: A worker says every second that it lives, so this long a silence is death.
SILENCE_S = 30.0
#: How long a cancelled job may take to its next step before its worker is killed.
CANCEL_GRACE_S = 20.0
#: How long a job waits for a worker that is being started.
READY_GRACE_S = 60.0
#: A worker that lived shorter is not started again at once.
SHORT_LIFE_S = 5.0
MAX_PAUSE_S = 30.0
_SECRETS = ("TELEGRAM_BOT_TOKEN", "DISCORD_BOT_TOKEN")

_Key = tuple[int, int]


class LocalBackend:
    """A worker at the other end of a pipe. `command` is its command line."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str] | None = None,
        silence_s: float = SILENCE_S,
        cancel_grace_s: float = CANCEL_GRACE_S,
    ) -> None:
        self._command = list(command)
        given = os.environ if environ is None else environ
        self._environ = {name: value for name, value in given.items() if name not in _SECRETS}
        self._silence_s = silence_s
        self._cancel_grace_s = cancel_grace_s
        self._process: Process | None = None
        self._ready = asyncio.Event()
        self._health: Health | None = None
        # None in an attempt's queue: its worker is gone.
        self._attempts: dict[_Key, asyncio.Queue[Event | None]] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self) -> None:
        """Begin bringing the worker up."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_alive(), name="worker-keeper")

    @property
    def pid(self) -> int | None:
        """The worker's process id, while it is up."""
        return self._process.pid if self._process is not None and self._ready.is_set() else None

    def health(self) -> Health | None:
        """What the worker last said of itself."""
        return self._health

    async def run(self, request: JobRequest) -> AsyncGenerator[Event, None]:
        """Carry out one attempt; closing the iterator cancels it and waits until the worker is free again."""
        process = await self._worker()
        key = (request.job_id, request.attempt)
        events = self._attempts[key] = asyncio.Queue()
        ended = False
        try:
            await self._say(process, request)
            while not ended:
                event = await events.get()
                if event is None:
                    ended = True
                    raise WorkerLost("the worker process ended")
                ended = isinstance(event, Done | Failed | Stopped)
                yield event
        finally:
            # Shielded: the next job may begin only when this one no longer uses the card.
            if not ended:
                await asyncio.shield(self._cancel(process, key, events))
            self._attempts.pop(key, None)

    async def prepare(self, photo: bytes) -> None:
        """Send a photo ahead, if the worker is up."""
        await self._send_ahead(Prepare(photo=photo))

    async def forget(self, photos: Sequence[str]) -> None:
        """Let the worker forget photos, if it is up; one that is not has forgotten."""
        await self._send_ahead(Forget(photos=tuple(photos)))

    async def _send_ahead(self, message: Message) -> None:
        process = self._process
        if process is None or not self._ready.is_set():
            log.debug("no worker is up to hear %s", type(message).__name__)
            return
        try:
            await self._say(process, message)
        except WorkerLost:
            log.debug("the worker was gone before photos could be sent ahead")

    async def close(self) -> None:
        """End the worker; running attempts raise WorkerLost."""
        if self._keeper is None:
            return
        process, self._closing = self._process, True
        self._keeper.cancel()
        await asyncio.wait([self._keeper])
        self._keeper = None
        if process is not None and process.returncode is None:
            await self._end(process)

    async def _worker(self) -> Process:
        try:
            async with asyncio.timeout(READY_GRACE_S):
                await self._ready.wait()
        except TimeoutError:
            raise WorkerLost("no worker became ready") from None
        if self._process is None:
            raise WorkerLost("the worker process ended")
        return self._process

    async def _cancel(self, process: Process, key: _Key, events: asyncio.Queue[Event | None]) -> None:
        try:
            await self._say(process, Cancel(job_id=key[0], attempt=key[1]))
            async with asyncio.timeout(self._cancel_grace_s):
                while not isinstance(await events.get(), Done | Failed | Stopped | None):
                    pass
        except WorkerLost:
            log.debug("the worker was gone before attempt %s could be cancelled", key)
        except TimeoutError:
            log.warning("the worker did not let go of attempt %s and is restarted", key)
            _kill(process)

    async def _say(self, process: Process, message: Message) -> None:
        if process.stdin is None:
            raise WorkerLost("the worker process has no input")
        try:
            process.stdin.write(encode(message))
            await process.stdin.drain()
        except OSError as error:
            raise WorkerLost("the worker process ended") from error

    async def _keep_alive(self) -> None:
        """Start the worker, listen to it until it is gone, start it again: at once, unless it keeps dying."""
        pause_s = 0.0
        while True:
            born = time.monotonic()
            try:
                await self._one_life()
            except OSError:
                log.exception("the worker could not be started")
            pause_s = (
                0.0 if time.monotonic() - born > SHORT_LIFE_S else min(MAX_PAUSE_S, max(0.1, 2 * pause_s))
            )
            await asyncio.sleep(pause_s)

    async def _one_life(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=self._environ, start_new_session=True
        )
        self._process = process
        errors = asyncio.create_task(_log_lines(process), name="worker-log")
        try:
            await self._listen(process)
        except ProtocolError as error:
            log.error("the worker could not be understood: %s", error)
        except TimeoutError:
            log.error("the worker has been silent for %.0f s", self._silence_s)
        finally:
            self._ready.clear()
            self._process, self._health = None, None
            for events in self._attempts.values():
                events.put_nowait(None)
            if self._closing:
                errors.cancel()  # close() ends the process itself, in peace
            else:
                _kill(process)
                status = await process.wait()
                await errors
                log.warning("the worker (pid %d) has ended with status %d", process.pid, status)

    async def _listen(self, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101 - it was asked for as a pipe
        while True:
            async with asyncio.timeout(self._silence_s):
                body = await read_frame_async(process.stdout)
            if body is None:
                return
            answer = decode_answer(body)
            match answer:
                case Ready():
                    if answer.version != VERSION:
                        raise ProtocolError(f"it speaks version {answer.version}, we speak {VERSION}")
                    self._health = answer.health
                    self._ready.set()
                    log.info("the worker (pid %d) is ready", answer.pid)
                case Heartbeat():
                    self._health = answer.health
                case _:
                    events = self._attempts.get((answer.job_id, answer.attempt))
                    if events is not None:  # else it is an older attempt's, and nobody waits for it
                        events.put_nowait(answer)

    async def _end(self, process: Process) -> None:
        try:
            await self._say(process, Shutdown())
            if process.stdin is not None:
                process.stdin.close()
            async with asyncio.timeout(self._cancel_grace_s):
                await process.communicate()
        except (WorkerLost, TimeoutError):
            _kill(process)
            await process.wait()


async def _log_lines(process: Process) -> None:
    """Pass on what the worker writes to its stderr."""
    assert process.stderr is not None  # noqa: S101 - it was asked for as a pipe
    while chunk := await process.stderr.read(65536):
        for line in chunk.decode(errors="replace").splitlines():
            worker_log.info("%s", line)


def _kill(process: Process) -> None:
    if process.returncode is None:
        try:
            process.kill()
        except ProcessLookupError:
            log.debug("the worker was gone already")
