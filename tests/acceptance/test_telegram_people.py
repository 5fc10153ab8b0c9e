"""On Telegram: what a person decides about themselves and what is kept of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot import texts
from bot.domain import Identity, Platform
from tests.acceptance.telegram_server import until
from tests.acceptance.telegram_stage import GROUP, Stage, on_stage, trained

ANNA = Identity(Platform.TELEGRAM, "7")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


async def test_privacy_says_what_is_kept(stage: Stage) -> None:
    await stage.anna.says("/privacy")
    await stage.anna.hears("What I keep of you")


async def test_everything_goes_with_a_press_also_after_a_restart(stage: Stage) -> None:
    code = await trained(stage.anna)
    await stage.anna.says("/forgetme")
    asked = await stage.anna.hears("Shall I forget you?")
    await stage.stop()
    await stage.start()
    await stage.anna.presses(asked, "Delete everything")
    receipt = await stage.anna.hears("Receipt")
    assert receipt.id == asked.id, "the question becomes the receipt"
    assert not receipt.buttons
    assert await stage.app.ledger.lora(code) is None
    assert await stage.app.ledger.known_account(ANNA) is None
    assert not stage.app.files.lora_path(f"{code}.safetensors").exists()


async def test_in_a_group_nobody_answers_for_somebody_else(stage: Stage) -> None:
    code = await trained(stage.anna)
    await stage.anna.says("/forgetme", chat=GROUP)
    asked = await until(lambda: stage.anna.sees_in(GROUP))
    assert await stage.bert.presses(asked[0], "Delete everything") == texts.STALE_BUTTON
    assert await stage.app.ledger.lora(code) is not None
