"""Drawing with a LoraCode: whose it is, and whether it can draw yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bot.core.accounts import Preferences
from bot.core.errors import UserError
from bot.core.jobs import GenerationParams, JobFailure, JobKind
from bot.core.loras import LoraCode, format_code
from bot.db import Database
from bot.services.generation import MAX_OPEN_GENERATIONS
from bot.texts import translate, use_language
from tests.support.services import (
    ADMIN,
    ANNA,
    ANNAS,
    BERT,
    BERTS,
    Desk,
    InProcessDecoder,
    open_desk,
    tools,
)
from tests.support.use_cases import Studio


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def refusal(desk: Desk, text: str) -> str:
    with pytest.raises(UserError) as caught:
        await desk.studio.generate_from_text(ANNA, ANNAS, text)
    return caught.value.message


class Watched:
    """A database, or one of its repositories, that records which methods are asked for."""

    def __init__(self, target: object, asked: list[str], prefix: str = "") -> None:
        self._target, self._prefix = target, prefix
        self.asked = asked

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            return Watched(value, self.asked, f"{name}.")
        self.asked.append(self._prefix + name)
        return value


async def test_a_ready_code_draws(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    woken = desk.queue.wake_count
    reply = await desk.studio.generate_from_text(ANNA, ANNAS, f"{code} sks person on a boat --seed 7 --n 2")
    (job,) = await desk.jobs(ANNA)
    assert (job.kind, job.code, job.address) == (JobKind.GENERATE, code, ANNAS)
    assert job.params == GenerationParams("sks person on a boat", seed=7, count=2, is_fast=True)
    assert reply.card_job_id == job.id
    assert reply.text.startswith(f"Drawing 2 pictures with {code[:4]} {code[4:]}")
    assert desk.queue.wake_count == woken + 1


async def test_a_code_may_have_spaces(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    await desk.studio.generate(ANNA, ANNAS, f"{code[:4]} {code[4:]}", GenerationParams("a boat"))
    await desk.studio.generate_from_text(ANNA, ANNAS, f"{code[:4]} {code[4:]} a boat")
    assert [job.code for job in await desk.jobs(ANNA)] == [code, code]


async def test_a_code_of_seven_digits_is_explained(desk: Desk) -> None:
    assert "eight digits" in await refusal(desk, "4071338 a boat")
    with pytest.raises(UserError, match="eight digits"):
        await desk.studio.generate(ANNA, ANNAS, "4071338", GenerationParams("a boat"))


async def test_parameters_from_a_form_are_checked_like_typed_ones(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    for wish in (
        GenerationParams("a boat", count=9),
        GenerationParams("x" * 5000),
    ):
        with pytest.raises(UserError):
            await desk.studio.generate(ANNA, ANNAS, code, wish)
    assert await desk.jobs(ANNA) == []


async def test_a_foreign_code_is_answered_and_looked_up_like_no_code(desk: Desk) -> None:
    own = (await desk.ready(ANNA)).code
    foreign = (await desk.ready(BERT)).code
    missing = next(code for code in ("00000000", "00000001", "00000002") if code not in (own, foreign))
    watched = Watched(desk.ledger, [])
    watching = tools(cast(Database, watched), desk.queue, desk.files, desk.clock)
    studio = Studio(watching, InProcessDecoder(), {ADMIN})
    answers = []
    for code in (missing, foreign):
        watched.asked.clear()
        with pytest.raises(UserError) as caught:
            await studio.generate_from_text(ANNA, ANNAS, f"{code} a boat")
        with pytest.raises(UserError) as cancelled:
            await studio.cancel_job(ANNA, code)
        answers.append((caught.value.message, cancelled.value.message, tuple(watched.asked)))
    assert answers[0] == answers[1]
    assert answers[0][0] == translate("unknown-code")
    assert await desk.jobs(ANNA) == []


async def test_two_years_in_a_prompt_are_told_from_a_code_by_a_comma(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    sentence = await refusal(desk, f"{code} 2024 2025 fashion")
    assert "2024 2025" in sentence
    assert "comma" in sentence
    foreign = (await desk.ready(BERT)).code
    told = await refusal(desk, f"{code} with {foreign}")
    assert told == translate("unknown-code-in-prompt", code=format_code(foreign)), (
        "somebody's code reads like nobody's"
    )
    await desk.studio.generate_from_text(ANNA, ANNAS, f"{code} 2024, 2025 fashion")
    assert len(await desk.jobs(ANNA)) == 1


@pytest.mark.parametrize(("language", "generate"), [("en", "/generate"), ("it", "/genera")])
async def test_two_years_at_the_beginning_are_no_code(desk: Desk, language: str, generate: str) -> None:
    code, foreign = (await desk.ready(ANNA)).code, (await desk.ready(BERT)).code
    unknown = LoraCode("20242025")
    await desk.ledger.accounts.save_preferences(
        await desk.ledger.accounts.get_or_create(ANNA), Preferences(language=language)
    )
    watched = Watched(desk.ledger, [])
    watching = tools(cast(Database, watched), desk.queue, desk.files, desk.clock)
    studio, looks = Studio(watching, InProcessDecoder(), {ADMIN}), set()
    for each, between in ((unknown, " "), (foreign, " "), (unknown, "-"), (foreign, "-")):
        watched.asked.clear()
        with pytest.raises(UserError) as caught:
            await studio.generate_from_text(ANNA, ANNAS, f"{each[:4]}{between}{each[4:]} fashion")
        with use_language(language):
            assert caught.value.message == translate(
                "unknown-code-of-numbers", code=format_code(each), first=each[:4], second=each[4:]
            )
            assert f"{generate} 4071 3386 {each[:4]}, {each[4:]}" in caught.value.message
        looks.add(tuple(watched.asked))
    assert len(looks) == 1, "somebody's code takes the same look as nobody's"
    await desk.studio.generate_from_text(ANNA, ANNAS, f"{code[:4]} {code[4:]} 2024, 2025 fashion")
    assert len(await desk.jobs(ANNA)) == 1


async def test_a_foreign_code_in_training_says_nothing_of_it(desk: Desk) -> None:
    code = (await desk.train(BERT)).code
    assert await refusal(desk, f"{code} a boat") == translate("unknown-code")


async def test_a_code_still_training_says_how_long(desk: Desk) -> None:
    await desk.ready(ANNA, seconds=1500)
    code = (await desk.train(ANNA, first=11)).code
    sentence = await refusal(desk, f"{code} a boat")
    assert f"{code[:4]} {code[4:]} is still training: about 25 min left" in sentence


async def test_a_first_code_still_training_promises_no_time(desk: Desk) -> None:
    code = (await desk.train(ANNA)).code
    assert "no estimate until" in await refusal(desk, f"{code} a boat")


async def test_a_failed_or_cancelled_code_says_so(desk: Desk) -> None:
    failed = await desk.train(ANNA)
    job = await desk.claim(JobKind.TRAIN)
    assert await desk.ledger.jobs.fail(
        job.id, job.attempt, JobFailure(sentence="The card ran out of memory.")
    )
    assert "failed" in await refusal(desk, f"{failed.code} a boat")
    stopped = await desk.train(ANNA, first=11)
    await desk.studio.cancel_job(ANNA)
    assert "was cancelled" in await refusal(desk, f"{stopped.code} a boat")


async def test_one_more_than_the_open_generations_allowed_has_to_wait(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    for _ in range(MAX_OPEN_GENERATIONS):
        await desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat")
    assert f"still drawing {MAX_OPEN_GENERATIONS} requests" in await refusal(desk, f"{code} a boat")
    job = await desk.claim(JobKind.GENERATE)
    assert await desk.ledger.jobs.finish_generation(job.id, job.attempt, [f"{job.id}-0.png"])
    await desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat")


async def test_requests_at_the_same_moment_do_not_slip_past_the_limit(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    asks = [desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat") for _ in range(50)]
    answers = await asyncio.gather(*asks, return_exceptions=True)
    assert sum(isinstance(answer, UserError) for answer in answers) == 50 - MAX_OPEN_GENERATIONS
    assert len(await desk.jobs(ANNA)) == MAX_OPEN_GENERATIONS


async def test_one_person_s_open_generations_do_not_count_for_another(desk: Desk) -> None:
    anna, bert = (await desk.ready(ANNA)).code, (await desk.ready(BERT)).code
    for _ in range(MAX_OPEN_GENERATIONS):
        await desk.studio.generate_from_text(ANNA, ANNAS, f"{anna} a boat")
    assert (await desk.studio.generate_from_text(BERT, BERTS, f"{bert} a boat")).card_job_id is not None


async def test_every_option_arrives_in_the_job(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    await desk.studio.generate_from_text(
        ANNA, ANNAS, f"{code} a boat --style Oil-Painting --strength 1.5 --sampler euler --size landscape"
    )
    [job] = await desk.jobs(ANNA)
    assert isinstance(job.params, GenerationParams)
    assert job.params.seed is not None, "settled, so that a second attempt draws the same"
    assert replace(job.params, seed=None) == GenerationParams(
        "a boat", style="oil", strength=1.5, sampler="euler a", shape="landscape"
    )


async def test_an_unknown_style_names_the_nearest(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    assert "Did you mean watercolour?" in await refusal(desk, f"{code} a boat --style watercol")
    with pytest.raises(UserError, match="Did you mean pixel"):
        await desk.studio.generate(ANNA, ANNAS, code, GenerationParams("a boat", style="pixl"))
    assert await desk.jobs(ANNA) == []


async def test_own_ready_codes_and_styles_are_offered_while_typing(desk: Desk) -> None:
    codes = []
    for number in range(3):
        codes.append((await desk.ready(ANNA, 10 * number)).code)
    await desk.train(ANNA, 40)
    await desk.ready(BERT)
    offered = await desk.studio.suggest_codes(ANNA, "")
    assert [each.value for each in offered] == codes[::-1]
    assert offered[0].label == f"{codes[2][:4]} {codes[2][4:]}"
    assert [each.value for each in await desk.studio.suggest_codes(ANNA, offered[1].label)] == [codes[1]]
    assert await desk.studio.suggest_codes(ANNA, "no digits") == offered
    assert "oil" in [each.value for each in desk.studio.suggest_styles("paint")]


async def test_suggestions_are_no_more_than_platforms_show(desk: Desk) -> None:
    for number in range(27):
        await desk.ready(ANNA, 5 * number)
    assert len(await desk.studio.suggest_codes(ANNA, "")) == 25
