"""Other words for a result, by a form of Discord's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import discord
import pytest

from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.errors import UserError
from bot.texts import translate
from tests.acceptance.discord_stage import Stage, delete, number_of, on_stage, text_of


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


@pytest.mark.covers("discord", "[edit:*]", "form")
async def test_edit_opens_a_form_with_the_old_words_as_the_first_answer(stage: Stage) -> None:
    first = await stage.drawn(prompt="a boat", seed=7)
    shown = await stage.anna.click(first, label="Edit prompt")
    assert shown.modal is not None
    (label,) = shown.modal["components"]
    assert label["component"]["value"] == "a boat"
    await stage.anna.submit_modal(shown, {"prompt": "a ship"})
    await stage.work()
    assert "a ship" in stage.public()[-1].content
    assert stage.request().prompt.endswith("a ship")
    assert stage.request().seed != 7
    assert len(stage.public()) == 2


async def test_a_form_that_stayed_open_over_a_restart_still_counts_once(stage: Stage) -> None:
    first = await stage.drawn()
    shown = await stage.anna.click(first, label="Edit prompt")
    await stage.restart()
    await stage.anna.submit_modal(shown, {"prompt": "a ship"})
    await stage.work()
    assert [("a ship" in each.content) for each in stage.public()] == [False, True]


async def test_a_form_that_comes_back_after_its_result_was_deleted_is_told(stage: Stage) -> None:
    first = await stage.drawn()
    shown = await stage.anna.click(first, label="Edit prompt")
    await delete(stage, first)
    answer = await stage.anna.submit_modal(shown, {"prompt": "a ship"})
    assert answer.ephemeral
    assert text_of(answer) == translate("deleted")


async def test_a_form_with_nothing_in_it_to_draw_is_told(stage: Stage) -> None:
    shown = await stage.anna.click(await stage.drawn(), label="Edit prompt")
    answer = await stage.anna.submit_modal(shown, {"prompt": "\u200b \u200b"})
    assert "What should I draw?" in text_of(answer)
    assert len(stage.public()) == 1


async def test_a_form_for_somebody_else_s_result_draws_nothing(stage: Stage) -> None:
    first = await stage.drawn()
    other = int(number_of(first))
    studio, place = stage.bot.studio, ChatAddress(Platform.DISCORD, str(stage.channel.id), str(stage.bert.id))
    with pytest.raises(UserError, match=translate("stale-button")):
        await studio.generate_edited(Identity(Platform.DISCORD, str(stage.bert.id)), place, other, "a ship")


async def test_a_form_that_came_too_late_can_be_opened_again(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    first = await stage.drawn()
    stage.refuse("POST", "/interactions/*/callback", 404, 10062)
    await stage.anna.click(first, label="Edit prompt")
    assert "Traceback" not in caplog.text
    shown = await stage.anna.click(first, label="Edit prompt")
    assert shown.modal is not None


async def test_a_photo_form_that_came_too_late_is_no_error_of_ours(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.refuse("POST", "/interactions/*/callback", 404, 10062, times=None)
    stage.expected_errors = [discord.app_commands.CommandInvokeError]
    await stage.anna.slash(stage.channel, "train")
    assert "an interaction was over before it was answered" in caplog.text
    assert "Traceback" not in caplog.text
    assert len(stage.asked("POST", "/callback")) == 1, "Discord has told the person"
