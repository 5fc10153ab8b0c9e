"""People who use the bot, each at times that were fixed before: nobody waits for an answer to go on."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from PIL import Image

import drawn
from benchmarks.load.telegram import Ask, LoadServer

#: The pause after which an album counts as whole: bot.chats.telegram's.
ALBUM_PAUSE_S = 1.0
#: Photos as phones make them after Telegram's own shrinking, in pixels.
SIZE_PX = (960, 1280)
#: Of each photo of an album after the one before.
ALBUM_STEP_S = 0.05


def photos(count: int) -> list[bytes]:
    """Draw photos that take as long to decode, and as much room, as real ones: some 280 kB."""
    grain = Image.effect_noise(SIZE_PX, 40).convert("RGB")
    made = []
    for data in drawn.sample_photos(11, count=count, side_px=256):
        with Image.open(io.BytesIO(data)) as opened:
            picture = opened.convert("RGB").resize(SIZE_PX)
        file = io.BytesIO()
        Image.blend(picture, grain, 0.15).save(file, "JPEG", quality=87)
        made.append(file.getvalue())
    return made


@dataclass
class Crowd:
    """Everybody, and all they asked."""

    server: LoadServer
    asks: list[Ask] = field(default_factory=list)
    _files: list[str] = field(default_factory=list)

    def bring(self, pictures: Sequence[bytes]) -> None:
        """Let people have photos."""
        for number, data in enumerate(pictures):
            self.server.files[f"{number}.jpg"] = data
        self._files = list(self.server.files)

    async def sends_album(self, person: int, first: int, count: int) -> Ask:
        """Send an album, a message a photo."""
        ask = self._asks(person, Ask("album", ALBUM_PAUSE_S))
        name = f"album{self.server.number()}"
        for number in range(first, first + count):
            is_last = number == first + count - 1
            self._photo(person, number, {"media_group_id": name}, ask if is_last else None)
            if not is_last:
                await asyncio.sleep(ALBUM_STEP_S)
        return ask

    def sends_photo(self, person: int, number: int) -> Ask:
        """Send one photo."""
        ask = self._asks(person, Ask("photo"))
        self._photo(person, number, {}, ask)
        return ask

    def says(self, person: int, text: str) -> Ask:
        """Write something."""
        ask = self._asks(person, Ask(text.split()[0]))
        entities = [{"type": "bot_command", "offset": 0, "length": len(text.split()[0])}]
        self._message(person, {"text": text, "entities": entities if text.startswith("/") else []}, ask)
        return ask

    def presses(self, person: int, action: str) -> Ask:
        """Press a button of the last message that had any."""
        query, last = f"q{self.server.number()}", self.server.chats[person].last
        ask = self.server.pressed(query, Ask("press"))
        self.asks.append(ask)
        message = {
            "message_id": 1 if last is None else last.message_id,
            "date": 1,
            "chat": _chat(person),
            "text": "a card",
        }
        told = {"id": query, "from": _user(person), "chat_instance": "1", "data": action, "message": message}
        self.server.put({"callback_query": told}, ask)
        return ask

    def _asks(self, person: int, ask: Ask) -> Ask:
        self.asks.append(ask)
        return self.server.asks(person, ask)

    def _photo(self, person: int, number: int, more: dict[str, str], ask: Ask | None) -> None:
        name = self._files[(7 * person + number) % len(self._files)]
        size = len(self.server.files[name])
        file = {"file_id": name, "file_unique_id": name, "file_size": size}
        width, height = SIZE_PX
        self._message(person, {"photo": [{**file, "width": width, "height": height}], **more}, ask)

    def _message(self, person: int, content: dict[str, Any], ask: Ask | None) -> None:
        number = self.server.number()
        told = {"message_id": number, "date": 1, "chat": _chat(person), "from": _user(person), **content}
        self.server.put({"message": told}, ask)


async def trains(crowd: Crowd, person: int, luck: random.Random, pause_s: float = 3.0) -> None:
    """Send five photos, in one of three ways: an album, two of them, or one photo after another.

    About so long a pause is between two messages.
    """
    way = person % 3
    if way == 0:
        await crowd.sends_album(person, 0, 5)
    elif way == 1:
        await crowd.sends_album(person, 0, 3)
        await asyncio.sleep(pause_s * luck.uniform(0.6, 1.4))
        await crowd.sends_album(person, 3, 2)
    else:
        for number in range(5):
            crowd.sends_photo(person, number)
            await asyncio.sleep(pause_s * luck.uniform(0.6, 1.4))


async def at(start_s: float) -> None:
    """Wait for a moment that was fixed before."""
    await asyncio.sleep(max(0.0, start_s - monotonic()))


def _chat(person: int) -> dict[str, Any]:
    return {"id": person, "type": "private", "first_name": f"Person {person}"}


def _user(person: int) -> dict[str, Any]:
    return {"id": person, "is_bot": False, "first_name": f"Person {person}"}
