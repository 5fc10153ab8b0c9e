"""R4: whichever call to disk, database or platform fails, and however, the promises hold afterwards."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bot.core.errors import LoraCodeError
from bot.core.jobs import GenerationParams, Job, JobId, JobKind, JobStatus, TrainingParams
from bot.db import Database
from bot.delivery.notices import NoticeSender
from bot.jobs.backends.fake import FakeBackend
from bot.jobs.dispatcher import Dispatcher
from bot.jobs.styles import load_styles
from bot.media.storage import Storage
from bot.ops.schedule import Schedule
from tests.proofs.fault_injection import FaultyChat, FaultyDisk, Plan, Way, faulty_connection
from tests.proofs.invariants import photos, wrong_with
from tests.proofs.verdict import Proof, forms
from tests.support.engine import PNG
from tests.support.services import ANNA, ANNAS, Clock, InProcessDecoder, tools
from tests.support.use_cases import Apology, Studio

#: What a part of the program ends with when a call failed under it; whoever runs it starts it again.
TROUBLE = (LoraCodeError, OSError, sqlite3.Error, ExceptionGroup, Apology)
#: A thing that takes more starts than this does not get done at all.
MAX_STARTS = 5
KEPT = ("loras", "checkpoints", "pictures", "samples", "previews", "exports")


@dataclass
class World:
    """What outlives the program: the disk, the platform, and what a person was told is done."""

    folder: Path
    plan: Plan
    chat: FaultyChat = field(init=False)
    clock: Clock = field(default_factory=Clock)
    asked: list[JobId] = field(default_factory=list)
    starts: int = 0

    def __post_init__(self) -> None:
        self.chat = FaultyChat(plan=self.plan)


@dataclass
class Life:
    """The program from one start to its end."""

    world: World
    ledger: Database
    studio: Studio
    dispatcher: Dispatcher
    notifier: NoticeSender
    schedule: Schedule

    async def jobs(self, kind: JobKind) -> list[Job]:
        found = [await self.ledger.jobs.get(JobId(number)) for number in range(1, 10)]
        return [job for job in found if job is not None and job.kind is kind]


@asynccontextmanager
async def life(world: World) -> AsyncIterator[Life]:
    world.starts += 1
    files = Storage(world.folder, FaultyDisk(world.plan))
    files.create_folders()
    connection = await faulty_connection(world.plan).open(world.folder / "ledger.sqlite3", world.clock)
    ledger, backend = Database(connection), FakeBackend()
    backend.sample_png = PNG
    try:
        notifier = NoticeSender(
            database=ledger,
            chats={world.chat.platform: world.chat},
            storage=files,
            clock=world.clock,
            card_pause_s=0.0,
        )
        dispatcher = Dispatcher(ledger, backend, files, notifier, load_styles(), retry_backoff_s=0.0)
        studio = Studio(tools(ledger, dispatcher, files, world.clock), InProcessDecoder(), frozenset())
        schedule = Schedule(
            database=ledger,
            storage=files,
            notice_sender=notifier,
            clock=world.clock,
            forget_photos=dispatcher.forget,
        )
        yield Life(world, ledger, studio, dispatcher, notifier, schedule)
    finally:
        await ledger.close()


# --- the story; each part can be told again after the program was started again --------------------------


async def photos_are_sent(now: Life) -> None:
    account = await now.ledger.accounts.get_or_create(ANNA)
    if not await now.jobs(JobKind.TRAIN):
        added = await now.ledger.photo_sets.add_photos(account, photos(b"me", of=1), ANNAS, TrainingParams())
        assert added.job is not None
        now.world.asked.append(added.job.id)


async def a_picture_is_asked_for(now: Life) -> None:
    account = await now.ledger.accounts.get_or_create(ANNA)
    [training] = await now.jobs(JobKind.TRAIN)
    if not await now.jobs(JobKind.GENERATE):
        job = await now.ledger.jobs.add_generation(account, training.code, GenerationParams("a boat"), ANNAS)
        now.world.asked.append(job.id)


async def the_worker_works(now: Life) -> None:
    await now.ledger.jobs.requeue_running()
    await now.dispatcher.drain()
    await now.notifier.edit_cards()


async def notices_are_delivered(now: Life) -> None:
    for _ in range(20):
        await now.notifier.deliver_due()
        if await now.ledger.outbox.next_notice_at() is None:
            return
        now.world.clock.forward(hours=1)
    raise ConnectionError("the platform never took it")


async def the_house_is_kept(now: Life) -> None:
    long_ago = time.time() - 3600
    for path in (path for folder in KEPT for path in (now.world.folder / folder).iterdir()):
        os.utime(path, (long_ago, long_ago))
    await now.schedule.run_retention()


async def everything_is_there(now: Life) -> None:
    for job_id in now.world.asked:
        job = await now.ledger.jobs.get(job_id)
        assert job is not None, f"job {job_id} is lost"
        assert job.status is JobStatus.DONE, f"job {job_id} is {job.status}: {job.error}"
    assert wrong_with(now.world.folder) == []
    told = Counter(nonce.partition("-")[0] for nonce in {nonce for _, _, nonce in now.world.chat.sent})
    assert told["notice"] >= 2, "nobody was told"


async def everything_is_forgotten(now: Life) -> None:
    if await now.ledger.accounts.find_by_identity(ANNA) is not None:
        asked = await now.studio.ask_to_erase(ANNA)
        await now.studio.handle_button(ANNA, ANNAS, asked.buttons[0].action)


async def nothing_is_left(now: Life) -> None:
    left = [path.name for folder in KEPT for path in (now.world.folder / folder).iterdir()]
    assert left == [], "files of somebody who asked to be forgotten"
    assert await now.jobs(JobKind.TRAIN) == []


STORY: tuple[Callable[[Life], Awaitable[None]], ...] = (
    photos_are_sent,
    the_worker_works,
    notices_are_delivered,
    a_picture_is_asked_for,
    the_worker_works,
    notices_are_delivered,
    the_house_is_kept,
    everything_is_there,
    everything_is_forgotten,
    the_house_is_kept,
    nothing_is_left,
)


@forms("stride", short=62, long=1)
async def test_r4_any_call_may_fail_and_every_promise_holds(
    proof: Proof, tmp_path: Path, stride: int
) -> None:
    stories, failed, shortfalls = 0, Counter[str](), []
    for way in Way:
        at = stride
        while True:
            world = World(tmp_path / f"{way}-{at}", Plan(at, way))
            shortfalls += await told(world)
            shutil.rmtree(world.folder)
            stories += 1
            if not world.plan.failed:
                break
            failed.update(world.plan.failed[:1])
            at += stride
    kinds = ", ".join(f"{count} {what}" for what, count in failed.most_common(6))
    proof.concludes(
        f"{stories} stories, each call failing {len(Way)} ways until none was left ({kinds}, ...)", shortfalls
    )


async def told(world: World) -> list[str]:
    """Tell the story, starting the program again when it ends; gives what was broken on the way."""
    wrong: list[str] = []
    parts = list(STORY)
    while parts and world.starts < MAX_STARTS:
        try:
            async with life(world) as now:
                while parts:
                    await parts[0](now)
                    parts.pop(0)
        except TROUBLE:
            if world.plan.way is Way.STUCK:
                world.plan.is_on = False  # whoever started it again has seen to the disk first
        except AssertionError as error:
            wrong.append(f"{_name(world)}: {str(error).splitlines()[0]}")
            break
        wrong += [f"{_name(world)}: {each}" for each in wrong_with(world.folder)]
    if world.starts >= MAX_STARTS:
        wrong.append(f"{_name(world)}: it had to be started {world.starts} times")
    return wrong


def _name(world: World) -> str:
    return f"call {world.plan.at} ({', '.join(world.plan.failed[:1])}) failing {world.plan.way}"
