"""The pages: links resolve, names in them exist, generated diagrams are up to date."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from bot.app.cli import MAX_BACKUP_DAYS
from bot.core.jobs import JobStatus
from bot.core.photos import PHOTO_RETENTION
from bot.db.sqlite.migrate import read_migrations
from bot.db.statements.conversation import DRAFT_TIMEOUT_MS, QUESTION_TIMEOUT_MS
from bot.ops.monitor import SAMPLE_RETENTION
from bot.ops.schedule import FORGET_AFTER, REMIND_AFTER, UPDATE_RETENTION
from bot.services.accounts import TOKEN_TTL
from bot.services.admin import INVITATION_DAYS
from bot.services.sharing import LINK_DAYS
from tests.proofs.test_s6_state_changes import LEGAL_OF_JOBS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TOP_FOLDERS = (
    "bot/",
    "gpu_worker/",
    "kohya-scripts/",
    "benchmarks/",
    "drawn/",
    "imaging/",
    "migrations/",
    "tests/",
    "docs/",
)


def _hours(period: timedelta) -> str:
    hours = round(period / timedelta(hours=1))
    return f"{hours} hour{'s' if hours != 1 else ''}"


def anchors_of(text: str) -> set[str]:
    titles = re.findall(r"(?m)^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return {re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-") for title in titles}


def page_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize(
    ("pages", "most_words"),
    [
        pytest.param([*PAGES, ROOT / "CHANGELOG.md"], 16_000, id="all"),
        pytest.param([ROOT / "README.md"], 900, id="README"),
        pytest.param([ROOT / "docs/architecture.md"], 1_200, id="architecture"),
    ],
)
def test_pages_stay_short_enough_to_be_read(pages: list[Path], most_words: int) -> None:
    # As `wc -w` counts, generated pages and the bars of tables included.
    words = {page_name(page): len(page.read_text("utf-8").split()) for page in pages}
    total = sum(words.values())
    longest = sorted(words, key=lambda page: -words[page])[:5]
    assert total <= most_words, f"{total} words, the longest: {', '.join(longest)}"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_of_a_page_resolve(page: Path) -> None:
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        path = page.parent / file if file else page
        assert path.exists(), f"{page_name(page)} links to {target}"
        if anchor:
            assert anchor in anchors_of(path.read_text("utf-8")), f"{page_name(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_paths_in_a_page_exist(page: Path) -> None:
    for name in re.findall(r"`([\w./-]+)`", page.read_text("utf-8")):
        if name.startswith(TOP_FOLDERS):
            assert (ROOT / name).exists(), f"{page_name(page)} names {name}"


def test_glossary_words_are_classes_or_tables() -> None:
    schema = "\n".join(migration.sql for migration in read_migrations())
    page = (ROOT / "docs/glossary.md").read_text("utf-8")
    places = dict(re.findall(r"(?m)^- \*\*(.+?)\*\* \((.+?)\): ", page))
    assert len(places) == page.count("\n- ") > 20
    for word, place in places.items():
        *_, name = re.findall(r"`([\w.]+)`", place)
        if "table" in place:
            column = re.search(r"column `(\w+)`", place)
            assert column is None or re.search(rf"\b{column[1]}\b", schema), f"{word}: no column {column[1]}"
            assert re.search(rf"CREATE TABLE {name}\b", schema), f"{word}: no table {name}"
        else:
            module, _, thing = name.rpartition(".")
            assert hasattr(importlib.import_module(module), thing), f"{word}: {name} does not exist"


def test_generated_diagrams_are_as_the_code_is() -> None:
    check = [sys.executable, str(ROOT / ".ci" / "diagrams.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_job_states_of_the_diagram_are_those_of_the_code() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    edges = set(re.findall(r"(?m)^  (\w+) --> (\w+)", text.partition("stateDiagram")[2].partition("```")[0]))
    assert {state for edge in edges for state in edge} == {status.value for status in JobStatus}
    proven = {(before, after) for before, after, _ in LEGAL_OF_JOBS}
    # A job whose photos expire while it waits is the one change that S6 does not play: it needs a week.
    assert edges - proven == {("queued", "failed")}
    assert proven <= edges


@pytest.mark.parametrize(
    ("kept", "amounts"),
    [
        (
            "photos of a set being collected",
            [_hours(FORGET_AFTER), _hours(REMIND_AFTER)],
        ),
        ("photos of a training", [f"{PHOTO_RETENTION.days} days"]),
        ("an update of Telegram", [f"{UPDATE_RETENTION.days} days"]),
        ("drafts", [_hours(timedelta(milliseconds=DRAFT_TIMEOUT_MS))]),
        ("questions without an answer", [_hours(timedelta(milliseconds=QUESTION_TIMEOUT_MS))]),
        ("a token that links accounts", [f"{TOKEN_TTL.seconds // 60} minutes"]),
        ("links to share", [f"{LINK_DAYS} days"]),
        ("invitations to the bot", [f"{INVITATION_DAYS} days"]),
        ("figures of the machine", [_hours(SAMPLE_RETENTION)]),
        ("backups", [f"{MAX_BACKUP_DAYS} days"]),
    ],
)
def test_times_of_retention_are_those_of_the_code(kept: str, amounts: list[str]) -> None:
    section = (ROOT / "docs/operations.md").read_text("utf-8").partition("## Retention")[2]
    (until,) = re.findall(rf"(?m)^- {kept}: (.+)$", section)
    assert re.findall(r"[0-9]+ (?:days|hours?|minutes)", until) == amounts


@pytest.mark.parametrize("page", ["README.md", "docs/SECURITY.md", "docs/likeness.md"])
def test_the_time_photos_are_kept_is_the_same_on_pages_and_in_code(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    sentences = re.split(r"\.\s", re.sub(r"\s+", " ", text))
    days = {
        number
        for sentence in sentences
        if "photo" in sentence.lower() or "deleted when its training ends" in sentence
        for number in re.findall(r"([0-9]+) days", sentence)
        if "ackup" not in sentence
    }
    assert days == {str(PHOTO_RETENTION.days)}
