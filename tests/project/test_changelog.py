"""CHANGELOG.md: the package's version has its section, below what is not released, one line an entry."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_newest_section_is_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    sections = re.findall(r"(?m)^## (.+)$", CHANGELOG)
    assert sections[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(version)} - \d{{4}}-\d\d-\d\d", sections[1])


def test_each_entry_is_one_line_under_a_heading_that_people_look_for() -> None:
    _, _, sections = CHANGELOG.partition("## Unreleased\n")
    lines = [line for line in sections.splitlines() if line and not line.startswith("## ")]
    assert [line for line in lines if not line.startswith(("### ", "- "))] == []
    assert [line for line in lines if len(line) > 120] == []
    assert set(re.findall(r"(?m)^### (.+)$", sections)) == {"Added", "Changed", "Fixed"}
