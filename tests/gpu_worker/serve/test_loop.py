"""The worker's own life, with a performer that only writes down what it is asked."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Generator

from gpu_worker.errors import BadInput, BaseModelError, JobProblem
from gpu_worker.protocol import (
    Crop,
    DoneEvent,
    FailedEvent,
    ForgetRequest,
    GenerateRequest,
    ProgressEvent,
    ProtocolMessage,
    ReadyMessage,
    TrainRequest,
    WorkerEvent,
    WorkerHealth,
    WorkerMessage,
)
from gpu_worker.serve.prefetch import MAX_QUEUED_PHOTOS
from tests.support.fake_worker import prefetch_request
from tests.support.worker_streams import HEALTH, BotStreams, serve_streams

TRAIN = TrainRequest(job_id=1, attempt=1, photos=(b"a", b"b"))
GENERATE = GenerateRequest(job_id=2, attempt=1, prompt="sks person")


class RecordingEngine:
    """An engine that only records its calls."""

    def __init__(self, wrong_base: bool = False, unreadable_base: bool = False) -> None:
        self.diary: list[str] = []
        self.wrong_base, self.unreadable_base = wrong_base, unreadable_base
        self.all_asked = threading.Event()

    def preload(self) -> None:
        assert self.all_asked.wait(30)
        self.diary.append("warm")
        if self.unreadable_base:
            raise OSError(5, "Input/output error")
        if self.wrong_base:
            raise BaseModelError(JobProblem.BASE_MODEL_PICKLE, name="model.ckpt")

    def evict_expired(self) -> None:
        self.diary.append("tidy")

    def prefetch(self, photo: bytes, crop: Crop | None) -> None:
        self.diary.append(f"prepare {photo.decode()}")
        if photo == b"torn":
            raise BadInput("One of the photos cannot be read as a picture.")
        if photo == b"large":
            raise MemoryError("there is too little beside the training")

    def forget(self, photo_hashes: tuple[str, ...]) -> None:
        self.diary.append(f"forget {len(photo_hashes)}")

    def train(self, request: TrainRequest) -> Generator[WorkerEvent, None, None]:
        if self.wrong_base:
            raise BaseModelError(JobProblem.BASE_MODEL_PICKLE, name="model.ckpt")
        self.diary.append("train")
        yield ProgressEvent(job_id=1, attempt=1, step=1, steps=1)
        yield DoneEvent(job_id=1, attempt=1, lora=b"lora")

    def generate(self, request: GenerateRequest) -> Generator[WorkerEvent, None, None]:
        self.diary.append("generate")
        yield DoneEvent(job_id=2, attempt=1, pictures=(b"png",))

    def read_health(self) -> WorkerHealth:
        return HEALTH


def work(engine: RecordingEngine, *requests: ProtocolMessage) -> list[WorkerMessage]:
    """Serve requests that have all come before the first is looked at; return the answers."""
    bot = BotStreams(requests)
    engine.all_asked = bot.all_asked
    return serve_streams(engine, bot)


def test_the_base_model_is_loaded_before_the_first_request() -> None:
    engine = RecordingEngine()
    [ready] = work(engine)
    assert isinstance(ready, ReadyMessage)
    assert engine.diary == ["warm"]


def test_a_base_model_that_cannot_be_loaded_fails_only_the_job() -> None:
    _, failed = work(RecordingEngine(wrong_base=True), TRAIN)
    assert isinstance(failed, FailedEvent)
    assert (failed.problem, failed.values) == (JobProblem.BASE_MODEL_PICKLE, {"name": "model.ckpt"})


def test_disk_that_fails_while_the_base_model_loads_does_not_pass_for_a_bot_that_is_gone() -> None:
    engine = RecordingEngine(unreadable_base=True)
    answers = work(engine, TRAIN)
    assert engine.diary == ["warm", "train"]
    assert isinstance(answers[-1], DoneEvent)


def test_photos_of_another_training_take_turns_with_steps() -> None:
    engine = RecordingEngine()
    answers = work(engine, prefetch_request(b"x"), prefetch_request(b"y"), TRAIN)
    assert engine.diary == ["warm", "prepare x", "train", "prepare y"]
    assert isinstance(answers[-1], DoneEvent)


def test_the_first_step_does_not_wait_for_its_own_prefetched_photos() -> None:
    engine = RecordingEngine()
    work(
        engine,
        prefetch_request(b"x"),
        prefetch_request(b"a"),
        prefetch_request(b"b"),
        TRAIN,
    )
    assert engine.diary == ["warm", "prepare x", "train"]


def test_a_picture_does_not_wait_for_photos_sent_ahead() -> None:
    engine = RecordingEngine()
    work(engine, prefetch_request(b"a"), GENERATE)
    assert engine.diary[:2] == ["warm", "generate"]


def test_a_photo_that_is_no_picture_is_left_for_its_training_to_tell() -> None:
    engine = RecordingEngine()
    answers = work(engine, prefetch_request(b"torn"), TRAIN)
    assert isinstance(answers[-1], DoneEvent)


def test_a_photo_that_memory_is_too_short_for_costs_no_job_anything() -> None:
    engine = RecordingEngine()
    answers = work(engine, prefetch_request(b"large"), prefetch_request(b"c"), TRAIN)
    assert isinstance(answers[-1], DoneEvent)
    assert {"prepare large", "prepare c", "train"} <= set(engine.diary)


def test_a_forgotten_photo_is_not_encoded_any_more() -> None:
    engine = RecordingEngine()
    work(
        engine,
        prefetch_request(b"a"),
        ForgetRequest(photo_hashes=(hashlib.sha256(b"a").hexdigest(),)),
        TRAIN,
    )
    assert engine.diary == ["warm", "forget 1", "train"]


def test_the_oldest_of_too_many_photos_are_left_to_their_training() -> None:
    engine = RecordingEngine()
    work(
        engine,
        *(prefetch_request(f"{number}".encode()) for number in range(MAX_QUEUED_PHOTOS + 2)),
        TRAIN,
    )
    prepared = [line for line in engine.diary if line.startswith("prepare")]
    assert prepared[0] == "prepare 2"
