"""`/settings`: what a person set is used where they say nothing, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.core.accounts import Preferences
from bot.core.errors import UserError
from bot.core.jobs import GenerationParams
from bot.core.messages import Reply
from bot.delivery.direct_messages import DirectMessageSender
from bot.texts import translate
from tests.support.engine import EngineRoom, RememberingChat, open_engine_room
from tests.support.services import ANNA, ANNAS, BERT, BERTS, Desk


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[EngineRoom]:
    async with open_engine_room(tmp_path) as each:
        yield each


async def presses(desk: Desk, reply: Reply, label: str) -> Reply:
    [action] = [each.action for each in reply.buttons if each.label == label]
    assert len(action.encode()) <= 64
    return await desk.studio.handle_button(ANNA, ANNAS, action)


async def chose(desk: Desk, size: str, style: str) -> None:
    reply = await presses(desk, await desk.studio.show_settings(ANNA), size)
    reply = await presses(desk, reply, "Style")
    await presses(desk, reply, style)


async def wish_of(desk: Desk, text: str) -> GenerationParams:
    reply = await desk.studio.generate_from_text(ANNA, ANNAS, text)
    assert reply.card_job_id is not None
    job = await desk.ledger.jobs.get(reply.card_job_id)
    assert job is not None
    assert isinstance(job.params, GenerationParams)
    return job.params


async def test_settings_are_unset_at_first(room: EngineRoom) -> None:
    shown = await room.desk.studio.show_settings(ANNA)
    for line in ("Size: square", "Style: none", "Notifications: on"):
        assert line in shown.text
    wish = await wish_of(room.desk, f"{(await room.trained()).code} a boat")
    assert (wish.shape, wish.style) == ("", "")


async def test_options_of_a_command_override_settings(
    room: EngineRoom,
) -> None:
    code = (await room.trained()).code
    await chose(room.desk, "Portrait", "Oil painting")
    assert "Size: portrait\nStyle: Oil painting" in (await room.desk.studio.show_settings(ANNA)).text
    wish = await wish_of(room.desk, f"{code} a boat")
    assert (wish.shape, wish.style) == ("portrait", "oil")
    wish = await wish_of(room.desk, f"{code} a boat --size 512x768 --style none")
    assert (wish.shape, wish.width_px, wish.style) == ("", 512, "")
    wish = await wish_of(room.desk, f"{code} a boat --size landscape --style anime")
    assert (wish.shape, wish.style) == ("landscape", "anime")


async def test_a_draft_begins_with_what_is_set_and_may_leave_it(room: EngineRoom) -> None:
    await room.trained()
    await chose(room.desk, "Landscape", "Oil painting")
    draft = await room.desk.studio.generate_from_text(ANNA, ANNAS, "")
    assert "style: Oil painting · size: landscape" in draft.text
    styles = await presses(room.desk, draft, "Style: Oil painting")
    assert "style: none" in (await presses(room.desk, styles, "No style")).text
    reply = await room.desk.studio.handle_text(ANNA, ANNAS, "a boat")
    assert reply is not None
    assert reply.card_job_id is not None
    job = await room.ledger.jobs.get(reply.card_job_id)
    assert job is not None
    assert isinstance(job.params, GenerationParams)
    assert job.params.style == ""


async def test_settings_are_changed_by_their_person_with_whole_words(room: EngineRoom) -> None:
    shown = await room.desk.studio.show_settings(ANNA)
    account = await room.ledger.accounts.get_or_create(ANNA)
    wrong = [
        f"settings:{account}:{what}" for what in ("size=huge", "size", "style=cubist", "notices", "other=1")
    ]
    for who, place, action in [
        (BERT, BERTS, shown.buttons[0].action),
        *((ANNA, ANNAS, each) for each in (*wrong, "settings")),
    ]:
        with pytest.raises(UserError) as caught:
            await room.desk.studio.handle_button(who, place, action)
        assert caught.value.message == translate("not-your-button" if who is BERT else "stale-button")
    assert await room.ledger.accounts.get_preferences(account) == Preferences()


async def test_two_presses_at_once_do_not_undo_each_other(room: EngineRoom) -> None:
    account = await room.ledger.accounts.get_or_create(ANNA)
    await room.desk.studio.handle_button(ANNA, ANNAS, f"settings:{account}:photos=keep")
    both = (f"settings:{account}:photos=forget", f"settings:{account}:size=portrait")
    await asyncio.gather(*(room.desk.studio.handle_button(ANNA, ANNAS, each) for each in both))
    assert await room.ledger.accounts.get_preferences(account) == Preferences("portrait")


async def test_a_style_that_left_its_file_is_passed_over(room: EngineRoom) -> None:
    code = (await room.trained()).code
    account = await room.ledger.accounts.get_or_create(ANNA)
    await room.ledger.accounts.save_preferences(account, Preferences(style="of long ago"))
    assert "Style: none" in (await room.desk.studio.show_settings(ANNA)).text
    assert (await wish_of(room.desk, f"{code} a boat")).style == ""


@pytest.mark.parametrize(("label", "is_silent"), [("Silent", True), ("✓ Notifications on", False)])
async def test_notices_and_direct_messages_follow_the_sound_setting(
    room: EngineRoom, label: str, is_silent: bool
) -> None:
    await presses(room.desk, await room.desk.studio.show_settings(ANNA), label)
    await room.trained()
    [(_, notice, _)] = room.chat.sent
    assert notice.is_silent is is_silent
    await room.ledger.outbox.add_direct_messages([ANNA], "hello")
    chat = RememberingChat()
    await DirectMessageSender(
        room.ledger, {chat.platform: chat}, room.desk.clock, send_interval_s=0.0
    ).deliver_due()
    assert [reply.is_silent for _, reply, _ in chat.sent] == [is_silent]


async def test_settings_of_both_accounts_are_one_after_joining(room: EngineRoom) -> None:
    await chose(room.desk, "Portrait", "Oil painting")
    bert = await room.ledger.accounts.get_or_create(BERT)
    await room.ledger.accounts.save_link_token(bert, "ABCDEF", room.desk.clock.now.replace(year=2031))
    assert await room.ledger.accounts.merge_accounts("ABCDEF", await room.ledger.accounts.get_or_create(ANNA))
    assert await room.ledger.accounts.get_preferences(bert) == Preferences("portrait", "oil")
