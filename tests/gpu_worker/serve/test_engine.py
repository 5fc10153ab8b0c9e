"""One card, two duties: a training and ten people's pictures at once, through the worker's own desk."""

from __future__ import annotations

from collections.abc import Generator

import pytest
import torch

from gpu_worker.lora import file as lora_file
from gpu_worker.lora.weights import LoraWeights
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import (
    DoneEvent,
    GenerateRequest,
    ProgressEvent,
    ProtocolMessage,
    StartedEvent,
    TrainRequest,
    WorkerEvent,
    WorkerMessage,
)
from gpu_worker.serve.engine import TorchEngine
from tests.support.generated_images import lora_of, use
from tests.support.worker_streams import BotStreams, serve_streams

STEPS = 5
ASK_AT_STEP = 2


class Watched(TorchEngine):
    """The real performer, with a diary of whose step came when; lets the others ask in a training's step."""

    def __init__(self, bot: BotStreams) -> None:
        super().__init__("tiny", train_steps=STEPS)
        self._bot = bot
        self.diary: list[int] = []

    def train(self, request: TrainRequest) -> Generator[WorkerEvent, None, None]:
        for event in super().train(request):
            if isinstance(event, ProgressEvent):
                self.diary.append(request.job_id)
                if event.step == ASK_AT_STEP:
                    self._bot.may_ask_more.set()
                    assert self._bot.all_asked.wait(60)
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
    bot = BotStreams([train], later)
    engine = Watched(bot)
    return serve_streams(engine, bot), engine.diary


def test_ten_pictures_wait_for_one_step_and_leave_the_lora_the_same(
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
            steps=2,
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
