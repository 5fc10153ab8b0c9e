"""The console as a chat: lines in, text and picture paths out. For the demo and for trying things by hand."""

from __future__ import annotations

import asyncio
import itertools
import shlex
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from bot.chats.base import handle, handle_action, use_language_of
from bot.chats.messages import handle_message, parse_command
from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.messages import Button, Reply, Request, Upload
from bot.services import Services
from bot.texts import translate, use_language

CONSOLE_IDENTITY = Identity(Platform.CONSOLE, "me")
CONSOLE_ADDRESS = ChatAddress(Platform.CONSOLE, "me", "me")
PICTURE_SUFFIXES = {".jpg", ".jpeg", ".heic", ".heif", ".hif", ".avif", ".png", ".webp"}


async def read_lines(stream: TextIO) -> AsyncIterator[str]:
    """Yield the lines of a blocking stream until it ends.

    The reading thread is a daemon: a thread that waits for a key cannot be asked to stop.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        while line := stream.readline():
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, "")

    threading.Thread(target=read, name="console-input", daemon=True).start()
    while line := await lines.get():
        yield line.strip()


class ConsoleAdapter:
    """The adapter of the console; there is one person, and they run this machine.

    `locale` is that of its environment, as in `it_IT.UTF-8`.

    On a terminal the progress cards stay in a live area at the bottom; elsewhere each change is a line.
    """

    platform = Platform.CONSOLE
    max_file_bytes = 2**40  # a path is printed, nothing is carried

    def __init__(self, services: Services, stdin: TextIO, stdout: TextIO, locale: str = "") -> None:
        self._services = services
        self._identity = replace(CONSOLE_IDENTITY, locale=locale)
        self._console = Console(file=stdout, soft_wrap=True, highlight=False)
        self._stdin = stdin
        self._message_ids = itertools.count(1)
        self._buttons: tuple[Button, ...] = ()
        self._cards: dict[str, Reply] = {}
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    async def run(self) -> None:
        """Answer what is typed until the input ends or `/quit`."""
        async with use_language_of(self._services, self._identity):
            self.print_line(translate("console-hint"))
        async for line in read_lines(self._stdin):
            if line in {"/quit", "/exit"}:
                return
            if line:
                await self.show_reply(await self._handle_line(line))

    async def send(self, address: ChatAddress, reply: Reply, *, nonce: str) -> str:
        """Print a message; the id counts the messages of this run."""
        self._print_reply(reply)
        return str(next(self._message_ids))

    async def edit(self, address: ChatAddress, message_id: str, reply: Reply) -> str:
        """Show the newer text of a progress card, or print what took its place."""
        if reply.card_job_id is None:
            self._remove_card(message_id)
            self._print_reply(reply)
        else:
            self._update_card(message_id, reply)
        return message_id

    async def show_reply(self, reply: Reply) -> None:
        """Print a reply; a progress card is shown until its job has ended."""
        self._print_reply(reply)
        if reply.card_job_id is not None:
            await self._services.jobs.record_card(reply.card_job_id, str(next(self._message_ids)))

    def print_line(self, text: str) -> None:
        """Print a line of our own."""
        self._console.print(Text(text))

    def _print_file(self, text: str) -> None:
        self.print_line(f"  {text}")

    def _print_reply(self, reply: Reply) -> None:
        self.print_line(reply.text)
        with use_language(reply.language):
            for path in reply.pictures:
                if isinstance(path, Path):  # else a contact sheet: whoever sits here has the photos
                    key = "console-spoiler" if reply.is_spoiler else "console-picture"
                    self._print_file(translate(key, path=str(path)))
            for file in reply.files:
                self._print_file(translate("console-file", path=str(file.path), name=file.name))
        if reply.buttons:
            self._buttons = reply.buttons
            self.print_line(
                "  " + "  ".join(f"[{n}] {button.label}" for n, button in enumerate(reply.buttons, 1))
            )

    def _update_card(self, message_id: str, reply: Reply) -> None:
        if self._cards.get(message_id) == reply:
            return
        self._cards[message_id] = reply
        if self._console.is_terminal:
            self._live.start()
            self._live.update(Group(*(Text(card.text) for card in self._cards.values())), refresh=True)
        else:
            self.print_line(reply.text)

    def _remove_card(self, message_id: str) -> None:
        self._cards.pop(message_id, None)
        if not self._cards:
            self._live.stop()

    async def _handle_line(self, line: str) -> Reply:
        request = Request(self._identity, CONSOLE_ADDRESS)
        if line.isdecimal() and 1 <= int(line) <= len(self._buttons):
            return await handle_action(self._services, self._buttons[int(line) - 1].action, request)
        typed = parse_command(line)
        if typed is None or typed.command is None:
            paths = await asyncio.to_thread(parse_photo_paths, line)
            if paths:
                uploads = await asyncio.to_thread(
                    lambda: tuple(Upload(path.name, path.read_bytes()) for path in paths)
                )
                request = replace(request, uploads=uploads)
                return await handle(self._services, self._services.photo_sets.add_photos, request)
        return await handle_message(self._services, replace(request, text=line), _answer_unknown)


async def _answer_unknown(request: Request) -> Reply:
    return Reply(translate("console-lost"))


def terminal_locale(environ: Mapping[str, str]) -> str:
    """Return the locale in which a terminal wants to be spoken to."""
    return next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")


def parse_photo_paths(line: str) -> list[Path]:
    """Read a line as paths of files and folders; a folder stands for the photos in it, by name."""
    try:
        tokens = shlex.split(line)
    except ValueError:
        tokens = [line]
    if Path(line).expanduser().exists():
        tokens = [line]
    paths: list[Path] = []
    for token in tokens:
        path = Path(token).expanduser()
        if path.is_dir():
            paths += sorted(each for each in path.iterdir() if each.suffix.lower() in PICTURE_SUFFIXES)
        elif path.is_file():
            paths.append(path)
        else:
            return []
    return paths
