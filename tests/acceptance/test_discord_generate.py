"""A LoraCode and a prompt in, pictures out, on Discord."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import discord
import pytest

from bot import texts
from bot.domain import format_code
from gpu_worker.protocol import Generate
from tests.acceptance.discord_stage import Stage, labels, on_stage, photos, said, text_of


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


async def bytes_of(message: discord.Message) -> list[bytes]:
    return [await each.read() for each in message.attachments]


def drawn(stage: Stage) -> Generate:
    request = stage.backend.requests[-1]
    assert isinstance(request, Generate)
    return request


async def test_a_picture_takes_the_place_of_its_card_in_the_channel(stage: Stage) -> None:
    code = await stage.trained()
    answer = await stage.draw(code)
    assert answer.ephemeral
    (card,) = stage.public()
    assert card.content.startswith(f"{stage.anna.mention} Drawing 1 picture with {format_code(code)}")
    assert labels(card) == ["Cancel"]
    assert answer.response is None, "the card stands right there; a second answer would say the same"

    await stage.work()
    (card,) = stage.public()
    assert "sks person on the moon" in card.content
    assert await bytes_of(card) == [b"picture"]
    assert labels(card) == []


async def test_every_option_reaches_the_worker(stage: Stage) -> None:
    code = await stage.trained()
    await stage.draw(
        code, "a boat", negative="blurry", seed=7, size="portrait", count=4, steps=12, guidance=6.5
    )
    await stage.work()
    request = drawn(stage)
    assert (request.prompt, request.negative, request.seed, request.count) == ("a boat", "blurry", 7, 4)
    assert (request.width_px, request.height_px) == (512, 768)
    assert (request.steps, request.guidance) == (12, 6.5)
    (card,) = stage.public()
    assert len(card.attachments) == 4


async def test_in_dms_pictures_stay_in_dms(stage: Stage) -> None:
    code = await stage.trained()
    before = len(stage.dms())
    await stage.anna_alone.slash("generate", code=code, prompt="on the moon")
    await stage.work()
    (card,) = stage.dms()[before:]
    assert await bytes_of(card) == [b"picture"]
    assert stage.public() == []


async def test_where_the_bot_cannot_write_pictures_come_by_dm(stage: Stage) -> None:
    code = await stage.trained()
    before = len(stage.dms())
    stage.refuse("POST", f"/channels/{stage.channel.id}/messages", 403, 50001, times=None)
    answer = await stage.draw(code)
    assert format_code(code) in text_of(answer)
    await stage.work()
    (card,) = stage.dms()[before:]
    assert await bytes_of(card) == [b"picture"]


async def test_a_foreign_and_an_unknown_code_read_the_same(stage: Stage) -> None:
    code = await stage.trained()
    unknown = "00000000" if code != "00000000" else "11111111"
    answers = [
        await stage.bert.slash(stage.channel, "generate", code=each, prompt="x") for each in (code, unknown)
    ]
    assert {text_of(each) for each in answers} == {texts.UNKNOWN_CODE}
    assert all(each.ephemeral for each in answers)
    assert stage.public() == []


async def test_a_code_may_be_written_with_a_space(stage: Stage) -> None:
    code = await stage.trained()
    await stage.draw(format_code(code))
    assert len(stage.public()) == 1


@pytest.mark.parametrize(("code", "prompt"), [("1234567", "x"), ("40713386", " "), ("40713386", "x" * 5000)])
async def test_what_cannot_be_drawn_is_said_to_its_person_alone(stage: Stage, code: str, prompt: str) -> None:
    answer = await stage.draw(code, prompt)
    assert answer.ephemeral
    assert text_of(answer)
    assert stage.public() == []


async def test_a_code_that_is_still_training_says_so(stage: Stage) -> None:
    await stage.form(photos(5))
    assert "still training" in text_of(await stage.draw(await stage.code()))


async def test_markup_in_a_prompt_is_shown_as_it_was_typed(stage: Stage) -> None:
    code = await stage.trained()
    await stage.draw(code, "a_b_c **bold** @everyone")
    await stage.work()
    (card,) = stage.public()
    assert discord.utils.remove_markdown(card.content.replace("\\", "")) != card.content
    assert r"a\_b\_c \*\*bold\*\*" in card.content
    assert not card.mention_everyone


async def test_nobody_else_can_cancel_by_the_button(stage: Stage) -> None:
    code = await stage.trained()
    await stage.draw(code)
    pressed = await stage.bert.click(stage.public()[0], label="Cancel")
    assert texts.STALE_BUTTON in said(pressed)
    await stage.work()
    assert await bytes_of(stage.public()[0]) == [b"picture"]


async def test_a_failed_generation_says_why_in_place_of_the_card(stage: Stage) -> None:
    code = await stage.trained()
    stage.backend.fail_with = "The prompt asks for too many elephants."
    await stage.draw(code)
    await stage.work()
    (card,) = stage.public()
    assert "too many elephants" in card.content


async def test_status_is_for_administrators(stage: Stage) -> None:
    assert texts.UNKNOWN_COMMAND in text_of(await stage.anna.slash(stage.channel, "status"))
    await stage.restart()  # Bert is an administrator from then on
    answer = await stage.bert.slash(stage.channel, "status")
    assert answer.ephemeral
    assert "Waiting: 0 train, 0 generate" in text_of(answer)


async def test_help_lists_every_command(stage: Stage) -> None:
    answer = await stage.anna.slash(stage.channel, "help")
    commands = stage.anna.available_commands(stage.channel)
    assert set(commands) == {"train", "generate", "codes", "cancel", "status", "help"}
    assert all(f"/{command}" in text_of(answer) for command in commands if command != "status")
