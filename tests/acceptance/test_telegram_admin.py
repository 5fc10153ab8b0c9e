"""On Telegram: what an administrator sees and does, and that it is hidden from others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot import texts
from tests.acceptance.telegram_server import until
from tests.acceptance.telegram_stage import ADMIN, Person, Stage, on_stage, trained


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


@pytest.fixture
def admin(stage: Stage) -> Person:
    return Person(stage.server, ADMIN)


async def test_status_is_one_message_with_text_and_a_picture(stage: Stage, admin: Person) -> None:
    await trained(stage.anna)
    await stage.app.watchman.look()
    await admin.says("/status")
    shown = await admin.hears("LoraCode ")
    assert "Waiting: 0 train, 0 generate" in shown.text
    assert "Last 24 hours: 1 done, 0 failed" in shown.text
    assert [each[:4] for each in shown.photos] == [b"\x89PNG"]
    assert len(admin.sees) == 1


@pytest.mark.parametrize("command", ["status", "logs"])
async def test_others_are_told_that_there_is_no_such_command(stage: Stage, command: str) -> None:
    await stage.anna.says(f"/{command}")
    shown = await until(lambda: stage.anna.sees)
    assert [each.text for each in shown] == [texts.UNKNOWN_COMMAND]
