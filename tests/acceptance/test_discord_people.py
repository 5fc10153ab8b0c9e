"""On Discord: what a person decides about themselves and what is kept of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.loras import format_code
from tests.acceptance.discord_stage import Stage, labels, on_stage, photos, said, shown, text_of


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


@pytest.mark.covers("discord", "/queue")
async def test_queue_lists_what_waits(stage: Stage) -> None:
    assert "You have nothing" in text_of(await stage.anna.slash(stage.channel, "queue"))
    await stage.form(photos(5))
    listed = shown(await stage.anna.slash(stage.channel, "queue"))
    assert "in line: number 1" in listed.content
    assert labels(listed) == [f"Cancel {format_code(await stage.code())}"]


@pytest.mark.covers("discord", "/privacy")
async def test_privacy_says_what_is_kept_to_its_person_alone(stage: Stage) -> None:
    assert "What I keep about you" in text_of(await stage.anna.slash(stage.channel, "privacy"))
    assert not stage.public()


@pytest.mark.covers("discord", "/forgetme", "[forgetme!:*:*]", "restart")
async def test_everything_goes_with_a_press_also_after_a_restart(stage: Stage) -> None:
    code = await stage.trained()
    question = shown(await stage.anna.slash(stage.channel, "forgetme"))
    assert labels(question) == ["Delete everything"]
    await stage.restart()
    pressed = await stage.anna.click(question, label="Delete everything")
    assert pressed.followups == []
    assert "Receipt" in shown(pressed).content, "the question becomes the receipt"
    assert await stage.bot.ledger.loras.get_by_code(code) is None
    assert (
        await stage.bot.ledger.accounts.find_by_identity(Identity(Platform.DISCORD, str(stage.anna.id)))
        is None
    )
    assert not (stage.folder / "loras" / f"{code}.safetensors").exists()


@pytest.mark.covers("discord", "/start", "[consent]", "restart")
async def test_start_shows_five_examples_and_then_asks_for_consent(stage: Stage) -> None:
    carla = stage.channel.guild.add_member(stage.env.create_user("carla"))
    answer = shown(await carla.slash(stage.channel, "start"))
    assert "Five like these make a good set" in answer.content
    assert len(answer.attachments) == 1
    assert labels(answer) == ["I agree"]
    await stage.restart()
    agreed = shown(await carla.click(answer, label="I agree"))
    assert "Thank you" in agreed.content
    assert len(agreed.attachments) == 1, "the examples stay in sight"
    assert not stage.public()
    assert (await carla.slash(stage.channel, "train")).modal is not None


async def test_consent_comes_before_the_form(stage: Stage) -> None:
    carla = stage.channel.guild.add_member(stage.env.create_user("carla"))
    question = shown(await carla.slash(stage.channel, "train"))
    assert labels(question) == ["I agree"]
    pressed = await carla.click(question, label="I agree")
    assert "Thank you" in shown(pressed).content
    assert (await carla.slash(stage.channel, "train")).modal is not None


@pytest.mark.covers("discord", "photo", "[set:*:drop=*]", "[set:*:class=*]", "restart")
async def test_one_card_in_dms_collects_shows_the_photos_and_is_chosen_on(stage: Stage) -> None:
    await stage.album(photos(2))
    await stage.album(photos(2, first=3))
    [card] = stage.dms()
    assert "4 of 5" in card.content
    assert [each.filename for each in card.attachments] == ["photos.jpg"]
    await stage.anna_alone.click(card, label="✕ 2")
    await stage.restart()
    await stage.anna_alone.click(stage.dms()[0], label="Cat")
    [card] = stage.dms()
    assert "3 of 5" in card.content
    assert "They show: cat" in card.content
    await stage.album(photos(2, first=5))
    assert "That is all five" in stage.dms()[0].content
    assert labels(stage.dms()[0]) == []
    assert (await stage.bot.ledger.loras.list_for_account(await stage.account()))[
        0
    ].trigger.class_word == "cat"


@pytest.mark.covers(
    "discord",
    "/codes",
    "[code:*]",
    "[rename:*]",
    "[question:drop:*]",
    "[export:*]",
    "[remove:*]",
    "[remove!:*]",
    "words",
    "restart",
)
async def test_a_code_has_a_card_with_everything_that_can_be_done(stage: Stage) -> None:
    code = await stage.trained()
    card = shown(await stage.anna.slash(stage.channel, "codes"))
    await stage.restart()
    await stage.anna.click(card, label=f"{code[:4]} {code[4:]}")
    asked = await stage.anna.click(card, label="Rename")
    assert "Now write" in said(asked)
    await stage.anna.click(asked.followups[0].message, label="Discard")
    await stage.anna_alone.send_dm("not a name")
    await stage.anna.click(card, label="Rename")
    await stage.anna_alone.send_dm("Me in spring")
    assert "Me in spring" in stage.dms()[-1].content
    exported = await stage.anna.click(card, label="Export")
    assert exported.followups[0].message.attachments
    await stage.anna.click(card, label="Delete")
    done = await stage.anna.click(card, label="Delete for good")
    assert "is deleted" in shown(done).content
    assert await stage.bot.ledger.loras.get_by_code(code) is None


@pytest.mark.covers("discord", "/link", "/link word")
async def test_a_link_token_shown_here_joins_an_account_from_elsewhere(stage: Stage) -> None:
    answer = text_of(await stage.anna.slash(stage.channel, "link"))
    word = answer.partition("Your word is ")[2][:6]
    elsewhere = Identity(Platform.TELEGRAM, "70")
    there = ChatAddress(Platform.TELEGRAM, "70", "70")
    await stage.bot.studio.link_accounts(elsewhere, there, word)
    assert await stage.bot.ledger.accounts.get_or_create(elsewhere) == await stage.account()
    assert "I do not know that word" in text_of(await stage.anna.slash(stage.channel, "link", word=word))


async def test_the_question_is_for_its_person_alone(stage: Stage) -> None:
    code = await stage.trained()
    question = shown(await stage.anna.slash(stage.channel, "forgetme"))
    assert question.flags.ephemeral
    with pytest.raises(Exception, match=r"cannot see|ephemeral|not visible|Unknown"):
        await stage.bert.click(question, label="Delete everything")
    assert await stage.bot.ledger.loras.get_by_code(code) is not None
