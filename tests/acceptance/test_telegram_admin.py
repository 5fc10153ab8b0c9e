"""On Telegram: what an administrator sees and does, and that it is hidden from others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from lo_bot_api_emulator import ApiRefusal

from bot.core.accounts import AccessMode
from bot.jobs.backends.fake import FakeBackend
from bot.texts import translate
from bot.texts.admin.commands import ADMIN_COMMANDS
from tests.acceptance.telegram_server import telegram_server, until
from tests.acceptance.telegram_stage import (
    ADMIN,
    PHOTOS,
    Person,
    Stage,
    code_in,
    on_stage,
    telegram_bot,
    trained,
)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


@pytest.fixture
def admin(stage: Stage) -> Person:
    return Person(stage.server, ADMIN)


@pytest.mark.covers("telegram", "/status")
async def test_status_is_one_message_with_text_and_a_picture(stage: Stage, admin: Person) -> None:
    await trained(stage.anna)
    await stage.app.monitor.check()
    await admin.says("/status")
    shown = await admin.hears("LoraCode ")
    assert "Waiting: 0 train, 0 generate" in shown.text
    assert "Last 24 hours: 1 done, 0 failed" in shown.text
    assert [each[:4] for each in shown.photos] == [b"\x89PNG"]
    assert len(admin.sees) == 1


@pytest.mark.parametrize("command", ADMIN_COMMANDS)
async def test_others_are_told_that_there_is_no_such_command(stage: Stage, command: str) -> None:
    await stage.anna.says(f"/{command}")
    shown = await until(lambda: stage.anna.sees)
    assert [each.text for each in shown] == [translate("unknown-command")]


async def test_commands_that_telegram_puts_off_are_listed_later(tmp_path: Path) -> None:
    async with telegram_server() as server:
        server.refusals["setMyCommands"] = [
            ApiRefusal("Too Many Requests: retry after 1", 429, {"retry_after": 1})
        ]
        async with telegram_bot(server, tmp_path, FakeBackend()):
            await until(lambda: server.commands and server.commands_of)


async def test_commands_are_listed_to_administrators_and_hidden_from_others(
    stage: Stage, admin: Person
) -> None:
    await until(lambda: stage.server.commands_of)
    assert set(stage.server.commands_of) == {ADMIN}
    assert set(ADMIN_COMMANDS) < set(stage.server.commands_of[ADMIN])
    assert not set(ADMIN_COMMANDS) & set(stage.server.commands)
    await admin.says("/help")
    listed = (await admin.hears("/train")).text
    assert all(f"/{each}" in listed for each in ADMIN_COMMANDS)
    await stage.anna.says("/help")
    assert "/pause" not in (await stage.anna.hears("/train")).text


async def test_an_administrator_whom_telegram_does_not_know_yet_does_not_stop_the_start(
    stage: Stage, admin: Person
) -> None:
    await until(lambda: stage.server.commands_of)
    await stage.stop()
    stage.server.commands_of.clear()
    stage.server.commands.clear()
    stage.server.strangers.add(ADMIN)
    await stage.start()
    await until(lambda: stage.server.commands)
    await admin.says("/status")
    await admin.hears("LoraCode ")
    assert not stage.server.commands_of


@pytest.mark.covers("telegram", "/pause", "/resume", "restart")
async def test_trainings_wait_while_paused_also_after_a_restart(stage: Stage, admin: Person) -> None:
    await admin.says("/pause")
    await admin.hears("Paused")
    await stage.anna.sends_photos(PHOTOS[:5])
    await stage.anna.hears("Your LoraCode is")
    await stage.stop()
    await stage.start()
    await admin.says("/status")
    assert "Waiting: 1 train" in (await admin.hears("LoraCode ")).text
    assert not stage.card.requests
    await admin.says("/resume")
    await stage.anna.hears("is ready,")


@pytest.mark.covers("telegram", "/drain")
async def test_drain_finishes_what_runs_tells_its_person_and_ends(stage: Stage, admin: Person) -> None:
    stage.card.proceed_event.clear()
    await stage.anna.sends_photos(PHOTOS[:5])
    await until(lambda: stage.card.requests)
    await admin.says("/drain")
    await admin.hears("I will finish 1 running job, then stop")
    await stage.anna.says("/codes")
    await stage.anna.hears("training")
    stage.card.proceed_event.set()
    await stage.anna.hears("is ready,")
    await until(lambda: "front-end" not in {task.get_name() for task in asyncio.all_tasks()})


@pytest.mark.covers("telegram", "/ban", "/unban", "restart")
async def test_a_banned_person_reads_so_and_may_come_back(stage: Stage, admin: Person) -> None:
    await admin.says(f"/ban telegram:{stage.anna.id}")
    await admin.hears("Banned: telegram:7")
    await stage.anna.sends_photos(PHOTOS[:5])
    await stage.anna.hears("You have been banned from this bot")
    await stage.stop()
    await stage.start()
    await stage.anna.says("/train")
    await until(lambda: len(stage.anna.sees) == 2)
    assert stage.anna.sees[1].text == translate("banned")
    await admin.says(f"/unban telegram:{stage.anna.id}")
    await admin.hears("No longer banned")
    await trained(stage.anna)


async def test_a_button_of_before_does_nothing_for_a_banned_person(stage: Stage, admin: Person) -> None:
    code = await trained(stage.anna)
    await stage.anna.says("/codes")
    card = await until(lambda: [e for e in stage.anna.sees if any(b == f"code:{code}" for _, b in e.buttons)])
    await admin.says(f"/ban {code}")
    await admin.hears("Banned")
    assert await stage.anna.presses(card[0], f"{code[:4]} {code[4:]}") == translate("banned")


@pytest.mark.covers("telegram", "/quota")
async def test_quota_is_shown_and_changed(stage: Stage, admin: Person) -> None:
    await trained(stage.anna)
    await admin.says(f"/quota telegram:{stage.anna.id} 1 2")
    assert "Trainings a day: 1, 1 used\nPictures an hour: 2, 0 used" in (await admin.hears("guest")).text
    await stage.anna.says("/train")
    await stage.anna.hears("1 training a day")


@pytest.mark.covers("telegram", "/takedown", "/logs")
async def test_a_takedown_ends_the_training_that_runs_and_its_owner_is_told(
    stage: Stage, admin: Person
) -> None:
    stage.card.proceed_event.clear()
    await stage.anna.sends_photos(PHOTOS[:5])
    code = code_in(await stage.anna.hears("Your LoraCode is"))
    await until(lambda: stage.card.requests)
    await admin.says(f"/takedown {code[:4]} {code[4:]}")
    await admin.hears("is deleted, with 1 job")
    await stage.anna.hears("has deleted your LoraCode")
    assert stage.card.cancelled_jobs
    assert await stage.app.database.loras.get_by_code(code) is None
    stage.card.proceed_event.set()
    await admin.says("/logs")
    assert f"telegram:{ADMIN} /takedown {code[:4]} {code[4:]}" in (await admin.hears("Administrators")).text


@pytest.mark.covers("telegram", "rate limit", "blocked")
async def test_a_broadcast_obeys_a_rate_limit_and_passes_over_blocks(stage: Stage) -> None:
    stage.server.refusals["sendMessage"] = [
        ApiRefusal("Too Many Requests", 429, {"retry_after": 1}),
        ApiRefusal("Forbidden: bot was blocked by the user", 403),
    ]
    await stage.app.database.outbox.add_broadcast("We are closed")
    stage.app.direct_message_sender.wake()
    await stage.comes_later(lambda: any("We are closed" in each.text for each in stage.anna.sees))
    while await stage.app.database.outbox.count_undelivered():  # noted just after it was shown
        await asyncio.sleep(0)
    assert len(stage.anna.sees) == 1
    assert stage.bert.sees == []


@pytest.mark.covers("telegram", "/broadcast")
async def test_a_broadcast_is_written_by_an_administrator(stage: Stage, admin: Person) -> None:
    await admin.says("/broadcast We are closed\non Monday")
    await admin.hears("I am sending that to 2 people")
    for person in (stage.anna, stage.bert):
        assert (await person.hears("We are closed")).text == "We are closed\non Monday"


@pytest.mark.covers("telegram", "/invite", "/start with a word")
async def test_an_invitation_link_lets_a_person_in(tmp_path: Path) -> None:
    async with telegram_server() as server:
        anna, admin = Person(server, 71), Person(server, ADMIN)
        async with telegram_bot(server, tmp_path, FakeBackend(), access=AccessMode.INVITATION):
            await anna.says("/start")
            await anna.hears("by invitation")
            await admin.says("/invite")
            word = (await admin.hears("The first person who sends me this word")).text.splitlines()[0]
            await anna.says(f"/start {word}")
            await anna.hears("five photos")


async def test_photos_of_a_stranger_are_not_fetched(tmp_path: Path) -> None:
    async with telegram_server() as server:
        stranger = Person(server, 71)
        async with telegram_bot(server, tmp_path, FakeBackend(), access=AccessMode.INVITATION):
            await stranger.sends_photos(PHOTOS[:2])
            await stranger.sends_file("3.png", PHOTOS[2])
            await until(lambda: len(stranger.sees) == 2)
        assert all("by invitation" in each.text for each in stranger.sees)
        assert not server.fetched
