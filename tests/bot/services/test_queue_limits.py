"""A full line answers with a time, in all and for one chat; words that are ruled out are not drawn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.accounts import AccessRules, ChatAddress, Identity, Platform
from bot.core.errors import UserError
from bot.core.jobs import JobKind
from bot.media.moderation.blocked_words import BlockList
from tests.support.services import (
    ADMIN,
    ANNA,
    ANNAS,
    BERT,
    BERTS,
    Desk,
    InProcessDecoder,
    album,
    consented,
    open_desk,
    tools,
)
from tests.support.use_cases import Studio

GROUP = ChatAddress(Platform.TELEGRAM, "-100", "1")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


def ruled(desk: Desk, rules: AccessRules | None = None, block_list: Path | None = None) -> None:
    """Let the desk work by these rules."""
    blocked = BlockList(block_list)
    blocked.load()
    of_desk = tools(desk.ledger, desk.queue, desk.files, desk.clock)
    desk.studio = Studio(
        replace(of_desk, rules=rules or AccessRules(), block_list=blocked), InProcessDecoder(), {ADMIN}
    )


async def refused(call: object) -> str:
    with pytest.raises(UserError) as caught:
        await call  # type: ignore[misc]
    return caught.value.message


async def test_a_full_queue_says_when_and_takes_again_when_there_is_room(desk: Desk) -> None:
    code = (await desk.ready(BERT, seconds=900)).code
    ruled(desk, AccessRules(max_queued_jobs=1))
    await desk.train(ANNA)
    running = await desk.claim(JobKind.TRAIN)
    await desk.train(ANNA, first=6)
    assert await desk.ledger.jobs.record_progress(running.id, running.attempt, 1, 1500)
    full = "The queue is full, with 1 job in it. Please ask again in about 15 min."
    assert await refused(desk.studio.add_photos(BERT, BERTS, album(1, 2, 3, 4, 5))) == full
    assert await refused(desk.studio.generate_from_text(BERT, BERTS, f"{code} a boat")) == full
    assert await desk.ledger.photo_sets.count_collected(await desk.ledger.accounts.get_or_create(BERT)) == 0
    await desk.claim(JobKind.TRAIN)
    assert (await desk.studio.generate_from_text(BERT, BERTS, f"{code} a boat")).card_job_id is not None


async def test_a_full_line_has_a_time_also_when_nobody_knows(desk: Desk) -> None:
    ruled(desk, AccessRules(max_queued_jobs=1))
    await desk.train(ANNA)
    sentence = await refused(desk.studio.add_photos(BERT, BERTS, album(1)))
    assert sentence.endswith("Please ask again in about 10 min.")


async def test_a_job_during_which_the_clock_was_set_back_is_no_history(desk: Desk) -> None:
    await desk.ready(ANNA, seconds=-3600)
    assert "no estimate" in (await desk.send(BERT, 1, 2, 3, 4, 5)).text


async def test_a_full_share_link_admits_no_more_of_many_at_once(desk: Desk) -> None:
    ruled(desk, AccessRules(max_queued_jobs=3))
    people = [Identity(Platform.TELEGRAM, str(number)) for number in range(200, 210)]
    await consented(desk.ledger, *people)
    asked = [desk.studio.add_photos(who, who.private_address, album(1, 2, 3, 4, 5)) for who in people]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refusals = [each for each in answers if isinstance(each, UserError)]
    assert len(refusals) == 7
    assert all("The queue is full, with 3 jobs in it." in each.message for each in refusals)
    assert (await desk.ledger.monitoring.count_queued())[JobKind.TRAIN] == 3


async def test_administrators_come_in_through_a_full_line(desk: Desk) -> None:
    ruled(desk, AccessRules(max_queued_jobs=1))
    await desk.train(ANNA)
    await consented(desk.ledger, ADMIN)
    assert (
        await desk.studio.add_photos(ADMIN, ADMIN.private_address, album(1, 2, 3, 4, 5))
    ).card_job_id is not None


async def test_a_group_has_its_own_limit_and_holds_up_no_other(desk: Desk) -> None:
    ruled(desk, AccessRules(max_chat_jobs=1))
    await desk.studio.add_photos(ANNA, GROUP, album(1, 2, 3, 4, 5))
    berts = replace(GROUP, user_id="2")
    sentence = await refused(desk.studio.add_photos(BERT, berts, album(1, 2, 3, 4, 5)))
    assert sentence == (
        "This chat has 1 job in line, and that is the limit. Please ask again in about 10 min, "
        "or write to me in private."
    )
    assert (await desk.studio.add_photos(BERT, BERTS, album(1, 2, 3, 4, 5))).card_job_id is not None
    assert not (await refused(desk.studio.add_photos(ANNA, ANNA.private_address, []))).startswith(
        "I have 1 job"
    )


@pytest.mark.parametrize(
    ("place", "is_shared"),
    [
        (ChatAddress(Platform.TELEGRAM, "1", "1"), False),
        (ChatAddress(Platform.TELEGRAM, "-100", "1"), True),
        (ChatAddress(Platform.DISCORD, "dm", "2"), False),
        (ChatAddress(Platform.DISCORD, "dm+7", "2"), False),
        (ChatAddress(Platform.DISCORD, "7", "2"), True),
        (ChatAddress(Platform.CONSOLE, "console", "me"), False),
    ],
)
def test_an_address_is_shared_where_others_read_too(place: ChatAddress, is_shared: bool) -> None:
    assert place.is_shared is is_shared


async def test_open_jobs_of_a_chat_are_found_without_reading_all(desk: Desk) -> None:
    plan = await desk.ledger._connection.fetch_rows(
        "EXPLAIN QUERY PLAN SELECT * FROM jobs WHERE platform = 'telegram' AND chat_id = '1'"
        " AND status IN ('queued', 'running') ORDER BY id LIMIT 5"
    )
    assert [row["detail"] for row in plan] == [
        "SEARCH jobs USING INDEX jobs_open_in_chat (platform=? AND chat_id=?)"
    ]


async def test_blocked_words_are_not_drawn_by_any_way(desk: Desk, tmp_path: Path) -> None:
    code = (await desk.ready(ANNA)).code
    drawn = await desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a dragon")
    job = await desk.claim(JobKind.GENERATE)
    assert await desk.ledger.jobs.finish_generation(job.id, job.attempt, ["1-1.png"], ["recipe"])
    assert drawn.card_job_id == job.id
    (tmp_path / "blocked.txt").write_text("dragon", encoding="utf-8")
    ruled(desk, block_list=tmp_path / "blocked.txt")
    sentence = "“dragon” is blocked on this bot. Please ask for something else."
    assert await refused(desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a Dragon")) == sentence
    assert await refused(desk.studio.handle_button(ANNA, ANNAS, f"again:{job.id}")) == sentence
    assert await refused(desk.studio.handle_button(ANNA, ANNAS, f"vary:{job.id}:1")) == sentence
    assert (
        await refused(desk.studio.generate_edited(ANNA, ANNAS, job.id, "two dragons, one dragon")) == sentence
    )
    await desk.studio.handle_button(ANNA, ANNAS, f"use:{code}")
    assert await refused(desk.studio.handle_text(ANNA, ANNAS, "a DRAGON")) == sentence
    answer = await desk.studio.handle_text(ANNA, ANNAS, "a boat")
    assert answer is not None
    assert answer.card_job_id is not None, "what was being put together is still there"
