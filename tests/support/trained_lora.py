"""A LoRA that is trained once in a session, for tests that only need one to begin with."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.core.accounts import AccountId, ChatAddress
from bot.core.loras import LoraCode
from bot.media.storage import Storage
from tests.support.data_dirs import DATABASE
from tests.support.engine import open_engine_room

Row = dict[str, Any]


@dataclass(frozen=True)
class TrainedLora:
    """What a training leaves in a DATA_DIR: a file and two rows, without ids of their own."""

    file: bytes
    lora: Row
    job: Row


_trained: list[TrainedLora] = []


async def _train_once() -> TrainedLora:
    """Return the LoRA of this session, trained by the real dispatcher on a fake card."""
    if not _trained:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            async with open_engine_room(folder) as room:
                code = (await room.trained()).code
            file = Storage(folder).lora_path(f"{code}.safetensors").read_bytes()
            with closing(sqlite3.connect(folder / DATABASE)) as connection:
                connection.row_factory = sqlite3.Row
                (lora,) = connection.execute("SELECT * FROM loras")
                (job,) = connection.execute("SELECT * FROM jobs")
        _trained.append(TrainedLora(file, dict(lora), {**dict(job), "id": None}))
    return _trained[0]


async def give_lora(folder: Path, account: AccountId, place: ChatAddress, now: datetime) -> LoraCode:
    """Let an account have trained its first LoRA just now: copy one, as if its messages had been deleted."""
    trained = await _train_once()
    code = LoraCode(trained.lora["code"])
    Storage(folder).lora_path(trained.lora["file"]).write_bytes(trained.file)
    owner = {"account": account}
    asked_in = {"platform": place.platform, "chat_id": place.chat_id, "user_id": place.user_id}
    passed_ms = round(now.timestamp() * 1000) - trained.job["finished_ms"]
    # The bot may run meanwhile: it asks its database for everything.
    with closing(sqlite3.connect(folder / DATABASE, timeout=60, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("BEGIN IMMEDIATE")
        assert not connection.execute("SELECT 1 FROM loras WHERE account = ?", (account,)).fetchall()
        _insert(connection, "loras", _later({**trained.lora, **owner}, passed_ms))
        _insert(connection, "jobs", _later({**trained.job, **owner, **asked_in}, passed_ms))
        connection.execute("COMMIT")
    return code


def _later(row: Row, passed_ms: int) -> Row:
    moved = {name: value + passed_ms for name, value in row.items() if name.endswith("_ms") and value}
    return {**row, **moved}


def _insert(connection: sqlite3.Connection, table: str, row: Row) -> None:
    sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"  # noqa: S608 - names
    connection.execute(sql, tuple(row.values()))
