"""A made-up platform: letters by pigeon. They hang at the perch of a person, and are numbered there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from bot.chats.base import handle, handle_action, handle_command
from bot.chats.commands import find_command
from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.errors import ChatUnreachable
from bot.core.messages import Reply, Request, Upload
from bot.services import Services
from bot.services.access import AccessLevel
from bot.texts import translate


@dataclass
class Letter:
    """A letter that hangs at a perch, as it reads now."""

    reply: Reply
    former_texts: list[str] = field(default_factory=list)


class PigeonAdapter:
    """The adapter. People write with `write` and `press`; what they get hangs in `letters`."""

    platform = Platform.PIGEON
    max_file_bytes = 1_000_000

    def __init__(self, services: Services) -> None:
        self._services = services
        self.letters: dict[str, list[Letter]] = {}

    async def run(self) -> None:
        """Wait for letters until cancelled: people call `write` themselves."""
        await asyncio.Event().wait()

    async def send(self, address: ChatAddress, reply: Reply, *, nonce: str) -> str:
        """Hang a letter at a perch; its number counts the letters there."""
        perch = self.letters.setdefault(address.chat_id, [])
        perch.append(Letter(reply))
        return str(len(perch))

    async def edit(self, address: ChatAddress, message_id: str, reply: Reply) -> str:
        """Write a letter anew."""
        perch = self.letters.get(address.chat_id, [])
        if int(message_id) > len(perch):
            raise ChatUnreachable("there is no such letter")
        letter = perch[int(message_id) - 1]
        letter.former_texts.append(letter.reply.text)
        letter.reply = reply
        return message_id

    def start_link(self, payload: str) -> str:
        """Return a link that opens a private chat."""
        return f"pigeon:{payload}"

    async def write(self, user_id: str, text: str, photos: Sequence[bytes] = ()) -> Letter:
        """Write as a person; return the letter that answers."""
        request = self._to_request(user_id, text, photos)
        name, _, rest = text.removeprefix("/").partition(" ")
        command = find_command(name) if text.startswith("/") else None
        if photos:
            reply = await handle(self._services, self._services.photo_sets.add_photos, request)
        elif command is not None:
            request = Request(request.identity, request.address, text=rest)
            reply = await handle_command(self._services, command, request)
        else:
            reply = await handle(self._services, self._answer_text, request, AccessLevel.INVITED)
        return await self._show(request.address, reply)

    async def press(self, user_id: str, letter: Letter, label: str) -> Letter:
        """Press a button of a letter; return the letter that answers."""
        [action] = [button.action for button in letter.reply.buttons if button.label == label]
        request = self._to_request(user_id)
        return await self._show(request.address, await handle_action(self._services, action, request))

    async def _answer_text(self, request: Request) -> Reply:
        return await self._services.messages.answer_text(request) or Reply(translate("unknown-command"))

    async def _show(self, address: ChatAddress, reply: Reply) -> Letter:
        message_id = await self.send(address, reply, nonce="")
        if reply.card_job_id is not None:
            await self._services.jobs.record_card(reply.card_job_id, message_id)
        if reply.result_job_id is not None:
            await self._services.results.record_copy(reply.result_job_id, address, message_id)
        return self.letters[address.chat_id][-1]

    def _to_request(self, user_id: str, text: str = "", photos: Sequence[bytes] = ()) -> Request:
        identity = Identity(self.platform, user_id)
        uploads = tuple(Upload(f"{number}.png", photo) for number, photo in enumerate(photos, 1))
        return Request(identity, identity.private_address, text=text, uploads=uploads)
