"""Whole stories on the embedded SDXL with the real worker: a code, a picture, more steps, the file."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from safetensors.torch import load

from bot.core.loras import LoraCode, format_code
from bot.jobs.backends.local import ProcessBackend
from tests.acceptance import discord_stage
from tests.acceptance.discord_stage import Stage, shown, text_of
from tests.acceptance.telegram_person import Person
from tests.acceptance.telegram_server import telegram_server, until
from tests.acceptance.telegram_stage import PHOTOS, code_in, telegram_bot

WORKER = [sys.executable, "-m", "gpu_worker", "--base-model", "tiny-xl", "--train-steps", "1"]


def assert_sdxl(file: bytes) -> None:
    modules = {name.split(".")[0] for name in load(file)}
    assert len(modules) == 722
    assert "lora_unet_input_blocks_4_1_proj_in" in modules


@asynccontextmanager
async def on_telegram(folder: Path) -> AsyncIterator[Person]:
    async with telegram_server() as server, telegram_bot(server, folder, ProcessBackend(WORKER)):
        yield Person(server, 7)


async def trains_and_draws(anna: Person) -> LoraCode:
    await anna.sends_photos(PHOTOS[:5])
    code = code_in(await anna.hears("is ready,"))
    await anna.says(f"/generate {code} in a garden --best 2")
    await anna.hears("nothing was measured")
    await anna.says(f"/generate {code} in a garden --n 2 --steps 1 --size 64x64")
    results = await until(lambda: [each for each in anna.sees if "Again" in dict(each.buttons)])
    assert results[0].photos[0].startswith(b"\x89PNG")
    return code


async def exports(anna: Person, code: LoraCode) -> None:
    await anna.says(f"/export {code}")
    (export,) = await until(lambda: [each for each in anna.sees if each.files])
    assert_sdxl(export.files[0][1])


@pytest.mark.covers("telegram", "album", "photo", "/generate", "--best", "/export")
async def test_five_photos_become_pictures_and_a_file_of_sdxl_on_telegram(tmp_path: Path) -> None:
    async with on_telegram(tmp_path) as anna:
        await exports(anna, await trains_and_draws(anna))


@pytest.mark.soak
@pytest.mark.covers("telegram", "/more", "/export")
async def test_a_code_of_sdxl_is_trained_further_on_telegram(tmp_path: Path) -> None:
    async with on_telegram(tmp_path) as anna:
        code = await trains_and_draws(anna)
        await anna.says(f"/more {code} 50")
        await anna.hears("for 50 more steps")
        await anna.sends_photos(PHOTOS[:5])
        await anna.hears("more steps, and your photos have been deleted", timeout_s=250)
        await exports(anna, code)


@asynccontextmanager
async def on_discord(folder: Path) -> AsyncIterator[Stage]:
    worker = ProcessBackend(WORKER)
    await worker.start()
    try:
        async with discord_stage.on_stage(folder, worker=worker) as stage:
            yield stage
    finally:
        await worker.close()


async def exports_on_discord(stage: Stage, code: LoraCode) -> None:
    answer = await stage.anna.slash(stage.channel, "export", code=code)
    assert answer.response is not None
    assert_sdxl(await answer.response.attachments[0].read())


@pytest.mark.soak  # `make test` has it on Telegram
@pytest.mark.covers("discord", "/train", "form", "/generate", "/generate best", "/export")
async def test_five_photos_become_pictures_and_a_file_of_sdxl_on_discord(tmp_path: Path) -> None:
    async with on_discord(tmp_path) as stage:
        code = await stage.trains()
        assert format_code(code) in stage.dms()[-1].content
        answer = await stage.draw(code, best=2)
        assert "nothing was measured" in text_of(answer)
        result = await stage.drawn(code, count=2, steps=1, size="64x64")
        assert (await result.attachments[0].read()).startswith(b"\x89PNG")
        await exports_on_discord(stage, code)


@pytest.mark.soak
@pytest.mark.covers("discord", "/more", "/export")
async def test_a_code_of_sdxl_is_trained_further_on_discord(tmp_path: Path) -> None:
    async with on_discord(tmp_path) as stage:
        card = shown(await stage.anna.slash(stage.channel, "settings"))
        await stage.anna.click(card, label="Photos kept 7 days")
        code = await stage.trains()
        await stage.anna.slash(stage.channel, "more", code=code, steps=50)
        await stage.work()
        assert "has trained for 50 more steps" in stage.dms()[-1].content
        await exports_on_discord(stage, code)
