"""Generations on their way: several at once, with final prompts, previews, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.jobs import MAX_CONCURRENT_GENERATIONS, Job, JobId, JobStatus
from bot.core.loras import LoraCode
from bot.jobs.backends.fake import FakeBackend
from bot.jobs.dispatcher import EXCLUSIVE_AFTER_LOSSES, Dispatcher
from bot.jobs.styles import load_styles
from bot.media.storage import Storage
from gpu_worker.protocol import DoneEvent, GenerateRequest, JobRequest, Place, StartedEvent, WorkerEvent
from tests.support.engine import PNG, EngineRoom, open_engine_room, until
from tests.support.services import ANNA, ANNAS, BERT, BERTS, album, consented


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[EngineRoom]:
    async with open_engine_room(tmp_path) as each:
        yield each


async def request_for(room: EngineRoom, code: str, text: str) -> GenerateRequest:
    await room.draws(code, text)
    await room.dispatcher.drain()
    request = room.backend.requests[-1]
    assert isinstance(request, GenerateRequest)
    return request


async def guest(room: EngineRoom, number: int) -> LoraCode:
    """Somebody else's ready LoraCode."""
    who, place = (
        Identity(Platform.TELEGRAM, f"9{number}"),
        ChatAddress(Platform.TELEGRAM, f"9{number}", f"9{number}"),
    )
    await consented(room.desk.ledger, who)
    await room.desk.studio.add_photos(who, place, album(*range(20 * number, 20 * number + 5)))
    await room.dispatcher.drain()
    return (await room.desk.loras(who))[0].code


async def test_a_style_goes_around_the_final_prompt_and_adds_what_to_avoid(room: EngineRoom) -> None:
    code = (await room.trained()).code
    oil = load_styles().resolve("oil")
    request = await request_for(room, code, "on the moon --style oil --no rain --strength 0.5 --sampler lcm")
    assert request.prompt == oil.prompt.replace("{prompt}", "sks person, on the moon")
    assert (request.negative_prompt, request.style_negative_prompt) == ("rain", oil.negative)
    assert request.loras[0].strength == 0.5
    assert request.sampler == "lcm"


async def test_a_person_s_name_and_me_stand_for_their_lora_and_the_recipe_says_so(room: EngineRoom) -> None:
    code = (await room.trained()).code
    await room.ledger.loras.rename(code, "Anna")
    assert (await request_for(room, code, "anna's boat")).prompt == "sks person's boat"
    assert (await request_for(room, code, "me as a pirate")).prompt == "sks person as a pirate"
    job_id = room.backend.requests[-1].job_id
    recipe = await room.desk.studio.handle_button(ANNA, ANNAS, f"recipe:{job_id}")
    assert "Prompt: me as a pirate\nSent to the model: sks person as a pirate\n" in recipe.text


async def test_a_guest_s_me_is_not_the_owner_of_a_lora(room: EngineRoom) -> None:
    code = (await room.trained()).code
    await room.ledger.loras.rename(code, "Anna")
    await room.desk.studio.request_access(BERT, BERTS, code)
    await room.ledger.sharing.forward_requests()
    (share,) = await room.ledger.sharing.list_shares(code)
    await room.desk.studio.handle_button(ANNA, ANNAS, f"share:{share.number}:always")
    await room.desk.studio.generate_from_text(BERT, BERTS, f"{code} me and Anna")
    await room.dispatcher.drain()
    request = room.backend.requests[-1]
    assert isinstance(request, GenerateRequest)
    assert request.prompt == "sks person, me and Anna"


async def test_weights_and_shapes_are_left_to_the_worker(room: EngineRoom) -> None:
    code = (await room.trained()).code
    request = await request_for(room, code, "(sks person:1.2), a boat --size portrait")
    assert request.prompt == "(sks person:1.2), a boat"
    assert (request.shape, request.width_px, request.height_px) == ("portrait", None, None)
    assert request.preview_interval_s == 4.0


async def test_two_loras_keep_their_own_tokens_in_one_picture(
    room: EngineRoom,
) -> None:
    first = (await room.trained()).code
    room.desk.clock.forward(minutes=1)
    second = (await room.desk.train(ANNA, 10)).code
    await room.dispatcher.drain()
    assert [lora.trigger.token for lora in await room.desk.loras(ANNA)] == ["ohwx", "sks"]
    request = await request_for(room, first, f"dancing with {second[:4]} {second[4:]}")
    assert request.prompt == "sks person, dancing with ohwx person"
    assert [lora.name for lora in request.loras] == [first, second]
    assert [(lora.trigger, lora.place) for lora in request.loras] == [
        ("sks person", Place.FOUND),
        ("ohwx person", Place.FOUND),
    ]
    named = await request_for(room, first, f"right and {second} left")
    assert [lora.place for lora in named.loras] == [Place.RIGHT, Place.LEFT]
    alone = await request_for(room, first, "left of a boat")
    assert [lora.place for lora in alone.loras] == [Place.EVERYWHERE]


async def test_a_further_code_must_be_one_s_own_and_ready(room: EngineRoom) -> None:
    code, foreign = (await room.trained()).code, await guest(room, 1)
    for other in (foreign, "00000000" if code != "00000000" else "00000001"):
        with pytest.raises(Exception, match="but you have none with that number"):
            await room.draws(code, f"with {other}")
    training = (await room.desk.train(ANNA, 10)).code
    with pytest.raises(Exception, match="still training"):
        await room.draws(code, f"with {training}")


async def test_codes_of_one_prompt_are_three_at_most(room: EngineRoom) -> None:
    codes = []
    for number in range(4):
        codes.append((await room.desk.train(ANNA, 10 * number)).code)
        await room.dispatcher.drain()
    assert (await room.draws(codes[0], f"{codes[1]} {codes[2]} {codes[0]}")).params.codes == tuple(codes[1:3])  # type: ignore[union-attr]
    with pytest.raises(Exception, match="3 LoraCodes at most"):
        await room.draws(codes[0], " ".join(codes[1:]))


async def test_several_people_s_pictures_are_with_the_worker_at_once(room: EngineRoom) -> None:
    codes = [(await room.trained()).code]
    room.backend.proceed_event.clear()
    jobs = [await room.draws(codes[0]) for _ in range(MAX_CONCURRENT_GENERATIONS)]
    run = asyncio.create_task(room.dispatcher.run())
    for job in jobs:
        await until(lambda job=job: room.has_step(job))  # type: ignore[misc]
    assert room.backend.max_concurrency == MAX_CONCURRENT_GENERATIONS
    room.backend.proceed_event.set()
    for job in jobs:
        await until(lambda job=job: room.is_done(job))  # type: ignore[misc]
    run.cancel()
    await asyncio.wait([run])


async def test_a_queued_job_starts_as_soon_as_a_consumer_is_free(room: EngineRoom) -> None:
    code = (await room.trained()).code
    run = asyncio.create_task(room.dispatcher.run())
    for _ in range(3):
        jobs = [await room.draws(code) for _ in range(MAX_CONCURRENT_GENERATIONS)]
        for job in jobs:
            await until(lambda job=job: room.is_done(job))  # type: ignore[misc]
    run.cancel()
    await asyncio.wait([run])
    assert room.backend.max_concurrency <= MAX_CONCURRENT_GENERATIONS


async def test_a_picture_of_a_killed_worker_is_drawn_and_delivered_once(
    room: EngineRoom,
) -> None:
    code = (await room.trained()).code
    room.backend.lost_at_steps = [2, 2]
    jobs = [await room.draws(code) for _ in range(3)]
    for job in jobs:
        await room.desk.studio.record_card(job.id, f"card{job.id}")
    await room.dispatcher.drain()
    await room.notifier.deliver_due()
    assert [(await room.job(job)).status for job in jobs] == [JobStatus.DONE] * 3
    assert sorted([(await room.job(job)).lost_attempts for job in jobs]) == [0, 1, 1]
    assert sorted(message_id for message_id, _ in room.chat.edits) == [f"card{job.id}" for job in jobs]


async def test_a_picture_that_always_kills_its_worker_fails_alone(
    room: EngineRoom,
) -> None:
    code = (await room.trained()).code
    jobs = [await room.draws(code) for _ in range(MAX_CONCURRENT_GENERATIONS)]
    room.backend.crashing_jobs = {jobs[1].id}
    await room.dispatcher.drain()
    ended = [await room.job(job) for job in jobs]
    assert ended[1].status is JobStatus.FAILED
    assert [job.status for job in ended if job.id != jobs[1].id] == [JobStatus.DONE] * 3
    assert max(job.lost_attempts for job in ended if job.id != jobs[1].id) <= EXCLUSIVE_AFTER_LOSSES


async def test_a_preview_is_on_the_card_while_it_runs_and_gone_afterwards(room: EngineRoom) -> None:
    code = (await room.trained()).code
    room.backend.preview_png = PNG
    room.backend.proceed_event.clear()
    job = await room.draws(code)
    await room.desk.studio.record_card(job.id, "card7")
    run = asyncio.create_task(room.dispatcher.run())
    path = room.files.preview_path(job.id)

    async def shown() -> bool:
        await room.notifier.edit_cards()
        return any(reply.pictures == (path,) for _, reply in room.chat.edits)

    await until(shown)
    assert path.read_bytes() == PNG
    assert room.chat.edits[-1][1].card_job_id == job.id
    room.backend.proceed_event.set()
    await until(lambda: room.is_done(job))
    run.cancel()
    await asyncio.wait([run])
    assert not path.exists()


async def test_the_preview_of_a_cancelled_picture_is_gone_too(room: EngineRoom) -> None:
    code = (await room.trained()).code
    room.backend.preview_png = PNG
    room.backend.proceed_event.clear()
    job = await room.draws(code)
    drain = asyncio.create_task(room.dispatcher.drain())

    async def drawn() -> bool:
        return room.files.preview_path(job.id).exists()

    await until(drawn)
    await room.desk.studio.cancel_job(ANNA)
    await asyncio.wait_for(drain, 10)
    assert not room.files.preview_path(job.id).exists()


class Finishing(FakeBackend):
    """Begins, and once its gate is open is done."""

    def __init__(self) -> None:
        super().__init__(picture=PNG)
        self.proceed_event.clear()

    async def run(self, request: JobRequest) -> AsyncGenerator[WorkerEvent, None]:
        yield StartedEvent(job_id=request.job_id, attempt=request.attempt, step=1, steps=10)
        await self.proceed_event.wait()
        yield self._final_event(request)

    def _final_event(self, request: JobRequest) -> WorkerEvent:
        lora = None if isinstance(request, GenerateRequest) else b"lora"
        return DoneEvent(job_id=request.job_id, attempt=request.attempt, lora=lora, pictures=(PNG,))


def results(room: EngineRoom) -> list[str]:
    folders = (room.files.root / "loras", room.files.root / "pictures")
    return [path.name for folder in folders for path in folder.iterdir()]


@pytest.mark.parametrize("what", ["training", "generation"])
async def test_a_result_of_a_job_that_was_given_up_leaves_no_file(room: EngineRoom, what: str) -> None:
    before, backend = [], Finishing()
    job = await room.desk.train(ANNA)
    if what == "generation":
        await room.dispatcher.drain()
        before, job = results(room), await room.draws(job.code)
    else:
        await room.files.write_sample(job.id, 1, PNG)  # there would be a strip, too
    dispatcher = Dispatcher(room.ledger, backend, room.files, room.notifier, load_styles())
    working = asyncio.create_task(dispatcher.drain())
    await until(lambda: room.has_step(job))
    await room.ledger.jobs.cancel(job.id)  # as another hand would: the attempt is not told
    backend.proceed_event.set()
    await asyncio.wait_for(working, 100)
    assert results(room) == before


class SlowStorage(Storage):
    """Takes its time for a LoRA."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.writing = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def write_lora(
        self, code: LoraCode, data: bytes, continuation_job_id: JobId | None = None
    ) -> tuple[str, str]:
        written = await super().write_lora(code, data)
        self.writing.set()
        await self.may_go_on.wait()
        return written


async def test_a_lora_of_a_training_cancelled_meanwhile_leaves_no_file(
    room: EngineRoom, caplog: pytest.LogCaptureFixture
) -> None:
    files = SlowStorage(room.files.root)
    dispatcher = Dispatcher(room.ledger, FakeBackend(), files, room.notifier, load_styles())
    job = await room.desk.train(BERT)
    working = asyncio.create_task(dispatcher.drain())
    await files.writing.wait()
    await room.ledger.jobs.cancel(job.id)
    stopping = asyncio.create_task(dispatcher.abort_job(job.id))
    await asyncio.sleep(0)
    files.may_go_on.set()
    await asyncio.wait_for(stopping, 100)
    assert results(room) == []
    assert "could not be written" not in caplog.text
    await asyncio.wait_for(working, 100)


async def test_results_come_back_to_their_own_person(room: EngineRoom) -> None:
    code: str = (await room.trained()).code
    other = await guest(room, 2)
    jobs: list[Job] = [await room.draws(code) for _ in range(MAX_CONCURRENT_GENERATIONS)]
    place = ChatAddress(Platform.TELEGRAM, "92", "92")
    who = Identity(Platform.TELEGRAM, "92")
    await room.desk.studio.generate_from_text(who, place, f"{other} a boat")
    await room.dispatcher.drain()
    await room.notifier.deliver_due()
    told = [sent for sent in room.chat.sent if sent[1].pictures]
    assert [sent[0] for sent in told].count(ANNAS) == len(jobs)
    assert [sent[0] for sent in told].count(place) == 1
