"""Every button that there is on Telegram, in what may happen between its message and its answer."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from lo_bot_api_emulator import ApiRefusal

from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.messages import Button, Reply
from bot.services.generation import MAX_OPEN_GENERATIONS
from tests.acceptance.telegram_server import Shown, until
from tests.acceptance.telegram_stage import GROUP, PHOTOS, Person, Stage, on_stage, trains
from tests.acceptance.uses import everything

ANNA = Identity(Platform.TELEGRAM, "7")
#: What is about whoever presses it, and not about whom it was shown to; Bert may draw with the code.
FOR_ANYBODY = {"[codes]", "[codes:all]", "[consent]", "[use:*]", "[draw:*]"}
#: After each of these less is left to press.
LAST = ("[delete!:*]", "[remove!:*]", "[forgetme!:*:*]")
TOO_LATE = "Bad Request: query is too old and response timeout expired or query ID is invalid"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


async def every_button(stage: Stage) -> dict[str, str]:
    """Have Anna come by every button; gives what each does, by its kind. Her last drawing is under way."""
    anna, offered = stage.anna, stage.server.offered
    code = await trains(anna)
    label = f"{code[:4]} {code[4:]}"
    await anna.says(f"/generate {code} a boat")
    result = await stage.next_result(0)
    await anna.presses(result, "Delete")
    await anna.says("/codes")
    card = await until(lambda: next((each for each in anna.sees if label in dict(each.buttons)), None))
    for step in (label, "Delete", "Keep it", "Share", "Make a link"):
        await until(lambda step=step: step in dict(card.buttons))
        await anna.presses(card, step)
    await stage.bert.says(f"/ask {code}")
    question = await anna.hears("wants to draw with")
    await anna.presses(question, "Always")
    await until(lambda: "[share:*:revoke]" in offered)
    await anna.says("/codes")
    await until(lambda: label in dict(anna.sees[-1].buttons))
    await anna.sends_action(anna.sees[-1], f"share:{code}")
    await anna.says("/settings")
    await anna.presses(await anna.hears("Size: "), "Style")
    await until(lambda: "[settings:*:style=]" in offered)
    await anna.says("/forgetme")
    await Person(stage.server, 9).says("/start")
    await anna.sends_photos(PHOTOS[:2])
    await anna.hears("2 of 5")
    stage.card.proceed_event.clear()
    await anna.says(f"/generate {code} a boat")
    await anna.hears("Drawing 1 picture")
    await anna.says("/generate")
    await anna.presses(await anna.hears("Now write what to draw"), "Style")
    # Shown only to whoever has many shares, too many photos, a measured likeness, a set for one code, a
    # result that is not fast, or words that read like talk.
    rest = {
        "[share:*:*]": f"share:{code}:1",
        "[first5:*]": offered["[restart:*]"].replace("restart", "first5"),
        "[question:drop:*]": offered["[restart:*]"].replace("restart", "question:drop"),
        "[likeness:*]": f"likeness:{code}",
        "[speed:*:fast]": offered["[speed:*:fine]"].replace("fine", "fast"),
        "[draft:*:draw]": offered["[draft:*:drop]"].replace("drop", "draw"),
        "[set:*:anew]": offered["[set:*:name]"].replace("name", "anew"),
    }
    buttons = {each for each in everything(Platform.TELEGRAM) if each.startswith("[")}
    await until(lambda: buttons <= offered.keys() | rest.keys(), 60)
    return {kind: {**rest, **offered}[kind] for kind in sorted(buttons)}


async def shown(stage: Stage, action: str, chat: int = 7) -> Shown:
    """Show Anna a message with one button."""
    place = ChatAddress(Platform.TELEGRAM, str(chat), "7")
    message_id = await stage.chat.send(place, Reply("Here", (Button("Press", action),)), nonce="")
    return stage.server.shown[int(message_id)]


def in_order(buttons: Iterable[str]) -> list[str]:
    """Give the kinds of buttons, those last that leave less to press."""
    return sorted(buttons, key=lambda each: (each in LAST, LAST.index(each) if each in LAST else 0))


async def kept(stage: Stage) -> list[Any]:
    """Give all that can be changed of Anna's."""
    ledger = stage.app.database
    account = await ledger.accounts.get_or_create(ANNA)
    loras, preferences = (
        await ledger.loras.list_for_account(account),
        await ledger.accounts.get_preferences(account),
    )
    calls = (
        ledger.photo_sets.get_set,
        ledger.results.get_draft,
        ledger.accounts.get_question,
        ledger.privacy.count_stored_data,
    )
    jobs = [job.id for job in await ledger.jobs.list_open_for_account(account)]
    shares = [
        (await ledger.sharing.list_shares(each.code), await ledger.sharing.get_share_link_expiry(each.code))
        for each in loras
    ]
    return [loras, preferences, jobs, shares, *[await call(account) for call in calls]]


def went_wrong(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Give the errors of our own that were logged, but for a language that was found too slowly."""
    ours = [each for each in caplog.records if each.name.startswith("bot.") and each.levelno >= logging.ERROR]
    slow = "a language could not be looked up"
    return [each.getMessage() for each in ours if not each.getMessage().startswith(slow)]


@pytest.mark.covers("telegram", "by somebody else", "group")
async def test_buttons_pressed_by_somebody_else_change_nothing(stage: Stage) -> None:
    buttons = await every_button(stage)
    messages = {kind: await shown(stage, action, GROUP) for kind, action in buttons.items()}
    before = await kept(stage)
    told = {kind: await stage.bert.presses(message, "Press") for kind, message in messages.items()}
    assert {kind for kind, alert in told.items() if not alert} == FOR_ANYBODY
    assert await kept(stage) == before
    stage.card.proceed_event.set()


@pytest.mark.covers("telegram", "restart", "pressed twice", "expired press")
async def test_buttons_pressed_twice_while_the_bot_is_away_count_once(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    buttons = await every_button(stage)
    messages = [await shown(stage, action) for kind, action in buttons.items() if kind not in LAST]
    await stage.stop()
    stage.server.refusals["answerCallbackQuery"] = [ApiRefusal(TOO_LATE)] * 10
    presses = [await stage.anna.taps(each, "Press") for each in messages for _ in range(2)]
    await stage.start()
    await until(lambda: len(set(presses) & set(stage.server.pressed)) == len(presses) - 10, 120)
    jobs = await stage.app.database.jobs.list_open_for_account(
        await stage.app.database.accounts.get_or_create(ANNA)
    )
    assert len(jobs) == MAX_OPEN_GENERATIONS, "again, variations, larger, finer, faster: one is too many"
    for kind in LAST:
        message = await shown(stage, buttons[kind])
        assert not await stage.anna.presses(message, "Press")
        # The message may read otherwise by now; who pressed twice had the button before them.
        await stage.anna.sends_action(message, buttons[kind])
    assert went_wrong(caplog) == []
    stage.card.proceed_event.set()


@pytest.mark.covers("telegram", "message deleted", "years later")
async def test_buttons_of_a_deleted_message_are_answered_by_a_new_one(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    buttons = await every_button(stage)
    for kind in in_order(buttons):
        message = await shown(stage, buttons[kind])
        stage.server.delete(message)
        before = stage.server.changes
        if not await stage.anna.presses(message, "Press", years_later=True):
            await until(lambda before=before: stage.server.changes > before, 60)
    assert went_wrong(caplog) == []
    stage.card.proceed_event.set()


@pytest.mark.covers("telegram", "blocked")
async def test_blocked_meanwhile_no_button_breaks_anything(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    buttons = await every_button(stage)
    messages = [await shown(stage, buttons[kind]) for kind in in_order(buttons)]
    stage.server.blocked.add(stage.anna.id)
    for message in messages:
        await stage.anna.presses(message, "Press")
    stage.server.blocked.clear()
    await stage.anna.says("/help")
    await until(lambda: any("/train" in each.text for each in stage.anna.sees))
    assert went_wrong(caplog) == []
    stage.card.proceed_event.set()
