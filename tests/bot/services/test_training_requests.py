"""From the first photo to a LoraCode."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.core.errors import UserError
from bot.core.jobs import JobKind
from bot.core.loras import LoraState
from bot.core.messages import Upload
from tests.support.services import ADMIN, ANNA, ANNAS, BERT, BERTS, Desk, album, open_desk, photo

TEXT_FILE = Upload("me.jpg", b"Dear diary, today I am a photo.")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def test_the_start_says_what_will_happen_in_three_lines(desk: Desk) -> None:
    assert len((await desk.studio.start_chat(ANNA, ANNAS)).text.splitlines()) == 3


async def test_the_help_shows_status_to_administrators_only(desk: Desk) -> None:
    assert "/status" not in (await desk.studio.show_help(ANNA)).text
    assert "/status" in (await desk.studio.show_help(ADMIN)).text


async def test_a_training_without_photos_says_how_to_send_them(desk: Desk) -> None:
    assert "Send me five photos" in (await desk.studio.start_training(ANNA, ANNAS)).text
    assert "/train" in (await desk.studio.start_training(BERT, BERTS)).text


async def test_a_training_of_four_photos_says_that_one_is_missing(desk: Desk) -> None:
    await desk.send(ANNA, 1, 2, 3, 4)
    assert (await desk.studio.start_training(ANNA, ANNAS)).text.startswith("You have 4 of 5; send 1 more.\n")
    assert await desk.jobs(ANNA) == []


async def test_each_single_photo_is_counted_and_the_fifth_gives_a_lora_code(desk: Desk) -> None:
    for number in range(1, 5):
        reply = await desk.send(ANNA, number)
        assert f"{number} of 5" in reply.text
        assert desk.queue.wake_count == 0
    reply = await desk.send(ANNA, 5)
    (lora,) = await desk.loras(ANNA)
    (job,) = await desk.jobs(ANNA)
    assert re.search(rf"Your LoraCode is {lora.code[:4]} {lora.code[4:]}\.", reply.text)
    assert "number 1" in reply.text
    assert "no estimate until" in reply.text
    assert (reply.card_job_id, lora.state) == (job.id, LoraState.TRAINING)
    assert [button.action for button in reply.buttons] == [f"cancel:{job.id}"]
    assert desk.queue.wake_count == 1


async def test_an_album_of_five_starts_at_once(desk: Desk) -> None:
    job = await desk.train(ANNA)
    assert job.kind is JobKind.TRAIN
    assert job.address == ANNAS
    assert len(await desk.ledger.photos.get_job_photos(job.id)) == 5


async def test_the_fifth_photo_gives_an_honest_eta_once_there_is_history(desk: Desk) -> None:
    await desk.ready(ANNA, seconds=1500)
    await desk.train(ANNA, first=11)
    reply = await desk.send(BERT, 1, 2, 3, 4, 5)
    assert "number 2 · about 50 min left" in reply.text


async def test_a_sixth_photo_in_an_album_starts_nothing_and_asks(desk: Desk) -> None:
    reply = await desk.send(ANNA, 1, 2, 3, 4, 5, 6)
    assert "You have 6 photos" in reply.text
    assert "Nothing has started" in reply.text
    assert [button.action for button in reply.buttons][-2:] == ["first5:1", "restart:1"]
    assert (await desk.jobs(ANNA), await desk.loras(ANNA), desk.queue.wake_count) == ([], [], 0)


async def test_an_album_that_makes_a_begun_set_too_large_starts_nothing(desk: Desk) -> None:
    await desk.send(ANNA, 1, 2, 3)
    assert "You have 6 photos" in (await desk.send(ANNA, 4, 5, 6)).text
    assert await desk.jobs(ANNA) == []


async def test_the_first_five_of_six_are_used_when_asked(desk: Desk) -> None:
    await desk.send(ANNA, 1, 2, 3, 4, 5, 6)
    reply = await desk.studio.handle_button(ANNA, ANNAS, "first5")
    (job,) = await desk.jobs(ANNA)
    assert reply.card_job_id == job.id
    assert len(await desk.ledger.photos.get_job_photos(job.id)) == 5
    assert desk.queue.wake_count == 1


async def test_the_first_five_chosen_twice_start_one_training(desk: Desk) -> None:
    await desk.send(ANNA, 1, 2, 3, 4, 5, 6)
    replies = await asyncio.gather(*(desk.studio.handle_button(ANNA, ANNAS, "first5") for _ in range(2)))
    assert len(await desk.jobs(ANNA)) == 1
    assert sum("You have no photos waiting" in reply.text for reply in replies) == 1


async def test_the_first_five_of_too_few_say_what_is_missing(desk: Desk) -> None:
    await desk.send(ANNA, 1, 2)
    assert "You have 2 of 5" in (await desk.studio.train_first_five(ANNA, ANNAS)).text


async def test_a_set_is_started_over_and_twice_is_friendly(desk: Desk) -> None:
    await desk.send(ANNA, 1, 2, 3, 4, 5, 6)
    assert "Deleted: 6 photos" in (await desk.studio.handle_button(ANNA, ANNAS, "restart")).text
    assert "You have no photos waiting" in (await desk.studio.handle_button(ANNA, ANNAS, "restart")).text
    assert "1 of 5" in (await desk.send(ANNA, 7)).text


async def test_a_photo_sent_five_times_is_taken_once(desk: Desk) -> None:
    text = (await desk.send(ANNA, 1, 1, 1, 1, 1)).text
    assert "1 of 5" in text
    assert "Photo 1:" not in text
    for number in (2, 3, 4, 5):
        assert f"Photo {number}: I already have this one" in text
    assert "I already have this one" in (await desk.send(ANNA, 1)).text


async def test_refused_photos_of_an_album_are_answered_by_their_number(desk: Desk) -> None:
    reply = await desk.studio.add_photos(ANNA, ANNAS, [photo(1), TEXT_FILE, photo(2), photo(1)])
    lines = reply.text.splitlines()
    assert lines[0].startswith("Photo 2: This file is not a picture")
    assert lines[1].startswith("Photo 4: I already have this one")
    assert lines[2] == "You have 2 of 5; send 3 more."


async def test_a_single_refused_photo_is_answered_without_a_number(desk: Desk) -> None:
    reply = await desk.studio.add_photos(ANNA, ANNAS, [TEXT_FILE])
    assert reply.text.startswith("This file is not a picture")


async def test_a_good_fifth_photo_beside_a_refused_one_starts(desk: Desk) -> None:
    reply = await desk.studio.add_photos(ANNA, ANNAS, [*album(1, 2, 3, 4, 5), TEXT_FILE])
    assert "Photo 6: This file is not a picture" in reply.text
    assert "Your LoraCode is" in reply.text
    assert reply.card_job_id is not None


async def test_a_pile_of_files_is_refused_whole(desk: Desk) -> None:
    with pytest.raises(UserError, match="11 files at once"):
        await desk.send(ANNA, *range(11))
    with pytest.raises(UserError, match="no photo"):
        await desk.studio.add_photos(ANNA, ANNAS, [])
    assert await desk.ledger.photo_sets.count_collected(await desk.ledger.accounts.get_or_create(ANNA)) == 0


async def test_photos_without_room_are_answered(desk: Desk) -> None:
    await desk.send(ANNA, *range(1, 10))
    text = (await desk.send(ANNA, 11, 12)).text
    assert "Photo 2: not kept" in text
    assert "You have 10 photos" in text


async def test_single_photos_sent_at_the_same_moment_make_one_set(desk: Desk) -> None:
    replies = await asyncio.gather(*(desk.send(ANNA, number) for number in range(1, 6)))
    assert sum("Your LoraCode is" in reply.text for reply in replies) == 1
    assert len(await desk.jobs(ANNA)) == 1


async def test_two_people_do_not_share_a_set(desk: Desk) -> None:
    await asyncio.gather(desk.send(ANNA, 1, 2, 3), desk.send(BERT, 1, 2, 3))
    assert "4 of 5" in (await desk.send(ANNA, 4)).text
    assert "4 of 5" in (await desk.send(BERT, 4)).text


async def test_photos_after_a_started_training_begin_a_new_set(desk: Desk) -> None:
    await desk.train(ANNA)
    assert "1 of 5" in (await desk.send(ANNA, 1)).text


async def test_a_third_open_training_has_to_wait(desk: Desk) -> None:
    await desk.train(ANNA, first=1)
    await desk.train(ANNA, first=11)
    with pytest.raises(UserError, match="2 trainings under way"):
        await desk.send(ANNA, 21)
    with pytest.raises(UserError, match="2 trainings under way"):
        await desk.studio.start_training(ANNA, ANNAS)
    await desk.studio.cancel_job(ANNA)
    assert "1 of 5" in (await desk.send(ANNA, 21)).text


async def test_a_photo_is_sent_ahead_as_its_training_will_get_it(desk: Desk) -> None:
    await desk.send(ANNA, 1)
    await desk.send(ANNA, 1, 2)  # the first is there already
    assert len(desk.queue.prefetched_photos) == 2
    await desk.send(ANNA, 3, 4, 5)
    [job] = await desk.jobs(ANNA)
    photos = await desk.ledger.photos.get_job_photos(job.id)
    assert desk.queue.prefetched_photos == [photo.data for photo in photos]


async def test_a_photo_that_is_refused_is_not_sent_ahead(desk: Desk) -> None:
    await desk.studio.add_photos(ANNA, ANNAS, [TEXT_FILE, photo(1)])
    assert len(desk.queue.prefetched_photos) == 1


async def test_photos_beyond_the_first_five_are_forgotten_by_the_worker(desk: Desk) -> None:
    await desk.send(ANNA, 1, 2, 3, 4, 5, 6, 7)
    assert desk.queue.forgotten_hashes == []
    await desk.studio.train_first_five(ANNA, ANNAS)
    assert desk.queue.forgotten_hashes == [
        hashlib.sha256(each).hexdigest() for each in desk.queue.prefetched_photos[5:]
    ]


async def test_the_first_five_of_too_few_forget_nothing(desk: Desk) -> None:
    await desk.send(ANNA, 1, 2)
    await desk.studio.train_first_five(ANNA, ANNAS)
    assert desk.queue.forgotten_hashes == []


async def test_photos_of_a_set_started_over_are_forgotten_by_the_worker(desk: Desk) -> None:
    await desk.send(ANNA, 1, 2)
    await desk.studio.discard_photos(ANNA, ANNAS)
    assert desk.queue.forgotten_hashes == [
        hashlib.sha256(photo).hexdigest() for photo in desk.queue.prefetched_photos
    ]
