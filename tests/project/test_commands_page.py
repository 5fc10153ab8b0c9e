"""docs/commands.md is what the code says; all three chats know the same commands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bot.chats.commands import COMMAND_NAMES
from bot.texts.admin.commands import ADMIN_COMMANDS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "commands.md"


def test_the_page_of_commands_is_as_the_code_is() -> None:
    check = [sys.executable, str(ROOT / ".ci" / "commands.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [*COMMAND_NAMES, *ADMIN_COMMANDS])
def test_every_command_is_on_all_three_chats(name: str) -> None:
    lists = PAGE.read_text(encoding="utf-8").partition("## Options")[0]
    assert len(re.findall(rf"(?m)^- `/{name}[` ]", lists)) == 1
    assert "Every command is on Telegram, Discord and the console." in lists
