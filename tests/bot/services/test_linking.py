"""`/link`: two accounts of one person become one, by a word of ten minutes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.errors import UserError
from bot.core.messages import Reply, Upload
from bot.core.photos import MAX_PHOTOS_IN_SET, NewPhoto
from bot.services.context import AccountLocks
from bot.texts import translate
from tests.support.services import ANNA, BERT, BERTS, PLACES, Desk, InProcessDecoder, open_desk, tools
from tests.support.use_cases import Studio

#: Anna on Telegram, alone with the bot; BERT is she on Discord.
ALONE = ChatAddress(Platform.TELEGRAM, "1", "1")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def word_of(desk: Desk) -> str:
    found = re.search(r"word is ([A-Z]{6})\.", (await desk.studio.link_accounts(ANNA, ALONE, "")).text)
    assert found is not None
    return found[1]


async def refusal(desk: Desk, word: str) -> str:
    with pytest.raises(UserError) as caught:
        await desk.studio.link_accounts(BERT, BERTS, word)
    return caught.value.message


async def test_codes_jobs_and_photos_of_both_are_one(desk: Desk) -> None:
    here, there = await desk.ready(ANNA), await desk.ready(BERT)
    open_job = await desk.train(BERT, first=11)
    await desk.send(ANNA, 21, 22)
    await desk.send(BERT, 22, 23)
    assert (
        "Linked" in (await desk.studio.link_accounts(BERT, BERTS, f" {(await word_of(desk)).lower()} ")).text
    )
    codes = {here.code, there.code, open_job.code}
    assert {each.code for each in await desk.loras(ANNA)} == codes
    assert {each.code for each in await desk.loras(BERT)} == codes
    assert [each.id for each in await desk.jobs(ANNA)] == [open_job.id]
    assert (
        await desk.ledger.photo_sets.count_collected(await desk.ledger.accounts.get_or_create(BERT)) == 3
    ), "the same photo counts once"
    [notice] = [each for each in await desk.ledger.outbox.list_due_notices(10) if each.job.code == there.code]
    assert notice.job.address == BERTS, "notices go where the job was asked for"


async def test_a_link_token_works_once_and_for_ten_minutes(desk: Desk) -> None:
    word = await word_of(desk)
    desk.clock.forward(minutes=10, seconds=1)
    assert await refusal(desk, word) == translate("link-unknown")
    first, second = await word_of(desk), await word_of(desk)
    assert await refusal(desk, first) == translate("link-unknown"), "the newest alone is valid"
    await desk.studio.link_accounts(BERT, BERTS, second)
    assert await refusal(desk, second) == translate("link-unknown")


async def test_an_own_link_token_does_nothing(desk: Desk) -> None:
    word = await word_of(desk)
    with pytest.raises(UserError) as caught:
        await desk.studio.link_accounts(ANNA, ALONE, word)
    assert caught.value.message == translate("link-same")


async def test_link_tokens_cannot_be_guessed(desk: Desk) -> None:
    word = await word_of(desk)
    for _ in range(5):
        assert await refusal(desk, "WRONGG") == translate("link-unknown")
    assert await refusal(desk, word) == translate("link-too-often")
    desk.clock.forward(minutes=11)
    assert "Linked" in (await desk.studio.link_accounts(BERT, BERTS, await word_of(desk))).text


async def test_wrong_tokens_at_once_are_all_counted(desk: Desk) -> None:
    own = await word_of(desk)
    for _ in range(2):
        with pytest.raises(UserError, match="That word belongs to this account"):
            await desk.studio.link_accounts(ANNA, ALONE, own)
        wrong = [desk.studio.link_accounts(ANNA, ALONE, "WRONGG") for _ in range(4)]
        answers = await asyncio.gather(*wrong, return_exceptions=True)
    assert [str(each) for each in answers].count(translate("link-too-often")) == 3


@pytest.mark.parametrize("further", [ANNA, BERT])
async def test_photos_that_train_a_lora_further_and_others_are_not_mixed(
    desk: Desk, further: Identity
) -> None:
    code = (await desk.ready(further)).code
    await desk.studio.continue_training(further, PLACES[further], code)
    await desk.send(further, 21, 22)
    await desk.send(BERT if further is ANNA else ANNA, 31, 32, 33)
    word = await word_of(desk)
    assert "waiting for another LoraCode" in await refusal(desk, word)
    await desk.studio.discard_photos(BERT, BERTS)
    assert "Linked" in (await desk.studio.link_accounts(BERT, BERTS, word)).text


@pytest.mark.parametrize("further", [ANNA, BERT])
async def test_photos_are_not_for_the_empty_set_of_the_other_platform(desk: Desk, further: Identity) -> None:
    code = (await desk.ready(further)).code
    await desk.studio.continue_training(further, PLACES[further], code)
    await desk.send(BERT if further is ANNA else ANNA, 31, 32, 33)
    await desk.studio.link_accounts(BERT, BERTS, await word_of(desk))
    await desk.send(ANNA, 34, 35)
    [job] = await desk.jobs(ANNA)
    assert job.code != code


async def test_two_full_sets_become_one_full_set_of_the_account_that_stays(desk: Desk) -> None:
    stays = await desk.ledger.accounts.get_or_create(ANNA)
    await desk.send(ANNA, *range(11, 19))
    await desk.send(BERT, *range(21, 31))
    own = (await desk.ledger.photo_sets.get_set(stays)).photo_hashes
    await desk.studio.link_accounts(BERT, BERTS, await word_of(desk))
    held = (await desk.ledger.photo_sets.get_set(await desk.ledger.accounts.get_or_create(BERT))).photo_hashes
    assert len(held) == MAX_PHOTOS_IN_SET
    assert set(own) < set(held)


class LinkingDecoder(InProcessDecoder):
    """Links the person's account to another while it decodes their first photo."""

    def __init__(self, link: Callable[[], Awaitable[object]]) -> None:
        self._link: Callable[[], Awaitable[object]] | None = link

    async def decode(self, upload: Upload) -> NewPhoto:
        link, self._link = self._link, None
        if link is not None:
            await link()
        return await super().decode(upload)


async def test_a_photo_that_is_read_while_its_account_is_linked_is_in_the_set(desk: Desk) -> None:
    await desk.send(ANNA, 11)
    word, other = await word_of(desk), desk.studio
    desk.studio = Studio(
        tools(desk.ledger, desk.queue, desk.files, desk.clock),
        LinkingDecoder(lambda: other.link_accounts(BERT, BERTS, word)),
        set(),
    )
    reply = await desk.send(BERT, 21)
    assert reply.shows_photo_set
    assert await desk.ledger.photo_sets.count_collected(await desk.ledger.accounts.get_or_create(ANNA)) == 2


async def test_a_receipt_is_not_given_for_an_account_joined_just_now(desk: Desk) -> None:
    await desk.ready(BERT)
    locks = AccountLocks()
    desk_tools = replace(tools(desk.ledger, desk.queue, desk.files, desk.clock), locks=locks)
    desk.studio = Studio(desk_tools, InProcessDecoder(), set())
    word, [forget] = await word_of(desk), (await desk.studio.ask_to_erase(BERT)).buttons[:1]
    held = locks.get_lock(await desk.ledger.accounts.get_or_create(BERT))
    async with held:
        at_once = []
        for doing in (
            desk.studio.link_accounts(BERT, BERTS, word),
            desk.studio.handle_button(BERT, BERTS, forget.action),
        ):
            at_once.append(asyncio.ensure_future(doing))
            while len(held._waiters or ()) < len(at_once):
                await asyncio.sleep(0)
    linked, forgotten = await asyncio.gather(*at_once, return_exceptions=True)
    assert isinstance(linked, Reply)
    assert str(forgotten) == translate("stale-button")
    assert len(await desk.loras(ANNA)) == 1


async def test_a_link_token_is_not_shown_nor_taken_where_others_read_along(desk: Desk) -> None:
    with pytest.raises(UserError) as caught:
        await desk.studio.link_accounts(ANNA, ChatAddress(Platform.TELEGRAM, "-500", "1"), "")
    assert caught.value.message == translate("link-in-private")
