"""Links that let people draw with a Lora: for a week, for so many, and never guessed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.core.accounts import Identity, Platform
from bot.core.errors import UserError
from bot.core.loras import Permission
from bot.db import MAX_PEOPLE_PER_LINK
from bot.texts import translate
from tests.bot.services.test_sharing import ALONE, asked, draws, post, presses, refused, word_of
from tests.support.services import ANNA, BERT, BERTS, Desk, open_desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def test_a_link_lets_people_in_for_a_week_and_its_owner_hears_of_each(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    word = await word_of(desk, code)
    assert f"/generate code:{code}" in (await desk.studio.start_chat(BERT, BERTS, word.lower())).text
    [(place, letter)] = await post(desk)
    assert place == ANNA.private_address
    assert "until you take it back" in letter.text
    assert "Drawing" in (await draws(desk, code)).text
    again = await desk.studio.handle_text(BERT, BERTS, word)
    assert again is not None
    assert await post(desk) == []
    desk.clock.forward(days=7, seconds=1)
    with pytest.raises(UserError) as caught:
        await desk.studio.request_access(Identity(Platform.DISCORD, "77"), BERTS, word)
    assert caught.value.message == translate("share-word-unknown")


async def test_a_link_ends_by_a_press_by_a_newer_one_and_by_too_many(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    first, second = await word_of(desk, code), await word_of(desk, code)
    with pytest.raises(UserError):
        await desk.studio.start_chat(BERT, BERTS, first)
    people = [Identity(Platform.DISCORD, str(number)) for number in range(50, 51 + MAX_PEOPLE_PER_LINK)]
    for who in people[:-1]:
        await desk.studio.start_chat(who, BERTS, second)
    with pytest.raises(UserError):
        await desk.studio.start_chat(people[-1], BERTS, second)
    third = await word_of(desk, code)
    await desk.studio.handle_button(ANNA, ALONE, f"uninvite:{code}")
    with pytest.raises(UserError) as caught:
        await desk.studio.start_chat(BERT, BERTS, third)
    assert caught.value.message == translate("share-word-unknown")


async def test_a_refused_person_cannot_enter_by_a_link(desk: Desk) -> None:
    code, letter = await asked(desk)
    await presses(desk, letter, "No")
    with pytest.raises(UserError) as caught:
        await desk.studio.start_chat(BERT, BERTS, await word_of(desk, code))
    assert caught.value.message == translate("share-word-unknown")


async def test_a_revoked_person_cannot_enter_again_by_the_open_link(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    word = await word_of(desk, code)
    await desk.studio.start_chat(BERT, BERTS, word)
    [(_, letter)] = await post(desk)
    told = await presses(desk, letter, "Take it back")
    with pytest.raises(UserError) as caught:
        await desk.studio.start_chat(BERT, BERTS, word)
    assert caught.value.message == translate("share-word-unknown")
    assert await refused(desk, code)
    menu = await presses(desk, told, "Back")
    assert f"Someone on Discord: {Permission.DENIED}" in menu.text
    await presses(desk, await presses(desk, menu, f"Someone: {Permission.DENIED}"), "Always")
    await draws(desk, code)


async def test_share_links_cannot_be_guessed(desk: Desk) -> None:
    word = await word_of(desk, (await desk.ready(ANNA)).code)
    for _ in range(5):
        with pytest.raises(UserError):
            await desk.studio.start_chat(BERT, BERTS, "share_AAAAAAAAAAAA")
    with pytest.raises(UserError) as caught:
        await desk.studio.start_chat(BERT, BERTS, word)
    assert caught.value.message == translate("share-word-too-often")
    desk.clock.forward(minutes=11)
    await desk.studio.start_chat(BERT, BERTS, word)


async def test_wrong_link_tokens_at_once_are_all_counted(desk: Desk) -> None:
    own = await word_of(desk, (await desk.ready(ANNA)).code)
    for _ in range(2):
        await desk.studio.start_chat(ANNA, ALONE, own)
        wrong = [desk.studio.start_chat(ANNA, ALONE, "share_AAAAAAAAAAAA") for _ in range(4)]
        answers = await asyncio.gather(*wrong, return_exceptions=True)
    assert [str(each) for each in answers].count(translate("share-word-too-often")) == 3
