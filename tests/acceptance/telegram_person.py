"""Somebody with Telegram, who writes, sends and presses; what they do is noted."""

from __future__ import annotations

from typing import Any

from bot.core.accounts import Platform
from tests.acceptance.telegram_server import BOT, TOKEN, WAIT_S, Shown, TelegramServer, until
from tests.acceptance.uses import note, of_button, of_words

#: A chat with others.
GROUP = -500
#: Each person's messages have numbers of their own, so that an answer tells to whom it is.
_MOST_MESSAGES = 10_000
_HERE = Platform.TELEGRAM


class Person:
    """Somebody with Telegram. Speaks to the bot in a private chat, or in a group where `chat` says so."""

    def __init__(self, server: TelegramServer, user_id: int, language: str = "") -> None:
        self.server = server
        self.id = user_id
        self._user: dict[str, Any] = {"id": user_id, "is_bot": False, "first_name": f"Person {user_id}"}
        if language:
            self._user["language_code"] = language
        self._albums: set[str] = set()
        self._latest: dict[str, Any] = {}
        self._messages = _MOST_MESSAGES * user_id

    @property
    def sees(self) -> list[Shown]:
        """The bot's messages to this person, the oldest first."""
        return self.sees_in(self.id)

    def sees_in(self, chat: int) -> list[Shown]:
        """The bot's messages in a chat, the oldest first."""
        return [message for message in self.server.shown.values() if message.chat == chat]

    async def says(self, text: str, *, chat: int | None = None, to: Shown | None = None, **more: Any) -> None:
        """Write something; `to` answers a message of the bot's, `more` are further fields of the message."""
        entities = []
        if text.startswith("/"):
            entities = [{"type": "bot_command", "offset": 0, "length": len(text.split()[0])}]
        if to is not None:
            more["reply_to_message"] = self.about(to)
        await self._message({"text": text, "entities": entities, **more}, chat)

    async def sends_photos(
        self,
        photos: list[bytes],
        *,
        album: bool | str = True,
        chat: int | None = None,
        to: Shown | None = None,
        **more: Any,
    ) -> None:
        """Send photos, as an album that may have a name; `more` are further fields of each message."""
        if to is not None:
            more["reply_to_message"] = self.about(to)
        name = album if isinstance(album, str) else f"album{self._messages}"
        group = {"media_group_id": name} if album else {}
        if album:
            self._albums.add(name)
            note(_HERE, "album", *(["album of ten"] if len(photos) == 10 else []))
            note(_HERE, *(["two albums at once"] if isinstance(album, str) and len(self._albums) > 1 else []))
        self.server.albums_on_their_way += 1
        try:
            for data in photos:
                photo = {**self._file(data), "width": 512, "height": 512}
                await self._message({"photo": [photo], **group, **more}, chat)
        finally:
            self.server.albums_on_their_way -= 1

    async def sends_file(
        self, name: str, data: bytes, size: int | None = None, kind: str = "image/jpeg", **more: Any
    ) -> None:
        """Send a file; `size` is what Telegram says of it, in bytes, when that is not its real one."""
        file = self._file(data) if size is None else {**self._file(data), "file_size": size}
        document = {**file, "file_name": name, "mime_type": kind}
        await self._message({"document": document, **more})

    def edits(self, content: dict[str, Any], number: int = 0) -> dict[str, Any]:
        """Change the message that was written last; gives what Telegram tells of it, the `number`th time."""
        note(_HERE, "edited")
        message = {**self._latest, **content, "edit_date": 2 + number}
        return {"update_id": 10**6 * self._messages + number, "edited_message": message}

    async def taps(self, message: Shown, label: str, *, years_later: bool = False) -> str:
        """Press a button and give the press's id; of an old message the bot is told the number only."""
        return await self.sends_action(message, dict(message.buttons)[label], years_later=years_later)

    async def sends_action(self, message: Shown, action: str, *, years_later: bool = False) -> str:
        """Press as a button with this action would, be it there or not."""
        self._messages += 1
        self._note_press(message, action, years_later)
        shown = self._message_of_bot(message)
        query = {
            "id": str(self._messages),
            "from": self._user,
            "chat_instance": "1",
            "data": action,
            "message": {**shown, "date": 0} if years_later else {**shown, "text": message.text},
        }
        await self.server.enqueue_update({"callback_query": query}, token=TOKEN)
        return str(query["id"])

    async def presses(self, message: Shown, label: str, *, years_later: bool = False) -> str:
        """Press a button and give what an alert said about it, once the bot has taken note."""
        press = await self.taps(message, label, years_later=years_later)
        await until(lambda: press in self.server.pressed)
        return self.server.pressed[press]

    async def hears(self, text: str, timeout_s: float = WAIT_S) -> Shown:
        """Wait until some message of the bot's holds a text."""
        found = await until(lambda: [each for each in self.sees if text in each.text], timeout_s)
        assert isinstance(found[-1], Shown)
        return found[-1]

    def about(self, message: Shown) -> dict[str, Any]:
        """Give a message of the bot's, as one that somebody answers to."""
        return {**self._message_of_bot(message), "from": BOT}

    def wrote(self, chat: int) -> dict[str, Any]:
        """Give this person's latest message, as one that somebody answers to."""
        return {"message_id": self._messages, "date": 1, "chat": self._chat(chat), "from": self._user}

    def _message_of_bot(self, message: Shown) -> dict[str, Any]:
        topic = {"message_thread_id": message.topic, "is_topic_message": True} if message.topic else {}
        return {"message_id": message.id, "date": 1, "chat": self._chat(message.chat), **topic}

    def _chat(self, chat: int | None = None) -> dict[str, Any]:
        if chat is not None and chat < 0:
            return {"id": chat, "type": "group", "title": "Friends"}
        return {"id": self.id, "type": "private", "first_name": "Person"}

    def _file(self, data: bytes) -> dict[str, Any]:
        self._messages += 1
        name = f"file{self._messages}"
        self.server.assets[name] = {"data": data, "size": len(data), "filename": name}
        return {"file_id": name, "file_unique_id": name, "file_size": len(data)}

    def _note_press(self, message: Shown, action: str, years_later: bool) -> None:
        if action not in {shown for _, shown in message.buttons}:
            return  # what is not shown cannot be pressed
        note(_HERE, of_button(action), *(["years later"] if years_later else []))
        note(_HERE, *(["group"] if message.chat < 0 else []))
        owner = message.chat if message.chat > 0 else (message.answers or 0) // _MOST_MESSAGES
        if owner != self.id:
            note(_HERE, "by somebody else")
        if (self.id, message.id, action) in self.server.presses:
            note(_HERE, "pressed twice")
        self.server.presses.append((self.id, message.id, action))

    async def _message(self, content: dict[str, Any], chat: int | None = None) -> None:
        self._messages += 1
        note(_HERE, *_ways(content))
        if chat is not None and chat < 0:
            note(_HERE, "group")
        message = self._latest = {
            "message_id": self._messages,
            "date": 1,
            "chat": self._chat(chat),
            "from": self._user,
            **content,
        }
        await self.server.enqueue_update({"message": message}, token=TOKEN)


def _ways(content: dict[str, Any]) -> set[str]:
    """Tell what a message is, and what is special about it."""
    marks = {
        "photo": "photo",
        "document": "file",
        "caption": "caption",
        "forward_origin": "forwarded",
        "is_topic_message": "thread",
    }
    ways = {way for field, way in marks.items() if field in content}
    return ways | (of_words(content["text"]) if "text" in content else set())
