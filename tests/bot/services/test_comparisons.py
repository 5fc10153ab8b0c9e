"""One prompt at several strengths: what is queued, and who may."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.errors import UserError
from bot.core.jobs import GenerationParams
from bot.core.messages import Request
from bot.services import make_services
from tests.support.services import ANNA, ANNAS, Desk, InProcessDecoder, open_desk, tools


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def test_a_comparison_is_three_pictures_of_one_seed(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    await desk.studio.say(ANNA, ANNAS, "compare", f"{code} in a forest --seed 7 --strength 2 --n 4")
    (job,) = await desk.jobs(ANNA)
    assert isinstance(job.params, GenerationParams)
    assert (job.params.strengths, job.params.count) == ((0.6, 0.8, 1.0), 3)
    assert (job.params.seed, job.params.strength, job.params.prompt) == (7, None, "in a forest")


async def test_a_comparison_needs_a_code_and_no_prompt(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    with pytest.raises(UserError, match="Which LoraCode"):
        await desk.studio.say(ANNA, ANNAS, "compare")
    await desk.studio.say(ANNA, ANNAS, "compare", code)
    (job,) = await desk.jobs(ANNA)
    assert isinstance(job.params, GenerationParams)
    assert job.params.prompt == "close-up, looking at the camera"


async def test_an_operator_may_switch_comparing_off(desk: Desk) -> None:
    context = tools(desk.ledger, desk.queue, desk.files, desk.clock)
    rules = replace(context.rules, allows_compare=False)
    services = make_services(replace(context, rules=rules), InProcessDecoder())
    with pytest.raises(UserError, match="switched off"):
        await services.comparisons.compare_strengths(Request(ANNA, ANNAS, text="40713386"))
