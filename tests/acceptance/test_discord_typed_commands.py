"""Commands that arrive as text in a DM on Discord: each does what its slash command does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.core.loras import format_code
from bot.texts import translate
from tests.acceptance.discord_stage import Stage, labels, on_stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


async def written(stage: Stage, text: str) -> str:
    """Write a DM and give the bot's answer."""
    before = len(stage.dms())
    await stage.anna_alone.send_dm(text)
    assert len(stage.dms()) > before, "there is no answer"
    return str(stage.dms()[-1].content)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/help", "/forgetme"),
        ("/Help", "/forgetme"),
        ("`/help`", "/forgetme"),
        ("\uff0fhelp", "/forgetme"),
        ("/aiuto", "/forgetme"),
        ("/codes", "Draw"),
        ("/settings", "Your defaults"),
        ("/queue", "You have nothing running"),
        ("/privacy", "What I keep about you"),
        ("/cancel", "You have nothing running"),
        ("/train", "Send me five photos"),
        ("/show 99", "You have no result"),
        ("/nonsense", "I do not understand that"),
        ("/resume", "I do not understand that"),
    ],
)
async def test_a_command_that_is_written_is_answered_by_itself(stage: Stage, text: str, told: str) -> None:
    code = await stage.trained()
    assert (format_code(code) if told == "Draw" else told) in await written(stage, text)


@pytest.mark.parametrize(
    "text",
    ["/generate {} a boat --n 2", "/generate code:{} prompt:a boat count:2", "/generate{} a boat --n2"],
)
async def test_a_generate_that_is_written_draws(stage: Stage, text: str) -> None:
    code = await stage.trained()
    await written(stage, text.format(code))
    await stage.work()
    assert (stage.request().prompt, stage.request().count) == ("sks person, a boat", 2)
    assert len(stage.dms()[-1].attachments) == 2


async def test_a_draft_that_is_written_takes_the_next_words_and_no_command(stage: Stage) -> None:
    await stage.trained()
    assert "Now write here what to draw" in await written(stage, "/generate")
    assert "What to draw" in labels(stage.dms()[-1])
    for text in ("/nonsense", "/help", "thanks, I will do that later"):
        await written(stage, text)
    await stage.work()
    assert not stage.backend.requests
    await written(stage, "/generate")
    assert await written(stage, "/cancel") == translate("draft-dropped")
    await written(stage, "/generate")
    await written(stage, "a boat")
    await stage.work()
    assert "a boat" in stage.request().prompt
