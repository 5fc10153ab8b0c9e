"""On Discord: whoever deletes a result sees it nowhere any more, as far as Discord lets a bot go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import discord
import pytest
from simcord.results import ResponseMessage

from bot.core.jobs import JobId
from tests.acceptance.discord_stage import Stage, delete, labels, number_of, on_stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


async def brought_back(stage: Stage, result: discord.Message, alone: bool = False) -> ResponseMessage:
    """Have Anna bring a result back, in the channel or in her DMs."""
    if alone:
        answer = await stage.anna_alone.slash("show", id=number_of(result))
    else:
        answer = await stage.anna.slash(stage.channel, "show", id=number_of(result))
    assert answer.response is not None
    assert answer.response.ephemeral is not alone
    assert len(answer.response.message.attachments) == 1
    return answer.response


def is_empty(message: discord.Message) -> bool:
    return not message.attachments and labels(message) == [] and "moon" not in message.content


@pytest.mark.covers("discord", "/show id", "[delete!:*]")
@pytest.mark.parametrize("alone", [False, True])
async def test_deleting_empties_the_messages_that_show_brought(stage: Stage, alone: bool) -> None:
    first = await stage.drawn()
    shown = await brought_back(stage, first, alone)
    await delete(stage, first)
    assert is_empty(shown.message)
    assert is_empty(stage.public()[-1])


@pytest.mark.covers("discord", "/show", "restart")
@pytest.mark.parametrize("alone", [False, True])
async def test_a_bot_that_died_before_it_emptied_them_does_so_when_it_is_back(
    stage: Stage, alone: bool
) -> None:
    first = await stage.drawn()
    shown = await brought_back(stage, first, alone)
    await stage.bot.ledger.results.delete_result(JobId(int(number_of(first))))
    await stage.restart()
    await stage.tell()
    assert is_empty(shown.message)
    assert is_empty(stage.public()[-1])


@pytest.mark.covers("discord", "[delete:*]", "[delete!:*]")
async def test_an_ephemeral_answer_is_emptied_after_15_minutes_when_delete_is_pressed_under_it(
    stage: Stage,
) -> None:
    first = await stage.drawn()
    shown = await brought_back(stage, first)
    old, _, _ = await note_of(stage)
    stage.refuse("PATCH", f"/webhooks/*/{old}/messages/*", 401, 50027, times=None)
    await delete(stage, shown.message)
    assert is_empty(shown.message)
    assert is_empty(stage.public()[-1])


async def note_of(stage: Stage) -> tuple[str, str, str]:
    """Give what is known of the message that `/show` brought."""
    (row,) = await stage.bot.ledger._connection.fetch_rows("SELECT message_id FROM copies")
    token, slash, number = str(row["message_id"]).partition("/")
    return token, slash, number


async def test_a_message_that_discord_no_longer_lets_anybody_change_is_left(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    first = await stage.drawn()
    shown = await brought_back(stage, first)
    stage.refuse("PATCH", f"/webhooks/*/messages/{shown.message.id}", 401, 50027)
    await delete(stage, first)
    assert not is_empty(shown.message)
    assert is_empty(stage.public()[-1])
    assert await stage.bot.ledger.outbox.list_due_stale_messages(10) == []
    assert "Traceback" not in caplog.text


async def test_the_card_that_showed_a_preview_before_show_brought_another_is_emptied(stage: Stage) -> None:
    await stage.draw(await stage.trained())
    (job,) = await stage.bot.ledger.jobs.list_open_for_account(await stage.account())
    async with stage.previewing(b"preview"):
        (card,) = stage.public()
        assert len(card.attachments) == 1
        await stage.anna_alone.slash("show", id=str(job.id))
    await stage.work()
    result = stage.dms()[-1]
    assert len(result.attachments) == 1
    pressed = await stage.anna_alone.click(result, label="Delete")
    await stage.anna_alone.click(pressed.followups[0].message, label="Delete")
    await stage.work()
    assert is_empty(stage.dms()[-2])
    assert is_empty(stage.public()[-1])
