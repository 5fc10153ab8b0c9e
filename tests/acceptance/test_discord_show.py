"""Results brought back, previews on the way, and prompts that come by DM."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.chats.discord.sender import dm_address
from bot.core.accounts import Identity, Platform
from bot.texts import translate
from bot.texts.photo_sets import welcome
from tests.acceptance.discord_stage import ONE_PICTURE, Stage, labels, number_of, on_stage, text_of


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


@pytest.mark.covers("discord", "/show", "/show id", "message deleted", "restart")
async def test_a_result_whose_message_was_deleted_can_be_brought_back(stage: Stage) -> None:
    first = await stage.drawn(prompt="a boat")
    stage.delete(first)
    shown = await stage.anna.slash(stage.channel, "show", id=f"#{number_of(first)}")
    assert shown.response is not None
    assert shown.ephemeral
    message = shown.response.message
    assert ("a boat" in message.content, labels(message), len(message.attachments)) == (True, ONE_PICTURE, 1)
    await stage.restart()
    await stage.anna.click(message, label="Again")
    await stage.work()
    assert len(stage.public()) == 1


@pytest.mark.parametrize("number", ["#1", "999", "x", "-1", "1" * 40])
async def test_a_foreign_result_cannot_be_shown(stage: Stage, number: str) -> None:
    first = await stage.drawn()
    asked = number_of(first) if number == "#1" else number
    answer = await stage.bert.slash(stage.channel, "show", id=asked)
    assert (text_of(answer), answer.ephemeral) == (translate("no-such-result"), True)


async def test_a_result_that_is_still_drawn_is_shown_as_its_card(stage: Stage) -> None:
    await stage.draw(await stage.trained())
    (job,) = await stage.bot.ledger.jobs.list_open_for_account(await stage.account())
    await stage.anna_alone.slash("show", id=str(job.id))
    assert labels(stage.dms()[-1]) == ["Cancel"]
    await stage.work()
    assert len(stage.dms()[-1].attachments) == 1, "that card is the one which becomes the result"


async def test_a_card_that_show_brings_is_another_message_for_discord_too(stage: Stage) -> None:
    await stage.draw(await stage.trained())
    (job,) = await stage.bot.ledger.jobs.list_open_for_account(await stage.account())
    for _ in range(2):
        await stage.anna_alone.slash("show", id=str(job.id))
    nonces = [each["nonce"] for each in stage.asked("POST", "/messages")[-3:]]
    assert nonces[0] == f"card-{job.id}", "one that was sent before the bot died is not shown twice"
    assert len(set(nonces)) == 3, "else Discord gives the earlier message back, and nobody sees an answer"


async def test_a_preview_comes_into_the_card_and_the_picture_takes_its_place(stage: Stage) -> None:
    await stage.draw(await stage.trained())
    async with stage.previewing(b"preview"):
        (card,) = stage.public()
        assert [await each.read() for each in card.attachments] == [b"preview"]
        assert labels(card) == ["Cancel"]
    await stage.tell()
    (card,) = stage.public()
    assert [await each.read() for each in card.attachments] == [stage.backend.picture]
    assert labels(card) == ONE_PICTURE


async def test_a_cancelled_drawing_loses_its_preview(stage: Stage) -> None:
    await stage.draw(await stage.trained())
    async with stage.previewing(b"preview"):
        await stage.anna.click(stage.public()[0], label="Cancel")
    await stage.tell()
    (card,) = stage.public()
    assert (card.attachments, card.components) == ([], [])
    assert await stage.bot.ledger.jobs.list_open_for_account(await stage.account()) == []


@pytest.mark.covers("discord", "words")
async def test_a_prompt_that_was_begun_by_buttons_is_taken_from_a_dm(stage: Stage) -> None:
    code = await stage.trained()
    place = dm_address(stage.anna.id)
    draft = await stage.bot.studio.generate_from_text(
        Identity(Platform.DISCORD, str(stage.anna.id)), place, ""
    )
    await stage.bot.chat.send(place, draft, nonce="draft")
    question = stage.dms()[-1]
    await stage.anna_alone.click(question, label="Portrait")
    await stage.anna_alone.click(question, label="2 pictures")
    await stage.anna_alone.click(question, label="Style")
    chosen = await stage.anna_alone.click(question, label="Oil painting")
    assert chosen.response is not None
    assert "Oil painting" in chosen.response.content
    await stage.restart()
    await stage.anna_alone.send_dm("a boat")
    await stage.work()
    request = stage.request()
    assert (request.shape, request.count) == ("portrait", 2)
    assert request.prompt.startswith("oil painting of")
    assert [lora.name for lora in request.loras] == [code]
    assert len(stage.dms()[-1].attachments) == 2


async def test_words_in_a_dm_without_anything_begun_are_told_how_to_begin(stage: Stage) -> None:
    await stage.anna_alone.send_dm("a boat")
    told = welcome(Platform.DISCORD, needs_consent=False, examples=[Path("examples.jpg")]).text
    assert stage.dms()[-1].content == told
