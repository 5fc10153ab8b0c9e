"""Calls that fail when they are told to: to the disk, to the database, to the platform."""

from __future__ import annotations

import errno
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, TypeVar

from bot.core.accounts import ChatAddress
from bot.core.messages import Reply
from bot.db.sqlite.connection import Connection
from bot.media.storage import Disk
from tests.support.engine import RememberingChat

T = TypeVar("T")


class Way(StrEnum):
    """How a call fails."""

    ONCE = "once"  #: it does nothing; the next one works again
    STUCK = "stuck"  #: neither does any after it, until the program is started again
    AFTER = "after"  #: it does all it should, and says that it failed


@dataclass
class Plan:
    """Which call fails, counted from the first one of the story, and how."""

    at: int
    way: Way
    calls: int = 0
    failed: list[str] = field(default_factory=list)  #: what did
    is_on: bool = True
    _lock: threading.Lock = field(
        default_factory=threading.Lock
    )  # files and database have threads of their own

    def call(self, what: str, do: Callable[[], T], error: Callable[[], Exception]) -> T:
        """Make a call, or let it fail."""
        if not self._fails(what):
            return do()
        if self.way is Way.AFTER:
            do()
        raise error()

    def _fails(self, what: str) -> bool:
        with self._lock:
            if not self.is_on:
                return False
            self.calls += 1
            fails = self.calls == self.at or (self.way is Way.STUCK and self.calls > self.at)
            if fails:
                self.failed.append(what)
            return fails


def _no_room() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def _io_error() -> OSError:
    return OSError(errno.EIO, "Input/output error")


class FaultyDisk(Disk):
    """A disk that fails by plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def create(self, path: Path) -> IO[bytes]:
        self._plan.call("create", path.touch, _io_error)
        return super().create(path)

    def write(self, file: IO[bytes], data: bytes) -> None:
        def half() -> OSError:
            super(FaultyDisk, self).write(file, data[: len(data) // 2])
            return _no_room()

        self._plan.call("write", lambda: super(FaultyDisk, self).write(file, data), half)

    def sync(self, fd: int) -> None:
        self._plan.call("sync", lambda: super(FaultyDisk, self).sync(fd), _io_error)

    def replace(self, path: Path, source: Path) -> None:
        self._plan.call("replace", lambda: super(FaultyDisk, self).replace(path, source), _io_error)

    def read(self, path: Path) -> bytes:
        return self._plan.call("read", lambda: super(FaultyDisk, self).read(path), _io_error)

    def delete(self, path: Path) -> None:
        self._plan.call("delete", lambda: super(FaultyDisk, self).delete(path), _io_error)


class FaultyStatements:
    """The database's connection as transactions see it, with statements that fail by plan."""

    def __init__(self, db: sqlite3.Connection, plan: Plan) -> None:
        object.__setattr__(self, "_db", db)
        object.__setattr__(self, "_plan", plan)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._db, name, value)

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql == "ROLLBACK":  # what a failed transaction leaves is SQLite's own affair, also without it
            return self._db.execute(sql)
        return self._plan.call(_verb(sql), lambda: self._db.execute(sql, *values), _disk_error)

    def executemany(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return self._plan.call(_verb(sql), lambda: self._db.executemany(sql, *values), _disk_error)


def _verb(sql: str) -> str:
    lines = [line for line in sql.splitlines() if line.strip() and not line.lstrip().startswith("--")]
    return lines[0].split()[0] if lines else "comment"


def _disk_error() -> sqlite3.Error:
    return sqlite3.OperationalError("disk I/O error")


def faulty_connection(plan: Plan) -> type[Connection]:
    """Give a connection to the database whose statements fail by plan, also while it is opened."""

    class FaultyConnection(Connection):
        async def _run_in_thread(self, function: Callable[[sqlite3.Connection], T]) -> T:
            return await super()._run_in_thread(lambda db: function(FaultyStatements(db, plan)))

    return FaultyConnection


@dataclass
class FaultyChat(RememberingChat):
    """A platform that does not take a message, or takes it and does not say so, by plan."""

    plan: Plan = field(default_factory=lambda: Plan(0, Way.ONCE, is_on=False))

    async def send(self, address: ChatAddress, reply: Reply, *, nonce: str) -> str:
        def sent() -> str:
            self.sent.append((address, reply, nonce))
            return f"m{len(self.sent)}"

        return self.plan.call("send", sent, lambda: ConnectionError("no network"))

    async def edit(self, address: ChatAddress, message_id: str, reply: Reply) -> str:
        self.plan.call(
            "edit", lambda: self.edits.append((message_id, reply)), lambda: ConnectionError("no network")
        )
        return message_id
