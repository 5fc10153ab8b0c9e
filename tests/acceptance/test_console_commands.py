"""At the console: every command and button, typed by the one person who sits there and runs the machine."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import drawn
from bot.chats.base import enter
from bot.chats.console import CONSOLE_ADDRESS, CONSOLE_IDENTITY
from bot.core.accounts import Identity, Platform
from bot.core.loras import LoraCode, Requester
from bot.core.messages import Request
from bot.jobs.backends.fake import FakeBackend
from bot.texts import translate
from bot.texts.admin.commands import NO_REPORTS
from tests.acceptance.test_console_pictures import RESULT, Console, console, last_request
from tests.support.engine import png
from tests.support.use_cases import Studio

PHOTOS = drawn.sample_photos(5, count=6)


@pytest.fixture
async def person(tmp_path: Path) -> AsyncIterator[Console]:
    async with console(tmp_path / "data", FakeBackend(picture=png())) as each:
        yield each


def album(folder: Path, count: int) -> str:
    """A folder of photos."""
    folder.mkdir()
    for number, photo in enumerate(PHOTOS[:count], 1):
        (folder / f"{number}.png").write_bytes(photo)
    return str(folder)


async def trained(person: Console, folder: Path) -> LoraCode:
    ready = await person.types(album(folder, 5), r"\d{4} \d{4} is ready[^\n]*\n(?s:.*?)My codes\n")
    return LoraCode(ready[:9].replace(" ", ""))


@pytest.mark.covers(
    "console",
    "/start",
    "/help",
    "/train",
    "/queue",
    "/cancel",
    "/link",
    "/privacy",
    "words",
    "path",
    "[set:*:class=*]",
    "[set:*:drop=*]",
    "[set:*:name]",
    "[restart:*]",
    "[first5:*]",
    "[cancel:*]",
)
async def test_a_set_is_put_together_started_over_trained_and_cancelled(
    person: Console, tmp_path: Path
) -> None:
    await person.types("/start", "paths of five photos")
    await person.types("/help", "/forgetme")
    await person.types("/train", "five photos")
    await person.types(album(tmp_path / "two", 2), r"2 of 5(?s:.*)Start over\n")
    await person.presses("✕ 1", r"1 of 5(?s:.*)Start over\n")
    await person.presses("Cat", r"They show: cat(?s:.*)Start over\n")
    await person.presses("Name it", "write")
    await person.types("Whiskers", r"Whiskers(?s:.*)Start over\n")
    await person.presses("Start over", "Deleted: 1 photo")
    await person.types("/pause", "Paused")
    await person.types(album(tmp_path / "six", 6), r"Nothing has started(?s:.*)Start over\n")
    await person.presses("Use the first five", r"LoraCode is(?s:.*)Cancel\n")
    await person.types("/queue", r"Cancel \d{4} \d{4}\n")
    await person.types("1", "will not be trained")
    await person.types("/cancel", translate("nothing-open"))
    await person.types("/link", "Your word is [A-Z0-9]{6}")
    await person.types("/privacy", "What I keep about you")


@pytest.mark.covers(
    "console",
    "/codes",
    "/show",
    "/export",
    "/forgetme",
    "restart",
    "pressed twice",
    "[codes]",
    "[codes:all]",
    "[code:*]",
    "[rename:*]",
    "[question:drop:*]",
    "[export:*]",
    "[use:*]",
    "[remove:*]",
    "[remove!:*]",
    "[draft:*:style]",
    "[draft:*:style=]",
    "[draft:*:drop]",
    "[forgetme!:*:*]",
)
async def test_a_code_is_used_named_exported_and_deleted_also_after_a_restart(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with console(data, FakeBackend(picture=png())) as person:
        code = await trained(person, tmp_path / "album")
        spaced = f"{code[:4]} {code[4:]}"
        await person.presses("My codes", rf"\] {spaced}(?s:.*?)\n")
    async with console(data, FakeBackend(picture=png())) as person:
        await person.types("/codes", rf"\] {spaced}(?s:.*?)\n")
        await person.presses(spaced, "trigger: sks person(?s:.*)All my codes\n")
        await person.presses("All my codes", rf"\] {spaced}")
        await person.types("/codes", rf"\] {spaced}(?s:.*?)\n")
        await person.presses(spaced, "trigger: sks person(?s:.*)All my codes\n")
        await person.presses("Export", r"file: \S+")
        await person.types("/export 00000001", translate("unknown-code"))
        await person.presses("Rename", r"write(?s:.*)Discard\n")
        await person.presses("Discard", translate("question-dropped"))
        await person.types("/codes", rf"\] {spaced}(?s:.*?)\n")
        await person.presses(spaced, "trigger: sks person(?s:.*)All my codes\n")
        await person.presses("Rename", r"write(?s:.*)Discard\n")
        await person.types("Sunny", "Sunny(?s:.*)All my codes\n")
        await person.presses("Generate", "Now write what to draw(?s:.*)Discard\n")
        await person.presses("Style", "Which style(?s:.*)No style\n")
        await person.presses("Oil painting", "style: Oil painting(?s:.*)Discard\n")
        await person.presses("Style: Oil painting", "Which style(?s:.*)No style\n")
        await person.presses("No style", "style: none(?s:.*)Discard\n")
        await person.presses("Discard", translate("draft-dropped"))
        await person.presses("Discard", translate("draft-gone"))
        await person.types("/show 999", translate("no-such-result"))
        await person.types("/codes", r"\] Sunny(?s:.*?)\n")
        await person.presses("Sunny", "trigger: sks person(?s:.*)All my codes\n")
        await person.presses("Delete", "for good(?s:.*)Keep it\n")
        await person.presses("Delete for good", "is deleted")
        await person.types("/forgetme", "Delete everything\n")
        await person.types("1", "Receipt")


@pytest.mark.covers(
    "console",
    "/generate",
    "--n",
    "--size",
    "--seed",
    "--no",
    "--steps",
    "--guidance",
    "--strength",
    "--style",
    "--sampler",
    "--fast",
    "--fine",
    "[draw:*]",
)
async def test_every_option_reaches_the_worker(tmp_path: Path) -> None:
    card = FakeBackend(picture=png())
    async with console(tmp_path / "data", card) as person:
        code = await trained(person, tmp_path / "album")
        await person.presses("Generate", "Now write what to draw(?s:.*)Discard\n")
        await person.types(
            f"/generate {code} a boat --n 2 --size portrait --seed 7 --no fog, rain --steps 12 --guidance 6.5"
            " --strength 0.8 --style oil --sampler euler a",
            RESULT,
        )
        request = last_request(card)
        assert (request.count, request.shape, request.seed, request.steps) == (2, "portrait", 7, 12)
        assert (request.guidance_scale, request.sampler, request.loras[0].strength) == (6.5, "euler a", 0.8)
        assert "fog, rain" in request.negative_prompt
        assert request.prompt.startswith("oil painting of")
        for word, is_fast in (("--fast", True), ("--fine", False)):
            await person.types(f"/generate {code} a boat {word}", RESULT)
            assert last_request(card).is_fast == is_fast


@pytest.mark.covers(
    "console",
    "/ask",
    "/report",
    "[share:*]",
    "[share:*:*]",
    "[share:*:show]",
    "[share:*:revoke]",
    "[share:*:once]",
    "[share:*:always]",
    "[share:*:no]",
    "[invite:*]",
    "[uninvite:*]",
)
async def test_sharing_is_decided_by_numbers(person: Console, tmp_path: Path) -> None:
    code, ledger = await person.trained(), person.app.database
    for number, answer in enumerate(("Once", "Always", "No"), 1):
        who = Identity(Platform.TELEGRAM, str(number), name=f"Friend {number}")
        await Studio.over(person.app.services).request_access(who, who.private_address, code)
        await person.reads(rf"Friend {number} \(Telegram\) wants to draw(?s:.*?)No\n")
        await person.presses(answer, r"Friend|said no|No more|refused|Nobody|may draw|not|no ")
    await ledger.sharing.save_share_link(code, "ABCDEFGHJKLM", datetime.now(UTC) + timedelta(days=1))
    for number in range(100, 109):
        who = Identity(Platform.TELEGRAM, str(number))
        friend = Requester(await ledger.accounts.get_or_create(who), f"Other {number}", who.private_address)
        assert await ledger.sharing.accept_share_link(friend, "ABCDEFGHJKLM") == code
    person.app.direct_message_sender.wake()
    await person.reads(r"Other 108(?s:.*?)Everyone with[^\n]*\n")  # a letter brings buttons of its own
    await person.types("/codes", r"\[1\] \d{4} \d{4}(?s:.*?)\n")
    await person.presses(f"{code[:4]} {code[4:]}", "Share(?s:.*)All my codes\n")
    await person.presses("Share", r"(?s:.*)Back\n")
    await person.presses("More", r"(?s:.*)Back\n")
    await person.types("1", r"may draw with your(?s:.*?)Everyone with[^\n]*\n")
    await person.presses("Take it back", "can no longer draw(?s:.*?)Back\n")
    await person.presses("Back", r"(?s:.*)Back\n")
    await person.presses("New link", r"share_[A-Z0-9]{12}(?s:.*?)Who has it\n")
    await person.presses("End link", "has ended")
    await person.types("/ask 4071 3386", "I have asked its owner")
    await person.types("/report 4071 3386 mine", "Thank you")


@pytest.mark.covers(
    "console",
    "/status",
    "/logs",
    "/reports",
    "/pause",
    "/resume",
    "/ban",
    "/unban",
    "/quota",
    "/takedown",
    "/broadcast",
    "/invite",
    "/drain",
)
async def test_the_console_user_is_an_administrator(person: Console, tmp_path: Path) -> None:
    code = await person.trained()
    await person.types("/status", r"Waiting: 0 train(?s:.*)Disk free")
    await person.types("/pause", "Paused")
    await person.types("/resume", "again|Jobs")
    await person.types("/ban telegram:8", "Banned: telegram:8; 0 jobs of theirs stopped")
    await person.types("/unban telegram:8", "No longer banned: telegram:8")
    await person.types("/quota console:me 1 2", "Trainings a day: no limit, 1 used")
    await person.types("/invite", "It works once, for 7 days")
    await person.types("/broadcast We are closed", "I am sending that to")
    await person.types(f"/takedown {code}", f"{code[:4]} {code[4:]} is deleted")
    await person.types("/reports", re.escape(NO_REPORTS))
    await person.types("/logs", r"console:me /takedown")
    await person.types("/drain", "I will finish 0 running jobs, then stop")


async def test_the_person_at_the_console_is_never_asked_to_agree(person: Console) -> None:
    services = person.app.services
    async with enter(services, Request(CONSOLE_IDENTITY, CONSOLE_ADDRESS)) as request:
        assert not services.photo_sets.needs_consent(request)
    offered = [
        each.action
        for each in (
            await Studio.over(person.app.services).start_training(CONSOLE_IDENTITY, CONSOLE_ADDRESS)
        ).buttons
    ]
    assert "consent" not in offered
