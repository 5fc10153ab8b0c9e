"""S1: no token and no word of a person's in what the bot logs at DEBUG, nor the token in any file."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import pytest
from lo_bot_api_emulator import ApiRefusal

from bot.app.settings import Settings
from bot.core.accounts import Identity, Platform
from bot.core.logging import JsonFormatter, RedactingFormatter
from bot.db import Database
from tests.acceptance.discord_stage import on_stage as on_discord
from tests.acceptance.telegram_server import TOKEN, TelegramServer, telegram_server, until
from tests.acceptance.telegram_stage import PHOTOS, Person, code_in
from tests.proofs.invariants import ROOT, utc_now
from tests.proofs.test_s4_nothing_left import canary, found_in
from tests.proofs.verdict import Proof, forms
from tests.support.services import consented

DISCORD_TOKEN = "canarycanarycanarycanary.canary.canarycanarycanarycanarycanary"
PROGRAM = Path(__file__).with_name("scripted_bot.py")
#: What Telegram may refuse without stopping a story for good: the bot tries again, or goes without.
REFUSED = ("editMessageText", "editMessageMedia", "setMyCommands")


class Words:
    """What a person writes; each is like nothing else in the world."""

    def __init__(self) -> None:
        names = ("prompt", "negative", "name", "chat", "file", "command", "report")
        self.all = {name: canary(name).replace(b" ", b"-").decode() for name in names}

    def __getitem__(self, name: str) -> str:
        return self.all[name]

    def as_bytes(self) -> dict[str, bytes]:
        return {name: each.encode() for name, each in self.all.items()}


async def story(server: TelegramServer, person: Person, words: Words, luck: random.Random) -> None:
    """Everything that holds words: some go well, some are refused, some break."""
    for method in luck.sample(REFUSED, 2):
        server.refusals[method] = [ApiRefusal("Bad Request: it cannot be parsed")]
    await person.sends_file(f"{words['file']}.jpg", b"\xff\xd8\xff" + words["file"].encode() * 99)
    await person.says(f"/{words['command']}")
    await person.says(words["chat"])
    await person.sends_photos(PHOTOS[:5])
    code = code_in(await person.hears("is ready,"))
    await person.says(f"/generate {code} {words['prompt']} --no {words['negative']}")
    result = await until(lambda: [each for each in person.sees if "Again" in dict(each.buttons)], 30.0)
    await person.presses(result[0], "Recipe")
    asked = await person.sends_action(result[0], f"rename:{code}")
    await until(lambda: asked in server.pressed)
    await person.says(words["name"])
    await person.says(f"/report {code} {words['report']}")
    await person.says(f"/generate {code} {words['prompt']} --seed {words['prompt']}")
    await person.says("/codes")
    await person.hears(words["name"][:20])


async def logged(folder: Path, log_format: str, luck: random.Random, words: Words) -> str:
    """Let somebody use a bot of their own; give what it wrote."""
    data, log = folder / "data", folder / "log"
    data.mkdir(parents=True, mode=0o700)
    async with telegram_server() as server:
        ledger = await Database.open(data / "ledger.sqlite3", utc_now)
        await consented(ledger, Identity(Platform.TELEGRAM, "7"))
        await ledger.close()
        environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "LOG_FORMAT": log_format,
            "TELEGRAM_BOT_TOKEN": TOKEN,
        }
        with log.open("wb") as file:
            program = await asyncio.create_subprocess_exec(
                *(sys.executable, str(PROGRAM), server.base_url, str(data)),
                env=environ,
                stderr=file,
                stdout=file,
            )
        try:
            await story(server, Person(server, 7), words, luck)
        finally:
            program.kill()
            await program.wait()
    return log.read_text(encoding="utf-8")


def told(text: str, words: Iterable[str]) -> list[str]:
    """Give what of these a text holds, also as it is written in addresses and JSON."""
    return [each for each in words if each in text or quote(each) in text or json.dumps(each)[1:-1] in text]


@forms("rounds", short=2, long=40)
async def test_s1_no_token_and_no_word_of_a_person_is_logged(
    proof: Proof, tmp_path: Path, rounds: int
) -> None:
    wrong, lines = [], 0
    for number in range(rounds):
        words, folder = Words(), tmp_path / str(number)
        log_format = ("text", "json")[number % 2]
        log = await logged(folder, log_format, random.Random(number), words)
        lines += log.count("\n")
        assert "DEBUG" in log
        assert "(train) has ended" in log, "what it did is logged"
        wrong += [f"round {number}: {each} was logged" for each in told(log, [TOKEN, *words.all.values()])]
        wrong += found_in(folder / "data", {"the token": TOKEN.encode()})
        kept = found_in(folder / "data", words.as_bytes())
        wrong += [each for each in kept if " in ledger.sqlite3" not in each and " in pictures/" not in each]
    proof.concludes(f"{rounds} stories logged at DEBUG, {lines} lines, and every file of theirs", wrong)


async def test_s1_no_word_of_a_person_on_discord_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = Words()
    caplog.set_level(logging.DEBUG)
    async with on_discord(tmp_path) as stage:
        code = await stage.trained()
        stage.refuse("PATCH", f"/channels/{stage.channel.id}/messages/*", 500)
        await stage.drawn(code, words["prompt"], negative=words["negative"])
        await stage.anna.slash(stage.channel, "report", code=code, words=words["report"])
        await stage.anna_alone.send_dm(words["chat"])
        await stage.work()
        kept = found_in(stage.folder, words.as_bytes())
    # As it is set up: libraries are heard from WARNING on.
    ours = [
        each for each in caplog.records if each.levelno >= logging.WARNING or each.name.startswith("bot.")
    ]
    assert any("(generate) has ended" in each.getMessage() for each in ours), "what it did is logged"
    for written in (RedactingFormatter("%(name)s: %(message)s"), JsonFormatter()):
        assert not told("\n".join(written.format(each) for each in ours), ["a token", *words.all.values()])
    assert [each for each in kept if " in ledger.sqlite3" not in each and " in pictures/" not in each] == []


def test_s1_settings_and_their_errors_do_not_show_tokens() -> None:
    settings = Settings.model_validate({"telegram_bot_token": TOKEN, "discord_bot_token": DISCORD_TOKEN})
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert not told(shown, [TOKEN, DISCORD_TOKEN])
