"""One worker process on this machine, started, watched and restarted by the bot."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from bot.core.errors import WorkerLost
from bot.jobs.backends.local._attempt import AttemptEvents
from bot.jobs.backends.local._process import forward_stderr, reap_process, send_message, shut_down
from bot.jobs.backends.local._validator import AttemptValidator, WorkerTimeouts
from bot.processes.kill import kill_process
from gpu_worker.protocol import (
    VERSION,
    CancelledEvent,
    CancelRequest,
    DoneEvent,
    FailedEvent,
    ForgetRequest,
    HeartbeatMessage,
    JobRequest,
    PrefetchRequest,
    ProtocolError,
    ProtocolMessage,
    ReadyMessage,
    WorkerEvent,
    WorkerHealth,
    WorkerMessage,
    decode_message,
    read_frame_async,
)

log = logging.getLogger(__name__)

MAX_BACKOFF_S = 30.0
_SECRET_PREFIXES = ("TELEGRAM_BOT_TOKEN", "DISCORD_BOT_TOKEN")

_AttemptKey = tuple[int, int]


class ProcessBackend:
    """A worker at the other end of a pipe. `command` is its command line."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str] | None = None,
        timeouts: WorkerTimeouts | None = None,
        name: str = "the worker",
    ) -> None:
        self.name = name
        self._command = list(command)
        parent_environ = os.environ if environ is None else environ
        self._environ = {
            name: value for name, value in parent_environ.items() if not name.startswith(_SECRET_PREFIXES)
        }
        self._timeouts = timeouts or WorkerTimeouts()
        self._process: Process | None = None
        self._ready = asyncio.Event()
        self._health: WorkerHealth | None = None
        self._attempts: dict[_AttemptKey, AttemptEvents] = {}
        self._sent_attempts: set[_AttemptKey] = set()  # attempts that this life of the worker was asked for
        self._supervisor: asyncio.Task[None] | None = None
        self._reap_task: asyncio.Task[None] | None = None
        self._is_closing = False
        self._crash_count = 0
        self._on_change: Callable[[], None] = lambda: None
        self.worker_pid: int | None = (
            None  #: as the worker said it; `pid` is the process at our end of the pipe
        )

    async def start(self) -> None:
        """Begin starting the worker."""
        if self._supervisor is None:
            self._supervisor = asyncio.create_task(self._supervise(), name="worker-keeper")

    @property
    def pid(self) -> int | None:
        """The worker's process id while it is up, or None."""
        return self._process.pid if self._process is not None and self._ready.is_set() else None

    @property
    def is_ready(self) -> bool:
        """True if the worker is up and ready."""
        return self._ready.is_set()

    def worker_count(self) -> int:
        """Return 1: a job that comes while the worker restarts waits for it."""
        return 1

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` when the worker becomes ready or goes away."""
        self._on_change = on_change

    def health(self) -> WorkerHealth | None:
        """Return the last health of the worker."""
        return self._health

    def crash_count(self) -> int:
        """Return the number of times the worker ended without being told to. A failed start counts."""
        return self._crash_count

    async def run(self, request: JobRequest) -> AsyncGenerator[WorkerEvent, None]:
        """Run one attempt. Closing the iterator cancels it, and waits until the worker is free again."""
        process = await self._ready_process()
        key = (request.job_id, request.attempt)
        attempt_events = self._attempts[key] = AttemptEvents(AttemptValidator(request, time.monotonic()))
        self._sent_attempts.add(key)
        has_ended = False
        try:
            await send_message(process, request)
            while not has_ended:
                event = await attempt_events.get()
                if event is None:
                    has_ended = True
                    raise WorkerLost("the worker process ended")
                has_ended = isinstance(event, DoneEvent | FailedEvent | CancelledEvent)
                yield event
        finally:
            # Shielded: the next job may begin only when this one no longer uses the card.
            if not has_ended:
                await asyncio.shield(self._cancel_attempt(process, key, attempt_events))
            attempt_events.close()
            self._attempts.pop(key, None)

    async def prefetch(self, request: PrefetchRequest) -> None:
        """Send a photo ahead if the worker is up."""
        await self._send_if_ready(request)

    async def forget(self, photo_hashes: Sequence[str]) -> None:
        """Drop prefetched photos if the worker is up. A worker that is down has none."""
        await self._send_if_ready(ForgetRequest(photo_hashes=tuple(photo_hashes)))

    async def _send_if_ready(self, message: ProtocolMessage) -> None:
        process = self._process
        if process is None or not self._ready.is_set():
            log.debug("no worker is up to hear %s", type(message).__name__)
            return
        try:
            await send_message(process, message)
        except WorkerLost:
            log.debug("the worker was gone before photos could be sent ahead")

    async def close(self) -> None:
        """End the worker. Running attempts raise WorkerLost."""
        if self._supervisor is None:
            return
        process, self._is_closing = self._process, True
        self._supervisor.cancel()
        await asyncio.wait([self._supervisor])
        self._supervisor = None
        if self._reap_task is not None:
            await asyncio.wait([self._reap_task])
        if process is not None and process.returncode is None:
            await shut_down(process, self._timeouts.cancel_timeout_s)

    async def _ready_process(self) -> Process:
        try:
            async with asyncio.timeout(self._timeouts.ready_timeout_s):
                await self._ready.wait()
        except TimeoutError:
            raise WorkerLost("no worker became ready") from None
        if self._process is None:
            raise WorkerLost("the worker process ended")
        return self._process

    async def _cancel_attempt(
        self, process: Process, key: _AttemptKey, attempt_events: AttemptEvents
    ) -> None:
        try:
            # In here too: a worker that does not read would let us wait for ever.
            async with asyncio.timeout(self._timeouts.cancel_timeout_s):
                await send_message(process, CancelRequest(job_id=key[0], attempt=key[1]))
                while not isinstance(
                    await attempt_events.get(), DoneEvent | FailedEvent | CancelledEvent | None
                ):
                    pass
        except WorkerLost:
            log.debug("the worker was gone before attempt %s could be cancelled", key)
        except TimeoutError:
            log.warning("the worker did not let go of attempt %s and is restarted", key)
            kill_process(process, kill_group=True)

    async def _supervise(self) -> None:
        """Start the worker, read from it until it is gone, and start it again.

        It restarts at once, unless it keeps dying.
        """
        backoff_s = 0.0
        while True:
            started_s = time.monotonic()
            try:
                await self._run_process()
            except OSError:
                self._crash_count += 1
                log.exception("the worker could not be started")
            uptime_s = time.monotonic() - started_s
            is_short = uptime_s <= self._timeouts.min_uptime_s
            backoff_s = min(MAX_BACKOFF_S, max(0.1, 2 * backoff_s)) if is_short else 0.0
            await asyncio.sleep(backoff_s)

    async def _run_process(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=self._environ, start_new_session=True
        )
        self._process = process
        self._sent_attempts.clear()
        stderr_task = asyncio.create_task(forward_stderr(process), name="worker-log")
        try:
            await self._read_answers(process)
        except ProtocolError as error:
            log.error("%s could not be understood: %s", self.name, error)
        except TimeoutError:
            log.error("%s has been silent for %.0f s", self.name, self._silence_limit_s())
        except Exception:  # whatever it said: without a keeper there would be no worker any more
            log.exception("the worker could not be listened to")
        finally:
            self._ready.clear()
            self._process, self._health, self.worker_pid = None, None, None
            self._on_change()
            for attempt_events in self._attempts.values():
                attempt_events.close()
            if self._is_closing:
                stderr_task.cancel()  # close() ends the process itself, in peace
            else:
                self._crash_count += 1
                kill_process(process, kill_group=True)
                # A task of its own: who closes us meanwhile waits for it, so that no process is left.
                self._reap_task = asyncio.create_task(
                    reap_process(process, stderr_task, self.name), name="worker-burial"
                )
                await asyncio.shield(self._reap_task)

    async def _read_answers(self, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101 - it was asked for as a pipe
        while True:
            async with asyncio.timeout(self._silence_limit_s()):
                body = await read_frame_async(process.stdout)
            if body is None:
                return
            await self._handle_answer(decode_message(body))
            self._check_stalls()

    def _silence_limit_s(self) -> float:
        return self._timeouts.silence_timeout_s if self._is_loaded() else self._timeouts.start_timeout_s

    def _is_loaded(self) -> bool:
        return self._health is not None and self._health.base_model_loaded

    async def _handle_answer(self, answer: WorkerMessage) -> None:
        if isinstance(answer, ReadyMessage) is self._ready.is_set():
            raise ProtocolError(f"{type(answer).__name__} is not what comes now")
        match answer:
            case ReadyMessage():
                if answer.version != VERSION:
                    raise ProtocolError(f"it speaks version {answer.version}, we speak {VERSION}")
                self._health = answer.health
                self.worker_pid = answer.pid
                self._ready.set()
                self._on_change()
                log.info("%s (pid %d) is ready", self.name, answer.pid)
            case HeartbeatMessage():
                self._health = answer.health
            case _:
                key = (answer.job_id, answer.attempt)
                if key not in self._sent_attempts:
                    raise ProtocolError(f"it speaks of attempt {key}, which nobody asked it for")
                attempt_events = self._attempts.get(key)
                if attempt_events is not None:  # else it has ended meanwhile, and nobody waits for it
                    attempt_events.validator.validate(answer, time.monotonic())
                    await attempt_events.put(answer)

    def _check_stalls(self) -> None:
        limit_s = self._timeouts.stall_timeout_s if self._is_loaded() else self._timeouts.load_timeout_s
        for key, attempt_events in self._attempts.items():
            if attempt_events.validator.stalled_for_s(time.monotonic()) > limit_s:
                raise ProtocolError(f"attempt {key} has not got on for {limit_s:.0f} s")
