"""What the next plain message answers. A question belongs to its place, and any command ends it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.errors import UserError
from bot.core.loras import LoraCode
from bot.core.messages import Reply
from bot.texts import translate
from tests.support.services import ANNA, ANNAS, BERT, Desk, album, open_desk

#: A group that Anna is in, and a topic of it.
GROUP = ChatAddress(Platform.TELEGRAM, "-500", ANNA.user_id)
TOPIC = ChatAddress(Platform.TELEGRAM, "-500:7", ANNA.user_id)
CHANNEL = ChatAddress(Platform.DISCORD, "300", BERT.user_id)
NAME = "Sunny"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def ask(desk: Desk, kind: str, who: Identity = ANNA, place: ChatAddress = ANNAS) -> LoraCode:
    """Have something asked that the next plain message answers."""
    code = (await desk.ready(who)).code
    actions = {"rename": f"rename:{code}", "draft": f"use:{code}"}
    if kind == "name":
        await desk.studio.add_photos(who, place, album(101, 102))
        account = await desk.ledger.accounts.get_or_create(who)
        actions["name"] = f"set:{account}:name"
    await desk.studio.handle_button(who, place, actions[kind])
    return code


@pytest.mark.parametrize("kind", ["draft", "rename", "name"])
@pytest.mark.parametrize("place", [GROUP, TOPIC])
async def test_a_question_is_answered_where_it_was_asked_alone(
    desk: Desk, kind: str, place: ChatAddress
) -> None:
    await ask(desk, kind)
    assert await desk.studio.handle_text(ANNA, place, NAME) is None
    assert await desk.studio.handle_text(ANNA, ANNAS, NAME) is not None


async def test_a_topic_and_its_group_are_two_places(desk: Desk) -> None:
    await ask(desk, "draft", place=TOPIC)
    assert await desk.studio.handle_text(ANNA, GROUP, "a boat") is None
    assert await desk.studio.handle_text(ANNA, TOPIC, "a boat") is not None


@pytest.mark.parametrize("kind", ["draft", "rename", "name"])
@pytest.mark.parametrize("command", ["help", "codes", "privacy", "export", "queue"])
async def test_any_command_ends_a_question(desk: Desk, kind: str, command: str) -> None:
    await ask(desk, kind)
    try:
        await desk.studio.say(ANNA, GROUP, command)
    except UserError:
        assert command == "export", "it lacks its code"
    assert await desk.studio.handle_text(ANNA, ANNAS, NAME) is None


@pytest.mark.parametrize(
    ("kind", "told"),
    [("draft", "draft-dropped"), ("rename", "question-dropped"), ("name", "question-dropped")],
)
async def test_cancel_ends_a_question_and_says_so(desk: Desk, kind: str, told: str) -> None:
    await ask(desk, kind)
    assert (await desk.studio.cancel_job(ANNA)).text == translate(told)
    assert await desk.studio.handle_text(ANNA, ANNAS, NAME) is None
    with pytest.raises(UserError, match="nothing running"):
        await desk.studio.cancel_job(ANNA)


async def test_cancel_that_ends_a_question_stops_no_job_and_says_how_to(desk: Desk) -> None:
    code = await ask(desk, "draft")
    await desk.studio.handle_text(ANNA, ANNAS, "a boat")
    await desk.studio.handle_button(ANNA, ANNAS, f"use:{code}")
    assert translate("jobs-go-on") in (await desk.studio.cancel_job(ANNA)).text
    assert "no pictures this time" in (await desk.studio.cancel_job(ANNA)).text


async def test_cancel_of_a_code_stops_its_job_although_a_question_is_open(desk: Desk) -> None:
    code = await ask(desk, "draft")
    await desk.studio.handle_text(ANNA, ANNAS, "a boat")
    await desk.studio.handle_button(ANNA, ANNAS, f"use:{code}")
    assert "no pictures this time" in (await desk.studio.cancel_job(ANNA, code)).text


def buttons(reply: Reply) -> dict[str, str]:
    return {button.label: button.action for button in reply.buttons}


async def test_a_name_that_is_asked_for_may_be_dropped(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    asked = await desk.studio.handle_button(ANNA, ANNAS, f"rename:{code}")
    dropped = await desk.studio.handle_button(ANNA, ANNAS, buttons(asked)["Discard"])
    assert (dropped.text, dropped.edits_message) == (translate("question-dropped"), True)
    assert await desk.studio.handle_text(ANNA, ANNAS, NAME) is None
    with pytest.raises(UserError):
        await desk.studio.handle_button(ANNA, ANNAS, buttons(asked)["Discard"])


async def test_words_after_a_name_go_to_no_earlier_draft(desk: Desk) -> None:
    code = await ask(desk, "draft")
    await desk.studio.handle_button(ANNA, ANNAS, f"rename:{code}")
    await desk.studio.handle_text(ANNA, ANNAS, NAME)
    assert await desk.studio.handle_text(ANNA, ANNAS, "what now") is None


async def test_a_form_takes_no_message_for_its_words_and_outlives_a_command(desk: Desk) -> None:
    await ask(desk, "draft", BERT, CHANNEL)
    await desk.studio.say(BERT, CHANNEL, "codes")
    assert await desk.studio.handle_text(BERT, BERT.private_address, "what now") is None
    assert (await desk.studio.generate_draft(BERT, CHANNEL, "a boat")).card_job_id is not None


async def test_a_name_that_is_asked_for_in_a_channel_is_written_in_private(desk: Desk) -> None:
    await ask(desk, "rename", BERT, CHANNEL)
    renamed = await desk.studio.handle_text(BERT, BERT.private_address, NAME)
    assert renamed is not None
    assert NAME in renamed.text


async def test_a_question_in_a_group_is_answered_by_a_reply_alone(desk: Desk) -> None:
    await ask(desk, "draft", place=GROUP)
    await desk.studio.services.messages.record_question(ANNA, GROUP, ["12", "13"])
    for answered in ("", "14", "1"):
        assert await desk.studio.handle_text(ANNA, GROUP, "haha", answered_message_id=answered) is None
    assert await desk.studio.handle_text(ANNA, GROUP, "a boat", answered_message_id="13") is not None
