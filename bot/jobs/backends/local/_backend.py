"""One worker process on this machine, started, watched and restarted here."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from bot.core.errors import WorkerLost
from bot.jobs.backends.local._attempt import Attempt
from bot.jobs.backends.local._validator import Patience, Watch
from bot.processes.kill import gone, kill
from gpu_worker.protocol import (
    VERSION,
    Answer,
    Cancel,
    Crop,
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

MAX_PAUSE_S = 30.0
#: The last of what a worker wrote to its stderr may take so long to arrive; children of its may hold it open.
LAST_WORDS_S = 2.0
_SECRETS = ("TELEGRAM_BOT_TOKEN", "DISCORD_BOT_TOKEN")

_Key = tuple[int, int]


class LocalBackend:
    """A worker at the other end of a pipe. `command` is its command line."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str] | None = None,
        patience: Patience | None = None,
        name: str = "the worker",
    ) -> None:
        self.name = name
        self._command = list(command)
        given = os.environ if environ is None else environ
        self._environ = {name: value for name, value in given.items() if not name.startswith(_SECRETS)}
        self._patience = patience or Patience()
        self._process: Process | None = None
        self._ready = asyncio.Event()
        self._health: Health | None = None
        self._attempts: dict[_Key, Attempt] = {}
        self._given: set[_Key] = set()  # attempts that this life of the worker was asked for
        self._keeper: asyncio.Task[None] | None = None
        self._burial: asyncio.Task[None] | None = None
        self._closing = False
        self._deaths = 0
        self._tell: Callable[[], None] = lambda: None
        self.worker_pid: int | None = (
            None  #: as the worker said it; `pid` is the process at our end of the pipe
        )

    async def start(self) -> None:
        """Begin bringing the worker up."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_alive(), name="worker-keeper")

    @property
    def pid(self) -> int | None:
        """The worker's process id, while it is up."""
        return self._process.pid if self._process is not None and self._ready.is_set() else None

    @property
    def is_ready(self) -> bool:
        """Whether the worker is up and has said so."""
        return self._ready.is_set()

    def seats(self) -> int:
        """Give 1 at all times: a job that comes while the worker restarts waits for it."""
        return 1

    def tell_changes(self, tell: Callable[[], None]) -> None:
        """Have `tell` called when the worker becomes ready or is gone."""
        self._tell = tell

    def health(self) -> Health | None:
        """What the worker last said of itself."""
        return self._health

    def deaths(self) -> int:
        """Count the ends of the worker that nobody ordered; one that could not be started is such an end."""
        return self._deaths

    async def run(self, request: JobRequest) -> AsyncGenerator[Event, None]:
        """Carry out one attempt; closing the iterator cancels it and waits until the worker is free again."""
        process = await self._worker()
        key = (request.job_id, request.attempt)
        attempt = self._attempts[key] = Attempt(Watch(request, time.monotonic()))
        self._given.add(key)
        ended = False
        try:
            await self._say(process, request)
            while not ended:
                event = await attempt.take()
                if event is None:
                    ended = True
                    raise WorkerLost("the worker process ended")
                ended = isinstance(event, Done | Failed | Stopped)
                yield event
        finally:
            # Shielded: the next job may begin only when this one no longer uses the card.
            if not ended:
                await asyncio.shield(self._cancel(process, key, attempt))
            attempt.end()
            self._attempts.pop(key, None)

    async def prepare(self, photo: bytes, crop: Crop | None = None) -> None:
        """Send a photo ahead, if the worker is up."""
        await self._send_ahead(Prepare(photo=photo, crop=crop))

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
        if self._burial is not None:
            await asyncio.wait([self._burial])
        if process is not None and process.returncode is None:
            await self._end(process)

    async def _worker(self) -> Process:
        try:
            async with asyncio.timeout(self._patience.ready_grace_s):
                await self._ready.wait()
        except TimeoutError:
            raise WorkerLost("no worker became ready") from None
        if self._process is None:
            raise WorkerLost("the worker process ended")
        return self._process

    async def _cancel(self, process: Process, key: _Key, attempt: Attempt) -> None:
        try:
            # In here too: a worker that does not read would let us wait for ever.
            async with asyncio.timeout(self._patience.cancel_grace_s):
                await self._say(process, Cancel(job_id=key[0], attempt=key[1]))
                while not isinstance(await attempt.take(), Done | Failed | Stopped | None):
                    pass
        except WorkerLost:
            log.debug("the worker was gone before attempt %s could be cancelled", key)
        except TimeoutError:
            log.warning("the worker did not let go of attempt %s and is restarted", key)
            kill(process, with_group=True)

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
                self._deaths += 1
                log.exception("the worker could not be started")
            lived_s = time.monotonic() - born
            short = lived_s <= self._patience.short_life_s
            pause_s = min(MAX_PAUSE_S, max(0.1, 2 * pause_s)) if short else 0.0
            await asyncio.sleep(pause_s)

    async def _one_life(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=self._environ, start_new_session=True
        )
        self._process = process
        self._given.clear()
        errors = asyncio.create_task(_log_lines(process), name="worker-log")
        try:
            await self._listen(process)
        except ProtocolError as error:
            log.error("%s could not be understood: %s", self.name, error)
        except TimeoutError:
            log.error("%s has been silent for %.0f s", self.name, self._silence_s())
        except Exception:  # whatever it said: without a keeper there would be no worker any more
            log.exception("the worker could not be listened to")
        finally:
            self._ready.clear()
            self._process, self._health, self.worker_pid = None, None, None
            self._tell()
            for attempt in self._attempts.values():
                attempt.end()
            if self._closing:
                errors.cancel()  # close() ends the process itself, in peace
            else:
                self._deaths += 1
                kill(process, with_group=True)
                # A task of its own: who closes us meanwhile waits for it, so that no process is left.
                self._burial = asyncio.create_task(self._bury(process, errors), name="worker-burial")
                await asyncio.shield(self._burial)

    async def _bury(self, process: Process, errors: asyncio.Task[None]) -> None:
        await asyncio.wait([errors], timeout=LAST_WORDS_S)
        errors.cancel()
        status = await gone(process)
        log.warning("%s (pid %d) has ended with status %d", self.name, process.pid, status)

    async def _listen(self, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101 - it was asked for as a pipe
        while True:
            async with asyncio.timeout(self._silence_s()):
                body = await read_frame_async(process.stdout)
            if body is None:
                return
            await self._hear(decode_answer(body))
            self._look_for_a_hang()

    def _silence_s(self) -> float:
        return self._patience.silence_s if self._is_loaded() else self._patience.start_s

    def _is_loaded(self) -> bool:
        return self._health is not None and self._health.base_model_loaded

    async def _hear(self, answer: Answer) -> None:
        if isinstance(answer, Ready) is self._ready.is_set():
            raise ProtocolError(f"{type(answer).__name__} is not what comes now")
        match answer:
            case Ready():
                if answer.version != VERSION:
                    raise ProtocolError(f"it speaks version {answer.version}, we speak {VERSION}")
                self._health = answer.health
                self.worker_pid = answer.pid
                self._ready.set()
                self._tell()
                log.info("%s (pid %d) is ready", self.name, answer.pid)
            case Heartbeat():
                self._health = answer.health
            case _:
                key = (answer.job_id, answer.attempt)
                if key not in self._given:
                    raise ProtocolError(f"it speaks of attempt {key}, which nobody asked it for")
                attempt = self._attempts.get(key)
                if attempt is not None:  # else it has ended meanwhile, and nobody waits for it
                    attempt.watch.hear(answer, time.monotonic())
                    await attempt.put(answer)

    def _look_for_a_hang(self) -> None:
        limit_s = self._patience.stall_s if self._is_loaded() else self._patience.loading_s
        for key, attempt in self._attempts.items():
            if attempt.watch.stands_still_s(time.monotonic()) > limit_s:
                raise ProtocolError(f"attempt {key} has not got on for {limit_s:.0f} s")

    async def _end(self, process: Process) -> None:
        try:
            async with asyncio.timeout(self._patience.cancel_grace_s):
                await self._say(process, Shutdown())
                if process.stdin is not None:
                    process.stdin.close()
                await process.communicate()
        except (WorkerLost, TimeoutError):
            kill(process, with_group=True)
            await gone(process)


async def _log_lines(process: Process) -> None:
    """Pass on what the worker writes to its stderr."""
    assert process.stderr is not None  # noqa: S101 - it was asked for as a pipe
    while chunk := await process.stderr.read(65536):
        for line in chunk.decode(errors="replace").splitlines():
            worker_log.info("%s", line)
