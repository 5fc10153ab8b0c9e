"""Which of a training's LoRAs is handed out, and what its person hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from bot.coach import Box, Face, Sight
from bot.dispatcher import Dispatcher
from bot.domain import Job, LoraState
from bot.judging import Judging
from bot.strip import TILE_PX
from bot.styles import read_styles
from gpu_worker.protocol import Candidate, Train
from tests.integration.engine_room import PNG, EngineRoom, open_engine_room, until
from tests.integration.studio_desk import ANNA, ANNAS


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[EngineRoom]:
    async with open_engine_room(tmp_path) as each:
        each.backend.steps = 4
        yield each


async def file_of(room: EngineRoom, job: Job) -> bytes:
    lora = await room.desk.ledger.lora(job.code)
    assert lora is not None
    assert lora.file is not None
    return await room.files.read_lora(lora.file)


async def is_kept(room: EngineRoom, job: Job) -> bool:
    """Whether the first step's LoRA is written and named in the ledger."""
    found = await room.job(job)
    return found.likeness is not None and found.likeness.chosen == 1


async def test_the_most_alike_candidate_is_handed_out_and_its_person_hears_why(room: EngineRoom) -> None:
    room.backend.likeness = {2: 0.6, 3: 0.9, 4: 0.5}
    job = await room.trained()
    assert await file_of(room, job) == b"lora of step 3"
    [text] = [reply.text for _, reply, _ in room.chat.sent if "is ready" in reply.text]
    assert "likeness 90% (very much alike)" in text
    assert "at step 3: at step 4 it was 50%" in text
    card = await room.desk.studio.press(ANNA, ANNAS, f"code:{job.code}")
    assert "Likeness 90% (very much alike)" in card.text
    assert not list((room.files.root / "candidates").iterdir()), "work that nobody needs any more"


@pytest.mark.parametrize(("stop_early", "last"), [(True, 3), (False, 4)])
async def test_a_training_past_its_best_ends_early_if_that_is_wished(
    room: EngineRoom, stop_early: bool, last: int
) -> None:
    room.backend.likeness = {1: 0.9, 2: 0.6, 3: 0.5, 4: 0.4}
    room.dispatcher = Dispatcher(
        room.ledger, room.backend, room.files, room.notifier, read_styles(), stop_early=stop_early
    )
    job = await room.trained()
    assert await file_of(room, job) == b"lora of step 1"
    lora = await room.ledger.lora(job.code)
    assert lora is not None
    assert lora.likeness is not None
    assert [each.step for each in lora.likeness.scores] == list(range(1, last + 1))
    [text] = [reply.text for _, reply, _ in room.chat.sent if "is ready" in reply.text]
    assert ("I ended at step 3, as it was past its best" in text) == stop_early


async def test_a_training_that_still_gets_better_goes_on(room: EngineRoom) -> None:
    room.backend.likeness = {1: 0.5, 2: 0.4, 3: 0.6, 4: 0.7}
    room.dispatcher = Dispatcher(
        room.ledger, room.backend, room.files, room.notifier, read_styles(), stop_early=True
    )
    assert await file_of(room, await room.trained()) == b"lora of step 4"


async def test_without_a_measure_the_last_lora_is_handed_out_and_no_figure_is_shown(room: EngineRoom) -> None:
    job = await room.trained()
    assert await file_of(room, job) == b"lora"
    assert not any("likeness" in reply.text for _, reply, _ in room.chat.sent)


async def test_scores_from_before_an_interruption_count(room: EngineRoom) -> None:
    room.backend.likeness, room.backend.lose_at = {1: 0.9, 3: 0.5}, [3]
    assert await file_of(room, await room.trained()) == b"lora of step 1"


async def test_a_kept_lora_that_was_taken_away_does_not_cost_the_last_one(
    room: EngineRoom, caplog: pytest.LogCaptureFixture
) -> None:
    room.backend.likeness = {1: 0.9, 2: 0.5}
    room.backend.gate.clear()
    job = await room.desk.train(ANNA)
    working = asyncio.create_task(room.dispatcher.drain())
    await until(lambda: is_kept(room, job))
    (room.files.root / "candidates" / f"{job.id}-1.safetensors").unlink()
    room.backend.gate.set()
    await working
    assert await file_of(room, job) == b"lora"
    assert "the LoRA of step 1 is gone" in caplog.text


async def test_what_is_not_handed_out_goes_with_a_cancelled_training(room: EngineRoom) -> None:
    room.backend.likeness = {1: 0.9}
    room.backend.gate.clear()
    job = await room.desk.train(ANNA)
    working = asyncio.create_task(room.dispatcher.drain())
    await until(lambda: is_kept(room, job))
    await room.desk.studio.cancel(ANNA)
    room.backend.gate.set()
    await working
    assert not list((room.files.root / "candidates").iterdir())
    lora = await room.desk.ledger.lora(job.code)
    assert lora is not None
    assert lora.state is LoraState.CANCELLED


async def test_the_strip_shows_how_the_likeness_went(room: EngineRoom) -> None:
    room.backend.sample, room.backend.likeness = PNG, {2: 0.6, 4: 0.9}
    await room.trained()
    [reply] = [reply for _, reply, _ in room.chat.sent if "is ready" in reply.text]
    with Image.open(reply.pictures[0]) as strip:
        assert strip.height > 1.5 * TILE_PX


@pytest.mark.parametrize(("choice", "count"), [("woman", 2), ("dog", 0)])
async def test_candidates_are_drawn_of_people_alone(room: EngineRoom, choice: str, count: int) -> None:
    account = await room.desk.ledger.account_of(ANNA)
    await room.desk.send(ANNA, 1, 2, 3, 4)
    await room.desk.studio.press(ANNA, ANNAS, f"set:{account}:class={choice}")
    await room.desk.send(ANNA, 5)
    await room.dispatcher.drain()
    request = room.backend.requests[0]
    assert isinstance(request, Train)
    assert len(request.candidate_prompts) == count


def a_face(identity: tuple[float, ...]) -> Face:
    return Face(
        box=Box(0, 0, 1, 1),
        width_px=100,
        is_cut=False,
        turn=0.0,
        sharpness=100.0,
        highlight=200.0,
        blown_out=0.0,
        identity=identity,
    )


class KnownFaces:
    """An eye that knows whom each picture shows."""

    def __init__(self, faces: dict[bytes, tuple[float, ...] | None]) -> None:
        self._faces = faces

    async def see(self, photo: bytes) -> Sight | None:
        identity = self._faces[photo]
        hash_ = bytes([len(photo)]) * 16
        face = None if identity is None else a_face(identity)
        faces = () if face is None else (face,)
        return Sight(
            width_px=512,
            height_px=512,
            sharpness=100.0,
            brightness=120.0,
            highlight=200.0,
            blown_out=0.0,
            greenery=0.0,
            sky=0.0,
            hash=hash_,
            faces=faces,
        )


def candidate(*pictures: bytes) -> Candidate:
    return Candidate(job_id=1, attempt=1, step=500, lora=b"", pictures=pictures)


async def test_faces_are_compared_where_the_base_model_cannot_tell_people(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    eye = KnownFaces({b"a": (0.0, 0.0), b"bb": (0.6, 0.0), b"c" * 9: None, b"d" * 40: (0.0, 0.6)})
    scored = await Judging(eye).score(job, [b"a"], candidate(b"bb", b"c" * 9, b"d" * 40))
    assert scored is not None
    assert (scored[0].likeness, scored[0].faceless) == (pytest.approx(0.5), 1)


async def test_a_picture_that_is_a_photo_again_is_a_copy(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    scored = await Judging(KnownFaces({b"a": (0.0, 0.0)})).score(job, [b"a"], candidate(b"a"))
    assert scored is not None
    assert scored[0].copies == 1


async def test_without_eyes_nothing_is_said(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    assert await Judging(None).score(job, [b"a"], candidate(b"b")) is None
