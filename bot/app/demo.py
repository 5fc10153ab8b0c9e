"""The demo: five drawn photos become a LoraCode, a LoRA file and a picture, in the console."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import drawn
from bot.app.root import App, open_app
from bot.app.settings import Settings
from bot.chats.base import handle
from bot.chats.console import CONSOLE_ADDRESS, CONSOLE_IDENTITY, ConsoleAdapter, terminal_locale
from bot.core.accounts import ChatAddress, Platform
from bot.core.errors import LoraCodeError
from bot.core.jobs import TERMINAL_STATUSES, Job, JobId, JobStatus
from bot.core.messages import Reply, Request, Upload
from bot.texts.cards import failure_sentence

PROMPTS = (
    "{} on mars",
    "{} with a red shirt in the snow",
    "{} with a black shirt, a laughing face in space",
)
PHOTO_SEED = 7


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo made."""

    code: str
    lora_path: Path
    picture_paths: tuple[Path, ...]

    def __str__(self) -> str:
        paths_text = ",".join(str(path) for path in self.picture_paths)
        return f"demo: ok code={self.code} lora={self.lora_path} pictures={paths_text}"


class ObservedConsoleAdapter(ConsoleAdapter):
    """The console chat, ringing a bell whenever it shows something."""

    message_shown: asyncio.Event | None = None

    async def send(self, address: ChatAddress, reply: Reply, *, nonce: str) -> str:
        """Print a message, and ring."""
        message_id = await super().send(address, reply, nonce=nonce)
        self._notify()
        return message_id

    async def edit(self, address: ChatAddress, message_id: str, reply: Reply) -> str:
        """Show a card or what took its place, and ring."""
        message_id = await super().edit(address, message_id, reply)
        self._notify()
        return message_id

    def _notify(self) -> None:
        if self.message_shown is not None:
            self.message_shown.set()


async def run_demo(settings: Settings) -> None:
    """Play the demo, then chat if there is a terminal. LoraCodeError when the demo did not come out well."""
    settings = settings.model_copy(update={"base_model": settings.base_model or "drawn"})
    async with open_app(settings) as app:
        chat = ObservedConsoleAdapter(app.services, sys.stdin, sys.stdout, terminal_locale(os.environ))
        app.chats[Platform.CONSOLE] = chat
        await app.run({"console": _play_and_chat(app, chat)})


async def _play_and_chat(app: App, chat: ObservedConsoleAdapter) -> None:
    chat.print_line(
        "No TELEGRAM_BOT_TOKEN and no DISCORD_BOT_TOKEN is set: here is the demo, in this console."
    )
    chat.print_line(str(await play_demo(app, chat)))
    if sys.stdin.isatty():
        await chat.run()


async def play_demo(app: App, chat: ObservedConsoleAdapter) -> DemoResult:
    """Send five drawn photos, wait for the LoRA, ask for pictures."""
    chat.message_shown = asyncio.Event()
    request, services = Request(CONSOLE_IDENTITY, CONSOLE_ADDRESS), app.services
    await handle(services, services.photo_sets.discard_photos, request)
    photos = await asyncio.to_thread(drawn.sample_photos, PHOTO_SEED)
    uploads = tuple(Upload(f"photo {number}", data) for number, data in enumerate(photos, 1))
    chat.print_line("you: (five photos of somebody who does not exist)")
    reply = await handle(services, services.photo_sets.add_photos, replace(request, uploads=uploads))
    training_job = await _wait_for_result(app, chat, reply)
    lora = await app.database.loras.get_by_code(training_job.code)
    if lora is None or lora.file is None:
        raise LoraCodeError("the demo's LoRA has no file")
    picture_paths: list[Path] = []
    for prompt in PROMPTS:
        command_text = f"{training_job.code} {prompt.format(lora.trigger)}"
        chat.print_line(f"you: /generate {command_text}")
        reply = await handle(
            services, services.drafts.generate_from_text, replace(request, text=command_text)
        )
        generation_job = await _wait_for_result(app, chat, reply)
        picture_paths += sorted(app.storage.picture_path("x").parent.glob(f"{generation_job.id}-*.png"))
    chat.print_line(f"The five photos, to compare: {await app.storage.write_demo_photos(photos)}")
    return DemoResult(training_job.code, app.storage.lora_path(lora.file), tuple(picture_paths))


async def _wait_for_result(app: App, chat: ObservedConsoleAdapter, reply: Reply) -> Job:
    """Show an answer and wait until its job has ended and its notice was shown."""
    if reply.card_job_id is None:
        raise LoraCodeError(f"the demo's job did not start: {reply.text}")
    await chat.show_reply(reply)
    job = await _wait_for_end(app, chat, reply.card_job_id)
    if job.status is not JobStatus.DONE:
        raise LoraCodeError(f"the demo's job {job.status}: {failure_sentence(job.error)}")
    return job


async def _wait_for_end(app: App, chat: ObservedConsoleAdapter, job_id: JobId) -> Job:
    assert chat.message_shown is not None  # noqa: S101 - set by `play`
    while True:
        chat.message_shown.clear()
        job = await app.database.jobs.get(job_id)
        if (
            job is not None
            and job.status in TERMINAL_STATUSES
            and not await app.database.outbox.list_due_notices(1)
        ):
            return replace(job)
        await chat.message_shown.wait()
