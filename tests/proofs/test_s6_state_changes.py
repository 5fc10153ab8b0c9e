"""S6: whatever people, administrators and a lying worker do, in any order, each change of state is legal."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Awaitable, Coroutine
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from bot.core.accounts import Identity
from bot.core.errors import UserError
from bot.core.jobs import MAX_ATTEMPTS, TERMINAL_STATUSES, JobFailure, JobId, JobKind
from bot.db import Database
from bot.delivery.notices import NoticeSender
from bot.jobs.dispatcher import Dispatcher
from bot.jobs.styles import load_styles
from bot.ops.schedule import Schedule
from tests.proofs.bad_backend import WORDS, LyingBackend
from tests.proofs.invariants import wrong_with
from tests.proofs.verdict import Proof, forms
from tests.support.data_dirs import create_data_dir
from tests.support.engine import RememberingChat
from tests.support.services import (
    ADMIN,
    ANNA,
    BERT,
    PLACES,
    Clock,
    InProcessDecoder,
    album,
    consented,
    tools,
)
from tests.support.use_cases import Studio

T = TypeVar("T")
PEOPLE = (ANNA, BERT)
STEPS_A_STORY = 50
#: What the status of a job may become, and whether that is a new attempt.
LEGAL_OF_JOBS = {
    ("queued", "running", 1),
    ("queued", "cancelled", 0),
    *(("running", to, 0) for to in ("done", "failed", "cancelled", "queued")),
}
LEGAL_OF_LORAS = {("training", "ready"), ("training", "failed"), ("training", "cancelled")}
NOTED = """
    CREATE TABLE moves (what TEXT, id TEXT, was TEXT, now TEXT, attempts INTEGER);
    CREATE TRIGGER job_moves AFTER UPDATE ON jobs WHEN old.status != new.status OR old.attempt != new.attempt
    BEGIN INSERT INTO moves VALUES ('job', new.id, old.status, new.status, new.attempt - old.attempt); END;
    CREATE TRIGGER lora_moves AFTER UPDATE ON loras WHEN old.state != new.state
    BEGIN INSERT INTO moves VALUES ('lora', new.code, old.state, new.state, 0); END;
"""


class Doings(RuleBasedStateMachine):
    """People, administrators, the clock, the platform, the worker, and restarts."""

    root: Path  #: where folders of stories go
    steps: ClassVar[int] = 0
    moves: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=self.root))
        self.runner = asyncio.Runner()
        self.clock, self.backend, self.chat = Clock(), LyingBackend(), RememberingChat()
        self.may_vanish = False
        self.ended: dict[JobId, str] = {}
        self.photos = 0
        self.do(self._open())
        self.beside = sqlite3.connect(self.folder / "ledger.sqlite3", isolation_level=None)
        self.beside.executescript(NOTED)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def _open(self) -> None:
        files = create_data_dir(self.folder)
        self.ledger = await Database.open(self.folder / "ledger.sqlite3", self.clock)
        chats = {platform: self.chat for platform in {place.platform for place in PLACES.values()}}
        self.notifier = NoticeSender(
            database=self.ledger, chats=chats, storage=files, clock=self.clock, card_pause_s=0.0
        )
        self.dispatcher = Dispatcher(
            self.ledger, self.backend, files, self.notifier, load_styles(), retry_backoff_s=0.0
        )
        desk = tools(self.ledger, self.dispatcher, files, self.clock)
        self.studio = Studio(desk, InProcessDecoder(), {ADMIN})
        self.schedule = Schedule(
            database=self.ledger,
            storage=files,
            notice_sender=self.notifier,
            clock=self.clock,
            forget_photos=self.dispatcher.forget,
        )
        await consented(self.ledger, *PEOPLE)

    def asks(self, work: Awaitable[Any]) -> None:
        """Let somebody ask for something, which may be refused by a sentence."""

        async def asked() -> None:
            try:
                await work
            except UserError as refusal:
                assert refusal.message

        self.do(asked())

    def a_code(self, luck: int) -> str:
        codes = [row[0] for row in self.rows("SELECT code FROM loras ORDER BY created_ms, code")]
        return str(codes[luck % len(codes)]) if codes else "00000000"

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.beside.execute(sql).fetchall()

    # --- people ------------------------------------------------------------------------------------------

    @rule(who=st.sampled_from(PEOPLE), count=st.integers(1, 6))
    def sends_photos(self, who: Identity, count: int) -> None:
        numbers = range(self.photos, self.photos + count)
        self.photos += count
        self.asks(self.studio.add_photos(who, PLACES[who], album(*numbers)))

    @rule(who=st.sampled_from(PEOPLE))
    def trains(self, who: Identity) -> None:
        self.presses_at_the_set(who, "restart")
        self.sends_photos(who, 5)

    @rule(who=st.sampled_from(PEOPLE))
    def trains_to_the_end(self, who: Identity) -> None:
        self.switches("resume")
        self.trains(who)
        self.do(self._work())

    @rule(who=st.sampled_from(PEOPLE), luck=st.integers(0, 9), count=st.integers(1, 4))
    def draws(self, who: Identity, luck: int, count: int) -> None:
        self.asks(self.studio.generate_from_text(who, PLACES[who], f"{self.a_code(luck)} a boat --n {count}"))

    @rule(
        who=st.sampled_from(PEOPLE),
        what=st.sampled_from(("cancel", "again", "delete!", "vary", "large")),
        job=st.integers(1, 20),
    )
    def presses(self, who: Identity, what: str, job: int) -> None:
        action = f"{what}:{job}:1" if what in ("vary", "large") else f"{what}:{job}"
        self.asks(self.studio.handle_button(who, PLACES[who], action))

    @rule(who=st.sampled_from(PEOPLE), action=st.sampled_from(("restart", "first5")))
    def presses_at_the_set(self, who: Identity, action: str) -> None:
        self.asks(self.studio.handle_button(who, PLACES[who], action))

    @rule(who=st.sampled_from(PEOPLE), luck=st.integers(0, 9), keeps=st.booleans())
    def trains_further(self, who: Identity, luck: int, keeps: bool) -> None:
        account = self.do(self.ledger.accounts.get_or_create(who))
        self.asks(
            self.studio.handle_button(
                who, PLACES[who], f"settings:{account}:photos={'keep' if keeps else 'forget'}"
            )
        )
        self.asks(self.studio.continue_training(who, PLACES[who], self.a_code(luck)))

    @rule(who=st.sampled_from(PEOPLE), luck=st.integers(0, 9), photo=st.integers(1, 5))
    def swaps_a_photo(self, who: Identity, luck: int, photo: int) -> None:
        self.asks(self.studio.replace_photo(who, PLACES[who], f"{self.a_code(luck)} {photo}"))
        self.sends_photos(who, 1)

    @rule(who=st.sampled_from(PEOPLE))
    def cancels(self, who: Identity) -> None:
        self.asks(self.studio.cancel_job(who))

    @rule(who=st.sampled_from(PEOPLE))
    def wants_to_be_forgotten(self, who: Identity) -> None:
        self.may_vanish = True
        self.do(self._forget(who))

    async def _forget(self, who: Identity) -> None:
        asked = await self.studio.ask_to_erase(who)
        for button in asked.buttons[:1]:
            await self.studio.handle_button(who, PLACES[who], button.action)
        await consented(self.ledger, who)  # and comes again

    # --- administrators ----------------------------------------------------------------------------------

    @rule(what=st.sampled_from(("pause", "resume", "resume")))
    def switches(self, what: str) -> None:
        self.asks(self.studio.run_admin_command(ADMIN, what))

    @rule(luck=st.integers(0, 9))
    def takes_down(self, luck: int) -> None:
        self.may_vanish = True
        self.asks(self.studio.run_admin_command(ADMIN, "takedown", self.a_code(luck)))

    # --- the worker, and what goes on meanwhile ----------------------------------------------------------

    @rule(
        words=st.lists(st.sampled_from(WORDS), max_size=8),
        who=st.sampled_from(PEOPLE),
        other=st.sampled_from(("cancel", "forget", "takedown", "release", "nothing")),
    )
    def works(self, words: list[str], who: Identity, other: str) -> None:
        self.may_vanish = True
        self.backend.script, self.backend.meanwhile = words, lambda: self._other(who, other)
        self.do(self._work())

    async def _work(self) -> None:
        await self.dispatcher.drain()
        await asyncio.gather(*self.backend.others)
        self.backend.others.clear()
        self.backend.script, self.backend.meanwhile = [], None  # there may have been nothing to do

    async def _other(self, who: Identity, what: str) -> None:
        try:
            match what:
                case "cancel":
                    await self.studio.cancel_job(who)
                case "forget":
                    await self._forget(who)
                case "takedown":
                    await self.studio.run_admin_command(ADMIN, "takedown", self.a_code(0))
                case "release":
                    await self.ledger.jobs.requeue_running()
        except UserError as refusal:
            assert refusal.message

    @rule(luck=st.integers(0, 9), earlier=st.integers(1, 2), who=st.sampled_from(PEOPLE))
    def says_something_late(self, luck: int, earlier: int, who: Identity) -> None:
        self.switches("resume")
        self.trains(who)
        if jobs := self.rows("SELECT id FROM jobs ORDER BY id"):
            self.do(self._late(JobId(jobs[luck % len(jobs)][0]), 0))
        self.do(self._late_while_another_runs(earlier))

    async def _late_while_another_runs(self, earlier: int) -> None:
        for kind in JobKind:
            running = await self.ledger.jobs.claim_next(kind)
            if running is not None:
                await self._late(running.id, earlier)
        await self.ledger.jobs.requeue_running()

    async def _late(self, job_id: JobId, earlier: int) -> None:
        job = await self.ledger.jobs.get(job_id)
        if job is None or (job.status not in TERMINAL_STATUSES and not earlier):
            return
        attempt = job.attempt - earlier
        assert not await self.ledger.jobs.record_progress(job_id, attempt, 9, 9)
        assert not await self.ledger.jobs.record_checkpoint(job_id, attempt, 9)
        assert not await self.ledger.jobs.fail(job_id, attempt, JobFailure(sentence="late"))
        assert await self.ledger.jobs.record_lost_attempt(job_id, attempt) is None
        if job.kind is JobKind.TRAIN:
            assert not await self.ledger.jobs.finish_training(job_id, attempt, ("late", "0" * 64))
        else:
            assert not await self.ledger.jobs.finish_generation(job_id, attempt, ["late"], ["late"])

    # --- the house ---------------------------------------------------------------------------------------

    @rule(errors=st.integers(0, 2))
    def delivers(self, errors: int) -> None:
        self.chat.errors = [ConnectionError("no network")] * errors
        self.do(self.notifier.deliver_due())
        self.do(self.notifier.edit_cards())
        self.chat.errors.clear()

    @rule(hours=st.integers(1, 30))
    def time_passes(self, hours: int) -> None:
        self.clock.forward(hours=hours)
        self.do(self.schedule.run_retention())

    @rule(is_running=st.booleans())
    def is_started_again(self, is_running: bool) -> None:
        if is_running:
            self.do(self.ledger.jobs.claim_next(JobKind.TRAIN))
        self.do(self.ledger.close())
        self.do(self._open())
        self.do(self.ledger.jobs.requeue_running())

    # --- what always holds -------------------------------------------------------------------------------

    @invariant()
    def every_change_was_legal(self) -> None:
        type(self).steps += 1
        for what, thing, was, now, attempts in self.rows("SELECT * FROM moves"):
            is_legal = (was, now, attempts) in LEGAL_OF_JOBS or (
                what == "lora" and (was, now) in LEGAL_OF_LORAS
            )
            assert is_legal, f"{what} {thing} went from {was} to {now}, {attempts} attempts on"
            self.moves[f"{was} to {now}"] += 1
        self.beside.execute("DELETE FROM moves")

    @invariant()
    def an_end_is_an_end(self) -> None:
        now = {row[0]: row[1] for row in self.rows("SELECT id, status FROM jobs")}
        for job, status in self.ended.items():
            if job in now:
                assert now[job] == status, f"job {job} was {status} and is {now[job]}"
            else:
                assert self.may_vanish, f"job {job} has vanished"
        self.ended = {JobId(job): status for job, status in now.items() if status in set(TERMINAL_STATUSES)}
        self.may_vanish = False
        assert not self.rows(f"SELECT id FROM jobs WHERE losses > {MAX_ATTEMPTS}")  # noqa: S608

    @invariant()
    def rows_and_files_agree(self) -> None:
        assert wrong_with(self.folder) == []
        assert not self.rows(
            "SELECT code FROM loras JOIN jobs USING (code) WHERE kind = 'train'"
            " AND json_extract(wish, '$.start_step') IS NULL"
            " AND (state = 'training') != (status IN ('queued', 'running'))"
        )
        assert not self.rows(
            "SELECT code FROM loras JOIN jobs USING (code) WHERE state != 'ready'"
            " AND json_extract(wish, '$.start_step') IS NOT NULL"
        ), "one that is trained further can be drawn with all the while"

    def teardown(self) -> None:
        self.do(self.ledger.close())
        self.beside.close()
        self.runner.close()
        shutil.rmtree(self.folder)


@forms("stories", short=4, long=220)
def test_s6_every_change_of_state_is_fenced_and_legal(proof: Proof, tmp_path: Path, stories: int) -> None:
    size = settings(
        max_examples=stories,
        stateful_step_count=STEPS_A_STORY,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
    )

    class Story(Doings):
        root, steps, moves = tmp_path, 0, Counter()

    run_state_machine_as_test(Story, settings=size)
    common = ", ".join(f"{count} {move}" for move, count in Story.moves.most_common(4))
    proof.concludes(
        f"{Story.steps} steps in {stories} stories, {Story.moves.total()} changes ({common}, ...)"
    )
