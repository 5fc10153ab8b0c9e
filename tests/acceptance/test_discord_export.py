"""A LoRA's file for other programs, handed out on Discord."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.chats.discord import DiscordAdapter
from bot.texts import translate
from tests.acceptance.discord_stage import Stage, on_stage, photos, text_of

TEN_MIB = 10 * 2**20


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


def lora(modules: int, module_bytes: int) -> bytes:
    """A LoRA file of so many modules of such a size, all zeros."""
    header: dict[str, object] = {"__metadata__": {"ss_network_dim": "8"}}
    at = 0
    for number in range(modules):
        for end in ("lora_down", "lora_up"):
            shape = [module_bytes // 4]
            header[f"lora_unet_{number}.{end}.weight"] = {
                "dtype": "F16",
                "shape": shape,
                "data_offsets": [at, at + module_bytes // 2],
            }
            at += module_bytes // 2
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


@pytest.mark.covers("discord", "/export", "/export code")
async def test_the_owner_gets_the_file_alone_with_a_line_on_how_to_use_it(stage: Stage) -> None:
    stage.backend.lora = lora(2, 1000)
    code = await stage.trains()
    answer = await stage.anna.slash(stage.channel, "export", code=code)
    assert answer.ephemeral
    assert answer.response is not None
    (file,) = answer.response.attachments
    assert file.filename == f"loracode-{code}.safetensors"
    assert await file.read() == stage.backend.lora
    assert "AUTOMATIC1111" in text_of(answer)
    assert "ComfyUI" in text_of(answer)
    assert stage.public() == []


async def test_a_file_over_the_limit_comes_in_parts_and_says_so(stage: Stage) -> None:
    stage.backend.lora = lora(28, 2**20)
    code = await stage.trains()
    answer = await stage.anna.slash(stage.channel, "export", code=code)
    assert answer.response is not None
    messages = [answer.response, *answer.followups]
    sizes_bytes = [[file.size for file in each.attachments] for each in messages]
    assert all(size_bytes <= TEN_MIB for sizes in sizes_bytes for size_bytes in sizes)
    assert all(sum(sizes) < 25_000_000 for sizes in sizes_bytes), "more does not fit into one request"
    assert sum(len(sizes) for sizes in sizes_bytes) >= 3
    assert sum(sum(sizes) for sizes in sizes_bytes) >= 28 * 2**20
    assert all(each.ephemeral for each in messages)
    assert "parts" in text_of(answer)


async def test_parts_whose_interaction_ended_come_by_dm(stage: Stage) -> None:
    stage.backend.lora = lora(28, 2**20)
    code = await stage.trains()
    before = len(stage.dms())
    stage.refuse("POST", "/webhooks/*", 401, 50027)
    await stage.anna.slash(stage.channel, "export", code=code)
    files = [file for each in stage.dms()[before:] for file in each.attachments]
    assert len(files) >= 3
    assert len({file.filename for file in files}) == len(files)


async def test_export_works_in_a_dm_too(stage: Stage) -> None:
    stage.backend.lora = lora(2, 1000)
    code = await stage.trains()
    answer = await stage.anna_alone.slash("export", code=code)
    assert [file.filename for file in answer.response.attachments] == [f"loracode-{code}.safetensors"]


async def test_nobody_else_gets_it_and_an_unknown_code_reads_the_same(stage: Stage) -> None:
    code = await stage.trained()
    unknown = "00000000" if code != "00000000" else "11111111"
    for each in (code, unknown):
        answer = await stage.bert.slash(stage.channel, "export", code=each)
        assert (text_of(answer), answer.ephemeral) == (translate("unknown-code"), True)
        assert answer.response is not None
        assert answer.response.attachments == []


async def test_a_code_that_is_still_training_has_no_file_yet(stage: Stage) -> None:
    await stage.form(photos(5))
    answer = await stage.anna.slash(stage.channel, "export", code=await stage.code())
    assert "still training" in text_of(answer)


async def test_the_chat_tells_its_limit(stage: Stage) -> None:
    assert DiscordAdapter("a token", stage.bot.studio.services).max_file_bytes == TEN_MIB
