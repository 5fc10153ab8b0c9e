"""JSON lines name the account that asked and the job that ran, whoever logs them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.core.logging import JsonFormatter
from tests.support.engine import open_engine_room
from tests.support.services import ANNA, ANNAS, BERT, BERTS, open_desk


class Lines(logging.Handler):
    """Keeps what is logged as JSON, formatted where it is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(json.loads(JsonFormatter().format(record)))


@pytest.fixture
def lines() -> Iterator[list[dict[str, object]]]:
    root, handler = logging.getLogger(), Lines()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler.kept
    root.removeHandler(handler)
    root.setLevel(before)


async def test_lines_of_a_job_name_it_and_its_account(tmp_path: Path, lines: list[dict[str, object]]) -> None:
    async with open_engine_room(tmp_path) as room:
        job = await room.trained()
    of_dispatcher = [each for each in lines if str(each["logger"]).startswith("bot.jobs.")]
    assert len(of_dispatcher) >= 2
    assert {(each["job"], each["account"]) for each in of_dispatcher} == {(job.id, job.account)}


async def test_log_lines_of_an_answer_name_only_the_account_that_asked(
    tmp_path: Path, lines: list[dict[str, object]]
) -> None:
    async with open_desk(tmp_path) as desk:
        queue = logging.getLogger("bot.queue")
        desk.queue.wake = lambda: queue.info("woken")  # type: ignore[method-assign]
        for who, place in ((ANNA, ANNAS), (BERT, BERTS)):
            code = (await desk.ready(who)).code
            await desk.studio.generate_from_text(who, place, f"{code} a boat")
        queue.info("nobody asks")
        accounts = [await desk.ledger.accounts.get_or_create(who) for who in (ANNA, BERT)]
    told = [each.get("account") for each in lines if each["logger"] == "bot.queue"]
    assert told == [accounts[0], accounts[0], accounts[1], accounts[1], None]
