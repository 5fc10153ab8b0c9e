"""What administrators do: everything is noted, nothing of it is there for others."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.accounts import AccessMode, AccessRules, Identity, Platform, Role
from bot.core.errors import UserError
from bot.core.jobs import JobKind, JobStatus
from bot.core.messages import Reply
from bot.texts import translate
from bot.texts.admin.commands import (
    ADMIN_COMMANDS,
    NO_SUCH_CODE,
    NOT_AN_ADMIN,
    NOT_BANNED,
    WHICH_PERSON,
)
from tests.support.services import (
    ADMIN,
    ANNA,
    ANNAS,
    BERT,
    BERTS,
    Desk,
    InProcessDecoder,
    album,
    open_desk,
    tools,
)
from tests.support.use_cases import Studio

CARLA = Identity(Platform.TELEGRAM, "3")
CARLAS = CARLA.private_address


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


def ruled(desk: Desk, rules: AccessRules) -> None:
    """Let the desk work by these rules."""
    desk_tools = replace(tools(desk.ledger, desk.queue, desk.files, desk.clock), rules=rules)
    desk.studio = Studio(desk_tools, InProcessDecoder(), {ADMIN})


async def acts(desk: Desk) -> list[tuple[str, str]]:
    return [(each.command, each.details) for each in await desk.ledger.monitoring.list_audit_entries(100)]


async def refused(call: object) -> str:
    with pytest.raises(UserError) as caught:
        await call  # type: ignore[misc]
    return caught.value.message


@pytest.mark.parametrize("command", [*ADMIN_COMMANDS, "nonsense"])
async def test_a_command_is_not_there_for_others_and_leaves_no_line(desk: Desk, command: str) -> None:
    code = (await desk.ready(ANNA)).code
    assert await refused(desk.studio.run_admin_command(BERT, command, code)) == translate("unknown-command")
    assert await acts(desk) == []
    assert await desk.ledger.loras.get_by_code(code) is not None
    assert not desk.queue.is_shutting_down
    assert await desk.ledger.monitoring.list_active_switches() == set()


async def test_an_unknown_command_is_not_there_for_administrators_either(desk: Desk) -> None:
    assert await refused(desk.studio.run_admin_command(ADMIN, "nonsense")) == translate("unknown-command")


async def test_each_act_leaves_a_line_and_logs_shows_them(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    done = [
        ("pause", ""),
        ("resume", ""),
        ("ban", str(BERT)),
        ("unban", str(BERT)),
        ("quota", str(ANNA)),
        ("takedown", code),
        ("broadcast", "hello"),
        ("invite", ""),
        ("drain", ""),
    ]
    for command, about in done:
        await desk.studio.run_admin_command(ADMIN, command, about)
    assert await acts(desk) == list(reversed(done))
    logs = (await desk.studio.run_admin_command(ADMIN, "logs")).text
    assert "telegram:99 /broadcast hello" in logs
    await desk.studio.run_admin_command(ADMIN, "status")
    assert (await acts(desk))[0] == ("logs", ""), "looking at the state of things is not noted"


async def test_a_pause_lets_no_job_begin_also_after_a_restart(desk: Desk) -> None:
    await desk.train(ANNA)
    await desk.studio.run_admin_command(ADMIN, "pause")
    assert await desk.ledger.jobs.claim_next(JobKind.TRAIN) is None
    assert "Paused" in (await desk.studio.run_admin_command(ADMIN, "status")).text
    ruled(desk, AccessRules())
    assert await desk.ledger.jobs.claim_next(JobKind.TRAIN) is None
    woken = desk.queue.wake_count
    await desk.studio.run_admin_command(ADMIN, "resume")
    assert desk.queue.wake_count == woken + 1
    assert await desk.ledger.jobs.claim_next(JobKind.TRAIN) is not None
    assert "Paused" not in (await desk.studio.run_admin_command(ADMIN, "status")).text


async def test_drain_says_what_is_still_finished(desk: Desk) -> None:
    await desk.train(ANNA)
    await desk.claim(JobKind.TRAIN)
    assert (
        "I will finish 1 running job, then stop" in (await desk.studio.run_admin_command(ADMIN, "drain")).text
    )
    assert desk.queue.is_shutting_down


async def test_a_banned_person_is_told_so_and_their_jobs_are_stopped(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    job = await desk.train(ANNA, first=11)
    bert = await desk.train(BERT)
    reply = await desk.studio.run_admin_command(ADMIN, "ban", str(ANNA))
    assert reply.text == "Banned: telegram:1; 1 job of theirs stopped."
    assert desk.queue.aborted_jobs == [job.id]
    assert len(desk.queue.forgotten_hashes) == 5
    found = await desk.ledger.jobs.get(bert.id)
    assert found is not None
    assert found.status is JobStatus.QUEUED
    studio = desk.studio
    for call in (
        studio.start_chat(ANNA, ANNAS),
        studio.start_training(ANNA, ANNAS),
        studio.add_photos(ANNA, ANNAS, album(1)),
        studio.generate_from_text(ANNA, ANNAS, f"{code} a boat"),
        studio.handle_text(ANNA, ANNAS, "a boat"),
        studio.list_loras(ANNA, ANNAS),
        studio.handle_button(ANNA, ANNAS, f"code:{code}"),
        studio.link_accounts(ANNA, ANNAS, ""),
    ):
        assert await refused(call) == translate("banned")
    with pytest.raises(UserError) as caught:
        await studio.get_draft_prompt(ANNA)  # which Discord asks before it opens a form
    assert caught.value.message == translate("banned")
    assert "What I keep" in (await studio.show_privacy(ANNA)).text
    await studio.run_admin_command(ADMIN, "unban", str(ANNA))
    assert "4071" not in (await studio.list_loras(ANNA, ANNAS)).text


async def test_a_ban_holds_on_all_platforms_and_outlives_forgetme(desk: Desk) -> None:
    account = await desk.ledger.accounts.get_or_create(ANNA)
    await desk.ledger.accounts.save_link_token(account, "ABCDEF", desk.clock.now.replace(year=2040))
    await desk.studio.link_accounts(BERT, BERTS, "abcdef")
    code = (await desk.ready(ANNA)).code
    await desk.studio.run_admin_command(ADMIN, "ban", f"{code[:4]} {code[4:]}")
    question = await desk.studio.ask_to_erase(BERT)
    assert "Receipt" in (await desk.studio.handle_button(BERT, BERTS, question.buttons[0].action)).text
    for who in (ANNA, BERT):
        assert await refused(desk.studio.start_chat(who, who.private_address)) == translate("banned")
    await desk.studio.run_admin_command(ADMIN, "unban", str(BERT))
    await desk.studio.start_chat(BERT, BERTS)


async def test_a_banned_person_cannot_link_with_an_old_token(desk: Desk) -> None:
    await desk.ready(ANNA)
    word = (await desk.studio.link_accounts(ANNA, ANNA.private_address, "")).text.partition("word is ")[2][:6]
    await desk.studio.run_admin_command(ADMIN, "ban", str(ANNA))
    assert await refused(desk.studio.link_accounts(BERT, BERTS, word)) == translate("link-unknown")
    assert await desk.loras(BERT) == []


@pytest.mark.parametrize("person", ["", "anna", "telegram:", "telegram:1 2", "signal:1", "telegram:1'--"])
async def test_a_person_that_is_none_is_asked_for_again(desk: Desk, person: str) -> None:
    assert await refused(desk.studio.run_admin_command(ADMIN, "ban", person)) == WHICH_PERSON


async def test_administrators_are_not_banned(desk: Desk) -> None:
    assert await refused(desk.studio.run_admin_command(ADMIN, "ban", str(ADMIN))) == NOT_AN_ADMIN
    assert await refused(desk.studio.run_admin_command(ADMIN, "unban", str(ANNA))) == NOT_BANNED


async def test_a_takedown_leaves_nothing_also_of_a_job_that_runs(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    await desk.files.write_lora(code, b"weights")
    await desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat")
    drawing = await desk.claim(JobKind.GENERATE)
    reply = await desk.studio.run_admin_command(ADMIN, "takedown", f"{code[:4]} {code[4:]}")
    assert f"{code[:4]} {code[4:]} is deleted, with 2 jobs" in reply.text
    assert desk.queue.aborted_jobs == [drawing.id]
    assert await desk.ledger.loras.get_by_code(code) is None
    assert await desk.ledger.jobs.get(drawing.id) is None
    assert not desk.files.lora_path(f"{code}.safetensors").exists()
    assert not await desk.ledger.jobs.finish_generation(drawing.id, drawing.attempt, ["late.png"])
    letter = await desk.ledger.outbox.get_due_direct_message(Platform.TELEGRAM)
    assert letter is not None
    assert letter.recipient == ANNA
    assert "has deleted your LoraCode" in letter.text
    assert await refused(desk.studio.run_admin_command(ADMIN, "takedown", code)) == NO_SUCH_CODE


async def test_the_second_of_two_takedowns_at_once_finds_nothing(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    both = [desk.studio.run_admin_command(ADMIN, "takedown", code) for _ in range(2)]
    first, second = await asyncio.gather(*both, return_exceptions=True)
    assert isinstance(first, Reply)
    assert str(second) == NO_SUCH_CODE


async def test_a_broadcast_is_one_message_each_and_none_for_the_banned(desk: Desk) -> None:
    account = await desk.ledger.accounts.get_or_create(ANNA)
    await desk.ledger.accounts.save_link_token(account, "ABCDEF", desk.clock.now.replace(year=2040))
    await desk.studio.link_accounts(BERT, BERTS, "abcdef")
    await desk.train(BERT)
    await desk.ledger.accounts.get_or_create(CARLA)
    await desk.ledger.accounts.get_or_create(Identity(Platform.TELEGRAM, "4"))
    await desk.studio.run_admin_command(ADMIN, "ban", "telegram:4")
    assert "2 people" in (await desk.studio.run_admin_command(ADMIN, "broadcast", "Closed\non Monday")).text
    there, here = (
        await desk.ledger.outbox.get_due_direct_message(Platform.DISCORD),
        await desk.ledger.outbox.get_due_direct_message(Platform.TELEGRAM),
    )
    assert there is not None
    assert here is not None
    assert (there.recipient, there.text) == (BERT, "Closed\non Monday"), "where they last asked for something"
    assert here.recipient == CARLA
    assert await desk.ledger.outbox.count_undelivered() == 2


@pytest.mark.parametrize("text", ["", "  ", "x" * 1801])
async def test_a_broadcast_of_nothing_or_of_too_much_is_refused(desk: Desk, text: str) -> None:
    assert "1800 characters at most" in await refused(desk.studio.run_admin_command(ADMIN, "broadcast", text))
    assert await desk.ledger.outbox.count_undelivered() == 0


async def test_direct_messages_of_an_erased_person_are_deleted(desk: Desk) -> None:
    await desk.studio.run_admin_command(ADMIN, "broadcast", "hello")
    message = await desk.ledger.outbox.get_due_direct_message(Platform.TELEGRAM)
    assert message is not None
    assert message.recipient == ANNA
    question = await desk.studio.ask_to_erase(ANNA)
    await desk.studio.handle_button(ANNA, ANNAS, question.buttons[0].action)
    assert await desk.ledger.outbox.get_due_direct_message(Platform.TELEGRAM) is None
    assert await desk.ledger.outbox.count_undelivered() == 1, "Bert's stays"


async def test_an_invitation_word_lets_one_person_in(desk: Desk) -> None:
    ruled(desk, AccessRules(access=AccessMode.INVITATION))
    word = (await desk.studio.run_admin_command(ADMIN, "invite")).text.splitlines()[0]
    assert re.fullmatch(r"[A-Z2-9]{8}", word)
    assert "by invitation" in await refused(desk.studio.start_training(CARLA, CARLAS))
    assert "by invitation" in await refused(desk.studio.start_chat(CARLA, CARLAS, "WRONG"))
    assert "five photos" in (await desk.studio.start_chat(CARLA, CARLAS, word.lower())).text
    await desk.studio.list_loras(CARLA, CARLAS)
    assert "by invitation" in await refused(desk.studio.handle_text(BERT, BERTS, word)), "it was spent"
    other = (await desk.studio.run_admin_command(ADMIN, "invite")).text.splitlines()[0]
    reply = await desk.studio.handle_text(BERT, BERTS, f" {other} ")
    assert reply is not None
    assert "photos" in reply.text


async def test_an_invitation_is_valid_for_a_week_and_not_for_banned_people(desk: Desk) -> None:
    ruled(desk, AccessRules(access=AccessMode.INVITATION))
    word = (await desk.studio.run_admin_command(ADMIN, "invite")).text.splitlines()[0]
    await desk.studio.run_admin_command(ADMIN, "ban", str(CARLA))
    assert await refused(desk.studio.start_chat(CARLA, CARLAS, word)) == translate("banned")
    desk.clock.forward(days=7)
    assert "by invitation" in await refused(desk.studio.start_chat(ANNA, ANNAS, word))


async def test_members_come_in_on_another_platform_by_linking(desk: Desk) -> None:
    ruled(desk, AccessRules(access=AccessMode.ALLOW_LIST, allow_list=frozenset({ANNA})))
    account = await desk.ledger.accounts.get_or_create(ANNA)
    await desk.ledger.access.set_role(account, Role.MEMBER)
    await desk.ledger.accounts.save_link_token(account, "ABCDEF", desk.clock.now.replace(year=2040))
    assert str(BERT) in await refused(desk.studio.list_loras(BERT, BERTS))
    await desk.studio.link_accounts(BERT, BERTS, "abcdef")
    await desk.studio.list_loras(BERT, BERTS)


@pytest.mark.parametrize("access", [AccessMode.ALLOW_LIST, AccessMode.INVITATION])
@pytest.mark.parametrize("named", [ANNA, ADMIN])
async def test_a_person_in_settings_enters_another_platform_by_linking(
    desk: Desk, named: Identity, access: AccessMode
) -> None:
    ruled(desk, AccessRules(access=access, allow_list=frozenset({ANNA})))
    word = (await desk.studio.link_accounts(named, named.private_address, "")).text.partition("word is ")[2][
        :6
    ]
    await desk.studio.link_accounts(BERT, BERTS, word)
    await desk.studio.list_loras(BERT, BERTS)
    await refused(desk.studio.list_loras(CARLA, CARLAS))


async def test_others_are_told_their_number_where_there_is_an_allow_list(desk: Desk) -> None:
    ruled(desk, AccessRules(access=AccessMode.ALLOW_LIST, allow_list=frozenset({ANNA})))
    await desk.studio.list_loras(ANNA, ANNAS)
    await desk.studio.list_loras(ADMIN, ADMIN.private_address)
    assert "discord:2" in await refused(desk.studio.list_loras(BERT, BERTS))
    assert "What I keep" in (await desk.studio.show_privacy(BERT)).text
