"""`/codes`: a card for each Lora; only its owner names, exports and deletes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.core.errors import UserError
from bot.core.loras import LoraCode
from bot.core.messages import Reply
from bot.texts import translate
from tests.support.engine import EngineRoom, open_engine_room
from tests.support.services import ANNA, ANNAS, BERT, BERTS


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[EngineRoom]:
    async with open_engine_room(tmp_path) as each:
        yield each


async def press(room: EngineRoom, action: str) -> Reply:
    return await room.desk.studio.handle_button(ANNA, ANNAS, action)


async def test_the_list_leads_to_a_card_and_back(room: EngineRoom) -> None:
    code = (await room.trained()).code
    listed = await room.desk.studio.list_loras(ANNA, ANNAS)
    assert [each.action for each in listed.buttons] == [f"code:{code}"]
    card = await press(room, f"code:{code}")
    assert card.edits_message
    assert "ready" in card.text
    assert "MB" in card.text
    assert [each.label for each in card.buttons] == [
        "Generate",
        "Export",
        "Share",
        "Train further",
        "Rename",
        "Delete",
        "All my codes",
    ]
    back = await press(room, "codes:all")
    assert (back.text, back.edits_message) == (listed.text, True)


async def test_a_lora_in_training_can_neither_draw_nor_be_exported(room: EngineRoom) -> None:
    code = (await room.desk.train(ANNA)).code
    labels = [each.label for each in (await press(room, f"code:{code}")).buttons]
    assert labels == ["Rename", "Delete", "All my codes"]


async def test_a_new_name_is_the_next_plain_message(room: EngineRoom) -> None:
    code = (await room.trained()).code
    await press(room, f"rename:{code}")
    card = await room.desk.studio.handle_text(ANNA, ANNAS, "Me in spring")
    assert card is not None
    assert "Me in spring" in card.text
    assert "Me in spring" in (await room.desk.studio.list_loras(ANNA, ANNAS)).text
    assert await room.desk.studio.handle_text(ANNA, ANNAS, "on the hill") is None


async def test_a_name_is_waited_for_one_hour(room: EngineRoom) -> None:
    await press(room, f"rename:{(await room.trained()).code}")
    room.desk.clock.forward(minutes=61)
    assert await room.desk.studio.handle_text(ANNA, ANNAS, "on the hill") is None


async def test_deleting_asks_and_takes_pictures_and_open_jobs_along(room: EngineRoom, tmp_path: Path) -> None:
    code = (await room.trained()).code
    await room.draws(code)
    await room.dispatcher.drain()
    waiting = await room.draws(code, "another")
    asked = await press(room, f"remove:{code}")
    assert await room.ledger.loras.get_by_code(code) is not None
    assert f"remove!:{code}" in [each.action for each in asked.buttons]
    assert "deleted" in (await press(room, f"remove!:{code}")).text
    assert await room.ledger.loras.get_by_code(code) is None
    assert await room.ledger.jobs.get(waiting.id) is None
    assert [*(tmp_path / "loras").iterdir(), *(tmp_path / "pictures").iterdir()] == []
    with pytest.raises(UserError) as caught:
        await press(room, f"remove!:{code}")
    assert caught.value.message == translate("unknown-code")


async def test_a_drawing_with_two_codes_goes_with_either(room: EngineRoom) -> None:
    first = (await room.trained()).code
    job = await room.desk.train(ANNA, first=11)
    await room.dispatcher.drain()
    both = await room.draws(job.code, f"with {first}")
    await press(room, f"remove!:{first}")
    assert await room.ledger.jobs.get(both.id) is None
    assert await room.ledger.loras.get_by_code(job.code) is not None


@pytest.mark.parametrize("asked", ["/generate", "/more"])
async def test_a_request_about_a_code_being_deleted_is_answered(room: EngineRoom, asked: str) -> None:
    studio, code = room.desk.studio, (await room.trained()).code
    meanwhile = (
        studio.continue_training(ANNA, ANNAS, code)
        if asked == "/more"
        else studio.generate_from_text(ANNA, ANNAS, f"{code} a boat")
    )
    first, second = await asyncio.gather(press(room, f"remove!:{code}"), meanwhile, return_exceptions=True)
    assert isinstance(first, Reply)
    assert isinstance(second, Reply | UserError)
    assert await room.ledger.loras.get_by_code(code) is None


async def test_a_stranger_s_press_and_an_unknown_code_are_one_answer(room: EngineRoom) -> None:
    code = (await room.trained()).code
    unknown = LoraCode(f"{(int(code) + 1) % 10**8:08d}")
    for what in ("code", "export", "rename", "remove", "remove!"):
        for asked in (code, unknown):
            with pytest.raises(UserError) as caught:
                await room.desk.studio.handle_button(BERT, BERTS, f"{what}:{asked}")
            assert caught.value.message == translate("unknown-code")
    assert await room.ledger.loras.get_by_code(code) is not None
