"""Draws the chats for the README: `make pictures`. The adapters are the real ones, on simulated platforms.

What the worker does is replayed from `photos.png`, `strip.png` and `generated.png`, which the demo made.
Discord is simcord's own view; Telegram is our rendering of what the emulator was sent.
"""

from __future__ import annotations

import asyncio
import io
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import chat_page
from PIL import Image
from playwright.async_api import Browser, async_playwright
from rich.console import Console
from rich.text import Text
from simcord.preview import _capture, _media

import drawn
from bot.app.demo import PHOTO_SEED, PROMPTS, ObservedConsoleAdapter, play_demo
from bot.app.root import open_app
from bot.app.settings import Settings
from bot.core.accounts import Platform
from bot.jobs.backends.fake import FakeBackend
from gpu_worker.protocol import (
    DoneEvent,
    GenerateRequest,
    JobRequest,
    ProgressEvent,
    SampleEvent,
    StartedEvent,
    TrainRequest,
    WorkerEvent,
)
from tests.acceptance import discord_stage, telegram_stage
from tests.acceptance.telegram_server import Shown, telegram_server, until

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
PHOTOS = drawn.sample_photos(PHOTO_SEED)
PROMPT = PROMPTS[0].format("sks person")
#: As the demo's training was: its steps, where it drew samples; and where we look at its card.
GENERATION_STEPS = 25
TRAINING_STEPS, SAMPLE_STEPS, PAUSE_STEP = 250, (0, 50, 100, 150, 200, 250), 150
COLOUR_COUNT = 200
MAX_BYTES = 300_000
TIMEOUT_MS = 240_000


class ReplayBackend(FakeBackend):
    """A worker that gives what the demo's gave; a training waits for `go` where `held` is set."""

    def __init__(self) -> None:
        super().__init__(steps=TRAINING_STEPS)
        self.paused, self.resume = asyncio.Event(), asyncio.Event()
        samples = cut_tiles(FOLDER / "strip.png", 6)
        self._samples = dict(zip(SAMPLE_STEPS, samples, strict=True))
        self._generated = dict(zip(PROMPTS, cut_tiles(FOLDER / "generated.png", 3), strict=True))

    async def run(self, request: JobRequest) -> AsyncGenerator[WorkerEvent, None]:
        """Carry out one attempt."""
        ids = {"job_id": request.job_id, "attempt": request.attempt}
        steps = TRAINING_STEPS if isinstance(request, TrainRequest) else GENERATION_STEPS
        yield StartedEvent(**ids, step=0, steps=steps)
        for step in range(steps + 1):
            await asyncio.sleep(0)
            if step:
                yield ProgressEvent(**ids, step=step, steps=steps)
            if isinstance(request, GenerateRequest):
                continue
            if step in self._samples:
                yield SampleEvent(**ids, step=step, png=self._samples[step])
            if step == PAUSE_STEP:
                self.paused.set()
                await self.resume.wait()
        if isinstance(request, GenerateRequest):
            (prompt,) = [
                template for template in PROMPTS if request.prompt.endswith(template.removeprefix("{} "))
            ]
            yield DoneEvent(**ids, pictures=(self._generated[prompt],))
        else:
            yield DoneEvent(**ids, lora=b"the demo's LoRA")


def cut_tiles(path: Path, count: int) -> list[bytes]:
    """Cut a row of square pictures apart."""
    tile_pngs = []
    with Image.open(path) as row:
        side_px = min(row.height, row.width // count)
        gap_px = (row.width - count * side_px) // max(1, count - 1)
        for number in range(count):
            left = number * (side_px + gap_px)
            file = io.BytesIO()
            row.crop((left, 0, left + side_px, side_px)).save(file, "PNG")
            tile_pngs.append(file.getvalue())
    return tile_pngs


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """Debian's Chromium where there is one, else Playwright's."""
    async with async_playwright() as playwright:
        executable = shutil.which("chromium") or shutil.which("chromium-browser")
        chromium = await playwright.chromium.launch(executable_path=executable)
        try:
            yield chromium
        finally:
            await chromium.close()


async def save_page(chromium: Browser, html: str, name: str, width_px: int = 440) -> None:
    """Draw a page as a picture of the README."""
    browser_page = await chromium.new_page(
        device_scale_factor=1.25, viewport={"width": width_px, "height": 300}
    )
    await browser_page.set_content(html)
    await browser_page.screenshot(path=FOLDER / name, full_page=True, timeout=TIMEOUT_MS)
    await browser_page.close()
    compress_png(FOLDER / name)


def compress_png(path: Path) -> None:
    """Write a picture with fewer colours, which makes it a third as large."""
    with Image.open(path) as picture:
        quantized = picture.convert("RGB").quantize(COLOUR_COUNT, dither=Image.Dither.NONE)
    quantized.save(path, optimize=True)
    size_bytes = path.stat().st_size
    if size_bytes > MAX_BYTES:
        raise SystemExit(f"{path.name} has {size_bytes} bytes, more than {MAX_BYTES}")


async def at_the_console(folder: Path, worker: ReplayBackend, chromium: Browser) -> None:
    """Play the demo, as `make run` does without a token."""
    screen = io.StringIO()
    worker.resume.set()
    async with open_app(Settings(data_dir=folder, base_model="drawn"), worker) as app:
        chat = ObservedConsoleAdapter(app.services, io.StringIO(), screen)
        app.chats[Platform.CONSOLE] = chat
        await app.run({"console": _play_and_print(app, chat)})
    console = Console(record=True, width=108, file=io.StringIO())
    for line in _remove_repeats(screen.getvalue().replace(f"{folder}/", "data/").splitlines()):
        console.print(Text(line, style="bold" if line.startswith("you: ") else ""))
    svg = console.export_svg(title="make run")
    style = 'body{margin:0} svg{width:100%} text{font-family:"DejaVu Sans Mono"!important}'
    await save_page(chromium, f"<style>{style}</style>{svg}", "console.png", 1000)


async def _play_and_print(app: Any, chat: ObservedConsoleAdapter) -> None:
    chat.print_line(str(await play_demo(app, chat)))


def _remove_repeats(lines: list[str]) -> list[str]:
    """Leave of each progress card what it said last; a terminal shows it in one place."""
    last_numbers: dict[str, int] = {}
    dropped_numbers: set[int] = set()
    for number, line in enumerate(lines):
        if line.startswith(("you: ", "Training ", "Drawing ")):
            if line.startswith("you: "):
                last_numbers.clear()
            elif (previous := last_numbers.get(line)) is not None:
                dropped_numbers |= {
                    previous,
                    previous + 1,
                    *([previous + 2] if "Cancel" in lines[previous + 2] else []),
                }
            last_numbers[line] = number
        if line.endswith(" 100 % · done"):
            dropped_numbers |= {number - 1, number}
    return [line for number, line in enumerate(lines) if number not in dropped_numbers]


async def on_discord(folder: Path, worker: ReplayBackend, chromium: Browser) -> None:
    """Anna sends four photos in a DM and then a fifth, and draws there."""
    worker.resume.set()
    async with discord_stage.on_stage(folder, worker=worker) as stage:
        stage.env.backend.bot_user.name = "LoraCode"
        small_photos = drawn.sample_photos(PHOTO_SEED, side_px=256)
        files = [(f"{number}.png", photo) for number, photo in enumerate(small_photos, 1)]
        await stage.album(files[:4])
        await _save_view(stage, chromium, "discord-photos.png", (660, 640))
        await stage.album(files[4:])
        await stage.work()
        await stage.anna_alone.slash("generate", code=await stage.code(), prompt=PROMPT)
        await stage.work()
        await _save_view(stage, chromium, "discord-result.png", (660, 640))


async def _save_view(
    stage: discord_stage.Stage, chromium: Browser, name: str, size_px: tuple[int, int]
) -> None:
    channel = stage.anna_alone.dm_channel
    view = stage.env.preview(channel, viewers=[stage.anna_alone], layout="channel", display="fixed")
    # A busy machine is slower than it thinks.
    _capture._CAPTURE_DEADLINE = _media.WORKER_DEADLINE_SECONDS = TIMEOUT_MS / 1000
    async with view as preview:
        preview._capture_manager._browser = chromium  # Debian's own, of which simcord cannot be told
        await preview.screenshot(FOLDER / name, target=stage.dms()[-1], mode="viewport", viewport=size_px)
        preview._capture_manager._browser = None
    compress_png(FOLDER / name)


async def on_telegram(folder: Path, worker: ReplayBackend, chromium: Browser) -> None:
    """Anna sends an album, and draws."""
    async with telegram_server() as server, telegram_stage.telegram_bot(server, folder, worker):
        anna = telegram_stage.Person(server, telegram_stage.PEOPLE[0])
        await anna.sends_photos(PHOTOS)
        await worker.paused.wait()
        await until(lambda: any("step" in message.text for message in anna.sees))
        bubbles_before = [
            chat_page.Bubble(is_bot=False, photos=PHOTOS),
            *map(_make_bubble, deepcopy(anna.sees)),
        ]
        await save_page(chromium, chat_page.render_page(bubbles_before), "telegram-training.png")
        worker.resume.set()
        ready = await anna.hears("is ready")
        command_text = f"/generate {telegram_stage.code_in(ready)} {PROMPT}"
        await anna.says(command_text)
        result = await until(lambda: [message for message in anna.sees if "Again" in dict(message.buttons)])
        bubbles_after = [
            _make_bubble(ready),
            chat_page.Bubble(is_bot=False, text=command_text),
            _make_bubble(result[0]),
        ]
        await save_page(chromium, chat_page.render_page(bubbles_after), "telegram-result.png")


def _make_bubble(message: Shown) -> chat_page.Bubble:
    return chat_page.Bubble(True, message.text, message.photos, message.labels)


async def main() -> None:
    """Draw all of them."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_browser() as chromium:
            for draw in (at_the_console, on_discord, on_telegram):
                if len(sys.argv) == 1 or draw.__name__ in sys.argv:
                    await draw(Path(folder) / draw.__name__, ReplayBackend(), chromium)


if __name__ == "__main__":
    asyncio.run(main())
