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
from bot.app.demo import DRAWN_SEED, PROMPTS, WatchedChat, play
from bot.app.root import opened
from bot.app.settings import Settings
from bot.core.accounts import Platform
from bot.jobs.backends.fake import FakeBackend
from gpu_worker.protocol import Done, Event, Generate, JobRequest, Progress, Sample, Started, Train
from tests.acceptance import discord_stage, telegram_stage
from tests.acceptance.telegram_server import Shown, telegram_server, until

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
PHOTOS = drawn.sample_photos(DRAWN_SEED)
PROMPT = PROMPTS[0].format("sks person")
#: As the demo's training was: its steps, where it drew samples; and where we look at its card.
STEPS_OF_A_PICTURE = 25
STEPS, SAMPLED_AT, HELD_AT = 250, (0, 50, 100, 150, 200, 250), 150
COLOURS = 200
MAX_BYTES = 300_000
PATIENCE_MS = 240_000


class Replay(FakeBackend):
    """A worker that gives what the demo's gave; a training waits for `go` where `held` is set."""

    def __init__(self) -> None:
        super().__init__(steps=STEPS)
        self.held, self.go = asyncio.Event(), asyncio.Event()
        samples = tiles(FOLDER / "strip.png", 6)
        self._samples = dict(zip(SAMPLED_AT, samples, strict=True))
        self._drawn = dict(zip(PROMPTS, tiles(FOLDER / "generated.png", 3), strict=True))

    async def run(self, request: JobRequest) -> AsyncGenerator[Event, None]:
        """Carry out one attempt."""
        ids = {"job_id": request.job_id, "attempt": request.attempt}
        steps = STEPS if isinstance(request, Train) else STEPS_OF_A_PICTURE
        yield Started(**ids, step=0, steps=steps)
        for step in range(steps + 1):
            await asyncio.sleep(0)
            if step:
                yield Progress(**ids, step=step, steps=steps)
            if isinstance(request, Generate):
                continue
            if step in self._samples:
                yield Sample(**ids, step=step, png=self._samples[step])
            if step == HELD_AT:
                self.held.set()
                await self.go.wait()
        if isinstance(request, Generate):
            (asked,) = [each for each in PROMPTS if request.prompt.endswith(each.removeprefix("{} "))]
            yield Done(**ids, pictures=(self._drawn[asked],))
        else:
            yield Done(**ids, lora=b"the demo's LoRA")


def tiles(path: Path, count: int) -> list[bytes]:
    """Cut a row of square pictures apart."""
    cut = []
    with Image.open(path) as row:
        side_px = min(row.height, row.width // count)
        gap_px = (row.width - count * side_px) // max(1, count - 1)
        for number in range(count):
            left = number * (side_px + gap_px)
            file = io.BytesIO()
            row.crop((left, 0, left + side_px, side_px)).save(file, "PNG")
            cut.append(file.getvalue())
    return cut


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium where there is one, else Playwright's."""
    async with async_playwright() as playwright:
        here = shutil.which("chromium") or shutil.which("chromium-browser")
        chromium = await playwright.chromium.launch(executable_path=here)
        try:
            yield chromium
        finally:
            await chromium.close()


async def photograph(chromium: Browser, html: str, name: str, width_px: int = 440) -> None:
    """Draw a page as a picture of the README."""
    page = await chromium.new_page(device_scale_factor=1.25, viewport={"width": width_px, "height": 300})
    await page.set_content(html)
    await page.screenshot(path=FOLDER / name, full_page=True, timeout=PATIENCE_MS)
    await page.close()
    compact(FOLDER / name)


def compact(path: Path) -> None:
    """Write a picture with fewer colours, which makes it a third as large."""
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    size_bytes = path.stat().st_size
    if size_bytes > MAX_BYTES:
        raise SystemExit(f"{path.name} has {size_bytes} bytes, more than {MAX_BYTES}")


async def at_the_console(folder: Path, worker: Replay, chromium: Browser) -> None:
    """Play the demo, as `make run` does without a token."""
    screen = io.StringIO()
    worker.go.set()
    async with opened(Settings(data_dir=folder, base_model="drawn"), worker) as app:
        chat = WatchedChat(app.studio, io.StringIO(), screen)
        app.chats[Platform.CONSOLE] = chat
        await app.run({"console": _played(app, chat)})
    told = Console(record=True, width=108, file=io.StringIO())
    for line in _without_repeats(screen.getvalue().replace(f"{folder}/", "data/").splitlines()):
        told.print(Text(line, style="bold" if line.startswith("you: ") else ""))
    svg = told.export_svg(title="make run")
    style = 'body{margin:0} svg{width:100%} text{font-family:"DejaVu Sans Mono"!important}'
    await photograph(chromium, f"<style>{style}</style>{svg}", "console.png", 1000)


async def _played(app: Any, chat: WatchedChat) -> None:
    chat.say(str(await play(app, chat)))


def _without_repeats(lines: list[str]) -> list[str]:
    """Leave of each progress card what it said last; a terminal shows it in one place."""
    last: dict[str, int] = {}
    gone: set[int] = set()
    for number, line in enumerate(lines):
        if line.startswith(("you: ", "Training ", "Drawing ")):
            if line.startswith("you: "):
                last.clear()
            elif (before := last.get(line)) is not None:
                gone |= {before, before + 1, *([before + 2] if "Cancel" in lines[before + 2] else [])}
            last[line] = number
        if line.endswith(" 100 % · done"):
            gone |= {number - 1, number}
    return [line for number, line in enumerate(lines) if number not in gone]


async def on_discord(folder: Path, worker: Replay, chromium: Browser) -> None:
    """Anna sends four photos in a DM and then a fifth, and draws there."""
    worker.go.set()
    async with discord_stage.on_stage(folder, worker=worker) as stage:
        stage.env.backend.bot_user.name = "LoraCode"
        small = drawn.sample_photos(DRAWN_SEED, side_px=256)
        files = [(f"{number}.png", photo) for number, photo in enumerate(small, 1)]
        await stage.album(files[:4])
        await _seen(stage, chromium, "discord-photos.png", (660, 640))
        await stage.album(files[4:])
        await stage.work()
        await stage.anna_alone.slash("generate", code=await stage.code(), prompt=PROMPT)
        await stage.work()
        await _seen(stage, chromium, "discord-result.png", (660, 640))


async def _seen(stage: discord_stage.Stage, chromium: Browser, name: str, size_px: tuple[int, int]) -> None:
    channel = stage.anna_alone.dm_channel
    view = stage.env.preview(channel, viewers=[stage.anna_alone], layout="channel", display="fixed")
    # A busy machine is slower than it thinks.
    _capture._CAPTURE_DEADLINE = _media.WORKER_DEADLINE_SECONDS = PATIENCE_MS / 1000
    async with view as preview:
        preview._capture_manager._browser = chromium  # Debian's own, of which simcord cannot be told
        await preview.screenshot(FOLDER / name, target=stage.dms()[-1], mode="viewport", viewport=size_px)
        preview._capture_manager._browser = None
    compact(FOLDER / name)


async def on_telegram(folder: Path, worker: Replay, chromium: Browser) -> None:
    """Anna sends an album, and draws."""
    async with telegram_server() as server, telegram_stage.telegram_bot(server, folder, worker):
        anna = telegram_stage.Person(server, telegram_stage.PEOPLE[0])
        await anna.sends_photos(PHOTOS)
        await worker.held.wait()
        await until(lambda: any("step" in each.text for each in anna.sees))
        before = [chat_page.Bubble(is_bot=False, photos=PHOTOS), *map(_bubble, deepcopy(anna.sees))]
        await photograph(chromium, chat_page.page(before), "telegram-training.png")
        worker.go.set()
        ready = await anna.hears("is ready")
        asked = f"/generate {telegram_stage.code_in(ready)} {PROMPT}"
        await anna.says(asked)
        result = await until(lambda: [each for each in anna.sees if "Again" in dict(each.buttons)])
        after = [_bubble(ready), chat_page.Bubble(is_bot=False, text=asked), _bubble(result[0])]
        await photograph(chromium, chat_page.page(after), "telegram-result.png")


def _bubble(message: Shown) -> chat_page.Bubble:
    return chat_page.Bubble(True, message.text, message.photos, message.labels)


async def main() -> None:
    """Draw all of them."""
    with tempfile.TemporaryDirectory() as folder:
        async with browser() as chromium:
            for story in (at_the_console, on_discord, on_telegram):
                if len(sys.argv) == 1 or story.__name__ in sys.argv:
                    await story(Path(folder) / story.__name__, Replay(), chromium)


if __name__ == "__main__":
    asyncio.run(main())
