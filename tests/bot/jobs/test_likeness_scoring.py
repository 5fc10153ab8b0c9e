"""Which of a training's LoRAs is handed out, and what its person hears of it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from bot.core.errors import UserError
from bot.core.jobs import GenerationParams, Job
from bot.core.loras import LoraState
from bot.core.messages import Reply
from bot.jobs.dispatcher import Dispatcher
from bot.jobs.likeness_scoring import LikenessScorer
from bot.jobs.styles import load_styles
from bot.media.quality import Box, Face, PhotoMeasurements
from bot.media.training_strip import CHART_PX, LABEL_PX, TILE_PX
from gpu_worker.protocol import CandidateEvent, Crop, DoneEvent, GenerateRequest, TrainRequest
from tests.support.engine import PNG, EngineRoom, open_engine_room, png, until
from tests.support.services import ANNA, ANNAS


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[EngineRoom]:
    async with open_engine_room(tmp_path) as each:
        each.backend.steps = 4
        yield each


async def file_of(room: EngineRoom, job: Job) -> bytes:
    lora = await room.desk.ledger.loras.get_by_code(job.code)
    assert lora is not None
    assert lora.file is not None
    return await room.files.read_lora(lora.file)


async def is_kept(room: EngineRoom, job: Job) -> bool:
    """Whether the first step's LoRA is written and named in the database."""
    found = await room.job(job)
    return found.likeness is not None and found.likeness.chosen == 1


async def test_the_most_alike_candidate_is_handed_out_with_its_reason(room: EngineRoom) -> None:
    room.backend.likeness_by_step = {2: 0.6, 3: 0.9, 4: 0.5}
    job = await room.trained()
    assert await file_of(room, job) == b"lora of step 3"
    [text] = [reply.text for _, reply, _ in room.chat.sent if "is ready," in reply.text]
    assert "likeness is 90% (very close)" in text
    assert "step 3: by step 4 it was down to 50%" in text
    card = await room.desk.studio.handle_button(ANNA, ANNAS, f"code:{job.code}")
    assert "Likeness 90% (very close)" in card.text
    assert not list((room.files.root / "candidates").iterdir()), "work that nobody needs any more"


@pytest.mark.parametrize(("stop_early", "last"), [(True, 3), (False, 4)])
async def test_a_training_past_its_best_ends_early_if_that_is_wished(
    room: EngineRoom, stop_early: bool, last: int
) -> None:
    room.backend.likeness_by_step = {1: 0.9, 2: 0.6, 3: 0.5, 4: 0.4}
    room.dispatcher = Dispatcher(
        room.ledger, room.backend, room.files, room.notifier, load_styles(), stop_early=stop_early
    )
    job = await room.trained()
    assert await file_of(room, job) == b"lora of step 1"
    lora = await room.ledger.loras.get_by_code(job.code)
    assert lora is not None
    assert lora.likeness is not None
    assert [each.step for each in lora.likeness.scores] == list(range(1, last + 1))
    [text] = [reply.text for _, reply, _ in room.chat.sent if "is ready," in reply.text]
    assert ("I stopped at step 3, because the likeness was past its best" in text) == stop_early


async def test_a_training_that_still_gets_better_goes_on(room: EngineRoom) -> None:
    room.backend.likeness_by_step = {1: 0.5, 2: 0.4, 3: 0.6, 4: 0.7}
    room.dispatcher = Dispatcher(
        room.ledger, room.backend, room.files, room.notifier, load_styles(), stop_early=True
    )
    assert await file_of(room, await room.trained()) == b"lora of step 4"


async def test_the_last_lora_is_handed_out_where_nothing_is_measured(room: EngineRoom) -> None:
    job = await room.trained()
    assert await file_of(room, job) == b"lora"
    assert not any("likeness" in reply.text for _, reply, _ in room.chat.sent)


async def test_scores_from_before_an_interruption_count(room: EngineRoom) -> None:
    room.backend.likeness_by_step, room.backend.lost_at_steps = {1: 0.9, 3: 0.5}, [3]
    assert await file_of(room, await room.trained()) == b"lora of step 1"


async def test_a_kept_lora_that_was_taken_away_does_not_cost_the_last_one(
    room: EngineRoom, caplog: pytest.LogCaptureFixture
) -> None:
    room.backend.likeness_by_step = {1: 0.9, 2: 0.5}
    room.backend.proceed_event.clear()
    job = await room.desk.train(ANNA)
    working = asyncio.create_task(room.dispatcher.drain())
    await until(lambda: is_kept(room, job))
    (room.files.root / "candidates" / f"{job.id}-1.safetensors").unlink()
    room.backend.proceed_event.set()
    await working
    assert await file_of(room, job) == b"lora"
    assert "the candidate of step 1 is gone" in caplog.text


async def test_candidates_of_a_cancelled_training_are_deleted(room: EngineRoom) -> None:
    room.backend.likeness_by_step = {1: 0.9}
    room.backend.proceed_event.clear()
    job = await room.desk.train(ANNA)
    working = asyncio.create_task(room.dispatcher.drain())
    await until(lambda: is_kept(room, job))
    await room.desk.studio.cancel_job(ANNA)
    room.backend.proceed_event.set()
    await working
    assert not list((room.files.root / "candidates").iterdir())
    lora = await room.desk.ledger.loras.get_by_code(job.code)
    assert lora is not None
    assert lora.state is LoraState.CANCELLED


async def test_the_strip_shows_the_likeness_and_its_pictures(room: EngineRoom) -> None:
    room.backend.sample_png, room.backend.likeness_by_step, room.backend.picture = (
        PNG,
        {2: 0.6, 4: 0.9},
        png(200),
    )
    job = await room.trained()
    [reply] = [reply for _, reply, _ in room.chat.sent if "is ready," in reply.text]
    assert len(reply.pictures) == 1, "the pictures it was chosen by are kept, and stand in the strip"
    with Image.open(reply.pictures[0]) as strip:
        low = TILE_PX + LABEL_PX + CHART_PX
        assert strip.size == (4 * TILE_PX, low + TILE_PX + LABEL_PX)
        assert strip.getpixel((TILE_PX // 2, low + TILE_PX // 2)) == (200, 0, 0)
        assert strip.getpixel((TILE_PX + 1, low + 1)) == (22, 163, 74), "the second column is the chosen one"
        assert strip.getpixel((1, low + 1)) == (200, 0, 0)
    card = await room.desk.studio.handle_button(ANNA, ANNAS, f"code:{job.code}")
    [action] = [each.action for each in card.buttons if each.label == "Likeness"]
    shown = await room.desk.studio.handle_button(ANNA, ANNAS, action)
    assert "likeness is 90% (very close)" in shown.text
    assert shown.pictures == reply.pictures
    made = await room.ledger.results.list_training_pictures(job.code)
    assert [each.file for each in made] == [f"{job.id}-0.png", f"{job.id}-1.png"]
    await room.desk.studio.handle_button(ANNA, ANNAS, f"remove!:{job.code}")
    assert not list((room.files.root / "pictures").iterdir())


async def test_a_likeness_that_was_not_measured_is_not_offered(room: EngineRoom) -> None:
    job = await room.trained()
    card = await room.desk.studio.handle_button(ANNA, ANNAS, f"code:{job.code}")
    assert "Likeness" not in [each.label for each in card.buttons]
    shown = await room.desk.studio.handle_button(ANNA, ANNAS, f"likeness:{job.code}")
    assert "nothing was measured" in shown.text


@pytest.mark.parametrize(("choice", "count"), [("woman", 2), ("dog", 0)])
async def test_candidates_are_drawn_of_people_alone(room: EngineRoom, choice: str, count: int) -> None:
    account = await room.desk.ledger.accounts.get_or_create(ANNA)
    await room.desk.send(ANNA, 1, 2, 3, 4)
    await room.desk.studio.handle_button(ANNA, ANNAS, f"set:{account}:class={choice}")
    await room.desk.send(ANNA, 5)
    await room.dispatcher.drain()
    request = room.backend.requests[0]
    assert isinstance(request, TrainRequest)
    assert len(request.candidate_prompts) == count


def a_face(identity: tuple[float, ...]) -> Face:
    return Face(
        box=Box(0, 0, 1, 1),
        width_px=100,
        is_cut=False,
        yaw=0.0,
        sharpness=100.0,
        highlight=200.0,
        blown_out=0.0,
        embedding=identity,
    )


class KnownFacesAnalyzer:
    """An eye that knows whom each picture shows."""

    def __init__(self, faces: dict[bytes, tuple[float, ...] | None]) -> None:
        self._faces = faces

    async def analyze(self, photo: bytes) -> PhotoMeasurements | None:
        embedding = self._faces[photo]
        hash_ = bytes([len(photo)]) * 16
        face = None if embedding is None else a_face(embedding)
        faces = () if face is None else (face,)
        return PhotoMeasurements(
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


def candidate(*pictures: bytes) -> CandidateEvent:
    return CandidateEvent(job_id=1, attempt=1, step=500, lora=b"", pictures=pictures)


async def test_faces_are_compared_where_the_base_model_cannot_tell_people(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    eye = KnownFacesAnalyzer({b"a": (0.0, 0.0), b"bb": (0.6, 0.0), b"c" * 9: None, b"d" * 40: (0.0, 0.6)})
    scored = await LikenessScorer(eye).score_candidate(job, [b"a"], candidate(b"bb", b"c" * 9, b"d" * 40))
    assert scored is not None
    assert (scored[0].likeness, scored[0].faceless) == (pytest.approx(0.5), 1)


async def test_a_picture_that_is_a_photo_again_is_a_copy(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    scored = await LikenessScorer(KnownFacesAnalyzer({b"a": (0.0, 0.0)})).score_candidate(
        job, [b"a"], candidate(b"a")
    )
    assert scored is not None
    assert scored[0].copies == 1


async def test_the_coach_gives_no_remarks_without_an_analyzer(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    assert await LikenessScorer(None).score_candidate(job, [b"a"], candidate(b"b")) is None


async def best_of(room: EngineRoom, options: str = "--best 1-of-4") -> tuple[Job, Reply]:
    """Draw with a LoraCode whose likeness was measured, and give the job and its result."""
    room.backend.likeness_by_step, room.backend.picture = {2: 0.9}, png()
    code = (await room.trained()).code
    drawing = await room.draws(code, f"a boat --seed 7 {options}")
    await room.dispatcher.drain()
    await room.notifier.deliver_due()
    [result] = [reply for _, reply, _ in room.chat.sent if "a boat" in reply.text]
    return await room.job(drawing), result


async def test_the_best_of_four_is_sent_with_the_figure_of_each(room: EngineRoom) -> None:
    room.backend.picture_likenesses = [0.4, 0.2, 0.9, 0.5]
    job, result = await best_of(room)
    assert "The best match of 4: likeness 90%. The others: 40%, 20%, 50%." in result.text
    assert len(result.pictures) == 1
    assert len(await room.ledger.results.list_pictures(job.id)) == 1
    request = room.backend.requests[-1]
    assert isinstance(request, GenerateRequest)
    assert (request.count, request.reference_pictures) == (4, (room.backend.picture,)), (
        "made ones: no photo is left"
    )
    assert (
        await room.ledger.access.count_pictures_since(job.account, job.created_at - timedelta(seconds=1)) == 4
    )
    recipe = await room.desk.studio.handle_button(ANNA, ANNAS, f"recipe:{job.id}")
    assert "Seed: 9\n" in recipe.text, "the third picture's own"
    assert "likeness 90%" in recipe.text
    await room.desk.studio.handle_button(ANNA, ANNAS, f"vary:{job.id}:1")
    [varied] = await room.ledger.jobs.list_open_for_account(job.account)
    assert isinstance(varied.params, GenerationParams)
    assert (varied.params.seed, varied.params.best) == (9, False)


async def test_a_class_without_a_likeness_measure_hands_out_the_last_lora(room: EngineRoom) -> None:
    room.backend.picture_likenesses = []
    _, result = await best_of(room)
    assert "I could not tell which is the best match" in result.text
    assert len(result.pictures) == 4


async def test_the_best_is_not_promised_where_nothing_was_measured(room: EngineRoom) -> None:
    code = (await room.trained()).code
    with pytest.raises(UserError, match="nothing was measured when it was trained"):
        await room.draws(code, "a boat --best 4")


async def draw_two(room: EngineRoom, options: str) -> tuple[Job, Reply, list[str]]:
    """Draw with two LoraCodes whose likeness was measured, and give the job, its result and the codes."""
    room.backend.likeness_by_step, room.backend.picture = {2: 0.9}, png()
    first = (await room.trained()).code
    second = (await room.desk.train(ANNA, 10)).code
    await room.dispatcher.drain()
    drawing = await room.draws(first, f"and {second} on a boat --seed 7 {options}")
    await room.dispatcher.drain()
    await room.notifier.deliver_due()
    [result] = [reply for _, reply, _ in room.chat.sent if "on a boat" in reply.text]
    return await room.job(drawing), result, [f"{code[:4]} {code[4:]}" for code in (first, second)]


async def test_a_picture_of_two_says_how_alike_each_is(room: EngineRoom) -> None:
    room.backend.picture_likenesses = [0.9, 0.2, 0.6, 0.7]
    job, result, (first, second) = await draw_two(room, "--n 2")
    assert f"Likeness of each: {first} 90%, {second} 20%; {first} 60%, {second} 70%." in result.text
    assert len(result.pictures) == 2
    assert isinstance(job.params, GenerationParams)
    assert job.params.seed == 7


async def test_the_best_of_several_people_is_by_the_least_alike(room: EngineRoom) -> None:
    room.backend.picture_likenesses = [0.9, 0.2, 0.6, 0.7]
    job, result, (first, second) = await draw_two(room, "--best 2")
    assert "The best match of 2: likeness 60%. The others: 20%." in result.text
    assert f"Likeness of each: {first} 60%, {second} 70%." in result.text
    assert len(result.pictures) == 1
    assert isinstance(job.params, GenerationParams)
    assert job.params.seed == 8


async def test_people_that_nobody_measured_are_drawn_without_a_word_on_likeness(room: EngineRoom) -> None:
    room.backend.picture_likenesses = []
    _, result, _ = await draw_two(room, "")
    assert "Likeness" not in result.text
    assert len(result.pictures) == 1


class ShadeAnalyzer:
    """Tells two people apart by their shade."""

    async def analyze(self, picture: bytes) -> PhotoMeasurements | None:
        with Image.open(io.BytesIO(picture)) as image:
            shade = image.convert("RGB").getpixel((image.width // 2, image.height // 2))
        assert isinstance(shade, tuple)
        embedding = (1.0, 0.0) if shade[0] > 100 else (0.0, 1.0)
        return await KnownFacesAnalyzer({picture: embedding}).analyze(picture)


async def test_faces_are_compared_each_in_its_own_part_of_the_picture() -> None:
    picture = Image.new("RGB", (64, 32), (200, 0, 0))
    picture.paste((10, 0, 0), (32, 0, 64, 32))
    file = io.BytesIO()
    picture.save(file, "PNG")
    halves = (Crop(0.0, 0.0, 0.5, 1.0), Crop(0.5, 0.0, 0.5, 1.0))
    event = DoneEvent(job_id=1, attempt=1, pictures=(file.getvalue(),), regions=(halves,))
    scorer = LikenessScorer(ShadeAnalyzer())
    pick = await scorer.score_people([[png(200)], [png(10)]], event)
    assert pick is not None
    assert pick.people == ((1.0, 1.0),)
    swapped = await scorer.score_people([[png(10)], [png(200)]], event)
    assert swapped is not None
    assert max(each or 0.0 for each in swapped.people[0]) < 0.5
