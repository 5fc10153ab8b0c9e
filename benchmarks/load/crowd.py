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
from benchmarks.load.telegram import LoadServer, PendingRequest

#: The pause after which an album counts as whole: bot.chats.telegram's.
ALBUM_PAUSE_S = 1.0
#: Photos as phones make them after Telegram's own shrinking, in pixels.
SIZE_PX = (960, 1280)
#: Of each photo of an album after the one before.
ALBUM_INTERVAL_S = 0.05


def make_photos(count: int) -> list[bytes]:
    """Draw photos that take as long to decode, and as much room, as real ones: some 280 kB."""
    grain = Image.effect_noise(SIZE_PX, 40).convert("RGB")
    files = []
    for data in drawn.sample_photos(11, count=count, side_px=256):
        with Image.open(io.BytesIO(data)) as image:
            picture = image.convert("RGB").resize(SIZE_PX)
        file = io.BytesIO()
        Image.blend(picture, grain, 0.15).save(file, "JPEG", quality=87)
        files.append(file.getvalue())
    return files


@dataclass
class SimulatedUsers:
    """Everybody, and all they asked."""

    server: LoadServer
    requests: list[PendingRequest] = field(default_factory=list)
    _files: list[str] = field(default_factory=list)

    def add_photos(self, pictures: Sequence[bytes]) -> None:
        """Set the photos that people send."""
        for number, data in enumerate(pictures):
            self.server.files[f"{number}.jpg"] = data
        self._files = list(self.server.files)

    async def send_album(self, person: int, first: int, count: int) -> PendingRequest:
        """Send an album, a message a photo."""
        request = self._record_request(person, PendingRequest("album", ALBUM_PAUSE_S))
        name = f"album{self.server.next_number()}"
        for number in range(first, first + count):
            is_last = number == first + count - 1
            self._send_photo_update(person, number, {"media_group_id": name}, request if is_last else None)
            if not is_last:
                await asyncio.sleep(ALBUM_INTERVAL_S)
        return request

    def send_photo(self, person: int, number: int) -> PendingRequest:
        """Send one photo."""
        request = self._record_request(person, PendingRequest("photo"))
        self._send_photo_update(person, number, {}, request)
        return request

    def send_text(self, person: int, text: str) -> PendingRequest:
        """Write something."""
        request = self._record_request(person, PendingRequest(text.split()[0]))
        entities = [{"type": "bot_command", "offset": 0, "length": len(text.split()[0])}]
        self._send_message_update(
            person, {"text": text, "entities": entities if text.startswith("/") else []}, request
        )
        return request

    def press_button(self, person: int, action: str) -> PendingRequest:
        """Press a button of the last message that had any."""
        query_id, last_message = f"q{self.server.next_number()}", self.server.chats[person].last_message
        request = self.server.expect_press(query_id, PendingRequest("press"))
        self.requests.append(request)
        message = {
            "message_id": 1 if last_message is None else last_message.message_id,
            "date": 1,
            "chat": _chat(person),
            "text": "a card",
        }
        callback_query = {
            "id": query_id,
            "from": _user(person),
            "chat_instance": "1",
            "data": action,
            "message": message,
        }
        self.server.queue_update({"callback_query": callback_query}, request)
        return request

    def _record_request(self, person: int, request: PendingRequest) -> PendingRequest:
        self.requests.append(request)
        return self.server.expect_answer(person, request)

    def _send_photo_update(
        self, person: int, number: int, extra_fields: dict[str, str], request: PendingRequest | None
    ) -> None:
        name = self._files[(7 * person + number) % len(self._files)]
        size = len(self.server.files[name])
        file = {"file_id": name, "file_unique_id": name, "file_size": size}
        width, height = SIZE_PX
        self._send_message_update(
            person, {"photo": [{**file, "width": width, "height": height}], **extra_fields}, request
        )

    def _send_message_update(
        self, person: int, content: dict[str, Any], request: PendingRequest | None
    ) -> None:
        number = self.server.next_number()
        message = {"message_id": number, "date": 1, "chat": _chat(person), "from": _user(person), **content}
        self.server.queue_update({"message": message}, request)


async def send_training_photos(
    users: SimulatedUsers, person: int, rng: random.Random, pause_s: float = 3.0
) -> None:
    """Send five photos, in one of three ways: an album, two of them, or one photo after another.

    About so long a pause is between two messages.
    """
    pattern = person % 3
    if pattern == 0:
        await users.send_album(person, 0, 5)
    elif pattern == 1:
        await users.send_album(person, 0, 3)
        await asyncio.sleep(pause_s * rng.uniform(0.6, 1.4))
        await users.send_album(person, 3, 2)
    else:
        for number in range(5):
            users.send_photo(person, number)
            await asyncio.sleep(pause_s * rng.uniform(0.6, 1.4))


async def sleep_until(start_s: float) -> None:
    """Wait for a moment that was fixed before."""
    await asyncio.sleep(max(0.0, start_s - monotonic()))


def _chat(person: int) -> dict[str, Any]:
    return {"id": person, "type": "private", "first_name": f"Person {person}"}


def _user(person: int) -> dict[str, Any]:
    return {"id": person, "is_bot": False, "first_name": f"Person {person}"}
