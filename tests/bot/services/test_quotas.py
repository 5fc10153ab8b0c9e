"""Quotas: what a person may have trained a day and drawn an hour, by role or by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.core.accounts import AccessRules, Quota, Role
from bot.core.jobs import GenerationParams, JobKind
from bot.core.likeness import PictureSelection
from bot.texts.admin.commands import (
    HOW_TO_QUOTA,
    NO_SUCH_PERSON,
)
from tests.bot.services.test_admin import refused, ruled
from tests.support.services import (
    ADMIN,
    ANNA,
    ANNAS,
    BERT,
    BERTS,
    Desk,
    open_desk,
)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def test_trainings_a_day_are_counted_by_role_once_they_began(desk: Desk) -> None:
    ruled(desk, AccessRules(quotas={Role.GUEST: Quota(trainings_per_day=1)}))
    await desk.train(ANNA)
    await desk.studio.cancel_job(ANNA)
    await desk.ready(ANNA, first=11)
    assert "1 training a day" in await refused(desk.studio.start_training(ANNA, ANNAS))
    assert "1 training a day" in await refused(desk.send(ANNA, 21, 22, 23, 24, 25))
    await desk.ready(BERT)
    desk.clock.forward(hours=24)
    await desk.train(ANNA, first=21)


async def test_a_deleted_lora_gives_nothing_back_of_a_quota(desk: Desk) -> None:
    ruled(desk, AccessRules(quotas={Role.GUEST: Quota(trainings_per_day=1)}))
    code = (await desk.ready(ANNA)).code
    await desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat --n 4")
    await desk.claim(JobKind.GENERATE)
    account, began = await desk.ledger.accounts.get_or_create(ANNA), desk.clock() - timedelta(minutes=1)
    await desk.ledger.privacy.erase_lora(code)
    assert await desk.ledger.access.count_pictures_since(account, began) == 4
    assert "1 training a day" in await refused(desk.studio.start_training(ANNA, ANNAS))
    desk.clock.forward(hours=24)
    await desk.ledger.access.delete_expired_usage(desk.clock())
    assert await desk.ledger.access.count_trainings_since(account, began - timedelta(days=1)) == 0
    waiting = await desk.train(ANNA, first=11)
    await desk.ledger.privacy.erase_lora(waiting.code)
    await desk.train(ANNA, first=21)  # what never began cost nothing


async def test_pictures_an_hour_count_also_when_deleted(desk: Desk) -> None:
    ruled(desk, AccessRules(quotas={Role.GUEST: Quota(pictures_per_hour=5)}))
    code = (await desk.ready(ANNA)).code
    await desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat --n 4")
    job = await desk.claim(JobKind.GENERATE)
    assert "5 pictures an hour" in await refused(
        desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat --n 2")
    )
    assert await desk.ledger.jobs.finish_generation(
        job.id, job.attempt, [f"{job.id}-{n}.png" for n in range(1, 5)]
    )
    await desk.ledger.results.delete_result(job.id)
    await refused(desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat --n 2"))
    await desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat")
    desk.clock.forward(hours=1)
    await desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat --n 4")


async def test_pictures_of_a_best_of_request_all_count_after_deleting(desk: Desk) -> None:
    ruled(desk, AccessRules(quotas={Role.GUEST: Quota(pictures_per_hour=5)}))
    code, account = (await desk.ready(ANNA)).code, await desk.ledger.accounts.get_or_create(ANNA)
    wish = GenerationParams("a boat", count=4, best=True)
    await desk.ledger.jobs.add_generation(account, code, wish, ANNAS)
    job = await desk.claim(JobKind.GENERATE)
    picked = PictureSelection((0.5, 0.75, 0.5, None), 2), wish
    assert await desk.ledger.jobs.finish_generation(
        job.id, job.attempt, [f"{job.id}-1.png"], selection=picked
    )
    await desk.studio.handle_button(ANNA, ANNAS, f"delete!:{job.id}")
    assert "5 pictures an hour" in await refused(
        desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat --n 2")
    )
    deleted = await desk.ledger.jobs.get(job.id)
    assert deleted is not None
    assert deleted.params == GenerationParams("", count=4), "no word of it stays"


async def test_limits_of_a_person_stand_above_those_of_their_role(desk: Desk) -> None:
    ruled(desk, AccessRules(quotas={Role.GUEST: Quota(1, 5), Role.TRUSTED: Quota(9, 90)}))
    await desk.ledger.accounts.get_or_create(ANNA)
    text = (await desk.studio.run_admin_command(ADMIN, "quota", f"{ANNA}")).text
    assert "telegram:1 (guest)" in text
    assert "Trainings a day: 1, 0 used" in text
    text = (await desk.studio.run_admin_command(ADMIN, "quota", f"{ANNA} 0 -")).text
    assert "Trainings a day: 0, 0 used\nPictures an hour: 5, 0 used" in text
    assert "0 trainings a day" in await refused(desk.studio.start_training(ANNA, ANNAS))
    text = (await desk.studio.run_admin_command(ADMIN, "quota", f"{ANNA} - -")).text
    assert "Trainings a day: 1" in text
    text = (await desk.studio.run_admin_command(ADMIN, "quota", f"{ANNA} trusted")).text
    assert "telegram:1 (trusted)" in text
    assert "Trainings a day: 9" in text


@pytest.mark.parametrize("change", ["king", "1", "1 2 3", "-1 2", "1 x", "1 999999999"])
async def test_limits_that_are_none_are_refused(desk: Desk, change: str) -> None:
    await desk.ledger.accounts.get_or_create(ANNA)
    assert await refused(desk.studio.run_admin_command(ADMIN, "quota", f"{ANNA} {change}")) == HOW_TO_QUOTA
    assert (
        await refused(desk.studio.run_admin_command(ADMIN, "quota", f"telegram:777 {change}"))
        == NO_SUCH_PERSON
    )


async def test_administrators_have_no_limits(desk: Desk) -> None:
    ruled(desk, AccessRules(quotas={Role.GUEST: Quota(0, 0)}))
    await desk.studio.start_training(ADMIN, ADMIN.private_address)
    await refused(desk.studio.start_training(ANNA, ANNAS))


async def test_joined_accounts_have_the_higher_role_and_the_lower_limits(desk: Desk) -> None:
    ours, theirs = (
        await desk.ledger.accounts.get_or_create(ANNA),
        await desk.ledger.accounts.get_or_create(BERT),
    )
    await desk.ledger.access.set_quota(ours, Quota(5, None))
    await desk.ledger.access.set_quota(theirs, Quota(2, 10))
    await desk.ledger.access.set_role(theirs, Role.TRUSTED)
    await desk.ledger.accounts.save_link_token(ours, "ABCDEF", desk.clock.now.replace(year=2040))
    await desk.studio.link_accounts(BERT, BERTS, "abcdef")
    standing = await desk.ledger.access.get_access_status(ANNA)
    assert (standing.role, standing.quota_override) == (Role.TRUSTED, Quota(2, 10))
