"""A LoraCode remembers which base model it is for, and says so while the bot draws with another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from bot.core.errors import UserError
from bot.core.jobs import JobKind
from bot.core.loras import Lora, format_code
from bot.texts import translate
from gpu_worker.protocol import WorkerHealth
from tests.support.services import ADMIN, ANNA, ANNAS, Desk, open_desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


def health(family: str) -> WorkerHealth:
    return WorkerHealth(
        device="cpu", base_model="x", base_model_loaded=True, process_memory_bytes=1, family=family
    )


async def trained_on(desk: Desk, family: str, first: int = 1) -> Lora:
    """Return the LoRA of a training that was started on a family."""
    await desk.train(ANNA, first)
    job = await desk.claim(JobKind.TRAIN)
    assert await desk.ledger.jobs.record_start(job.id, job.attempt, 0, 10, family)
    assert await desk.ledger.jobs.finish_training(job.id, job.attempt, (f"{job.code}.safetensors", "0" * 64))
    lora = await desk.ledger.loras.get_by_code(job.code)
    assert lora is not None
    return lora


async def test_a_code_remembers_its_family(desk: Desk) -> None:
    assert (await trained_on(desk, "sdxl")).family == "sdxl"


async def test_a_code_of_another_base_answers_with_the_one_it_needs_and_draws_when_that_is_back(
    desk: Desk,
) -> None:
    code = (await trained_on(desk, "sd15")).code
    expected = translate("lora-of-other-base", code=format_code(code), base="sd15", current="sdxl")
    desk.queue.current_health = health("sdxl")
    for ask in (
        desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat"),
        desk.studio.continue_training(ANNA, ANNAS, f"{code} 100"),
    ):
        with pytest.raises(UserError) as caught:
            await ask
        assert caught.value.message == expected
    assert [job for job in await desk.jobs(ANNA) if job.kind is JobKind.GENERATE] == []
    desk.queue.current_health = health("sd15")
    await desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat")
    assert [job.kind for job in await desk.jobs(ANNA)].count(JobKind.GENERATE) == 1


async def test_a_second_code_of_another_base_is_named(desk: Desk) -> None:
    first, second = await trained_on(desk, "sdxl"), await trained_on(desk, "sd15", first=11)
    desk.queue.current_health = health("sdxl")
    with pytest.raises(UserError) as caught:
        await desk.studio.generate_from_text(ANNA, ANNAS, f"{first.code} a boat and {second.code}")
    assert format_code(second.code) in caught.value.message


@pytest.mark.parametrize(("stored", "current"), [("", "sdxl"), ("sd15", "")])
async def test_what_is_not_known_is_let_through(desk: Desk, stored: str, current: str) -> None:
    code = (await trained_on(desk, stored)).code
    desk.queue.current_health = health(current)
    await desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat")
    desk.queue.current_health = None
    await desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat")


async def test_a_picture_may_be_twice_as_large_as_those_of_the_base(desk: Desk) -> None:
    code = (await trained_on(desk, "sdxl")).code
    desk.queue.current_health = replace(health("sdxl"), native_px=1024)
    await desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat --size 832x1216")
    for native_px in (0, 512):
        desk.queue.current_health = replace(health("sdxl"), native_px=native_px)
        with pytest.raises(UserError, match="64 to 1024"):
            await desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat --size 832x1216")


async def test_the_status_names_the_family_and_its_licence(desk: Desk) -> None:
    desk.queue.current_health = replace(health("sdxl"), licence="CreativeML Open RAIL++-M")
    reply = await desk.studio.run_admin_command(ADMIN, "status")
    assert "Family: sdxl, CreativeML Open RAIL++-M" in reply.text
