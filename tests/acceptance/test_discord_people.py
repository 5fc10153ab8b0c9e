"""On Discord: what a person decides about themselves and what is kept of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.domain import Identity, Platform
from tests.acceptance.discord_stage import Stage, labels, on_stage, shown, text_of


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


async def test_privacy_says_what_is_kept_to_its_person_alone(stage: Stage) -> None:
    assert "What I keep of you" in text_of(await stage.anna.slash(stage.channel, "privacy"))
    assert not stage.public()


async def test_everything_goes_with_a_press_also_after_a_restart(stage: Stage) -> None:
    code = await stage.trained()
    question = shown(await stage.anna.slash(stage.channel, "forgetme"))
    assert labels(question) == ["Delete everything"]
    await stage.restart()
    pressed = await stage.anna.click(question, label="Delete everything")
    assert pressed.followups == []
    assert "Receipt" in shown(pressed).content, "the question becomes the receipt"
    assert await stage.bot.ledger.lora(code) is None
    assert await stage.bot.ledger.known_account(Identity(Platform.DISCORD, str(stage.anna.id))) is None
    assert not (stage.folder / "loras" / f"{code}.safetensors").exists()


async def test_the_question_is_for_its_person_alone(stage: Stage) -> None:
    code = await stage.trained()
    question = shown(await stage.anna.slash(stage.channel, "forgetme"))
    assert question.flags.ephemeral
    with pytest.raises(Exception, match=r"cannot see|ephemeral|not visible|Unknown"):
        await stage.bert.click(question, label="Delete everything")
    assert await stage.bot.ledger.lora(code) is not None
