"""Telegram's Bot API over HTTP on this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from lo_bot_api_emulator import ApiRefusal, LoBotApiEmulator

from bot.app.root import App
from bot.core.accounts import Platform
from tests.acceptance.uses import note, of_button

TOKEN = "123456:canary-token-of-telegram-1234567890"
BOT = {"id": 123456, "is_bot": True, "first_name": "LoraCode", "username": "loracode_bot"}
MAX_CAPTION = 1024


#: Shorter than a test may take, so that it is seen what was waited for in vain.
WAIT_S = 200.0


async def until(condition: Callable[[], Any], timeout_s: float = WAIT_S) -> Any:
    """Wait until a condition gives something true, and give that."""
    async with asyncio.timeout(timeout_s):
        while not (found := condition()):
            await asyncio.sleep(0.005)
    return found


@dataclass
class Shown:
    """A message of the bot's, as it looks now; an album is one, which nobody can edit."""

    id: int
    chat: int
    text: str = ""
    photos: list[bytes] = field(default_factory=list)
    files: list[tuple[str, bytes]] = field(default_factory=list)
    rows: list[list[tuple[str, str]]] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    answers: int | None = None
    topic: int | None = None
    is_covered: bool = False
    is_silent: bool = False
    rings: dict[int, str] = field(default_factory=dict)  #: people it mentions, each with the word that does
    begins_reply: bool = False  #: whether the apps of those it is meant for begin a reply to it

    @property
    def buttons(self) -> list[tuple[str, str]]:
        """All labels and actions."""
        return [button for row in self.rows for button in row]

    @property
    def labels(self) -> list[list[str]]:
        """The labels, row by row."""
        return [[label for label, _ in row] for row in self.rows]


class TelegramServer(LoBotApiEmulator):  # type: ignore[misc]
    """The emulator, with what it lacks: the bot's name, messages as they look, rules for edits.

    `refusals` are what the next calls of a method get; `pressed` holds the alert each press got, by its id;
    `strangers` never wrote to the bot.
    """

    def __init__(self) -> None:
        # Long proofs send more than an emulator keeps by default.
        super().__init__(
            max_assets=10**6, asset_bytes=2**40, max_updates=10**5, allow_insecure_loopback_webhooks=True
        )
        self.shown: dict[int, Shown] = {}
        self.refusals: dict[str, list[ApiRefusal]] = {}
        self.pressed: dict[str, str] = {}
        self.commands: list[str] = []
        self.commands_of: dict[int, list[str]] = {}
        #: The same for people whose app speaks a language, with what is said of each: by its code.
        self.commands_in: dict[str, dict[str, str]] = {}
        self.strangers: set[int] = set()
        self.blocked: set[int] = set()  #: by people in whose chats the bot may no longer write
        self.offered: dict[str, str] = {}  #: the action that was seen last, of each button there ever was
        #: Who pressed what under which message.
        self.presses: list[tuple[int, int, str]] = []
        self.base_url = ""
        self.bot: App | None = None  #: what asks this server, once it runs
        self.deleted: list[int] = []  #: messages that the bot took back
        self.changes = 0  #: messages that were sent or edited so far
        self.calls = 0  #: that the bot made so far
        self.fetched: list[str] = []  #: files that the bot asked for
        self.updates_wanted: set[int] = set()  #: how many at once the bot asked for
        #: The latest update that somebody caused, and from which on the bot asked for more.
        self.newest_update, self.next_update = 0, 0
        self.albums_on_their_way = 0

    async def enqueue_update(self, update: dict[str, Any], *, token: str) -> int:
        self.newest_update = int(await super().enqueue_update(update, token=token))
        return self.newest_update

    async def until_delivered(self) -> None:
        """Wait until the bot has each photo of the albums that people send."""
        await until(lambda: not self.albums_on_their_way and self.next_update > self.newest_update)

    def validate(self, method: str, fields: dict[str, Any], uploads: dict[str, Any]) -> Any:
        self.calls += 1
        self._refuse(method, fields)
        self.updates_wanted |= {int(fields.get("limit", 100))} if method == "getUpdates" else set()
        self.next_update = max(self.next_update, int(fields.get("offset", 0)))
        self.fetched += [fields["file_id"]] if method == "getFile" else []
        if method == "getMe":
            return BOT
        if method == "getChatMember":
            number = int(fields["user_id"])
            user = {"id": number, "is_bot": False, "first_name": f"Person {number}"}
            return {"status": "member", "user": user}
        if method == "editMessageMedia":
            return self._edit_media(fields, uploads)
        if method.startswith("editMessage"):
            self._refuse_edit(method, fields)
        # The emulator knows neither spoilers nor topics nor forced replies; we look at them ourselves.
        result = super().validate(method, _without_what_is_new(method, fields), uploads)
        if method == "sendMediaGroup":
            album = self.shown[-result[0]["message_id"]] = Shown(
                result[0]["message_id"], int(fields["chat_id"])
            )
            media = json.loads(fields["media"])
            self._look(album, {**fields, "caption": media[0].get("caption", "")}, uploads)
        elif method.startswith("send") and isinstance(result, dict):
            message = self.shown[result["message_id"]] = Shown(result["message_id"], int(fields["chat_id"]))
            self._look(message, fields, uploads)
        elif method.startswith("editMessage"):
            self._look(self.shown[int(fields["message_id"])], fields, uploads)
        else:
            self._take_note(method, fields)
        return result

    def _take_note(self, method: str, fields: dict[str, Any]) -> None:
        if method == "deleteMessage":
            self.deleted.append(int(fields["message_id"]))
            self.shown.pop(int(fields["message_id"]), None)
        elif method == "answerCallbackQuery":
            alert = str(fields.get("show_alert", "")).lower() == "true"
            self.pressed[str(fields["callback_query_id"])] = str(fields.get("text") or "") if alert else ""
        elif method == "setMyCommands":
            self._take_commands(fields)

    def delete(self, *messages: Shown) -> None:
        """Let messages of the bot's be deleted by somebody."""
        note(Platform.TELEGRAM, "message deleted")
        for message in messages:
            del self.shown[message.id]

    def _take_commands(self, fields: dict[str, Any]) -> None:
        commands = [each["command"] for each in json.loads(fields["commands"])]
        if fields.get("language_code"):
            if "scope" not in fields:
                told = json.loads(fields["commands"])
                self.commands_in[fields["language_code"]] = {
                    each["command"]: each["description"] for each in told
                }
            return
        if "scope" in fields:
            chat_id = json.loads(fields["scope"])["chat_id"]
            if chat_id in self.strangers:
                raise ApiRefusal("Bad Request: chat not found")
            self.commands_of[chat_id] = commands
        else:
            self.commands = commands

    def _refuse(self, method: str, fields: dict[str, Any]) -> None:
        refusal = self.refusals[method].pop(0) if self.refusals.get(method) else None
        if refusal is None and "chat_id" in fields and int(fields["chat_id"]) in self.blocked:
            refusal = ApiRefusal("Forbidden: bot was blocked by the user", 403)
        if refusal is not None:
            note(Platform.TELEGRAM, *_meant(refusal))
            raise refusal

    def _to_edit(self, fields: dict[str, Any]) -> Shown:
        message = self.shown.get(int(fields["message_id"]))
        if message is None or message.chat != int(fields["chat_id"]):
            raise ApiRefusal("Bad Request: message to edit not found")
        return message

    def _refuse_edit(self, method: str, fields: dict[str, Any]) -> None:
        message = self._to_edit(fields)
        if method == "editMessageText" and message.photos:
            raise ApiRefusal("Bad Request: there is no text in the message to edit")
        if method == "editMessageCaption" and not message.photos:
            raise ApiRefusal("Bad Request: there is no caption in the message to edit")
        if (_text(fields), _rows(fields)) == (message.text, message.rows):
            raise ApiRefusal("Bad Request: message is not modified: the new content is the same")

    def _edit_media(self, fields: dict[str, Any], uploads: dict[str, Any]) -> Any:
        media = json.loads(fields["media"])
        fields = {**fields, "caption": media.get("caption", "")}
        message = self._to_edit(fields)
        if len(fields["caption"].encode("utf-16-le")) // 2 > MAX_CAPTION:
            raise ApiRefusal("Bad Request: message caption is too long")
        self._look(message, fields, uploads)
        chat = {"id": message.chat, "type": "private"}
        return {"message_id": message.id, "date": 1, "chat": chat, "photo": []}

    def _look(self, message: Shown, fields: dict[str, Any], uploads: dict[str, Any]) -> None:
        message.text, message.rows = _text(fields), _rows(fields)
        self.offered |= {of_button(action): action for _, action in message.buttons}
        files = [(each["filename"], each["data"]) for each in uploads.values()]
        if "document" in fields or "document" in uploads:
            message.files = files
        elif files:
            message.photos = [data for _, data in files]
            message.is_covered = _is_covered(fields)
        if fields.get("message_thread_id"):
            message.topic = int(fields["message_thread_id"])
        quote = fields.get("reply_parameters")
        if quote is not None:
            message.answers = int((json.loads(quote) if isinstance(quote, str) else quote)["message_id"])
        message.is_silent = str(fields.get("disable_notification", "")).lower() == "true"
        message.rings = _rings(fields, message.text)
        markup = _markup(fields)
        message.begins_reply = bool(markup.get("force_reply") and markup.get("selective"))
        message.versions.append(message.text)
        self.changes += 1


def _meant(refusal: ApiRefusal) -> list[str]:
    """Tell what a refusal stands for."""
    words = {"blocked": "blocked", "Too Many Requests": "rate limit", "query is too old": "expired press"}
    return [use for word, use in words.items() if word in str(refusal.description)]


def _without_what_is_new(method: str, fields: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in fields.items() if name not in {"has_spoiler", "message_thread_id"}}
    if method == "sendMediaGroup":
        media = [{**each} for each in json.loads(fields["media"])]
        for each in media:
            each.pop("has_spoiler", None)
        kept["media"] = json.dumps(media)
    if "force_reply" in _markup(fields):
        del kept["reply_markup"]
    return kept


def _is_covered(fields: dict[str, Any]) -> bool:
    """Whether all pictures of a message are under a spoiler."""
    if "media" not in fields:
        return str(fields.get("has_spoiler", "")).lower() == "true"
    media = json.loads(fields["media"])
    return all(each.get("has_spoiler") is True for each in (media if isinstance(media, list) else [media]))


def _text(fields: dict[str, Any]) -> str:
    return str(fields.get("text") or fields.get("caption") or "")


def _rings(fields: dict[str, Any], text: str) -> dict[int, str]:
    entities = fields.get("entities") or fields.get("caption_entities") or []
    entities = json.loads(entities) if isinstance(entities, str) else entities
    units = text.encode("utf-16-le")
    return {
        each["user"]["id"]: units[2 * each["offset"] : 2 * (each["offset"] + each["length"])].decode(
            "utf-16-le"
        )
        for each in entities
        if each["type"] == "text_mention"
    }


def _rows(fields: dict[str, Any]) -> list[list[tuple[str, str]]]:
    rows = _markup(fields).get("inline_keyboard", [])
    return [[(each["text"], each["callback_data"]) for each in row] for row in rows]


def _markup(fields: dict[str, Any]) -> dict[str, Any]:
    markup = fields.get("reply_markup") or {}
    return dict(json.loads(markup) if isinstance(markup, str) else markup)


@asynccontextmanager
async def telegram_server() -> AsyncIterator[TelegramServer]:
    server = TelegramServer()
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.base_url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()
