"""The demo: five drawn photos become a LoraCode, a LoRA file and a picture, in the console."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import drawn
from bot.app.root import App, opened
from bot.app.settings import Settings
from bot.chats.console import HERE, ME, ConsoleChat, locale_of
from bot.core.accounts import Place, Platform
from bot.core.errors import LoraCodeError
from bot.core.jobs import TERMINAL, Job, JobId, JobStatus
from bot.core.messages import Reply, Upload

PROMPTS = (
    "{} on mars",
    "{} with a red shirt in the snow",
    "{} with a black shirt, a laughing face in space",
)
DRAWN_SEED = 7


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo made."""

    code: str
    lora: Path
    pictures: tuple[Path, ...]

    def __str__(self) -> str:
        pictures = ",".join(str(path) for path in self.pictures)
        return f"demo: ok code={self.code} lora={self.lora} pictures={pictures}"


class WatchedChat(ConsoleChat):
    """The console chat, ringing a bell whenever it shows something."""

    shown: asyncio.Event | None = None

    async def send(self, place: Place, reply: Reply, *, nonce: str) -> str:
        """Print a message, and ring."""
        message_id = await super().send(place, reply, nonce=nonce)
        self._ring()
        return message_id

    async def edit(self, place: Place, message_id: str, reply: Reply) -> str:
        """Show a card or what took its place, and ring."""
        message_id = await super().edit(place, message_id, reply)
        self._ring()
        return message_id

    def _ring(self) -> None:
        if self.shown is not None:
            self.shown.set()


async def demo_then_chat(settings: Settings) -> None:
    """Play the demo, then chat if there is a terminal. LoraCodeError when the demo did not come out well."""
    settings = settings.model_copy(update={"base_model": settings.base_model or "drawn"})
    async with opened(settings) as app:
        chat = WatchedChat(app.studio, sys.stdin, sys.stdout, locale_of(os.environ))
        app.chats[Platform.CONSOLE] = chat
        await app.run({"console": _play_then_chat(app, chat)})


async def _play_then_chat(app: App, chat: WatchedChat) -> None:
    chat.say("No TELEGRAM_BOT_TOKEN and no DISCORD_BOT_TOKEN is set: here is the demo, in this console.")
    chat.say(str(await play(app, chat)))
    if sys.stdin.isatty():
        await chat.run()


async def play(app: App, chat: WatchedChat) -> Outcome:
    """Send five drawn photos, wait for the LoRA, ask for pictures."""
    chat.shown = asyncio.Event()
    await app.studio.forget_photos(ME, HERE)
    photos = await asyncio.to_thread(drawn.sample_photos, DRAWN_SEED)
    uploads = [Upload(f"photo {number}", data) for number, data in enumerate(photos, 1)]
    chat.say("you: (five photos of somebody who does not exist)")
    training = await _finished(app, chat, await app.studio.add_photos(ME, HERE, uploads))
    lora = await app.ledger.lora(training.code)
    if lora is None or lora.file is None:
        raise LoraCodeError("the demo's LoRA has no file")
    pictures: list[Path] = []
    for prompt in PROMPTS:
        asked = f"{training.code} {prompt.format(lora.trigger)}"
        chat.say(f"you: /generate {asked}")
        drawing = await _finished(app, chat, await app.studio.generate_text(ME, HERE, asked))
        pictures += sorted(app.files.picture_path("x").parent.glob(f"{drawing.id}-*.png"))
    chat.say(f"The five photos, to compare: {await app.files.write_demo_photos(photos)}")
    return Outcome(training.code, app.files.lora_path(lora.file), tuple(pictures))


async def _finished(app: App, chat: WatchedChat, reply: Reply) -> Job:
    """Show an answer and wait until its job has ended and its notice was shown."""
    if reply.card_of is None:
        raise LoraCodeError(f"the demo's job did not start: {reply.text}")
    await chat.show(reply)
    job = await _terminal(app, chat, reply.card_of)
    if job.status is not JobStatus.DONE:
        raise LoraCodeError(f"the demo's job {job.status}: {job.error}")
    return job


async def _terminal(app: App, chat: WatchedChat, job_id: JobId) -> Job:
    assert chat.shown is not None  # noqa: S101 - set by `play`
    while True:
        chat.shown.clear()
        job = await app.ledger.job(job_id)
        if job is not None and job.status in TERMINAL and not await app.ledger.owed(1):
            return replace(job)
        await chat.shown.wait()
