"""docs/configuration.md is what the code says, and it describes every setting in plain sentences."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from bot.app.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "configuration.md"


def test_the_page_of_settings_is_as_the_code_is() -> None:
    check = [sys.executable, str(ROOT / ".ci" / "configuration.py"), "--check"]
    result = subprocess.run(check, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert result.returncode == 0, result.stderr


def test_each_setting_has_one_line_with_whole_sentences() -> None:
    rows = dict(re.findall(r"(?m)^- `([A-Z_]+)`(?: \([^)]+\))?: (.+)$", PAGE.read_text("utf-8")))
    assert list(rows) == [name.upper() for name in Settings.model_fields]
    assert [name for name, text in rows.items() if not re.fullmatch(r"[A-Z`].*\.", text)] == []


def test_the_page_holds_no_secret_s_value_and_the_readme_leads_to_it() -> None:
    assert "SecretStr" not in PAGE.read_text("utf-8")
    assert "(docs/configuration.md)" in (ROOT / "README.md").read_text("utf-8")
