"""From consent to the fifth photo: one card, with a contact sheet and all that can be chosen."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.errors import UserError
from bot.core.jobs import TrainingParams
from bot.core.messages import Reply, Upload
from bot.core.photos import NewPhoto
from bot.media import contact_sheet
from bot.texts import translate
from tests.support.services import ANNA, BERT, BERTS, PLACES, Desk, album, open_desk, photo

#: Anna's private chat: on Telegram it has her number.
ALONE = ChatAddress(Platform.TELEGRAM, "1", "1")
NEW = Identity(Platform.TELEGRAM, "5")
NEWS = ChatAddress(Platform.TELEGRAM, "5", "5")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def send(desk: Desk, *numbers: int) -> Reply:
    return await desk.studio.add_photos(ANNA, ALONE, album(*numbers))


async def press(desk: Desk, reply: Reply, label: str) -> Reply:
    (action,) = [button.action for button in reply.buttons if button.label == label]
    return await desk.studio.handle_button(ANNA, ALONE, action)


def sheet_size(reply: Reply) -> tuple[int, int]:
    (sheet,) = reply.pictures
    assert isinstance(sheet, bytes)
    with Image.open(io.BytesIO(sheet)) as picture:
        return picture.size


async def test_photos_before_consent_are_not_kept_and_the_question_has_a_button(desk: Desk) -> None:
    reply = await desk.studio.add_photos(NEW, NEWS, album(1, 2))
    assert "I have not kept any of these yet" in reply.text
    assert [button.action for button in reply.buttons] == ["consent"]
    assert await desk.ledger.photo_sets.count_collected(await desk.ledger.accounts.get_or_create(NEW)) == 0


async def test_consent_is_asked_once(desk: Desk) -> None:
    assert [each.action for each in (await desk.studio.start_chat(NEW, NEWS)).buttons] == ["consent"]
    reply = await desk.studio.handle_button(NEW, NEWS, "consent")
    assert reply.edits_message
    assert "Send me five photos" in reply.text
    assert "consent" not in [each.action for each in (await desk.studio.start_chat(NEW, NEWS)).buttons]
    assert "1 of 5" in (await desk.studio.add_photos(NEW, NEWS, album(1))).text


async def test_the_console_user_is_not_asked_for_consent(desk: Desk) -> None:
    me, here = Identity(Platform.CONSOLE, "me"), ChatAddress(Platform.CONSOLE, "me", "me")
    assert "1 of 5" in (await desk.studio.add_photos(me, here, album(1))).text


async def test_the_card_shows_a_numbered_sheet_and_a_button_for_each_photo(desk: Desk) -> None:
    reply = await send(desk, 1, 2, 3)
    assert reply.shows_photo_set
    assert sheet_size(reply)[0] == 3 * (contact_sheet.TILE_PX + 6) + 6
    assert [each.label for each in reply.buttons if "drop" in each.action] == ["✕ 1", "✕ 2", "✕ 3"]
    assert all(len(each.action.encode()) <= 64 for each in reply.buttons)


async def test_ten_photos_need_five_rows_of_buttons_at_most(desk: Desk) -> None:
    reply = await send(desk, *range(10, 20))
    assert len({each.row for each in reply.buttons}) == 5
    assert max(sum(each.row == row for each in reply.buttons) for row in range(5)) <= 5


async def test_a_card_in_a_group_shows_no_photo(desk: Desk) -> None:
    group = ChatAddress(Platform.TELEGRAM, "-500", "1")
    in_group = await desk.studio.add_photos(ANNA, group, album(1))
    assert "1 of 5" in in_group.text
    assert in_group.pictures == ()
    assert len((await send(desk, 2)).pictures) == 1, "the same set is shown where its person is alone"


async def test_a_photo_is_removed_by_its_number_and_only_once(desk: Desk) -> None:
    card = await send(desk, 1, 2, 3)
    after = await press(desk, card, "✕ 2")
    assert after.edits_message
    assert "2 of 5" in after.text
    with pytest.raises(UserError) as caught:
        await press(desk, card, "✕ 2")  # the same button: it is about a photo, not about a place
    assert caught.value.message == translate("photo-gone")
    assert len(desk.queue.forgotten_hashes) == 1
    assert "3 of 5" in (await send(desk, 2)).text, "it may come again"


async def test_a_photo_removed_down_to_five_starts_the_training(desk: Desk) -> None:
    card = await send(desk, 1, 2, 3, 4, 5, 6)
    reply = await press(desk, card, "✕ 6")
    assert reply.card_job_id is not None
    assert len(await desk.ledger.photos.get_job_photos(reply.card_job_id)) == 5


async def test_class_and_name_go_into_the_lora_and_are_gone_with_the_set(desk: Desk) -> None:
    card = await press(desk, await send(desk, 1, 2, 3, 4), "Dog")
    assert "They show: dog" in card.text
    assert "✓ Dog" in [each.label for each in card.buttons]
    assert "the name" in (await press(desk, card, "Name it")).text
    named = await desk.studio.handle_text(ANNA, ALONE, " Rex ")
    assert named is not None
    assert "name: Rex" in named.text
    await send(desk, 5)
    [lora] = await desk.loras(ANNA)
    assert (lora.trigger.class_word, lora.name) == ("dog", "Rex")
    [job] = await desk.jobs(ANNA)
    assert isinstance(job.params, TrainingParams)
    assert str(job.params.trigger) == "sks dog"
    assert "They show: person" in (await send(desk, 11)).text


async def test_a_name_that_is_too_long_is_asked_for_again(desk: Desk) -> None:
    await press(desk, await send(desk, 1), "Name it")
    with pytest.raises(UserError):
        await desk.studio.handle_text(ANNA, ALONE, "x" * 41)
    assert await desk.studio.handle_text(ANNA, ALONE, "Ann") is not None


async def test_nobody_presses_for_somebody_else(desk: Desk) -> None:
    card = await send(desk, 1)
    for button in card.buttons:
        if button.action.startswith("set:"):
            with pytest.raises(UserError) as caught:
                await desk.studio.handle_button(BERT, BERTS, button.action)
            assert caught.value.message == translate("not-your-button")
    assert PLACES[BERT] == BERTS


async def test_the_message_that_shows_a_set_is_known_until_the_set_ends(desk: Desk) -> None:
    await send(desk, 1)
    await desk.studio.record_set_message(ANNA, "77")
    assert await desk.studio.get_set_message(ANNA, ALONE) == "77"
    assert await desk.studio.get_set_message(ANNA, PLACES[ANNA]) is None, "it stands in another chat"
    reply = await send(desk, 2, 3, 4, 5)
    assert reply.closed_photo_set is not None
    assert reply.closed_photo_set.message_id == "77"
    assert await desk.studio.get_set_message(ANNA, ALONE) is None


async def test_a_set_is_forgotten_a_day_after_it_was_touched(desk: Desk) -> None:
    await send(desk, 1)
    desk.clock.forward(hours=23)
    await send(desk, 2)
    desk.clock.forward(hours=23)
    assert await desk.ledger.photo_sets.delete_sets_before(desk.clock.now - timedelta(days=1)) == []
    desk.clock.forward(hours=2)
    assert len(await desk.ledger.photo_sets.delete_sets_before(desk.clock.now - timedelta(days=1))) == 2
    assert await desk.ledger.photo_sets.count_collected(await desk.ledger.accounts.get_or_create(ANNA)) == 0


async def test_a_photo_that_was_opened_early_counts_like_any_other(desk: Desk) -> None:
    early = await desk.studio.predecode_photo(ANNA, photo(1))
    assert isinstance(early, NewPhoto)
    reply = await desk.studio.add_photos(ANNA, ALONE, [early, photo(2)])
    assert "2 of 5" in reply.text


async def test_a_refusal_of_a_predecoded_photo_comes_with_its_album(desk: Desk) -> None:
    early = await desk.studio.predecode_photo(ANNA, Upload("notes.txt", b"no picture"))
    assert isinstance(early, UserError)
    reply = await desk.studio.add_photos(ANNA, ALONE, [photo(1), early])
    assert "1 of 5" in reply.text
    assert "not a picture" in reply.text


async def test_a_photo_before_consent_is_not_decoded(desk: Desk) -> None:
    upload = Upload("notes.txt", b"no picture")
    assert await desk.studio.predecode_photo(NEW, upload) is upload
