"""On Discord: what an administrator sees and does, and that it is hidden from others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot import texts
from tests.acceptance.discord_stage import Stage, on_stage, shown, text_of


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        await each.restart()  # Bert is an administrator from then on
        yield each


async def test_status_is_one_answer_with_text_and_a_picture(stage: Stage) -> None:
    answer = await stage.bert.slash(stage.channel, "status")
    assert answer.ephemeral
    assert "Waiting: 0 train, 0 generate" in text_of(answer)
    assert len(shown(answer).attachments) == 1
    assert not stage.public()


async def test_discord_hides_the_commands_from_who_administers_no_server(stage: Stage) -> None:
    assert not set(texts.ADMIN_COMMANDS) & set(stage.anna.available_commands(stage.channel))
    assert set(texts.ADMIN_COMMANDS) < set(stage.bert.available_commands(stage.channel))


@pytest.mark.parametrize("command", ["status", "logs", "pause", "drain"])
async def test_who_administers_a_server_but_not_the_bot_is_told_that_there_is_no_such_command(
    stage: Stage, command: str
) -> None:
    carla = stage.channel.guild.add_member(stage.env.create_user("carla"), roles=[stage.office])
    assert text_of(await carla.slash(stage.channel, command)) == texts.UNKNOWN_COMMAND
