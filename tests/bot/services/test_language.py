"""A person is spoken to in the language of their app, or in the one they chose; so are their notices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.core.accounts import Identity, Platform
from bot.core.errors import UserError
from bot.core.messages import Upload
from bot.delivery.direct_messages import DirectMessageSender
from bot.media.decoding import SandboxedPhotoDecoder
from bot.texts import translate, translate_to, use_language
from tests.support.engine import EngineRoom, RememberingChat, open_engine_room
from tests.support.services import ANNA, ANNAS, BERT, BERTS

ITALIAN = replace(ANNA, locale="it-IT")


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[EngineRoom]:
    async with open_engine_room(tmp_path) as each:
        yield each


def italian(key: str, **values: str | int) -> str:
    return translate_to("it", key, **values)


async def test_an_app_s_locale_is_the_language_of_answers_and_refusals(room: EngineRoom) -> None:
    studio = room.desk.studio
    assert (await studio.show_queue(ITALIAN)).text == italian("nothing-waits")
    with pytest.raises(UserError) as caught:
        await studio.handle_button(ITALIAN, ANNAS, "nonsense")
    assert caught.value.message == italian("stale-button")
    assert (await studio.show_queue(BERT)).text == translate("nothing-waits")
    assert translate_to("en", "stale-button") == translate("stale-button"), "afterwards all is as it was"


async def test_the_last_locale_is_remembered_where_none_is_told(room: EngineRoom) -> None:
    studio = room.desk.studio
    await studio.show_queue(ITALIAN)
    assert (await studio.show_queue(ANNA)).text == italian("nothing-waits")
    await studio.show_queue(replace(ANNA, locale="en-GB"))
    assert (await studio.show_queue(ANNA)).text == translate("nothing-waits")


async def test_settings_stand_above_the_app_and_can_be_left_to_it_again(room: EngineRoom) -> None:
    studio = room.desk.studio
    shown = await studio.show_settings(ITALIAN)
    assert "Lingua: Italiano, come la tua app" in shown.text
    [english] = [each.action for each in shown.buttons if each.label == "English"]
    shown = await studio.handle_button(ITALIAN, ANNAS, english)
    assert "Language: English" in shown.text.splitlines(), "the answer is in the language that was chosen"
    assert (await studio.show_queue(ITALIAN)).text == translate("nothing-waits")
    [app] = [each.action for each in shown.buttons if each.label == "Same as my app"]
    assert "come la tua app" in (await studio.handle_button(ITALIAN, ANNAS, app)).text


async def test_a_language_is_chosen_by_its_person_of_those_there_are(room: EngineRoom) -> None:
    studio = room.desk.studio
    shown = await studio.show_settings(ANNA)
    [action] = [each.action for each in shown.buttons if each.label == "Italiano"]
    for who, place, pressed in (
        (BERT, BERTS, action),
        (ANNA, ANNAS, action.replace("=it", "=xx")),
        (ANNA, ANNAS, action.replace("=it", "=")),
    ):
        with pytest.raises(UserError):
            await studio.handle_button(who, place, pressed)
    assert (await studio.show_queue(ANNA)).text == translate("nothing-waits")


async def test_a_chosen_language_is_kept_by_linked_accounts(room: EngineRoom) -> None:
    studio, ledger = room.desk.studio, room.ledger
    shown = await studio.show_settings(ANNA)
    await studio.handle_button(
        ANNA, ANNAS, next(each.action for each in shown.buttons if each.label == "Italiano")
    )
    bert = await ledger.accounts.get_or_create(BERT)
    await ledger.accounts.save_link_token(bert, "ABCDEF", room.desk.clock.now.replace(year=2031))
    assert await ledger.accounts.merge_accounts("ABCDEF", await ledger.accounts.get_or_create(ANNA))
    assert (await studio.show_queue(BERT)).text == italian("nothing-waits")


async def test_the_language_is_forgotten_with_its_person(room: EngineRoom) -> None:
    await room.desk.studio.show_queue(ITALIAN)
    account = await room.ledger.accounts.get_or_create(ANNA)
    await room.ledger.privacy.erase_account(account)
    assert await room.ledger.accounts.get_language(ANNA) == ""


async def test_a_new_person_leaves_no_row_by_being_answered(room: EngineRoom) -> None:
    stranger = Identity(Platform.TELEGRAM, "404", locale="it")
    await room.desk.studio.show_help(stranger)
    assert await room.ledger.accounts.find_by_identity(stranger) is None


async def test_a_direct_message_about_a_share_is_in_its_readers_language(room: EngineRoom) -> None:
    code = (await room.trained()).code
    await room.desk.studio.show_queue(ITALIAN)
    await room.desk.studio.request_access(BERT, BERTS, code)
    chat = RememberingChat()
    await DirectMessageSender(
        room.ledger, {chat.platform: chat}, room.desk.clock, send_interval_s=0.0
    ).deliver_due()
    [letter] = [reply for _, reply, _ in chat.sent]
    assert [each.label for each in letter.buttons[:2]] == [italian("share-once"), italian("share-always")]


async def test_cards_and_notices_are_in_the_language_of_their_person(room: EngineRoom) -> None:
    await room.desk.studio.show_queue(ITALIAN)
    code = (await room.trained()).code
    [(_, notice, _)] = room.chat.sent
    spaced = f"{code[:4]} {code[4:]}"
    assert notice.text.startswith(italian("notice-ready", code=spaced, photos=italian("photos-deleted")))
    assert [each.label for each in notice.buttons] == [italian("generate"), italian("my-codes")]
    with pytest.raises(UserError) as caught:
        await room.desk.studio.generate_from_text(ITALIAN, ANNAS, f"{code} a boat --n many")
    assert caught.value.message == italian("wish-value", name="n", low=1, high="4", example="2")


async def test_a_photo_is_refused_in_its_person_s_language(tmp_path: Path) -> None:
    gate = SandboxedPhotoDecoder()
    try:
        with use_language("it"), pytest.raises(UserError) as caught:
            await gate.decode(Upload("diary.txt", b"Dear diary, today I am a photo." * 40))
    finally:
        await gate.close()
    assert caught.value.message == italian("photo-not-a-picture")


async def test_a_failure_of_ours_is_told_in_the_language_of_its_person(room: EngineRoom) -> None:
    await room.desk.studio.show_queue(ITALIAN)
    await room.desk.train(ANNA)
    room.desk.clock.forward(days=8)
    await room.ledger.photos.delete_photos_before(room.desk.clock.now - timedelta(days=7))
    await room.notifier.deliver_due()
    assert italian("photos-too-old", days=7) in room.chat.sent[-1][1].text
