"""`/more` and `/replace`: a Lora learns more, is never worse for it, and no photo stays that was not to."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.core.accounts import Preferences
from bot.core.errors import UserError
from bot.core.jobs import FailureReason, Job, JobFailure, JobKind, JobStatus
from bot.core.loras import Lora, LoraState
from bot.core.messages import Reply
from bot.jobs.requests import RequestBuilder
from bot.jobs.styles import load_styles
from bot.media.storage import Storage
from bot.ops.schedule import Schedule
from bot.texts import translate
from gpu_worker.protocol import GenerateRequest, JobProblem, TrainRequest
from tests.support.engine import EngineRoom, open_engine_room
from tests.support.services import ANNA, ANNAS, BERT, BERTS, InProcessDecoder, album


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[EngineRoom]:
    async with open_engine_room(tmp_path) as each:
        yield each


async def keeps(room: EngineRoom, wanted: bool = True) -> None:
    account = await room.ledger.accounts.get_or_create(ANNA)
    value = "keep" if wanted else "forget"
    await room.desk.studio.handle_button(ANNA, ANNAS, f"settings:{account}:photos={value}")


async def lora_of(room: EngineRoom, job: Job) -> Lora:
    found = await room.ledger.loras.get_by_code(job.code)
    assert found is not None
    return found


async def more(room: EngineRoom, text: str) -> Reply:
    return await room.desk.studio.continue_training(ANNA, ANNAS, text)


async def job_of(room: EngineRoom, reply: Reply) -> Job:
    assert reply.card_job_id is not None, reply.text
    found = await room.ledger.jobs.get(reply.card_job_id)
    assert found is not None
    return found


async def held_photos(room: EngineRoom) -> int:
    return (
        await room.ledger.privacy.count_stored_data(await room.ledger.accounts.get_or_create(ANNA))
    ).photos


async def worked(room: EngineRoom) -> str:
    """Let the worker work, and give what was said last."""
    await room.dispatcher.drain()
    await room.notifier.deliver_due()
    return room.chat.sent[-1][1].text


async def test_a_code_without_kept_photos_learns_on_from_five_new_ones(
    room: EngineRoom,
) -> None:
    first = await room.trained()
    assert await held_photos(room) == 0
    asked = await more(room, f"{first.code} 200")
    assert "for 200 more steps" in asked.text
    assert "need five again" in asked.text
    assert not any("class=" in each.action for each in asked.buttons), "what it shows is known"
    room.backend.lora = b"better"
    reply = await room.desk.send(ANNA, 11, 12, 13, 14, 15)
    job = await job_of(room, reply)
    assert (job.code, job.params.steps) == (first.code, 200)
    assert "for 200 more steps" in reply.text
    assert (await lora_of(room, first)).state is LoraState.READY, "it draws all the while"
    said = await worked(room)
    assert "has trained for 3 more steps, and your photos have been deleted" in said
    request = room.backend.requests[-1]
    assert isinstance(request, TrainRequest)
    assert (request.initial_lora, request.start_step, request.steps) == (b"lora", 3, 200)
    assert (request.token, request.class_word) == ("sks", "person")
    lora = await lora_of(room, first)
    assert (lora.sha256, lora.steps) == (hashlib.sha256(b"better").hexdigest(), 6)
    assert [path.name for path in (room.files.root / "loras").iterdir()] == [lora.file]
    assert len(await room.desk.loras(ANNA)) == 1
    assert await held_photos(room) == 0


async def test_a_code_with_kept_photos_begins_at_once(room: EngineRoom) -> None:
    await keeps(room)
    first = await room.trained()
    assert "I keep your photos" in room.chat.sent[-1][1].text
    photos = await room.ledger.photos.get_job_photos(first.id)
    assert len(photos) == 5
    reply = await room.desk.studio.handle_button(ANNA, ANNAS, f"more:{first.code}")
    job = await job_of(room, reply)
    assert job.params.steps == 300
    assert await room.ledger.photos.get_job_photos(job.id) == photos
    assert "I keep your photos" in await worked(room)
    assert await held_photos(room) == 5


async def test_a_lora_stays_when_nothing_better_was_learnt(room: EngineRoom) -> None:
    await keeps(room)
    room.backend.likeness_by_step = {0: 0.8, 2: 0.8, 3: 0.7}
    first = await room.trained()
    before = await lora_of(room, first)
    assert before.steps == 2
    await more(room, first.code)
    assert "3 more steps did not improve the likeness, so I kept it as it was" in await worked(room)
    after = await lora_of(room, first)
    assert (after.file, after.sha256, after.steps) == (before.file, before.sha256, 2)
    assert after.likeness is not None
    assert [each.step for each in after.likeness.scores] == [2, 4, 5], (
        "measured again, beside what came after"
    )
    assert [path.name for path in (room.files.root / "loras").iterdir()] == [before.file]


async def test_the_most_alike_candidate_of_a_continued_training_is_taken(room: EngineRoom) -> None:
    await keeps(room)
    room.backend.likeness_by_step = {0: 0.5, 2: 0.5, 3: 0.4}
    first = await room.trained()
    room.backend.likeness_by_step = {0: 0.5, 1: 0.9, 3: 0.4}
    await more(room, first.code)
    assert "likeness is 90%" in await worked(room)
    lora = await lora_of(room, first)
    assert (await room.files.read_lora(lora.file or ""), lora.steps) == (b"lora of step 3", 3)


@pytest.mark.parametrize("end", ["failed", "cancelled"])
async def test_a_failed_further_training_leaves_the_lora_as_it_was(room: EngineRoom, end: str) -> None:
    await keeps(room)
    room.backend.likeness_by_step = {2: 0.6}
    first = await room.trained()
    before = await lora_of(room, first)
    job = await job_of(room, await more(room, first.code))
    if end == "failed":
        room.backend.fail_with = JobProblem.TRAINING_NOT_FINITE
        room.backend.likeness_by_step = {1: 0.9}
        assert "is unchanged, and draws as before" in await worked(room)
    else:
        assert "is unchanged" in (await room.desk.studio.cancel_job(ANNA)).text
    assert (await room.job(job)).status == JobStatus(end)
    assert await lora_of(room, first) == before
    assert await held_photos(room) == 5, "of a Lora that is there they are kept, as was asked"
    room.backend.fail_with = None
    await room.draws(first.code)
    await worked(room)


async def test_a_photo_is_swapped_in_its_place_and_the_training_goes_on(room: EngineRoom) -> None:
    await keeps(room)
    first = await room.trained()
    photos = await room.ledger.photos.get_job_photos(first.id)
    asked = await room.desk.studio.replace_photo(ANNA, ANNAS, f"{first.code} 4")
    assert "replaces number 4" in asked.text
    assert len([each for each in asked.buttons if each.label.startswith("✕")]) == 4
    reply = await room.desk.send(ANNA, 77)
    job = await job_of(room, reply)
    [new] = [(await InProcessDecoder().decode(each)).stored for each in album(77)]
    assert await room.ledger.photos.get_job_photos(job.id) == (*photos[:3], new, photos[4])
    await worked(room)
    assert await held_photos(room) == 5, "the one that was replaced is gone"


async def test_a_kept_photo_outlives_a_replacement_that_is_left(room: EngineRoom) -> None:
    await keeps(room)
    first = await room.trained()
    asked = await room.desk.studio.replace_photo(ANNA, ANNAS, f"{first.code} 1")
    [leave] = [each.action for each in asked.buttons if each.label.startswith("Not for")]
    left = await room.desk.studio.handle_button(ANNA, ANNAS, leave)
    assert "They show: person" in left.text
    assert await held_photos(room) == 5
    assert (await more(room, first.code)).card_job_id is not None


async def test_a_swap_without_kept_photos_is_five_new_ones(room: EngineRoom) -> None:
    first = await room.trained()
    told = await room.desk.studio.replace_photo(ANNA, ANNAS, f"{first.code} 4")
    assert "are deleted, as I promised" in told.text
    [again] = told.buttons
    assert "need five again" in (await room.desk.studio.handle_button(ANNA, ANNAS, again.action)).text


async def test_photos_of_another_set_are_not_mixed_in(room: EngineRoom) -> None:
    first = await room.trained()
    await room.desk.send(ANNA, 21, 22)
    with pytest.raises(UserError, match="2 photos waiting for another LoraCode"):
        await more(room, first.code)
    assert await room.ledger.photo_sets.count_collected(first.account) == 2


async def test_starting_over_collects_photos_for_a_new_lora(room: EngineRoom) -> None:
    first = await room.trained()
    await more(room, first.code)
    await room.desk.send(ANNA, 21, 22)
    await room.desk.studio.handle_button(ANNA, ANNAS, "restart")
    other = await job_of(room, await room.desk.send(ANNA, 31, 32, 33, 34, 35))
    assert other.code != first.code, "they may show somebody else"


@pytest.mark.parametrize("text", ["{} 49", "{} 3001", "{} many"])
async def test_steps_are_within_their_range(room: EngineRoom, text: str) -> None:
    first = await room.trained()
    with pytest.raises(UserError, match="From 50 to 3000"):
        await more(room, text.format(first.code))


@pytest.mark.parametrize("number", ["", "0", "6", "two"])
async def test_a_photo_to_replace_is_one_of_five(room: EngineRoom, number: str) -> None:
    first = await room.trained()
    with pytest.raises(UserError, match="1 to 5"):
        await room.desk.studio.replace_photo(ANNA, ANNAS, f"{first.code} {number}")


async def test_a_continued_training_counts_against_quota_and_open_jobs(room: EngineRoom) -> None:
    await keeps(room)
    first = await room.trained()
    await more(room, first.code)
    with pytest.raises(UserError, match="is still training"):
        await more(room, first.code)
    account = await room.ledger.accounts.get_or_create(ANNA)
    assert (
        await room.ledger.access.count_trainings_since(account, first.created_at - timedelta(seconds=1)) == 2
    )


async def test_a_code_of_somebody_else_cannot_be_trained(room: EngineRoom) -> None:
    first = await room.trained()
    for call, value in ((room.desk.studio.continue_training, 300), (room.desk.studio.replace_photo, 4)):
        with pytest.raises(UserError) as caught:
            await call(BERT, BERTS, f"{first.code} {value}")
        assert caught.value.message == translate("unknown-code")


async def test_kept_photos_go_when_they_are_seven_days_old_and_fail_nothing(room: EngineRoom) -> None:
    await keeps(room)
    first = await room.trained()
    await room.desk.studio.replace_photo(ANNA, ANNAS, f"{first.code} 1")
    room.desk.clock.forward(days=7, seconds=1)
    schedule = Schedule(
        database=room.ledger,
        storage=room.files,
        notice_sender=room.notifier,
        clock=room.desk.clock,
        forget_photos=room.desk.queue.forget,
    )
    await schedule.run_retention()
    assert await held_photos(room) == 0
    assert (await room.job(first)).status is JobStatus.DONE
    assert (await lora_of(room, first)).state is LoraState.READY


async def test_a_training_runs_on_when_its_photos_become_seven_days_old(
    room: EngineRoom,
) -> None:
    await keeps(room)
    first = await room.trained()
    room.desk.clock.forward(days=6, hours=23)
    job = await job_of(room, await more(room, first.code))
    assert await room.ledger.jobs.claim_next(JobKind.TRAIN) is not None
    room.desk.clock.forward(hours=2)
    await room.ledger.photos.delete_photos_before(room.desk.clock.now - timedelta(days=7))
    failed = await room.job(job)
    assert failed.error == JobFailure(FailureReason.PHOTOS_EXPIRED)


@pytest.mark.parametrize("how", ["unset", "deleted", "forgotten"])
async def test_kept_photos_go_at_once_when_their_person_says_so(room: EngineRoom, how: str) -> None:
    await keeps(room)
    first = await room.trained()
    await room.desk.studio.replace_photo(ANNA, ANNAS, f"{first.code} 1")
    assert await held_photos(room) == 9
    if how == "unset":
        await room.desk.studio.discard_photos(ANNA, ANNAS)
        await keeps(room, wanted=False)
    elif how == "deleted":
        await room.desk.studio.handle_button(ANNA, ANNAS, f"remove!:{first.code}")
    else:
        asked = await room.desk.studio.ask_to_erase(ANNA)
        await room.desk.studio.handle_button(ANNA, ANNAS, asked.buttons[0].action)
    assert await held_photos(room) == 0


async def test_photos_of_a_failed_first_training_are_never_kept(room: EngineRoom) -> None:
    await keeps(room)
    room.backend.fail_with = JobProblem.TRAINING_NOT_FINITE
    await room.trained()
    assert await held_photos(room) == 0


async def test_photos_are_not_kept_unless_asked_for(room: EngineRoom) -> None:
    assert not Preferences().keeps_photos
    shown = await room.desk.studio.show_settings(ANNA)
    assert "Photos: deleted when the training ends" in shown.text
    await keeps(room)
    assert "until they are 7 days old" in (await room.desk.studio.show_settings(ANNA)).text


async def test_a_lora_whose_file_changes_meanwhile_is_drawn_with(
    room: EngineRoom,
) -> None:
    await keeps(room)
    first = await room.trained()
    await more(room, first.code)
    further = await room.desk.claim(JobKind.TRAIN)
    files = SwappingStorage(room, further)
    drawing = await room.draws(first.code)
    request = await RequestBuilder(room.ledger, files, load_styles()).build(drawing)
    assert isinstance(request, GenerateRequest)
    assert request.loras[0].data == b"newer"


class SwappingStorage(Storage):
    """Files of which one is replaced just before it is read."""

    def __init__(self, room: EngineRoom, further: Job) -> None:
        super().__init__(room.files.root)
        self._room, self._further = room, further

    async def read_lora(self, name: str) -> bytes:
        job = self._further
        if name == f"{job.code}.safetensors":
            file = await self.write_lora(job.code, b"newer", job.id)
            assert await self._room.ledger.jobs.finish_training(job.id, job.attempt, file)
            await self.delete_lora_file(name)
        return await super().read_lora(name)
