"""Sharing: an owner decides who draws with their Lora; whoever asks for a code learns nothing of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.errors import UserError
from bot.core.jobs import JobFailure, JobKind, JobStatus
from bot.core.loras import LoraCode, Permission, format_code
from bot.core.messages import Reply
from bot.db import MAX_PENDING_REQUESTS, MAX_REQUESTS_PER_DAY
from bot.delivery.direct_messages import DirectMessageSender
from bot.texts import translate
from tests.support.engine import RememberingChat
from tests.support.services import ANNA, BERT, BERTS, Desk, open_desk

#: Anna on Telegram, alone with the bot.
ALONE = ChatAddress(Platform.TELEGRAM, "1", "1")
BERT_BY_NAME = replace(BERT, name="Bert\n@bert")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


def unknown(code: LoraCode) -> LoraCode:
    return LoraCode(f"{(int(code) + 1) % 10**8:08d}")


async def post(desk: Desk) -> list[tuple[ChatAddress, Reply]]:
    """Bring all letters; gives them."""
    chats = [RememberingChat(Platform.TELEGRAM), RememberingChat(Platform.DISCORD)]
    await DirectMessageSender(
        desk.ledger, {chat.platform: chat for chat in chats}, desk.clock, send_interval_s=0.0
    ).deliver_due()
    return [(place, reply) for chat in chats for place, reply, _ in chat.sent]


async def asked(desk: Desk) -> tuple[LoraCode, Reply]:
    """Bert asks for Anna's code; gives it with the letter she got."""
    code = (await desk.ready(ANNA)).code
    await desk.studio.request_access(BERT_BY_NAME, BERTS, code)
    [(place, letter)] = await post(desk)
    assert place == ANNA.private_address
    return code, letter


async def presses(desk: Desk, reply: Reply, label: str, who: Identity = ANNA) -> Reply:
    [action] = [each.action for each in reply.buttons if each.label == label]
    assert len(action.encode()) <= 64
    return await desk.studio.handle_button(who, ALONE if who is ANNA else BERTS, action)


async def trace(desk: Desk, note: Callable[[str], None] | None) -> None:
    """Note every statement that the database runs, or no longer."""
    await desk.ledger._connection.read(lambda db: db.set_trace_callback(note))


async def draws(desk: Desk, code: str, who: Identity = BERT) -> Reply:
    return await desk.studio.generate_from_text(who, BERTS, f"{code} a boat")


async def refused(desk: Desk, code: str, who: Identity = BERT) -> bool:
    with pytest.raises(UserError) as caught:
        await draws(desk, code, who)
    assert caught.value.message == translate("unknown-code")
    return True


async def word_of(desk: Desk, code: LoraCode) -> str:
    found = re.search(
        r"share_[A-Z0-9]{12}", (await desk.studio.handle_button(ANNA, ALONE, f"invite:{code}")).text
    )
    assert found is not None
    return found[0]


async def test_an_owner_is_asked_by_name_and_once_is_one_generation(desk: Desk) -> None:
    code, letter = await asked(desk)
    assert "Bert @bert (Discord) wants to draw with your" in letter.text
    assert [each.label for each in letter.buttons] == ["Once", "Always", "No"]
    assert await refused(desk, code)
    assert (await presses(desk, letter, "Once")).edits_message
    [(place, told)] = await post(desk)
    assert place == BERT.private_address
    assert f"/generate code:{code}" in told.text
    job = (await draws(desk, code)).card_job_id
    assert job is not None
    assert await refused(desk, code)


async def test_a_lasting_share_that_is_taken_back_ends_with_its_open_jobs(desk: Desk) -> None:
    code, letter = await asked(desk)
    card = await presses(desk, letter, "Always")
    for _ in range(2):
        await draws(desk, code)
    [first, second] = await desk.jobs(BERT)
    gone = await presses(desk, card, "Take it back")
    assert "can no longer" in gone.text
    assert desk.queue.aborted_jobs == desk.queue.changed_jobs == [first.id, second.id]
    for each in (first, second):
        job = await desk.ledger.jobs.get(each.id)
        assert job is not None
        assert job.status is JobStatus.CANCELLED
    assert await refused(desk, code)


@pytest.mark.parametrize("how", ["no", "back"])
async def test_a_share_taken_back_draws_no_more_after_a_crash(desk: Desk, how: str) -> None:
    code, letter = await asked(desk)
    own = (await desk.ready(BERT, first=11)).code
    await presses(desk, letter, "Always")
    for each in (code, f"{own} with {code} and", own):
        await draws(desk, each)
    [share] = await desk.ledger.sharing.list_shares(code)
    anna = await desk.ledger.accounts.get_or_create(ANNA)
    if how == "no":
        await desk.ledger.sharing.set_permission(anna, share.number, Permission.DENIED)
    else:
        await desk.ledger.sharing.revoke_share(anna, share.number)
    assert (await desk.claim(JobKind.GENERATE)).code == own
    assert await desk.ledger.jobs.claim_next(JobKind.GENERATE) is None


async def test_a_request_gets_one_answer_whether_or_not_there_is_the_code(desk: Desk) -> None:
    code, letter = await asked(desk)
    answers = [(await desk.studio.request_access(BERT, BERTS, each)).text for each in (code, unknown(code))]
    await presses(desk, letter, "No")
    answers.append((await desk.studio.request_access(BERT, BERTS, code)).text)
    assert len({re.sub(r"\d{4} \d{4}", "", each) for each in answers}) == 1
    assert await post(desk) == [], "neither is the owner told twice, nor whoever asked that it was refused"


async def test_a_revoked_permission_is_not_announced_to_the_requester(desk: Desk) -> None:
    _, letter = await asked(desk)
    await presses(desk, letter, "Always")
    await presses(desk, letter, "No")
    assert await post(desk) == []
    card = await presses(desk, letter, "Once")
    await presses(desk, card, "Take it back")
    assert await post(desk) == []


async def test_a_foreign_code_costs_the_same_work_whatever_it_is(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    done: list[list[str]] = []
    for number, each in enumerate((code, unknown(code))):
        who = Identity(Platform.DISCORD, str(60 + number))
        await desk.ledger.accounts.get_or_create(who)
        statements: list[str] = []
        await trace(desk, statements.append)
        await desk.studio.request_access(who, BERTS, each)
        with pytest.raises(UserError):
            await desk.studio.generate_from_text(who, BERTS, f"{each} a boat")
        await trace(desk, None)
        done.append([re.sub(r"'[^']*'|\d+", "?", statement) for statement in statements])
    assert done[0] == done[1]
    assert any(statement.startswith("INSERT INTO asks") for statement in done[0])
    assert len(await post(desk)) == 1, "its owner hears of it afterwards"


async def test_a_request_for_an_own_code_in_training_promises_no_picture(desk: Desk) -> None:
    code = (await desk.train(ANNA)).code
    with pytest.raises(UserError, match="is still training"):
        await desk.studio.request_access(ANNA, ALONE, code)
    job = await desk.claim(JobKind.TRAIN)
    assert await desk.ledger.jobs.fail(job.id, job.attempt, JobFailure(sentence="The card is on fire."))
    with pytest.raises(UserError, match="failed"):
        await desk.studio.request_access(ANNA, ALONE, code)
    assert (
        "You can draw"
        in (await desk.studio.request_access(ANNA, ALONE, (await desk.ready(ANNA, 11)).code)).text
    )


async def test_the_limit_of_asking_counts_codes_of_nobody_alike(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    for _ in range(MAX_REQUESTS_PER_DAY):
        await desk.studio.request_access(BERT, BERTS, unknown(code))
    for each in (code, unknown(code)):
        with pytest.raises(UserError) as caught:
            await desk.studio.request_access(BERT, BERTS, each)
        assert caught.value.message == translate("asked-too-often")
    assert await post(desk) == []
    desk.clock.forward(days=1, seconds=1)
    await desk.studio.request_access(BERT, BERTS, code)
    assert len(await post(desk)) == 1


async def test_an_owner_is_not_flooded_and_nobody_can_tell(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    people = [Identity(Platform.DISCORD, str(number)) for number in range(50, 52 + MAX_PENDING_REQUESTS)]
    answers = {(await desk.studio.request_access(who, BERTS, code)).text for who in people}
    assert len(answers) == 1
    assert len(await post(desk)) == MAX_PENDING_REQUESTS


async def test_a_stranger_s_press_about_a_share_does_nothing(desk: Desk) -> None:
    code, letter = await asked(desk)
    for label in ("Once", "Always", "No"):
        with pytest.raises(UserError) as caught:
            await presses(desk, letter, label, BERT)
        assert caught.value.message == translate("stale-button")
    for what in ("share", "invite", "uninvite"):
        for each in (code, unknown(code)):
            with pytest.raises(UserError) as caught:
                await desk.studio.handle_button(BERT, BERTS, f"{what}:{each}")
            assert caught.value.message == translate("unknown-code")
    assert await refused(desk, code)


async def test_a_button_of_a_share_counts_once_and_ends_with_it(
    desk: Desk,
) -> None:
    code, letter = await asked(desk)
    for _ in range(2):
        await presses(desk, letter, "Once")
    assert len(await post(desk)) == 1
    await draws(desk, code)
    job = await desk.claim(JobKind.GENERATE)
    assert await desk.ledger.jobs.finish_generation(job.id, job.attempt, ["9-1.png"])
    await desk.studio.request_access(Identity(Platform.DISCORD, "77"), BERTS, code)
    assert len(await post(desk)) == 1
    with pytest.raises(UserError) as caught:
        await presses(desk, letter, "Always")
    assert caught.value.message == translate("stale-button")
    assert {each.permission for each in await desk.ledger.sharing.list_shares(code)} == {Permission.REQUESTED}


async def test_the_menu_shows_everybody_a_page_at_a_time(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    word = await word_of(desk, code)
    for number in range(50, 60):
        who = Identity(Platform.DISCORD, str(number), name=f"Number {number}")
        await desk.studio.start_chat(who, BERTS, word)
        desk.clock.forward(seconds=1)
    first = await desk.studio.handle_button(ANNA, ALONE, f"share:{code}")
    assert first.edits_message
    rows = [each.row for each in first.buttons]
    assert len(set(rows)) <= 5, "Discord has five rows"
    second = await presses(desk, first, "More")
    told = first.text + second.text
    assert all(f"Number {number}" in told for number in range(50, 60))
    card = await presses(desk, second, "Number 50: always")
    assert "Number 50 (Discord) may draw" in card.text
    await presses(desk, card, "Take it back")
    assert "Number 50" not in (await desk.studio.handle_button(ANNA, ALONE, f"share:{code}:1")).text


async def test_names_and_links_are_hidden_where_others_read_along(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    for what in ("share", "invite"):
        with pytest.raises(UserError) as caught:
            await desk.studio.handle_button(
                ANNA, ChatAddress(Platform.TELEGRAM, "-500", "1"), f"{what}:{code}"
            )
        assert caught.value.message == translate("share-in-private")


async def test_shares_end_with_the_lora_and_with_the_person(desk: Desk) -> None:
    code, letter = await asked(desk)
    await presses(desk, letter, "Always")
    account = await desk.ledger.accounts.get_or_create(BERT)
    await desk.ledger.privacy.erase_account(account)
    assert await desk.ledger.sharing.list_shares(code) == []
    await desk.studio.request_access(BERT, BERTS, code)
    await desk.ledger.privacy.erase_account(await desk.ledger.accounts.get_or_create(BERT))
    assert all("wants to draw" not in reply.text for _, reply in await post(desk)), "the request goes unread"
    await desk.studio.request_access(BERT, BERTS, code)
    await desk.studio.handle_button(ANNA, ALONE, f"remove!:{code}")
    assert await desk.ledger.sharing.list_shares(code) == []
    assert await refused(desk, code)


async def test_a_share_between_joined_accounts_is_gone(desk: Desk) -> None:
    code, letter = await asked(desk)
    await presses(desk, letter, "Once")
    word = (await desk.studio.link_accounts(ANNA, ALONE, "")).text.partition("word is ")[2][:6]
    await desk.studio.link_accounts(BERT, BERTS, word)
    assert await desk.ledger.sharing.list_shares(code) == []
    for _ in range(2):
        await draws(desk, code)


async def test_shares_to_others_survive_joining_accounts(desk: Desk) -> None:
    code, letter = await asked(desk)
    await presses(desk, letter, "Always")
    word = (await desk.studio.link_accounts(ANNA, ALONE, "")).text.partition("word is ")[2][:6]
    await desk.studio.link_accounts(Identity(Platform.DISCORD, "77"), BERTS, word)
    await draws(desk, code)


@pytest.mark.parametrize("decided", ["Always", "No"])
@pytest.mark.parametrize("first", ["decided", "asked"])
async def test_permissions_and_refusals_survive_joining_accounts(
    desk: Desk, decided: str, first: str
) -> None:
    code, letter = await asked(desk)
    await presses(desk, letter, decided)
    also_bert = Identity(Platform.TELEGRAM, "7")
    await desk.studio.request_access(also_bert, also_bert.private_address, code)
    shows, types = (BERT, also_bert) if first == "decided" else (also_bert, BERT)
    word = (await desk.studio.link_accounts(shows, shows.private_address, "")).text.partition("word is ")[2][
        :6
    ]
    await post(desk)
    await desk.studio.link_accounts(types, types.private_address, word)
    assert [each.permission for each in await desk.ledger.sharing.list_shares(code)] == [
        Permission(decided.lower())
    ]


async def test_a_request_that_is_carried_out_again_is_there_already(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    for number, each in enumerate([unknown(code)] * MAX_REQUESTS_PER_DAY):
        for _ in range(2):
            answer = await desk.studio.request_access(BERT, BERTS, each, f"telegram:{number}")
            assert answer == Reply(translate("asked-for", code=format_code(each))), (
                "the last one is not one too many when it is done again"
            )
    with pytest.raises(UserError) as caught:
        await desk.studio.request_access(BERT, BERTS, code, "telegram:99")
    assert caught.value.message == translate("asked-too-often")
