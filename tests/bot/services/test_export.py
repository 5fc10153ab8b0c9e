"""`/export`: the owner takes the LoRA along, in parts where a platform takes no large files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from bot.core.accounts import ChatAddress, Identity
from bot.core.errors import UserError
from bot.core.loras import LoraCode
from bot.core.messages import Reply
from bot.texts import translate
from tests.support.engine import EngineRoom, open_engine_room
from tests.support.services import ANNA, ANNAS, BERT, BERTS, InProcessDecoder, tools
from tests.support.use_cases import Studio

LORA = save(
    {
        f"lora_unet_{number}.{name}": torch.full((size, 64), float(number))
        for number in range(12)
        for name, size in (("lora_down.weight", 4), ("lora_up.weight", 4), ("alpha", 1))
    }
)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[EngineRoom]:
    async with open_engine_room(tmp_path) as each:
        each.backend.lora = LORA
        yield each


async def export(
    room: EngineRoom, code: LoraCode, who: Identity = ANNA, place: ChatAddress = ANNAS, most: int = 50_000_000
) -> Reply:
    desk_tools = tools(room.ledger, room.dispatcher, room.files, room.desk.clock, most)
    return await Studio(desk_tools, InProcessDecoder(), frozenset()).export_lora(
        who, place, f"{code[:4]} {code[4:]}"
    )


async def test_the_owner_gets_the_file_under_a_name_that_web_uis_show_well(room: EngineRoom) -> None:
    code = (await room.trained()).code
    reply = await export(room, code)
    [file] = reply.files
    assert file.name == f"loracode-{code}.safetensors"
    assert file.path.read_bytes() == LORA
    assert f"<lora:loracode-{code}:1> sks person" in reply.text
    assert "ComfyUI: models/loras" in reply.text
    assert reply.text.endswith("diffusers: load_lora_weights.")
    assert len(reply.text.splitlines()) == 1


async def test_a_file_in_newer_names_is_said_to_be_for_comfyui_and_diffusers(room: EngineRoom) -> None:
    room.backend.lora = save(
        {key.replace("lora_unet_", "diffusion_model.layers."): value for key, value in load(LORA).items()}
    )
    code = (await room.trained()).code
    reply = await export(room, code, most=len(LORA) // 2)
    assert len(reply.files) > 2
    assert "ComfyUI: put it in models/loras" in reply.text
    assert "write “sks person”. diffusers: load_lora_weights." in reply.text
    assert "<lora:" not in reply.text


async def test_a_file_too_large_for_the_platform_comes_in_parts(room: EngineRoom) -> None:
    code = (await room.trained()).code
    most = len(LORA) // 2
    reply = await export(room, code, most=most)
    assert len(reply.files) > 2
    assert [file.name for file in reply.files] == [
        f"loracode-{code}-{number}of{len(reply.files)}.safetensors"
        for number in range(1, len(reply.files) + 1)
    ]
    assert all(file.path.stat().st_size <= most for file in reply.files)
    together = {name: each for file in reply.files for name, each in load(file.path.read_bytes()).items()}
    assert set(together) == set(load(LORA))
    assert f"all {len(reply.files)} parts together" in reply.text


async def test_exported_twice_at_once_it_comes_whole_twice(room: EngineRoom) -> None:
    code = (await room.trained()).code
    many = [export(room, code, most=len(LORA) // 2) for _ in range(20)]
    for reply in await asyncio.gather(*many):
        together = {name: each for file in reply.files for name, each in load(file.path.read_bytes()).items()}
        assert set(together) == set(load(LORA))


async def test_parts_go_at_once_with_their_lora(room: EngineRoom) -> None:
    code, other = (await room.trained()).code, (await room.trained()).code
    parts, others = [await export(room, each, most=len(LORA) // 2) for each in (code, other)]
    await room.desk.studio.handle_button(ANNA, ANNAS, f"remove!:{code}")
    assert not any(file.path.exists() for file in parts.files)
    assert all(file.path.exists() for file in others.files)


async def test_a_file_that_cannot_be_split_so_small_is_refused(room: EngineRoom) -> None:
    code = (await room.trained()).code
    with pytest.raises(UserError) as caught:
        await export(room, code, most=500)
    assert caught.value.message == translate("too-coarse-to-split")


async def test_a_file_goes_to_its_owner_only(room: EngineRoom) -> None:
    code = (await room.trained()).code
    with pytest.raises(UserError) as caught:
        await export(room, code, BERT, BERTS)
    assert caught.value.message == translate("unknown-code")


async def test_a_code_in_training_and_a_file_that_is_gone_are_told(room: EngineRoom) -> None:
    training = (await room.desk.train(ANNA, 20)).code
    with pytest.raises(UserError, match="still training"):
        await export(room, training)
    await room.dispatcher.drain()
    room.files.lora_path(f"{training}.safetensors").unlink()
    with pytest.raises(UserError) as caught:
        await export(room, training)
    assert caught.value.message == translate("lora-file-gone")
    with pytest.raises(UserError, match="eight digits"):
        await room.desk.studio.export_lora(ANNA, ANNAS, "")
