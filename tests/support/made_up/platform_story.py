"""A whole story on a made-up platform, which a copy of the code has: from hello to a shared picture."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from bot.chats.pigeon import Letter, PigeonAdapter

import drawn
from bot.app.factories import make_start_link
from bot.app.root import make_chats, open_app
from bot.app.settings import Settings
from bot.core.accounts import Platform
from bot.core.messages import ChatAdapter
from bot.jobs.backends.fake import FakeBackend
from tests.acceptance.telegram_server import until
from tests.support.engine import png

PHOTOS = drawn.sample_photos(5, count=5)
ANNA, BERT = "anna", "bert"


async def test_a_person_trains_draws_shares_and_leaves_by_pigeon(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, coach="off", backup_days=0)
    async with open_app(settings, FakeBackend(picture=png())) as app:
        [chat] = make_chats(settings, app)
        assert isinstance(chat, PigeonAdapter)
        app.chats[chat.platform] = chat
        running = asyncio.create_task(app.run({"pigeon": chat.run()}))
        try:
            await _play(chat, app.chats)
        finally:
            running.cancel()
            await asyncio.wait([running])


async def _play(chat: PigeonAdapter, chats: dict[Platform, ChatAdapter]) -> None:
    async def hears(person: str, text: str) -> Letter:
        letters = chat.letters.setdefault(person, [])
        return await until(lambda: next((each for each in letters if text in each.reply.text), None))

    welcome = await chat.write(ANNA, "/start")
    assert "Tie five photos to a pigeon." in welcome.reply.text
    await chat.press(ANNA, welcome, "I agree")
    await chat.write(ANNA, "", PHOTOS)
    ready = await hears(ANNA, "is ready, and your photos")
    code = "".join(re.findall(r"\d{4}", ready.reply.text)[:2])

    result = await chat.write(ANNA, f"/generate {code} sks person on the moon")
    await until(lambda: "Recipe" in _labels(result))
    assert result.former_texts[0].startswith("Drawing 1 picture"), "its card is edited"
    assert len(result.reply.pictures) == 1
    assert "Seed" in (await chat.press(ANNA, result, "Recipe")).reply.text

    await chat.write(BERT, f"/ask {code}")
    asked = await hears(ANNA, "wants to draw with your")
    await chat.press(ANNA, asked, "Always")
    await hears(BERT, code[:4])
    result = await chat.write(BERT, f"/generate {code} sks person at sea")
    await until(lambda: "Recipe" in _labels(result))
    assert make_start_link(chats, "word") == "pigeon:word"

    question = await chat.write(ANNA, "/forgetme")
    gone = await chat.press(ANNA, question, _labels(question)[0])
    assert "Pigeon" in gone.reply.text
    assert (await chat.write(BERT, f"/generate {code} a boat")).reply.is_refusal


def _labels(letter: Letter) -> list[str]:
    return [button.label for button in letter.reply.buttons]
