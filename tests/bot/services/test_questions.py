"""What the next plain message answers. A question belongs to its place, and any command ends it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.chats.messages import handle_message
from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.errors import UserError
from bot.core.jobs import GenerationParams
from bot.core.loras import LoraCode
from bot.core.messages import Reply, Request
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


TALK = "thanks, I will do that later"


async def test_talk_where_a_prompt_is_asked_for_is_asked_about_first(desk: Desk) -> None:
    await ask(desk, "draft")
    asked = await desk.studio.handle_text(ANNA, ANNAS, TALK)
    assert asked is not None
    assert TALK in asked.text
    assert await desk.jobs(ANNA) == []
    drawn = await desk.studio.handle_button(ANNA, ANNAS, buttons(asked)["Draw them"])
    assert drawn.card_job_id is not None
    [job] = await desk.jobs(ANNA)
    assert isinstance(job.params, GenerationParams)
    assert job.params.prompt == TALK


@pytest.mark.parametrize(("answer", "drawn"), [("yes", [TALK]), ("no", []), ("a boat", ["a boat"])])
async def test_talk_is_drawn_by_a_yes_and_gives_way_to_a_prompt(
    desk: Desk, answer: str, drawn: list[str]
) -> None:
    await ask(desk, "draft")
    for words in (TALK, answer):
        await handle_message(desk.studio.services, Request(ANNA, ANNAS, text=words))
    jobs = await desk.jobs(ANNA)
    assert [each.params.prompt for each in jobs if isinstance(each.params, GenerationParams)] == drawn


async def test_talk_that_replies_to_the_question_is_the_prompt(desk: Desk) -> None:
    await ask(desk, "draft")
    reply = await desk.studio.handle_text(ANNA, ANNAS, TALK, replied_message_id="12")
    assert reply is not None
    assert reply.card_job_id is not None


@pytest.mark.parametrize(
    ("words", "key"),
    [("is that enough", "lost-with-photos"), ("https://example.org/me.jpg", "cannot-open-links")],
)
async def test_words_that_are_not_understood_are_told_what_is_open(desk: Desk, words: str, key: str) -> None:
    await desk.send(ANNA, 1, 2)
    reply = await handle_message(desk.studio.services, Request(ANNA, ANNAS, text=words))
    assert reply.text == translate(key)


async def test_words_beside_a_job_are_told_where_to_see_it(desk: Desk) -> None:
    await desk.train(ANNA)
    reply = await handle_message(desk.studio.services, Request(ANNA, ANNAS, text="how long"))
    assert reply.text == translate("lost-with-jobs")


@pytest.mark.parametrize(
    ("name", "meant"), [("imagine", "/generate"), ("disegna", "/generate"), ("abort", "/cancel")]
)
async def test_a_command_of_another_bot_is_told_what_it_is_here(desk: Desk, name: str, meant: str) -> None:
    reply = await handle_message(desk.studio.services, Request(ANNA, ANNAS, text=f"/{name} a boat"))
    assert reply.text == translate("unknown-command-near", near=meant)


async def heard(desk: Desk, who: Identity, text: str) -> Reply:
    return await handle_message(desk.studio.services, Request(who, who.private_address, text=text))


@pytest.mark.parametrize("who", [ANNA, BERT])
async def test_a_code_alone_behind_generate_is_asked_what_to_draw(desk: Desk, who: Identity) -> None:
    code = (await desk.ready(who)).code
    card = await heard(desk, who, f"/generate {code} --n 2")
    assert "pictures: 2" in card.text
    assert "what to draw" in card.text


@pytest.mark.parametrize("who", [ANNA, BERT])
async def test_a_prompt_alone_behind_generate_is_drawn_with_the_only_code(desk: Desk, who: Identity) -> None:
    await desk.ready(who)
    assert (await heard(desk, who, "/generate me as a pirate --n 2")).card_job_id is not None
    await desk.ready(who, 11)
    asked = await heard(desk, who, "/generate me as a pirate")
    assert asked.text == translate("choose-code")


@pytest.mark.parametrize("who", [ANNA, BERT])
@pytest.mark.parametrize("text", ["{code}", "{code}?", "code {code}."])
async def test_a_code_alone_shows_its_card(desk: Desk, who: Identity, text: str) -> None:
    code = (await desk.ready(who)).code
    assert "trigger:" in (await heard(desk, who, text.format(code=code))).text
    assert (await heard(desk, who, "40713386")).text == translate("unknown-code")


@pytest.mark.parametrize("word", ["help", "Aiuto!", "codes", "queue"])
async def test_a_command_s_name_alone_is_the_command(desk: Desk, word: str) -> None:
    await desk.ready(ANNA)
    assert (await heard(desk, ANNA, word)).text == (await heard(desk, ANNA, f"/{word}")).text


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        ("more {code} +300", ""),
        ("more {code} 300 steps", ""),
        ("replace {code} #2", ""),
        ("more {code} x", "more-range"),
    ],
)
async def test_numbers_behind_a_command_are_read_as_they_are_meant(
    desk: Desk, command: str, refusal: str
) -> None:
    code = (await desk.ready(ANNA)).code
    reply = await heard(desk, ANNA, f"/{command.format(code=code)}")
    assert reply.is_refusal == bool(refusal)


@pytest.mark.parametrize("text", ["what can you do?", "Good night", "come funziona?"])
async def test_a_question_what_the_bot_is_has_the_answer_of_a_greeting(desk: Desk, text: str) -> None:
    await desk.ready(ANNA)
    assert (await heard(desk, ANNA, text)).text == translate("greeting")
