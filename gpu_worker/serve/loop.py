"""The worker's life: read requests, advance jobs step by step, say what happens. Torch-free itself.

Three threads. One reads requests. One, the only one that touches the card, advances the jobs' generators.
One says every second that we are alive, also while a step or the loading of the base model takes long.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Generator
from typing import BinaryIO, Protocol

from gpu_worker.errors import BadInput, BaseModelError, ProtocolError
from gpu_worker.protocol import (
    VERSION,
    Cancel,
    Crop,
    Done,
    Event,
    Failed,
    Forget,
    Generate,
    Health,
    Heartbeat,
    Message,
    Prepare,
    Progress,
    Ready,
    Request,
    Shutdown,
    Stopped,
    Train,
    decode_request,
    encode,
    read_frame,
)
from gpu_worker.serve.prefetch import Ahead
from gpu_worker.serve.scheduler import GENERATE_SHARE, Turn, Turns

log = logging.getLogger(__name__)

HEARTBEAT_S = 1.0
#: Progress of one job is sent at most this often; the last step's always is.
PROGRESS_PAUSE_S = 0.5
UNEXPECTED = "Something went wrong while working on this; the log of the worker says more. Please try again."
#: While idle, what is past its time is looked for this often.
TIDY_S = 60.0
#: Exit status after an error that leaves the card unusable for this process.
EXIT_CARD_LOST = 75


class Performer(Protocol):
    """Does the work. A generator yields after every step; closing it cancels, and it cleans up itself."""

    def train(self, request: Train) -> Generator[Event, None, None]:
        """Train a LoRA."""

    def generate(self, request: Generate) -> Generator[Event, None, None]:
        """Draw pictures."""

    def warm(self) -> None:
        """Load what every job needs, so that the first one does not wait for it."""

    def prepare(self, photo: bytes, crop: Crop | None) -> None:
        """Encode a photo, or a part of it, for a training that may come."""

    def forget(self, photos: tuple[str, ...]) -> None:
        """Drop what was prepared of these photos, named by their SHA-256."""

    def tidy(self) -> None:
        """Drop what is past its time; called now and then while there is nothing to do."""

    def health(self) -> Health:
        """Say how the process and its card are; called from another thread, never raises."""


class Speaker:
    """Writes frames; one at a time, whole."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def say(self, message: Message) -> None:
        """Send a message; BrokenPipeError when nobody listens any more."""
        frame = encode(message)
        with self._lock:
            self._stream.write(frame)
            self._stream.flush()


def serve(
    make_performer: Callable[[], Performer],
    first_health: Health,
    stdin: BinaryIO,
    stdout: BinaryIO,
    generate_share: float = GENERATE_SHARE,
) -> int:
    """Work until the input ends or asks for it; gives the exit status.

    `generate_share` is how much of the card's time generations may take from a training; `first_health` is
    what can be said before the performer, which is heavy to import, exists.
    """
    speaker = Speaker(stdout)
    speaker.say(Ready(version=VERSION, pid=os.getpid(), health=first_health))
    requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(stdin, requests), name="reader", daemon=True).start()
    pulse = _Pulse(speaker, first_health)
    pulse.start()
    try:
        return _Desk(make_performer, speaker, requests, pulse, generate_share).work()
    finally:
        pulse.stop()


def _read(stream: BinaryIO, requests: queue.SimpleQueue[Request | None]) -> None:
    try:
        while (body := read_frame(stream)) is not None:
            requests.put(decode_request(body))
    except (ProtocolError, OSError):
        log.exception("the bot could not be understood")
    requests.put(None)  # the bot is gone, so what we do is of use to nobody


class _Pulse:
    """The heartbeat."""

    def __init__(self, speaker: Speaker, health: Health) -> None:
        self._speaker = speaker
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self.health: Callable[[], Health] = lambda: health

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stopped.wait(HEARTBEAT_S):
            try:
                self._speaker.say(Heartbeat(health=self.health()))
            except OSError:  # the bot is gone; the reader has seen the end of its input too
                return


class _Desk:
    """The thread of the card: takes requests in between steps, and advances whose turn it is."""

    def __init__(
        self,
        make_performer: Callable[[], Performer],
        speaker: Speaker,
        requests: queue.SimpleQueue[Request | None],
        pulse: _Pulse,
        generate_share: float,
    ) -> None:
        self._make_performer = make_performer
        self._performer: Performer | None = None
        self._speaker = speaker
        self._requests = requests
        self._pulse = pulse
        self._turns: Turns[Event] = Turns(generate_share)
        self._told_at: dict[tuple[int, int], float] = {}
        self._ahead = Ahead()
        self._prepared_last = False

    def work(self) -> int:
        try:
            self._warm()
            while self._take_requests():
                if self._prepare():
                    continue
                turn = self._turns.next()
                if turn is not None and not self._advance(turn):
                    return EXIT_CARD_LOST
        except OSError:
            log.info("the bot no longer listens")
        for turn in self._turns.clear():
            turn.steps.close()
        return 0

    def _warm(self) -> None:
        """Load the base model while nobody waits; what is wrong with it is told to the first who asks."""
        try:
            self._made().warm()
        except (BadInput, BaseModelError) as error:
            log.error("%s", error)

    def _made(self) -> Performer:
        if self._performer is None:
            self._performer = self._make_performer()
            self._pulse.health = self._performer.health
        return self._performer

    def _prepare(self) -> bool:
        """Encode one photo that was sent ahead, unless a picture waits; False when it is a job's turn.

        Beside a training, photos for the next one take turns with its steps.
        """
        self._prepared_last = (
            bool(self._ahead) and not self._turns.has_generation and not (self._turns and self._prepared_last)
        )
        if not self._prepared_last:
            return False
        ahead = self._ahead.take()
        try:
            self._made().prepare(ahead.photo, ahead.crop)
        except (BadInput, BaseModelError) as error:
            log.info("a photo was not prepared: %s", error)  # the training itself will tell the person
        except Exception as error:
            if _card_is_lost(error):
                raise
            log.exception("a photo was not prepared")  # such as for want of memory beside a training
        return True

    def _forget(self, photos: tuple[str, ...]) -> None:
        self._ahead.forget(photos)
        if self._performer is not None:
            self._performer.forget(photos)

    def _take_requests(self) -> bool:
        """Take what has come; waits only when there is nothing else to do. False: it is time to go."""
        while True:
            try:
                request = self._next_request()
            except queue.Empty:
                return True
            match request:
                case None | Shutdown():
                    return False
                case Cancel():
                    self._cancel((request.job_id, request.attempt))
                case Train() | Generate():
                    self._begin(request)
                case Prepare():
                    self._ahead.add(request)
                case Forget():
                    self._forget(request.photos)

    def _next_request(self) -> Request | None:
        """Return the next request; queue.Empty when none has come and there is work.

        While there is neither, what is kept for nobody any more is dropped.
        """
        while not self._turns:
            wait_s = self._ahead.settles_in_s() if self._ahead else TIDY_S
            try:
                return self._requests.get(timeout=wait_s)
            except queue.Empty:
                if self._ahead:
                    raise
                if self._performer is not None:
                    self._performer.tidy()
        return self._requests.get_nowait()

    def _begin(self, request: Train | Generate) -> None:
        if isinstance(request, Train):
            self._ahead.leave_to_training(request.photos)
        is_generation = isinstance(request, Generate)
        self._turns.add(Turn((request.job_id, request.attempt), is_generation, self._perform(request)))

    def _perform(self, request: Train | Generate) -> Generator[Event, None, None]:
        performer = self._made()
        if isinstance(request, Generate):
            yield from performer.generate(request)
        else:
            yield from performer.train(request)

    def _cancel(self, key: tuple[int, int]) -> None:
        # A cancel that crossed the job's own end on the way, or of an older attempt, finds nobody.
        turn = self._turns.remove(key)
        if turn is not None:
            turn.steps.close()
            self._end(turn, Stopped(job_id=key[0], attempt=key[1]))

    def _advance(self, turn: Turn[Event]) -> bool:
        """Do one step of a job; False when the card is lost to this process."""
        job_id, attempt = turn.key
        began = time.monotonic()
        try:
            event = next(turn.steps)
            self._turns.took(turn, time.monotonic() - began)
        except StopIteration:
            log.error("job %d ended without a result", job_id)
            self._end(turn, Failed(job_id=job_id, attempt=attempt, reason=UNEXPECTED))
        except (BadInput, BaseModelError) as error:
            self._end(turn, Failed(job_id=job_id, attempt=attempt, reason=str(error)))
        except Exception as error:
            log.exception("job %d attempt %d met the unexpected", job_id, attempt)
            if _card_is_lost(error):
                return False
            self._end(turn, Failed(job_id=job_id, attempt=attempt, reason=UNEXPECTED))
        else:
            self._tell(turn, event)
        return True

    def _tell(self, turn: Turn[Event], event: Event) -> None:
        if isinstance(event, Done | Failed):
            turn.steps.close()
            self._end(turn, event)
        elif isinstance(event, Progress):
            now = time.monotonic()
            last = self._told_at.get(turn.key, 0.0)
            if event.step >= event.steps or now - last >= PROGRESS_PAUSE_S:
                self._told_at[turn.key] = now
                self._speaker.say(event)
        else:
            self._speaker.say(event)

    def _end(self, turn: Turn[Event], last: Event) -> None:
        self._turns.remove(turn.key)
        self._told_at.pop(turn.key, None)
        self._speaker.say(last)


def _card_is_lost(error: BaseException) -> bool:
    """Say whether an error leaves the CUDA context unusable; by name, as torch may not be here."""
    names = {each.__name__ for each in type(error).__mro__}
    if "OutOfMemoryError" in names:
        return False
    return bool(names & {"AcceleratorError", "DeferredCudaCallError"}) or "CUDA error" in str(error)
