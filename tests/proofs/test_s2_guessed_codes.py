"""S2: a code is a name and no key. Guessing draws nothing, tells nothing and bothers nobody."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.errors import UserError
from bot.core.jobs import GenerationParams, JobKind
from bot.core.loras import LoraCode, Requester
from bot.db import MAX_FORWARDED_PER_DAY
from bot.services.access import MAX_IN_TOTAL, MAX_PER_ACCOUNT
from tests.proofs.verdict import Proof, forms
from tests.support.services import Desk, open_desk, photo

OWNERS = 20
#: How much longer one kind of wrong code may take than the other, by the medians of the long form.
MAX_TIMES = 1.1


def guesser(number: int) -> tuple[Identity, ChatAddress]:
    return Identity(Platform.TELEGRAM, f"{7000 + number}"), ChatAddress(
        Platform.TELEGRAM, f"{number}", f"{number}"
    )


async def owned_codes(desk: Desk) -> list[LoraCode]:
    """Loras of several people that can draw."""
    codes = []
    for number in range(OWNERS):
        who = Identity(Platform.DISCORD, f"{number}")
        where = ChatAddress(Platform.DISCORD, f"{number}", f"{number}")
        await desk.ledger.accounts.record_consent(await desk.ledger.accounts.get_or_create(who))
        reply = await desk.studio.add_photos(who, where, [photo(5 * number + each) for each in range(5)])
        assert reply.card_job_id is not None
        job = await desk.claim(JobKind.TRAIN)
        assert await desk.ledger.jobs.finish_training(
            job.id, job.attempt, (f"{job.code}.safetensors", "0" * 64)
        )
        codes.append(job.code)
    return codes


async def answer(desk: Desk, who: Identity, place: ChatAddress, code: str) -> tuple[str, float]:
    """What a guess is answered, and the seconds it took."""
    began = time.perf_counter()
    try:
        await desk.studio.generate(who, place, code, GenerationParams("a boat"))
    except UserError as refusal:
        return refusal.message, time.perf_counter() - began
    return "drawn", time.perf_counter() - began


@dataclass
class Heard:
    """What guesses were answered, by whose code they named."""

    words: dict[str, Counter[str]] = field(
        default_factory=lambda: {"foreign": Counter(), "unknown": Counter()}
    )
    took_s: dict[str, list[float]] = field(default_factory=lambda: {"foreign": [], "unknown": []})

    @property
    def all(self) -> Counter[str]:
        return self.words["foreign"] + self.words["unknown"]

    def median_ms(self, kind: str) -> float:
        return 1000 * statistics.median(self.took_s[kind])


async def guess(desk: Desk, number: int, guesses: int, codes: list[LoraCode], luck: random.Random) -> Heard:
    """Let one account try codes, half of them real: many more than chance would hit."""
    heard, (who, place) = Heard(), guesser(number)
    for tried in range(guesses):
        code = luck.choice(codes) if luck.random() < 0.5 else f"{luck.randrange(10**8):08}"
        kind = "foreign" if code in codes else "unknown"
        said, seconds = await answer(desk, who, place, code)
        heard.words[kind][said] += 1
        heard.took_s[kind].append(seconds)
        if tried % 100 == 99:
            desk.clock.forward(minutes=1)
    return heard


@forms("size", short=(30, 40), long=(1000, 1000))
async def test_s2_guesses_draw_nothing_tell_nothing_and_bother_nobody(
    proof: Proof, tmp_path: Path, size: tuple[int, int]
) -> None:
    (accounts, guesses), luck, wrong, heard = size, random.Random(22), [], Heard()
    async with open_desk(tmp_path) as desk:
        codes = await owned_codes(desk)
        woken = desk.queue.wake_count
        for number in range(accounts):
            one = await guess(desk, number, guesses, codes, luck)
            for kind in heard.words:
                heard.words[kind] += one.words[kind]
                heard.took_s[kind] += one.took_s[kind]
        if set(heard.words["foreign"]) != set(heard.words["unknown"]) or len(heard.all) != 2:
            wrong.append(f"words differ: {heard.words}")
        if min(heard.all.values()) > accounts * MAX_PER_ACCOUNT:
            wrong.append("wrong guesses were not limited")
        if desk.queue.wake_count != woken or any(
            kind is JobKind.GENERATE for kind, _ in (await desk.ledger.monitoring.count_all()).jobs
        ):
            wrong.append("something is to be drawn")
        if letters := await _letters(desk):
            wrong.append(f"{letters} letters to owners")
    foreign_ms, unknown_ms = heard.median_ms("foreign"), heard.median_ms("unknown")
    if size[0] == 1000 and max(foreign_ms, unknown_ms) > MAX_TIMES * min(foreign_ms, unknown_ms):
        wrong.append("one kind of wrong code takes longer")
    proof.concludes(
        f"{heard.all.total()} guesses of {accounts} accounts, half of them real codes: 0 pictures, 0 letters;"
        f" {foreign_ms:.2f} ms for a real one, {unknown_ms:.2f} ms for none",
        wrong,
    )


async def test_s2_the_same_statements_are_run_for_foreign_and_unknown_codes(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        [foreign, *_] = await owned_codes(desk)
        who, place = guesser(1)
        await desk.ledger.accounts.get_or_create(who)
        seen = []
        for code in (foreign, "00000000" if foreign != "00000000" else "00000001"):
            statements: list[str] = []
            await desk.ledger._connection._connection.set_trace_callback(statements.append)
            await answer(desk, who, place, code)
            await desk.ledger._connection._connection.set_trace_callback(None)
            seen.append([line.replace(code, "CODE") for line in statements])
        assert seen[0] == seen[1]
        assert any("CODE" in line for line in seen[0])


async def test_s2_owners_are_not_bothered_by_requests_for_every_code(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        codes = await owned_codes(desk)
        for number in range(40):
            who, place = guesser(number)
            asker = Requester(await desk.ledger.accounts.get_or_create(who), "", place)
            for code in codes:
                await desk.ledger.sharing.add_request(asker, code)
        await desk.ledger.sharing.forward_requests()
        shares = [len(await desk.ledger.sharing.list_shares(code)) for code in codes]
        assert 0 < max(shares) <= MAX_FORWARDED_PER_DAY


async def test_s2_guesser_still_draws_with_their_own_codes(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        who, place = guesser(1)
        await desk.ledger.accounts.record_consent(await desk.ledger.accounts.get_or_create(who))
        await desk.studio.add_photos(who, place, [photo(each) for each in range(5)])
        job = await desk.claim(JobKind.TRAIN)
        await desk.ledger.jobs.finish_training(job.id, job.attempt, (f"{job.code}.safetensors", "0" * 64))
        said = [(await answer(desk, who, place, f"{number:08}"))[0] for number in range(MAX_PER_ACCOUNT + 5)]
        assert len(set(said)) == 2
        assert "Too many" in said[-1]
        assert (await answer(desk, who, place, job.code))[0] == "drawn"
        desk.clock.forward(minutes=61)
        assert (await answer(desk, who, place, "00000000"))[0] == said[0]


async def test_s2_all_together_are_limited_and_the_innocent_are_not(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        guesses = desk.studio.services.access._guess_limiter
        for number in range(MAX_IN_TOTAL):
            assert guesses.record_wrong_code(number, desk.clock())  # type: ignore[arg-type]
        assert guesses.record_wrong_code(1_000_000, desk.clock())  # type: ignore[arg-type]
        assert not guesses.record_wrong_code(1_000_000, desk.clock()), (
            "one mistake is forgiven, a second is not now"
        )  # type: ignore[arg-type]


async def _letters(desk: Desk) -> int:
    await desk.ledger.sharing.forward_requests()
    rows = await desk.ledger._connection.fetch_rows("SELECT count(*) AS n FROM letters")
    return int(rows[0]["n"])
