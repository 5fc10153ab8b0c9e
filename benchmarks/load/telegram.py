"""Telegram's Bot API on this machine, fast enough for load; it knows when each person was answered."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from benchmarks.load.limits import FloodControl

TOKEN = "123456:load-token-of-telegram-1234567890"  # noqa: S105 - of a server on this machine
BOT = {"id": 123456, "is_bot": True, "first_name": "LoraCode", "username": "loracode_bot"}
MAX_UPDATES = 100
_CODE = re.compile(r"(\d{4}) (\d{4}) is ready")
_FIELD = re.compile(rb'name="([a-z_]+)"(?:\r\n[^\r\n]+)*\r\n\r\n(.*)\r\n', re.DOTALL)


@dataclass(eq=False)
class PendingRequest:
    """Something a person said or sent, and when the first answer to it came. Times are monotonic seconds.

    `pause_s` passes by design before it is worked on: an album has no end mark.
    """

    kind: str
    pause_s: float = 0.0
    delivered_at_s: float | None = None
    answered_at_s: float | None = None

    @property
    def response_time_s(self) -> float:
        """Return the time from its being handed over, and the pause, to the first answer; inf: none came."""
        if self.answered_at_s is None or self.delivered_at_s is None:
            return math.inf
        return self.answered_at_s - self.delivered_at_s - self.pause_s


@dataclass
class SentMessage:
    """A call of the bot's that shows something."""

    method: str
    chat: int
    text: str
    buttons: list[str]  #: their actions
    message_id: int

    @property
    def is_ready(self) -> bool:
        """Return whether it says that a training is ready."""
        return self.method.startswith("send") and _CODE.search(self.text) is not None

    @property
    def is_card(self) -> bool:
        """Return whether it edits a progress card, or turns it into what it was for."""
        is_edit = self.method.startswith("edit")
        return is_edit and (
            not self.buttons or any(re.match("cancel:|again:", action) for action in self.buttons)
        )


@dataclass
class SimulatedChat:
    """What the server knows of one chat."""

    pending_requests: list[PendingRequest] = field(default_factory=list)  #: not answered yet
    ready_count: int = 0
    codes: list[str] = field(default_factory=list)  #: of trainings that are ready
    result_count: int = 0
    last_message: SentMessage | None = None  #: the last message with buttons
    message_event: asyncio.Event = field(default_factory=asyncio.Event)  #: rings at each message


class LoadServer:
    """Hands updates over, each until it is confirmed, and takes what the bot sends."""

    def __init__(self) -> None:
        self.base_url = ""
        self.files: dict[str, bytes] = {}
        self.flood_control = FloodControl()
        self.chats: defaultdict[int, SimulatedChat] = defaultdict(SimulatedChat)
        self.call_count = 0
        self.poll_event = asyncio.Event()  #: the bot listens
        self._numbers = itertools.count(1)
        self._updates: dict[int, tuple[str, PendingRequest | None]] = {}
        self._update_event = asyncio.Event()
        self._pending_presses: dict[str, PendingRequest] = {}

    # --- people ----------------------------------------------------------------------------------------

    def queue_update(self, update: Mapping[str, Any], request: PendingRequest | None = None) -> None:
        """Queue an update for the bot; `request` is the one that it completes."""
        number = next(self._numbers)
        self._updates[number] = (json.dumps({"update_id": number, **update}), request)
        self._update_event.set()

    def expect_answer(self, chat: int, request: PendingRequest) -> PendingRequest:
        """Wait for an answer in a chat."""
        self.chats[chat].pending_requests.append(request)
        return request

    def expect_press(self, query_id: str, request: PendingRequest) -> PendingRequest:
        """Wait until a press is acknowledged."""
        self._pending_presses[query_id] = request
        return request

    def next_number(self) -> int:
        """Return a number that nothing else has."""
        return next(self._numbers)

    # --- the bot ---------------------------------------------------------------------------------------

    async def handle_file(self, request: web.Request) -> web.Response:
        """Hand a photo over."""
        return web.Response(body=self.files[request.match_info["name"]])

    async def handle_call(self, request: web.Request) -> web.Response:
        """Answer a call of the bot's."""
        now_s, method = monotonic(), request.match_info["method"]
        fields = _fields(request.content_type, await request.read())
        self.call_count += 1
        if method == "getUpdates":
            self.poll_event.set()
            return await self._deliver_updates(fields)
        if method == "getMe":
            return _ok(BOT)
        if method == "getFile":
            name = fields["file_id"]
            return _ok({"file_id": name, "file_unique_id": name, "file_path": f"photos/{name}"})
        if method == "answerCallbackQuery":
            pending = self._pending_presses.pop(fields["callback_query_id"], None)
            if pending is not None:
                pending.answered_at_s = now_s
            return _ok(True)
        if method.startswith(("send", "editMessage")):
            return self._accept_message(method, fields, now_s)
        return _ok(True)

    def _accept_message(self, method: str, fields: Mapping[str, str], now_s: float) -> web.Response:
        chat = int(fields["chat_id"])
        weight = len(json.loads(fields["media"])) if method == "sendMediaGroup" else 1
        wait_s = self.flood_control.wait_s(chat, weight, now_s)
        if wait_s > 0:
            seconds = math.ceil(wait_s)
            refusal = {"description": f"Too Many Requests: retry after {seconds}", "error_code": 429}
            error_body = {"ok": False, **refusal, "parameters": {"retry_after": seconds}}
            return web.json_response(error_body, status=429)
        number = int(fields["message_id"]) if method.startswith("edit") else self.next_number()
        text = fields.get("text") or fields.get("caption") or ""
        if method == "editMessageMedia":
            text = json.loads(fields["media"]).get("caption", "")
        rows = json.loads(fields.get("reply_markup") or "{}").get("inline_keyboard", [])
        actions = [button["callback_data"] for row in rows for button in row]
        self._record_message(SentMessage(method, chat, text, actions, number), now_s)
        kind = "private" if chat > 0 else "group"
        message = {"message_id": number, "date": 1, "chat": {"id": chat, "type": kind}, "text": text}
        return _ok([message] * weight if method == "sendMediaGroup" else message)

    def _record_message(self, sent: SentMessage, now_s: float) -> None:
        chat = self.chats[sent.chat]
        chat.ready_count += sent.is_ready
        chat.codes += ["".join(each) for each in _CODE.findall(sent.text) if sent.is_ready]
        chat.result_count += any(each.startswith("again:") for each in sent.buttons)
        if sent.buttons:
            chat.last_message = sent
        if not sent.is_ready and not sent.is_card:
            request = next((each for each in chat.pending_requests if each.delivered_at_s is not None), None)
            if request is not None:
                request.answered_at_s = now_s
                chat.pending_requests.remove(request)
        chat.message_event.set()
        chat.message_event.clear()

    async def _deliver_updates(self, fields: Mapping[str, str]) -> web.Response:
        offset, timeout_s = int(fields.get("offset", 0)), float(fields.get("timeout", 0))
        for number in list(itertools.takewhile(lambda each: each < offset, self._updates)):
            del self._updates[number]
        if not self._updates:
            self._update_event.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._update_event.wait()
            except TimeoutError:
                return _ok([])
        updates = list(itertools.islice(self._updates.values(), int(fields.get("limit", MAX_UPDATES))))
        now_s = monotonic()
        for _, request in updates:
            if request is not None and request.delivered_at_s is None:
                request.delivered_at_s = now_s
        body = '{"ok":true,"result":[' + ",".join(update for update, _ in updates) + "]}"
        return web.Response(text=body, content_type="application/json")


def _ok(result: object) -> web.Response:
    return web.json_response({"ok": True, "result": result})


def _fields(content_type: str, body: bytes) -> dict[str, str]:
    """Read the fields of a form; files are left alone."""
    if content_type != "multipart/form-data":
        return dict(parse_qsl(body.decode()))
    boundary = body[: body.index(b"\r\n")]
    search: Callable[[bytes], re.Match[bytes] | None] = _FIELD.search
    parts = (search(part) for part in body.split(boundary) if b"filename=" not in part[:200])
    return {part[1].decode(): part[2].decode() for part in parts if part is not None}


@asynccontextmanager
async def load_server() -> AsyncIterator[LoadServer]:
    """Run the server on a port of its own."""
    server = LoadServer()
    app = web.Application(client_max_size=2**26)
    app.router.add_post(f"/bot{TOKEN}/{{method}}", server.handle_call)
    app.router.add_get(f"/file/bot{TOKEN}/photos/{{name}}", server.handle_file)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    server.base_url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()
