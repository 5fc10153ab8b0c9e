"""One card, two duties: a training and ten people's pictures at once, through the worker's own desk."""

from __future__ import annotations

import io
import threading
from collections.abc import Generator
from typing import Any

import pytest
import torch

from gpu_worker.lora import file as lora_file
from gpu_worker.lora.layers import LoraWeights
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import (
    DoneEvent,
    FailedEvent,
    GenerateRequest,
    HeartbeatMessage,
    ProgressEvent,
    ProtocolMessage,
    StartedEvent,
    TrainRequest,
    WorkerEvent,
    WorkerHealth,
    WorkerMessage,
    decode_message,
    encode_frame,
)
from gpu_worker.serve.engine import TorchEngine
from gpu_worker.serve.loop import serve
from tests.support.generated_images import lora_of, use

HEALTH = WorkerHealth(device="none", base_model="none", base_model_loaded=False, process_memory_bytes=0)
STEPS = 12
ASK_AT_STEP = 5


class Bot(io.RawIOBase):
    """The other end of both streams: asks for a training at once and for the rest when it is told to."""

    def __init__(self, train: TrainRequest, later: tuple[ProtocolMessage, ...]) -> None:
        self._now = io.BytesIO(encode_frame(train))
        self._later = io.BytesIO(b"".join(encode_frame(each) for each in later))
        self._jobs = 1 + len(later)
        self.ask, self.all_taken, self._served = threading.Event(), threading.Event(), threading.Event()
        self.answers: list[WorkerMessage] = []

    def read(self, size: int = -1, /) -> bytes:
        """Read from the requests; the stream ends when all jobs are done."""
        data = self._now.read(size)
        if data:
            return data
        assert self.ask.wait(60)
        data = self._later.read(size)
        if not data:
            self.all_taken.set()
            assert self._served.wait(120)
        return data

    def write(self, frame: Any, /) -> int:
        """Hear an answer."""
        answer = decode_message(bytes(frame)[4:])
        if not isinstance(answer, HeartbeatMessage):
            self.answers.append(answer)
        if sum(isinstance(each, DoneEvent | FailedEvent) for each in self.answers) == self._jobs:
            self._served.set()
        return len(frame)

    def flush(self) -> None:
        """There is nothing to flush."""


class Watched(TorchEngine):
    """The real performer, with a diary of whose step came when; lets the others ask in a training's step."""

    def __init__(self, bot: Bot) -> None:
        super().__init__("tiny", train_steps=STEPS)
        self._bot = bot
        self.diary: list[int] = []

    def train(self, request: TrainRequest) -> Generator[WorkerEvent, None, None]:
        for event in super().train(request):
            if isinstance(event, ProgressEvent):
                self.diary.append(request.job_id)
                if event.step == ASK_AT_STEP:
                    self._bot.ask.set()
                    assert self._bot.all_taken.wait(60)
            yield event

    def generate(self, request: GenerateRequest) -> Generator[WorkerEvent, None, None]:
        for event in super().generate(request):
            if isinstance(event, ProgressEvent):
                self.diary.append(request.job_id)
            yield event


@pytest.fixture(scope="module")
def loras(loaded_tiny: BaseModel, photos: tuple[bytes, ...]) -> list[bytes]:
    return [lora_of(loaded_tiny, photos[number : number + 2], seed=number) for number in range(3)]


def matrices(answers: list[WorkerMessage]) -> dict[str, LoraWeights]:
    [done] = [each for each in answers if isinstance(each, DoneEvent) and each.lora is not None]
    assert done.lora is not None
    return lora_file.read(done.lora).weights


def work(train: TrainRequest, *later: ProtocolMessage) -> tuple[list[WorkerMessage], list[int]]:
    bot = Bot(train, later)
    engine = Watched(bot)
    stream: Any = bot
    assert serve(lambda: engine, HEALTH, stream, stream) == 0
    return bot.answers, engine.diary


def test_ten_pictures_wait_for_one_training_step_at_most_and_the_lora_is_the_same(
    photos: tuple[bytes, ...], loras: list[bytes]
) -> None:
    train = TrainRequest(job_id=1, attempt=1, photos=photos[:2])
    pictures = [
        GenerateRequest(
            job_id=100 + number,
            attempt=1,
            prompt="sks person",
            seed=number,
            width_px=64,
            height_px=64,
            steps=4,
            loras=(use(loras[number % 3], f"0000000{number % 3}"),),
        )
        for number in range(10)
    ]
    alone, _ = work(train)
    beside, diary = work(train, *pictures)

    asked_at = [index for index, job in enumerate(diary) if job == 1][ASK_AT_STEP - 1]
    for picture in pictures:
        first = diary.index(picture.job_id)
        assert diary[asked_at + 1 : first].count(1) <= 1
    finished = {each.job_id: each for each in beside if isinstance(each, DoneEvent)}
    assert all(len(finished[picture.job_id].pictures) == 1 for picture in pictures)
    assert len({finished[picture.job_id].pictures for picture in pictures}) == 10
    assert diary.count(1) == STEPS
    before, after = matrices(alone), matrices(beside)
    for name, each in before.items():
        assert torch.equal(each.down, after[name].down)
        assert torch.equal(each.up, after[name].up)
    assert [each.step for each in beside if isinstance(each, StartedEvent) and each.job_id == 1] == [0]
