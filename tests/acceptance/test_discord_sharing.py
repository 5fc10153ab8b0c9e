"""On Discord: drawing with somebody else's LoraCode, as its owner decides; reports."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import discord
import pytest

from bot.core.loras import LoraCode
from bot.texts import translate
from tests.acceptance.discord_stage import Stage, labels, on_stage, said, shown, text_of


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


async def asked(stage: Stage) -> tuple[LoraCode, discord.Message]:
    """Bert asks for Anna's code in the channel; gives it with the question she reads in her DMs."""
    code = await stage.trained()
    answer = await stage.bert.slash(stage.channel, "ask", code=code)
    assert "I have asked its owner" in text_of(answer)
    assert answer.ephemeral
    await stage.tell()
    question = stage.dms()[-1]
    assert re.match(r"bert .*\(Discord\) wants to draw with your", question.content)
    return code, question


async def draws(stage: Stage, code: str) -> str:
    return text_of(await stage.bert.slash(stage.channel, "generate", code=code, prompt="a boat"))


def berts_dms(stage: Stage) -> list[str]:
    """What the bot wrote to Bert alone."""
    history = stage.bert_alone.dm_channel.history()
    return [str(each.content) for each in history if each.author.id != stage.bert.id]


@pytest.mark.covers("discord", "/ask", "/ask code", "[share:*:once]", "[share:*:always]", "restart")
async def test_a_share_for_once_is_one_generation_also_after_a_restart(stage: Stage) -> None:
    code, question = await asked(stage)
    assert labels(question) == ["Once", "Always", "No"]
    await stage.restart()
    await stage.anna_alone.click(question, label="Once")
    assert labels(stage.dms()[-1]) == ["Always", "Take it back", f"Everyone with {code[:4]} {code[4:]}"]
    await stage.tell()
    assert f"once: /generate code:{code}" in berts_dms(stage)[-1]
    await stage.bert.slash(stage.channel, "generate", code=code, prompt="a boat")
    await stage.work()
    assert "a boat" in stage.public()[-1].content
    assert await draws(stage, code) == translate("unknown-code")
    gone = await stage.anna_alone.click(stage.dms()[-1], label="Always")
    assert said(gone) == translate("stale-button")


@pytest.mark.covers("discord", "[share:*:no]")
async def test_nobody_s_code_gets_the_same_answer_and_a_refusal_is_not_told(stage: Stage) -> None:
    code, question = await asked(stage)
    await stage.anna_alone.click(question, label="No")
    for each in (code, f"{(int(code) + 1) % 10**8:08d}"):
        answer = text_of(await stage.bert.slash(stage.channel, "ask", code=each))
        assert answer.startswith(f"If there is a LoraCode {each[:4]} {each[4:]}, I have asked its owner.")
    await stage.tell()
    assert berts_dms(stage) == []


@pytest.mark.covers("discord", "[share:*]", "[invite:*]", "[share:*:revoke]", "restart")
async def test_a_share_link_lets_people_draw_until_it_is_revoked(stage: Stage) -> None:
    code = await stage.trained()
    card = shown(await stage.anna.slash(stage.channel, "codes"))
    await stage.anna.click(card, label=f"{code[:4]} {code[4:]}")
    await stage.anna.click(card, label="Share")
    made = said(await stage.anna.click(card, label="Make a link"))
    # As it is copied from Discord, with the mark that keeps it from being read as italics.
    found = re.search(r"They send me this word: (share\\_[A-Z0-9]{12})", made)
    assert found is not None, made
    assert "You can draw with" in text_of(await stage.bert.slash(stage.channel, "ask", code=found[1]))
    await stage.tell()
    assert "may draw with your" in stage.dms()[-1].content
    listed = shown(await stage.bert.slash(stage.channel, "codes"))
    assert "Shared with you:" in listed.content
    await stage.restart()
    await stage.anna_alone.click(stage.dms()[-1], label="Take it back")
    assert "can no longer draw" in stage.dms()[-1].content
    assert await draws(stage, code) == translate("unknown-code")


@pytest.mark.covers("discord", "/start word")
async def test_an_expired_token_is_reported_at_start(stage: Stage) -> None:
    answer = await stage.bert.slash(stage.channel, "start", word="share_AAAAAAAAAAAA")
    assert text_of(answer) == translate("share-word-unknown")


async def test_a_link_token_may_be_written_as_a_direct_message(stage: Stage) -> None:
    answer = await stage.anna_alone.send_dm("share_AAAAAAAAAAAA")
    assert answer is not None
    assert stage.dms()[-1].content == translate("share-word-unknown")


async def test_a_request_is_not_lost_where_dms_are_closed(stage: Stage) -> None:
    code = await stage.trained()
    stage.close_dms()
    answer = await stage.bert.slash(stage.channel, "ask", code=code)
    assert "I have asked its owner" in text_of(answer)
    await stage.tell()
    card = shown(await stage.anna.slash(stage.channel, "codes"))
    await stage.anna.click(card, label=f"{code[:4]} {code[4:]}")
    menu = shown(await stage.anna.click(card, label="Share"))
    assert "(Discord): asked" in menu.content


@pytest.mark.covers("discord", "/report", "/report code", "/report words", "/reports")
async def test_a_report_is_thanked_for_and_listed(stage: Stage) -> None:
    await stage.restart()  # Bert is an administrator from then on
    answer = await stage.anna.slash(stage.channel, "report", code="4071 3386", words="these are my photos")
    assert "Thank you" in text_of(answer)
    await stage.tell()
    assert "these are my photos" in berts_dms(stage)[-1]
    assert "these are my photos" in text_of(await stage.bert.slash(stage.channel, "reports"))
