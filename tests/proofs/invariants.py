"""The bot without its chats' libraries, around a real database, real files and a real worker process."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.jobs import TERMINAL_STATUSES, GenerationParams, Job, TrainingParams
from bot.core.loras import LoraCode, Requester
from bot.core.photos import NewPhoto
from bot.db import Database
from bot.db.sqlite.migrate import read_migrations
from bot.delivery.notices import NoticeSender
from bot.jobs.backends.base import GpuBackend
from bot.jobs.backends.local import ProcessBackend, WorkerTimeouts
from bot.jobs.dispatcher import Dispatcher
from bot.jobs.styles import load_styles
from bot.media.storage import Storage
from tests.support.data_dirs import create_data_dir
from tests.support.engine import RememberingChat

ROOT = Path(__file__).parents[2]


def utc_now() -> datetime:
    return datetime.now(UTC)


def place(person: int) -> ChatAddress:
    return ChatAddress(Platform.TELEGRAM, str(1000 + person), str(person))


def photos(order: bytes, of: int) -> list[NewPhoto]:
    """Five photos that a fake worker reads its orders from."""
    data = [order if number == 0 else b"%d of %d" % (number, of) for number in range(5)]
    return [NewPhoto(hashlib.sha256(b"%d" % of + each).hexdigest(), each) for each in data]


@dataclass
class House:
    """Its parts."""

    ledger: Database
    files: Storage
    backend: GpuBackend
    chat: RememberingChat
    notifier: NoticeSender
    dispatcher: Dispatcher

    async def train(self, order: bytes, person: int, of: int = 1) -> Job:
        """Have somebody send five photos."""
        account = await self.ledger.accounts.get_or_create(Identity(Platform.TELEGRAM, str(person)))
        added = await self.ledger.photo_sets.add_photos(
            account, photos(order, of), place(person), TrainingParams()
        )
        assert added.job is not None
        self.dispatcher.wake()
        return added.job

    async def generate(self, code: LoraCode, prompt: str, person: int) -> Job:
        """Have somebody ask for a picture; whose Lora it is lets them."""
        account = await self.ledger.accounts.get_or_create(Identity(Platform.TELEGRAM, str(person)))
        lora = await self.ledger.loras.get_by_code(code)
        assert lora is not None
        if await self.ledger.sharing.get_usable_lora(account, code) is None:
            await self.ledger.sharing.save_share_link(
                code, f"word{code}", lora.created_at + timedelta(days=7)
            )
            assert (
                await self.ledger.sharing.accept_share_link(
                    Requester(account, "", place(person)), f"word{code}"
                )
                == code
            )
        job = await self.ledger.jobs.add_generation(account, code, GenerationParams(prompt), place(person))
        self.dispatcher.wake()
        return job

    async def ended(self, job: Job) -> Job:
        """Wait until a job has ended."""
        while (found := await self.now(job)).status not in TERMINAL_STATUSES:
            await asyncio.sleep(0.01)
        return found

    async def now(self, job: Job) -> Job:
        found = await self.ledger.jobs.get(job.id)
        assert found is not None
        return found

    async def told(self, job: Job) -> list[str]:
        """Wait until nothing is owed any more, and give what was said of a job."""
        await until_true(self._owes_nothing)
        return [reply.text for where, reply, _ in self.chat.sent if where == job.address]

    async def _owes_nothing(self) -> bool:
        return (await self.ledger.monitoring.count_all()).pending_notices == 0


async def until_true(condition: Callable[[], Awaitable[bool]], every_s: float = 0.01) -> None:
    """Wait for something that other tasks or processes bring about; the test's time-out bounds it."""
    while not await condition():
        await asyncio.sleep(every_s)


@asynccontextmanager
async def open_house(
    folder: Path, command: Sequence[str], environ: dict[str, str], patience: WorkerTimeouts
) -> AsyncIterator[House]:
    """Run dispatcher and notifier beside each other, as the program does."""
    files, chat = create_data_dir(folder), RememberingChat()
    ledger = await Database.open(folder / "ledger.sqlite3", utc_now)
    backend = ProcessBackend(command, environ, patience)
    notifier = NoticeSender(database=ledger, chats={chat.platform: chat}, storage=files, clock=utc_now)
    dispatcher = Dispatcher(ledger, backend, files, notifier, load_styles(), retry_backoff_s=0.0)
    await backend.start()
    parts = [asyncio.create_task(part.run()) for part in (dispatcher, notifier)]
    try:
        yield House(ledger, files, backend, chat, notifier, dispatcher)
        for part in parts:
            assert not part.done(), "a part of the program ended by itself"
    finally:
        for part in parts:
            part.cancel()
        await asyncio.wait(parts)
        await backend.close()
        await ledger.close()


def wrong_with(folder: Path) -> list[str]:
    """Look at what lies in a closed data folder; gives what must never be."""
    db = sqlite3.connect(folder / "ledger.sqlite3")
    try:
        wrong = [row[0] for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
        wrong += [f"a broken reference in {row[0]}" for row in db.execute("PRAGMA foreign_key_check")]
        if not _is_whole(db):
            return wrong  # it had not come so far as to be a database
        for code, name, sha256 in db.execute("SELECT code, file, sha256 FROM loras WHERE state = 'ready'"):
            path = folder / "loras" / name
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
                wrong.append(f"the file of Lora {code} is not what its row says")
        for job, name in db.execute("SELECT job, file FROM pictures WHERE deleted_ms IS NULL"):
            if not (folder / "pictures" / name).is_file():
                wrong.append(f"a picture of job {job} is gone")
        for name, sql in _RULES.items():
            wrong += [f"{name}: {row[0]}" for row in db.execute(sql)]
        return wrong
    finally:
        db.close()


def _is_whole(db: sqlite3.Connection) -> bool:
    try:
        (applied,) = db.execute("SELECT count(*) FROM migrations").fetchone()
    except sqlite3.OperationalError:  # not even that table
        return False
    return bool(applied == len(read_migrations()))


#: Rows that must never be, by the rule that they break.
_RULES = {
    "photos of a training that has ended, and nobody asked to keep them": (
        "SELECT DISTINCT job FROM photos JOIN jobs ON jobs.id = job"
        " JOIN accounts ON accounts.id = jobs.account"
        " WHERE status IN ('done', 'failed', 'cancelled') AND NOT keeps_photos"
    ),
    "photos kept of a Lora that is not there": (
        "SELECT DISTINCT job FROM photos JOIN jobs ON jobs.id = job JOIN loras USING (code)"
        " WHERE status IN ('done', 'failed', 'cancelled') AND state != 'ready'"
    ),
    "a training without its five photos": (
        "SELECT id FROM jobs WHERE kind = 'train' AND status IN ('queued', 'running')"
        " AND (SELECT count(*) FROM photos WHERE job = jobs.id) != 5"
    ),
    "a training that is done without a Lora": (
        "SELECT id FROM jobs JOIN loras USING (code)"
        " WHERE kind = 'train' AND status = 'done' AND state NOT IN ('ready', 'deleted')"
    ),
    "an end that nobody was told": (
        "SELECT id FROM jobs WHERE status IN ('done', 'failed') AND"
        " (SELECT count(*) FROM notices WHERE job = jobs.id AND kind != 'train_resumed') != 1"
    ),
}
