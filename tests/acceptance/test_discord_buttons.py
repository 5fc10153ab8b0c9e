"""Buttons of Discord's messages that other tests do not press on their way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.core.accounts import Identity, Platform
from bot.core.loras import Requester, format_code
from bot.texts import translate
from tests.acceptance.discord_stage import Stage, labels, on_stage, photos, shown


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


@pytest.mark.covers("discord", "photo", "words", "[set:*:name]", "[set:*:class=*]", "[restart:*]")
async def test_a_set_is_named_by_a_message_and_started_over(stage: Stage) -> None:
    await stage.album(photos(2))
    card = stage.dms()[0]
    await stage.anna_alone.click(card, label="Cat")
    await stage.anna_alone.click(card, label="Name it")
    await stage.anna_alone.send_dm("Whiskers")
    assert any("Whiskers" in each.content for each in stage.dms())
    newest = next(each for each in reversed(stage.dms()) if "Start over" in labels(each))
    await stage.anna_alone.click(newest, label="Start over")
    assert await stage.held() == 0


@pytest.mark.covers(
    "discord", "[draw:*]", "[codes]", "[code:*]", "[codes:all]", "[use:*]", "[remove:*]", "restart"
)
async def test_the_ready_notice_leads_to_the_card_of_its_code(stage: Stage) -> None:
    code = await stage.trains()
    await stage.restart()
    notice = stage.dms()[-1]
    await stage.anna_alone.click(notice, label="Generate")
    assert "What to draw" in labels(stage.anna_alone.dm_channel.history()[-1])
    await stage.anna_alone.click(notice, label="My codes")
    listed = stage.anna_alone.dm_channel.history()[-1]
    await stage.anna_alone.click(listed, label=format_code(code))
    card = stage.anna_alone.dm_channel.history()[-1]
    assert "trigger: sks person" in card.content
    await stage.anna_alone.click(card, label="Delete")
    await stage.anna_alone.click(card, label="Keep it")
    assert "trigger: sks person" in stage.anna_alone.dm_channel.history()[-1].content
    await stage.anna_alone.click(card, label="All my codes")
    await stage.anna_alone.click(card, label=format_code(code))
    await stage.anna_alone.click(card, label="Generate")
    assert "What to draw" in labels(stage.anna_alone.dm_channel.history()[-1])
    assert await stage.bot.ledger.loras.get_by_code(code) is not None


@pytest.mark.covers(
    "discord", "[share:*]", "[share:*:*]", "[share:*:show]", "[share:*:revoke]", "[invite:*]", "[uninvite:*]"
)
async def test_every_guest_of_many_is_found_on_a_page_and_a_link_is_ended(stage: Stage) -> None:
    code, ledger = await stage.trained(), stage.bot.ledger
    await ledger.sharing.save_share_link(code, "ABCDEFGHJKLM", stage.clock() + timedelta(days=1))
    for number in range(100, 109):
        who = Identity(Platform.DISCORD, str(number))
        friend = Requester(await ledger.accounts.get_or_create(who), f"Friend {number}", who.private_address)
        assert await ledger.sharing.accept_share_link(friend, "ABCDEFGHJKLM") == code
    card = shown(await stage.anna.slash(stage.channel, "codes"))
    await stage.anna.click(card, label=format_code(code))
    listed = shown(await stage.anna.click(card, label="Share"))
    assert listed.content.count("Friend") == 8
    listed = shown(await stage.anna.click(card, label="More"))
    assert listed.content.count("Friend") == 1
    told = shown(await stage.anna.click(card, label=labels(listed)[0]))
    assert "may draw with your" in told.content
    assert "can no longer draw" in shown(await stage.anna.click(card, label="Take it back")).content
    await stage.anna.click(card, label="Back")
    made = (await stage.anna.click(card, label="New link")).followups[0].message
    ended = shown(await stage.anna.click(made, label="End link"))
    assert "has ended" in ended.content
    assert await stage.bot.ledger.sharing.accept_share_link(friend, "ABCDEFGHJKLM") is None


@pytest.mark.covers(
    "discord", "[draft:*:style]", "[draft:*:style=*]", "[draft:*:style=]", "[draft:*:n=*]", "[draft:*:drop]"
)
async def test_a_style_is_chosen_for_a_draft_and_given_up_again(stage: Stage) -> None:
    await stage.trained()
    draft = shown(await stage.anna.slash(stage.channel, "generate"))
    for label in ("4 pictures", "Style", "Oil painting", "Style: Oil painting", "No style"):
        draft = shown(await stage.anna.click(draft, label=label))
    assert "style: none" in draft.content
    assert "pictures: 4" in draft.content
    assert shown(await stage.anna.click(draft, label="Discard")).content == translate("draft-dropped")


@pytest.mark.covers(
    "discord", "/settings", "[settings:*:style]", "[settings:*:style=*]", "[settings:*:style=]"
)
async def test_a_style_that_was_set_is_given_up_again(stage: Stage) -> None:
    card = shown(await stage.anna.slash(stage.channel, "settings"))
    for label in ("Style", "Oil painting", "Style: Oil painting", "No style"):
        card = shown(await stage.anna.click(card, label=label))
    assert "Style: none" in card.content


@pytest.mark.covers("discord", "[first5:*]", "pressed twice", "by somebody else")
async def test_a_button_in_a_channel_belongs_to_its_person_and_works_once(stage: Stage) -> None:
    code = await stage.trained()
    await stage.draw(code)
    (card,) = stage.public()
    refused = (await stage.bert.click(card, label="Cancel")).followups[0]
    assert (refused.content, refused.ephemeral) == (translate("stale-button"), True)
    twice = [await stage.anna.click(card, label="Cancel") for _ in range(2)]
    assert twice[1].followups[0].content == translate("already-ended")
    six = shown(await stage.form(photos(6)))
    for _ in range(2):
        await stage.anna.click(six, label="Use the first five")
    await stage.work()
    assert len(await stage.bot.ledger.loras.list_for_account(await stage.account())) == 2
