"""On Telegram: drawing with somebody else's LoraCode, as its owner decides; reports."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lo_bot_api_emulator import ApiRefusal

from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.loras import LoraCode, Requester
from bot.texts import translate
from tests.acceptance.telegram_server import Shown, until
from tests.acceptance.telegram_stage import ADMIN, GROUP, Person, Stage, on_stage, trained

BERTS = ChatAddress(Platform.TELEGRAM, "8", "8")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


async def asked(stage: Stage) -> tuple[LoraCode, Shown]:
    """Bert asks for Anna's code; gives it with the question she reads."""
    code = await trained(stage.anna)
    await stage.bert.says(f"/ask {code}")
    await stage.bert.hears("I have asked its owner")
    return code, await stage.anna.hears("Person 8 (Telegram) wants to draw with your")


async def card_of(stage: Stage, code: LoraCode, chat: int | None = None) -> Shown:
    """Anna opens the card of her code."""
    label = f"{code[:4]} {code[4:]}"
    await stage.anna.says("/codes", chat=chat)
    seen = lambda: stage.anna.sees if chat is None else stage.anna.sees_in(chat)  # noqa: E731
    listed = await until(lambda: [each for each in seen() if label in dict(each.buttons)])
    await stage.anna.presses(listed[-1], label)
    await until(lambda: "Share" in dict(listed[-1].buttons))
    shown = listed[-1]
    assert isinstance(shown, Shown)
    return shown


async def link_of(stage: Stage, code: LoraCode) -> tuple[str, Shown]:
    """Anna makes a link; gives what stands behind /start, and the message with it."""
    card = await card_of(stage, code)
    await stage.anna.presses(card, "Share")
    await until(lambda: "only you can draw with it" in card.text)
    await stage.anna.presses(card, "Make a link")
    shown = await stage.anna.hears("https://t.me/")
    found = re.search(r"https://t\.me/loracode_bot\?start=(share_[A-Z0-9]{12})\n", shown.text)
    assert found is not None, shown.text
    return found[1], shown


@pytest.mark.covers("telegram", "/ask", "[share:*:once]", "by somebody else", "restart")
async def test_a_share_for_once_is_one_generation_also_after_a_restart(stage: Stage) -> None:
    code, question = await asked(stage)
    await stage.stop()
    await stage.start()
    assert await stage.bert.presses(question, "Always") == translate("stale-button"), "another's question"
    await stage.anna.presses(question, "Once")
    await until(lambda: "may draw with your" in question.text)
    await stage.bert.hears(f"once: /generate {code}")
    await stage.bert.says(f"/generate {code} a boat")
    await until(lambda: [each for each in stage.bert.sees if "again" in str(each.buttons)])
    await stage.bert.says(f"/generate {code} a boat")
    await stage.bert.hears(translate("unknown-code"))
    assert await stage.anna.presses(question, "Always") == translate("stale-button"), "it was used up"


@pytest.mark.covers("telegram", "[share:*:no]", "[share:*:always]", "[share:*:revoke]")
async def test_no_is_not_told_and_always_can_be_taken_back(stage: Stage) -> None:
    code, question = await asked(stage)
    await stage.anna.presses(question, "No")
    await until(lambda: "may not draw" in question.text)
    before = len(stage.bert.sees)
    await stage.bert.says(f"/ask {code}")
    await until(lambda: len(stage.bert.sees) > before)
    assert stage.bert.sees[-1].text == stage.bert.sees[0].text, "the same words as the first time"
    await stage.anna.presses(question, "Always")
    await stage.bert.hears("as often as you like")
    stage.card.proceed_event.clear()
    await stage.bert.says(f"/generate {code} a boat")
    drawing = await stage.bert.hears("Drawing 1 picture")
    await stage.anna.presses(question, "Take it back")
    await until(lambda: "can no longer draw" in question.text)
    await until(lambda: "Cancelled" in drawing.text)
    stage.card.proceed_event.set()


async def test_nobody_s_code_gets_the_same_answer(stage: Stage) -> None:
    code = await trained(stage.anna)
    for each in (code, f"{(int(code) + 1) % 10**8:08d}"):
        await stage.bert.says(f"/ask {each}")
        await stage.bert.hears(f"If there is a LoraCode {each[:4]} {each[4:]}, I have asked its owner.")


@pytest.mark.covers("telegram", "/start with a word", "[share:*]", "[invite:*]", "[uninvite:*]", "restart")
async def test_a_deep_link_opens_the_bot_and_lets_a_stranger_draw(stage: Stage) -> None:
    code = await trained(stage.anna)
    word, shown = await link_of(stage, code)
    carla = Person(stage.server, 9)
    await carla.says(f"/start {word}")
    await carla.hears(f"You can draw with {code[:4]} {code[4:]}: /generate {code}")
    told = await stage.anna.hears("Person 9 (Telegram) may draw with your")
    await stage.stop()
    await stage.start()
    await stage.anna.presses(shown, "End link")
    await until(lambda: "has ended" in shown.text)
    await stage.bert.says(f"/start {word}")
    await stage.bert.hears(translate("share-word-unknown"))
    stage.card.proceed_event.clear()  # else its card may be a picture before anybody looks
    await carla.says(f"/generate {code} a boat")
    await carla.hears("Drawing 1 picture")
    stage.card.proceed_event.set()
    await stage.anna.presses(told, "Take it back")
    await until(lambda: "can no longer draw" in told.text)
    await stage.anna.presses(told, "Back")
    await until(lambda: "only you can draw with it" in told.text)


async def test_sharing_in_a_group_is_for_the_owner_alone(stage: Stage) -> None:
    card = await card_of(stage, await trained(stage.anna), GROUP)
    assert await stage.anna.presses(card, "Share") == translate("share-in-private")
    assert await stage.bert.presses(card, "Share") == translate("unknown-code")


async def test_an_owner_who_blocked_the_bot_is_let_be(stage: Stage) -> None:
    code = await trained(stage.anna)
    asker = Requester(
        await stage.app.database.accounts.get_or_create(Identity(Platform.TELEGRAM, "8")), "Bert", BERTS
    )
    assert await stage.app.database.sharing.add_request(asker, code)
    stage.server.refusals["sendMessage"] = [ApiRefusal("Forbidden: bot was blocked by the user", 403)]
    stage.app.direct_message_sender.wake()
    await until(lambda: not stage.server.refusals["sendMessage"])
    await stage.bert.says(f"/ask {code}")
    await stage.bert.hears("I have asked its owner")
    assert await stage.app.database.outbox.get_due_direct_message(Platform.TELEGRAM) is None
    card = await card_of(stage, code)
    await stage.anna.presses(card, "Share")
    await until(lambda: "Bert (Telegram): asked" in card.text)


async def test_a_message_that_was_deleted_meanwhile_comes_anew(stage: Stage) -> None:
    _, question = await asked(stage)
    stage.server.delete(question)
    await stage.anna.presses(question, "Once")
    answer = await stage.anna.hears("may draw with your")
    assert answer.id != question.id


@pytest.mark.covers("telegram", "/report", "/reports")
async def test_a_report_reaches_the_administrators(stage: Stage) -> None:
    admin = Person(stage.server, ADMIN)
    code = await trained(stage.anna)
    await stage.bert.says(f"/report {code} these are my photos")
    await stage.bert.hears("Thank you")
    await admin.hears(f"telegram:8 reports {code[:4]} {code[4:]}: these are my photos")
    await admin.says("/reports")
    await admin.hears("telegram:8 these are my photos")


@pytest.mark.covers("telegram", "[share:*:*]", "[share:*:show]", "[share:*:revoke]")
async def test_every_guest_of_many_is_found_on_a_page(stage: Stage) -> None:
    code, ledger = await trained(stage.anna), stage.app.database
    await ledger.sharing.save_share_link(code, "ABCDEFGHJKLM", datetime.now(UTC) + timedelta(days=1))
    for number in range(100, 109):
        who = Identity(Platform.TELEGRAM, str(number))
        friend = Requester(await ledger.accounts.get_or_create(who), f"Friend {number}", who.private_address)
        assert await ledger.sharing.accept_share_link(friend, "ABCDEFGHJKLM") == code
    card = await card_of(stage, code)
    await stage.anna.presses(card, "Share")
    await until(lambda: card.text.count("Friend") == 8)
    await stage.anna.presses(card, "More")
    await until(lambda: card.text.count("Friend") == 1)
    await stage.anna.presses(card, card.buttons[0][0])
    await until(lambda: "may draw with your" in card.text)
    await stage.anna.presses(card, "Take it back")
    await until(lambda: "can no longer draw" in card.text)
