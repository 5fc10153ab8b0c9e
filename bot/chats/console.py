"""The console as a chat: lines in, text and picture paths out. For the demo and for trying things by hand."""

from __future__ import annotations

import asyncio
import itertools
import shlex
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from bot import texts
from bot.chats.base import answered, speaking
from bot.core.accounts import Identity, Place, Platform
from bot.core.messages import Button, Reply, Upload
from bot.services.studio import Studio

ME = Identity(Platform.CONSOLE, "me")
HERE = Place(Platform.CONSOLE, "me", "me")
PICTURE_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif"}


async def lines_of(stream: TextIO) -> AsyncIterator[str]:
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


class ConsoleChat:
    """The adapter of the console; there is one person, and they run this machine.

    `locale` is that of its environment, as in `it_IT.UTF-8`.

    On a terminal the progress cards stay in a live area at the bottom; elsewhere each change is a line.
    """

    platform = Platform.CONSOLE
    max_file_bytes = 2**40  # a path is printed, nothing is carried

    def __init__(self, studio: Studio, stdin: TextIO, stdout: TextIO, locale: str = "") -> None:
        self._studio = studio
        self._me = replace(ME, locale=locale)
        self._console = Console(file=stdout, soft_wrap=True, highlight=False)
        self._stdin = stdin
        self._ids = itertools.count(1)
        self._buttons: tuple[Button, ...] = ()
        self._cards: dict[str, Reply] = {}
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    async def run(self) -> None:
        """Answer what is typed until the input ends or `/quit`."""
        async with speaking(self._studio, self._me):
            self.say(texts.CONSOLE_HINT)
        async for line in lines_of(self._stdin):
            if line in {"/quit", "/exit"}:
                return
            if line:
                async with speaking(self._studio, self._me):
                    reply = await answered(self._answer(line))
                await self.show(reply)

    async def send(self, place: Place, reply: Reply, *, nonce: str) -> str:
        """Print a message; the id counts the messages of this run."""
        self._print(reply)
        return str(next(self._ids))

    async def edit(self, place: Place, message_id: str, reply: Reply) -> str:
        """Show the newer text of a progress card, or print what took its place."""
        if reply.card_of is None:
            self._drop_card(message_id)
            self._print(reply)
        else:
            self._put_card(message_id, reply)
        return message_id

    async def show(self, reply: Reply) -> None:
        """Print an answer of the Studio; a progress card is shown until its job has ended."""
        self._print(reply)
        if reply.card_of is not None:
            await self._studio.card_shown(reply.card_of, str(next(self._ids)))

    def say(self, text: str) -> None:
        """Print a line of our own."""
        self._console.print(Text(text))

    def _print(self, reply: Reply) -> None:
        self.say(reply.text)
        for path in reply.pictures:
            if isinstance(path, Path):  # else a contact sheet: whoever sits here has the photos
                hidden = " (it may show nudity)" if reply.is_spoiler else ""
                self.say(f"  picture: {path}{hidden}")
        for file in reply.files:
            self.say(f"  file: {file.path} (as {file.name})")
        if reply.buttons:
            self._buttons = reply.buttons
            self.say("  " + "  ".join(f"[{n}] {button.label}" for n, button in enumerate(reply.buttons, 1)))

    def _put_card(self, message_id: str, reply: Reply) -> None:
        if self._cards.get(message_id) == reply:
            return
        self._cards[message_id] = reply
        if self._console.is_terminal:
            self._live.start()
            self._live.update(Group(*(Text(card.text) for card in self._cards.values())), refresh=True)
        else:
            self.say(reply.text)

    def _drop_card(self, message_id: str) -> None:
        self._cards.pop(message_id, None)
        if not self._cards:
            self._live.stop()

    async def _answer(self, line: str) -> Reply:
        if line.isdecimal() and 1 <= int(line) <= len(self._buttons):
            return await self._studio.press(self._me, HERE, self._buttons[int(line) - 1].action)
        command, _, rest = line.partition(" ")
        if (call := self.commands().get(command)) is not None:
            return await call(rest.strip())
        paths = await asyncio.to_thread(photo_paths, line)
        if paths:
            uploads = await asyncio.to_thread(
                lambda: [Upload(path.name, path.read_bytes()) for path in paths]
            )
            return await self._studio.add_photos(self._me, HERE, uploads)
        drawing = None if command.startswith("/") else await self._studio.plain_text(self._me, HERE, line)
        return drawing or Reply(texts.CONSOLE_LOST)

    def commands(self) -> dict[str, Callable[[str], Awaitable[Reply]]]:
        """Give what can be typed, under every name it has, and what it does."""
        studio = self._studio
        calls: dict[str, Callable[[str], Awaitable[Reply]]] = {
            "/start": lambda text: studio.start(self._me, HERE, text),
            "/help": lambda _: studio.help(self._me),
            "/train": lambda _: studio.train(self._me, HERE),
            "/generate": lambda text: studio.generate_text(self._me, HERE, text),
            "/show": lambda text: studio.show(self._me, HERE, text),
            "/export": lambda text: studio.export(self._me, HERE, text),
            "/ask": lambda text: studio.ask(self._me, HERE, text),
            "/report": lambda text: studio.report(self._me, HERE, text),
            "/codes": lambda _: studio.codes(self._me, HERE),
            "/more": lambda text: studio.more(self._me, HERE, text),
            "/replace": lambda text: studio.replace_photo(self._me, HERE, text),
            "/queue": lambda _: studio.queue(self._me),
            "/cancel": lambda text: studio.cancel(self._me, text),
            "/link": lambda text: studio.link(self._me, HERE, text),
            "/settings": lambda _: studio.settings(self._me),
            "/privacy": lambda _: studio.privacy(self._me),
            "/forgetme": lambda _: studio.forgetme(self._me),
            **{f"/{name}": self._of_admins(name) for name in texts.ADMIN_COMMANDS},
        }
        names = [(also, each) for each in texts.COMMANDS for also in texts.command_names(each)]
        return calls | {f"/{also}": calls[f"/{each}"] for also, each in names}

    def _of_admins(self, name: str) -> Callable[[str], Awaitable[Reply]]:
        return lambda text: self._studio.admin(self._me, name, text)


def locale_of(environ: Mapping[str, str]) -> str:
    """Give the locale in which a terminal wants to be spoken to."""
    return next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")


def photo_paths(line: str) -> list[Path]:
    """Read a line as paths of files and folders; a folder stands for the photos in it, by name."""
    try:
        words = shlex.split(line)
    except ValueError:
        words = [line]
    if Path(line).expanduser().exists():
        words = [line]
    paths: list[Path] = []
    for word in words:
        path = Path(word).expanduser()
        if path.is_dir():
            paths += sorted(each for each in path.iterdir() if each.suffix.lower() in PICTURE_ENDINGS)
        elif path.is_file():
            paths.append(path)
        else:
            return []
    return paths
