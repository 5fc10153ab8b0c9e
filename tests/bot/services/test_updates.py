"""What a platform hands over twice is done once: every job is found by the key of its request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bot.chats.base import handle_action
from bot.core.messages import Reply, Request
from bot.services.updates import UpdateInbox
from tests.support.services import ANNA, ANNAS, Desk, album, open_desk

KEY = "telegram:7"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def _send_fifth(desk: Desk) -> Reply:
    await desk.send(ANNA, 1, 2, 3, 4)
    add_photos = desk.studio.services.photo_sets.add_photos
    return await desk.studio.ask(add_photos, ANNA, ANNAS, uploads=tuple(album(5)), idempotency_key=KEY)


async def _take_first_five(desk: Desk) -> Reply:
    await desk.send(ANNA, 1, 2, 3, 4, 5, 6)
    return await _press(desk, "first5")


async def _drop_one_of_six(desk: Desk) -> Reply:
    shown = await desk.send(ANNA, 1, 2, 3, 4, 5, 6)
    [action] = [each.action for each in shown.buttons if each.label == "✕ 6"]
    return await _press(desk, action)


async def _send_train(desk: Desk) -> Reply:
    await desk.send(ANNA, 1, 2, 3, 4, 5, 6)
    account = await desk.ledger.accounts.get_or_create(ANNA)
    photo_ids = (await desk.ledger.photo_sets.get_set(account)).photo_ids
    await desk.ledger.photo_sets.delete_photo(account, photo_ids[-1], ANNAS, None)
    return await desk.studio.say(ANNA, ANNAS, "train", key=KEY)


async def _continue_on_kept_photos(desk: Desk) -> Reply:
    account = await desk.ledger.accounts.get_or_create(ANNA)
    preferences = await desk.ledger.accounts.get_preferences(account)
    await desk.ledger.accounts.save_preferences(account, replace(preferences, keeps_photos=True))
    code = (await desk.ready(ANNA)).code
    return await desk.studio.say(ANNA, ANNAS, "more", code, KEY)


async def _generate(desk: Desk) -> Reply:
    code = (await desk.ready(ANNA)).code
    return await desk.studio.say(ANNA, ANNAS, "generate", f"{code} a boat", KEY)


async def _complete_draft(desk: Desk) -> Reply:
    await desk.ready(ANNA)
    await desk.studio.say(ANNA, ANNAS, "generate")
    use_case = desk.studio.services.drafts.generate_draft
    return await desk.studio.ask(use_case, ANNA, ANNAS, text="a boat", idempotency_key=KEY)


async def _press(desk: Desk, action: str) -> Reply:
    return await handle_action(desk.studio.services, action, Request(ANNA, ANNAS, idempotency_key=KEY))


@pytest.mark.parametrize(
    "ask",
    [
        _send_fifth,
        _take_first_five,
        _drop_one_of_six,
        _send_train,
        _continue_on_kept_photos,
        _generate,
        _complete_draft,
    ],
)
async def test_each_job_is_found_by_the_key_of_its_request(
    desk: Desk, ask: Callable[[Desk], Awaitable[Reply]]
) -> None:
    inbox = UpdateInbox(desk.ledger, desk.queue)
    reply = await ask(desk)
    assert reply.card_job_id is not None, reply.text
    assert await inbox.has_job(KEY)
    assert desk.queue.changed_jobs == [reply.card_job_id], "its card is shown again"
    assert not await inbox.has_job("telegram:8")
