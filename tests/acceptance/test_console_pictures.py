"""A person at the console does everything with a result, on the whole front end with a fake card behind."""

from __future__ import annotations

import asyncio
import io
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import drawn
from bot.app.root import App, open_app, utc_now
from bot.app.settings import Settings
from bot.chats.console import CONSOLE_ADDRESS, CONSOLE_IDENTITY, ConsoleAdapter
from bot.core.accounts import Platform
from bot.core.loras import LoraCode
from bot.jobs.backends.fake import FakeBackend
from bot.media.quality import PhotoAnalyzer
from gpu_worker.protocol import GenerateRequest
from tests.acceptance.uses import note, of_button, of_words
from tests.support.data_dirs import create_data_dir
from tests.support.engine import png, until
from tests.support.trained_lora import give_lora


class Console:
    """The keyboard and the screen."""

    def __init__(self, app: App) -> None:
        reading, writing = os.pipe()
        self._keys = os.fdopen(writing, "w", buffering=1)
        self._screen = io.StringIO()
        self._keyboard = os.fdopen(reading)
        self.app = app
        self.chat = ConsoleAdapter(app.services, self._keyboard, self._screen)
        self._seen = 0
        self._pressed: object = None

    async def types(self, line: str, expect: str) -> str:
        """Type a line, wait for what must come of it, and give what was shown from there on."""
        if line.isdecimal():
            press = (self.chat._buttons, line)
            note(Platform.CONSOLE, of_button(self.chat._buttons[int(line) - 1].action))
            note(Platform.CONSOLE, *(["pressed twice"] * (press == self._pressed)))
            self._pressed = press
        else:
            note(Platform.CONSOLE, *({"path"} if Path(line).exists() else of_words(line)))
        self._keys.write(f"{line}\n")
        return await self.reads(expect)

    async def reads(self, expect: str) -> str:
        async def shown() -> bool:
            return re.search(expect, self._screen.getvalue()[self._seen :]) is not None

        try:
            await until(shown, timeout_s=60)
        except TimeoutError:
            pytest.fail(f"{expect!r} never came; the screen says:\n{self._screen.getvalue()}")
        text = self._screen.getvalue()[self._seen :]
        found = re.search(expect, text)
        assert found is not None
        self._seen += found.end()
        return found[0]

    async def presses(self, label: str, expect: str) -> str:
        """Press a button of the last message that had some."""
        last = re.findall(rf"\[(\d+)\] {re.escape(label)}(?:  |\n)", self._screen.getvalue())
        return await self.types(last[-1], expect)

    async def trained(self) -> LoraCode:
        """Let the person have a LoraCode that was trained before."""
        account = await self.app.database.accounts.get_or_create(CONSOLE_IDENTITY)
        return await give_lora(self.app.storage.root, account, CONSOLE_ADDRESS, utc_now())

    def ends_input(self) -> None:
        self._keys.close()

    def close(self) -> None:
        self._keyboard.close()


@asynccontextmanager
async def console(
    folder: Path, card: FakeBackend, eye: PhotoAnalyzer | None = None
) -> AsyncIterator[Console]:
    """The program, started on a data folder and stopped again; it looks at photos if it has an eye."""
    note(Platform.CONSOLE, *(["restart"] * folder.exists()))
    create_data_dir(folder)
    settings = Settings(data_dir=folder, coach="off" if eye is None else "on")
    async with open_app(settings, card, photo_analyzer=eye) as app:
        person = Console(app)
        app.chats[Platform.CONSOLE] = person.chat
        running = asyncio.create_task(app.run({"console": person.chat.run()}))
        try:
            yield person
        finally:
            person.ends_input()
            await asyncio.wait([running])
            person.close()
            running.result()


def last_request(card: FakeBackend) -> GenerateRequest:
    request = card.requests[-1]
    assert isinstance(request, GenerateRequest)
    return request


# A result's buttons are printed last of it.
RESULT = r"#(\d+) · [^\n]*\n(?:  picture: \S+\n)+[^\n]*Delete\n"


@pytest.mark.covers(
    "console",
    "/generate",
    "/show",
    "/export",
    "path",
    "words",
    "restart",
    "[again:*]",
    "[speed:*:fine]",
    "[speed:*:fast]",
    "[vary:*:*]",
    "[large:*:*]",
    "[edit:*]",
    "[recipe:*]",
    "[delete:*]",
    "[delete!:*]",
)
async def test_everything_that_can_be_done_with_a_result(tmp_path: Path) -> None:
    card, data, album = FakeBackend(picture=png()), tmp_path / "data", tmp_path / "album"
    album.mkdir()
    for number, photo in enumerate(drawn.sample_photos(5), 1):
        (album / f"{number}.png").write_bytes(photo)
    async with console(data, card) as person:
        code = (await person.types(str(album), r"\d{4} \d{4} is ready"))[:9].replace(" ", "")
        first = await person.types(
            f"/generate <{code}>, on the moon --seed 7 --n2 --style oil painting", RESULT
        )
        assert first.count("picture: ") == 2

        again = await person.presses("Again", RESULT)
        assert "on the moon" in again
        assert last_request(card).seed != 7
        number = re.findall(r"#(\d+)", first)[0]

        await person.types(f"/show {number}", RESULT)
        await person.presses("Finer", RESULT)
        assert (last_request(card).seed, last_request(card).is_fast) == (7, False)
        await person.presses("Faster", RESULT)
        assert (last_request(card).seed, last_request(card).is_fast) == (7, True)

        await person.types(f"/show {number}", RESULT)
        await person.presses("Variations 2", RESULT)
        assert (last_request(card).seed, last_request(card).variation_strength) == (8, 0.25)

        await person.types(f"/show {number}", RESULT)
        await person.presses("Larger 1", RESULT)
        assert (last_request(card).width_px, last_request(card).init_image is None) == (128, False)

        await person.types(f"/show {number}", RESULT)
        await person.presses("Edit prompt", r"Now write the new prompt[^\n]*\non the moon")
        assert "under the sea" in await person.types("under the sea", RESULT)

        await person.types(f"/show {number}", RESULT)
        recipe = await person.presses("Recipe", r"Prompt: on the moon\n(?:.*\n)*?See it again: /show \d+")
        assert "Seed: 7 to 8" in recipe
        assert "Style: Oil painting" in recipe
        assert recipe.endswith(number)

    # A restart, perhaps a year later: the same buttons do the same.
    async with console(data, card) as person:
        shown = await person.types(f"/show {number}", RESULT)
        await person.presses("Delete", r"for good\?\n  \[1\] Delete\n")
        await person.types("1", "is deleted, prompt and pictures")
        assert not any(Path(path).exists() for path in re.findall(r"picture: (\S+)", shown))
        await person.types(f"/show {number}", "You deleted that result")

        exported = await person.types(f"/export {code}", r"file: (\S+) \(as loracode-\d{8}\.safetensors\)")
        assert Path(re.findall(r"file: (\S+)", exported)[0]).read_bytes() == b"lora"


@pytest.mark.covers(
    "console",
    "/generate",
    "words",
    "[draft:*:style]",
    "[draft:*:style=*]",
    "[draft:*:size=*]",
    "[draft:*:n=*]",
    "[draft:*:draw]",
)
async def test_generate_alone_is_put_together_by_buttons(tmp_path: Path) -> None:
    card = FakeBackend(picture=png())
    async with console(tmp_path / "data", card) as person:
        await person.trained()
        await person.types("/generate", "Now write what to draw.(?s:.*)Discard\n")
        await person.presses("Style", r"Which style\?(?s:.*)No style\n")
        await person.presses("Oil painting", "style: Oil painting(?s:.*)Discard\n")
        await person.presses("Portrait", "size: portrait(?s:.*)Discard\n")
        await person.presses("4 pictures", "pictures: 4(?s:.*)Discard\n")
        result = await person.types("on the moon", RESULT)
        assert result.count("picture: ") == 4
        request = last_request(card)
        assert (request.shape, request.count) == ("portrait", 4)
        assert request.prompt.startswith("oil painting of sks person, on the moon")
        await person.types("what is that", "I do not know what to do with that")
        await person.types("/generate", "Now write what to draw.(?s:.*)Discard\n")
        await person.types("is that it?", "Shall I draw these words(?s:.*)Discard\n")
        await person.presses("Draw them", RESULT)
