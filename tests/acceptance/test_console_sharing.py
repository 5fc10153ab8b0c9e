"""At the console: somebody elsewhere asks for its person's LoraCode, and the other way round."""

from __future__ import annotations

from pathlib import Path

from bot.app.root import App
from bot.core.accounts import ChatAddress, Identity, Platform
from bot.jobs.backends.fake import FakeBackend
from tests.acceptance.test_console_pictures import console
from tests.support.engine import png
from tests.support.use_cases import Studio

BERT = Identity(Platform.TELEGRAM, "8", name="Bert")
BERTS = BERT.private_address


async def test_an_owner_at_the_console_is_asked_and_decides(tmp_path: Path) -> None:
    async with console(tmp_path / "data", FakeBackend(picture=png())) as person:
        code = await person.trained()
        await Studio.over(person.app.services).request_access(BERT, BERTS, code)
        await person.reads(r"Bert \(Telegram\) wants to draw with your(?s:.*)\[3\] No")
        await person.presses("Always", "until you take it back")
        assert (await draws(person.app, code)).startswith("Drawing 1 picture")
        await person.types("/codes", r"\[1\] \d{4} \d{4}")
        await person.types("1", "Share")
        await person.presses("Share", r"Bert \(Telegram\): always(?s:.*)Back\n")
        await person.presses("Make a link", r"share_[A-Z0-9]{12}\n")
        await person.presses("End link", "has ended")


async def test_the_person_at_the_console_asks_and_reports(tmp_path: Path) -> None:
    async with console(tmp_path / "data", FakeBackend(picture=png())) as person:
        await person.types("/ask 4071 3386", "If there is a LoraCode 4071 3386, I have asked its owner")
        await person.types("/ask", "Whose LoraCode")
        await person.types("share_AAAAAAAAAAAA", "That invitation has expired")
        await person.types("/start share_AAAAAAAAAAAA", "That invitation has expired")
        await person.types("/report 4071 3386 mine", "Thank you")
        await person.reads("console:me reports 4071 3386: mine")
        await person.types("/reports", "4071 3386 console:me mine")


async def draws(app: App, code: str) -> str:
    return (
        await Studio.over(app.services).generate_from_text(
            BERT, ChatAddress(Platform.TELEGRAM, "8", "8"), f"{code} a boat"
        )
    ).text
