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


@pytest.mark.parametrize("command", ["status", "logs"])
async def test_others_are_told_that_there_is_no_such_command(stage: Stage, command: str) -> None:
    assert text_of(await stage.anna.slash(stage.channel, command)) == texts.UNKNOWN_COMMAND
