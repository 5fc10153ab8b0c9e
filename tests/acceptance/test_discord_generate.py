"""A LoraCode and a prompt in, pictures out, on Discord."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import discord
import pytest

from bot.core.accounts import Identity, Platform
from bot.core.loras import format_code
from bot.texts import translate
from gpu_worker.protocol import SAMPLERS, JobProblem
from tests.acceptance.discord_stage import ONE_PICTURE, Stage, labels, on_stage, photos, said, text_of


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


async def bytes_of(message: discord.Message) -> list[bytes]:
    return [await each.read() for each in message.attachments]


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
    assert labels(card) == ONE_PICTURE


@pytest.mark.covers(
    "discord",
    "/generate",
    "/generate code",
    "/generate prompt",
    "/generate negative",
    "/generate style",
    "/generate size",
    "/generate count",
    "/generate seed",
    "/generate steps",
    "/generate guidance",
    "/generate strength",
    "/generate sampler",
)
async def test_every_option_reaches_the_worker(stage: Stage) -> None:
    card = await stage.drawn(
        prompt="a boat",
        negative="blurry",
        style="oil",
        size="portrait",
        count=4,
        seed=7,
        steps=12,
        guidance=6.5,
        strength=0.8,
        sampler="euler a",
    )
    request = stage.request()
    assert (request.seed, request.count, request.steps, request.guidance_scale) == (7, 4, 12, 6.5)
    assert (request.shape, request.width_px, request.height_px) == ("portrait", None, None)
    assert request.sampler == "euler a"
    assert [lora.strength for lora in request.loras] == [0.8]
    assert request.prompt.startswith("oil painting of sks person")
    assert "a boat" in request.prompt
    assert "blurry" in request.negative_prompt
    assert "photo" in request.style_negative_prompt, "what the style avoids"
    assert len(card.attachments) == 4


async def test_defaults_of_the_worker_hold_without_options(stage: Stage) -> None:
    await stage.drawn()
    request = stage.request()
    assert (request.count, request.steps, request.guidance_scale, request.sampler) == (1, None, None, "")
    assert (request.shape, request.width_px, request.height_px, request.negative_prompt) == (
        "",
        None,
        None,
        "",
    )
    assert request.seed is not None, "settled here, so that a second attempt draws the same"


@pytest.mark.parametrize("size", ["512x768", "512X768", " 512x768 "])
async def test_a_size_may_be_written_in_px(stage: Stage, size: str) -> None:
    await stage.drawn(size=size)
    assert (stage.request().width_px, stage.request().height_px) == (512, 768)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"size": "7x7"}, "in steps of 8"),
        ({"size": "99999x8"}, "in steps of 8"),
        ({"size": "huge"}, "in steps of 8"),
        ({"style": "oli"}, "Did you mean oil"),
        ({"negative": "x" * 1001}, "the limit is 1000"),
    ],
)
async def test_a_wrong_option_is_said_to_its_person_alone(
    stage: Stage, wrong: dict[str, str], told: str
) -> None:
    answer = await stage.draw(await stage.trained(), **wrong)
    assert told in text_of(answer)
    assert answer.ephemeral
    assert stage.public() == []


async def test_discord_itself_keeps_numbers_in_their_range(stage: Stage) -> None:
    tree = stage.bot.chat.client.tree
    command = next(each for each in tree.get_commands() if each.name == "generate")
    told = {option["name"]: option for option in command.to_dict(tree)["options"]}
    ranges = {name: (each.get("min_value"), each.get("max_value")) for name, each in told.items()}
    assert ranges["count"] == (1, 4)
    assert ranges["seed"] == (0, 2**32 - 1)
    assert ranges["steps"] == (1, 100)
    assert ranges["guidance"] == (0.0, 30.0)
    assert ranges["strength"] == (0.0, 2.0)
    assert tuple(choice["value"] for choice in told["sampler"]["choices"]) == SAMPLERS
    assert not any(each["required"] for each in told.values()), "what is not given is asked for"


async def test_options_in_the_prompt_are_read_as_where_they_are_typed(stage: Stage) -> None:
    await stage.drawn(prompt="a boat --n 2 --ar 2:3 --style oil painting Negative prompt: fog", seed=7)
    request = stage.request()
    assert (request.count, request.shape, request.seed) == (2, "portrait", 7)
    assert "fog" in request.negative_prompt
    assert not {"--", "fog"} & set(request.prompt.split())
    assert request.prompt.startswith("oil painting of")


async def test_a_code_in_the_prompt_alone_is_the_one_that_draws(stage: Stage) -> None:
    code = await stage.trained()
    await stage.anna.slash(stage.channel, "generate", prompt=f"<{format_code(code)}>, a boat --n 2")
    await stage.work()
    assert stage.request().count == 2
    assert "a boat" in stage.public()[-1].content
    assert code[:4] not in stage.request().prompt


async def test_a_second_code_in_the_prompt_takes_part(stage: Stage) -> None:
    first = await stage.trained()
    stage.clock.forward(minutes=1)
    await stage.form(photos(5, first=6))
    await stage.work()
    second = await stage.code()
    assert first != second
    await stage.drawn(first, f"a handshake with {format_code(second)}")
    assert {lora.name for lora in stage.request().loras} == {first, second}
    assert format_code(second) not in stage.request().prompt


async def test_a_foreign_code_in_the_prompt_is_unknown(stage: Stage) -> None:
    hers = await stage.trained()
    shown = await stage.bert.slash(stage.channel, "train")
    await stage.bert.submit_modal(shown, {"photos": photos(5, first=6)})
    await stage.work()
    berts = Identity(Platform.DISCORD, str(stage.bert.id))
    (his,) = await stage.bot.ledger.loras.list_for_account(
        await stage.bot.ledger.accounts.get_or_create(berts)
    )
    answer = await stage.draw(hers, f"a handshake with {his.code}")
    assert (text_of(answer), answer.ephemeral) == (
        translate("unknown-code-in-prompt", code=format_code(his.code)),
        True,
    )


async def test_a_fifth_request_waits_for_the_four_that_are_open(stage: Stage) -> None:
    code = await stage.trained()
    answers = [await stage.draw(code) for _ in range(6)]
    refused = [text_of(each) for each in answers if each.response is not None]
    assert refused == [translate("too-many-generations", most=4)] * 2
    await stage.work()
    assert [len(each.attachments) for each in stage.public()] == [1, 1, 1, 1]


async def test_own_ready_codes_are_offered_and_nobody_else_s(stage: Stage) -> None:
    code = await stage.trained()
    await stage.form(photos(5, first=6))  # is still training
    for command in ("generate", "export"):
        offered = await stage.anna.autocomplete(stage.channel, command, "code", "")
        assert offered == [{"name": format_code(code), "value": code}]
    narrowed = await stage.anna.autocomplete(stage.channel, "generate", "code", code[:5])
    assert [each["value"] for each in narrowed] == [code]
    other = "0" if "0" not in code else "99999999"
    assert await stage.anna.autocomplete(stage.channel, "generate", "code", other) == []
    assert await stage.bert.autocomplete(stage.channel, "generate", "code", "") == []


async def test_styles_and_sizes_are_offered(stage: Stage) -> None:
    styles = await stage.anna.autocomplete(stage.channel, "generate", "style", "")
    assert len(styles) >= 12
    oil = await stage.anna.autocomplete(stage.channel, "generate", "style", "oil")
    assert [each["value"] for each in oil] == ["oil"]
    sizes = await stage.anna.autocomplete(stage.channel, "generate", "size", "")
    assert [each["value"] for each in sizes] == ["square", "portrait", "landscape"]
    assert await stage.anna.autocomplete(stage.channel, "generate", "size", "640x") == []


async def test_pictures_asked_for_in_dms_stay_in_dms(stage: Stage) -> None:
    code = await stage.trained()
    before = len(stage.dms())
    await stage.anna_alone.slash("generate", code=code, prompt="on the moon")
    await stage.work()
    (card,) = stage.dms()[before:]
    assert await bytes_of(card) == [b"picture"]
    assert stage.public() == []


async def test_pictures_come_by_dm_where_the_bot_cannot_write(stage: Stage) -> None:
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
    assert {text_of(each) for each in answers} == {translate("unknown-code")}
    assert all(each.ephemeral for each in answers)
    assert stage.public() == []


async def test_a_code_is_read_as_people_write_it(stage: Stage) -> None:
    code = await stage.trained()
    await stage.draw(f"code: <{format_code(code)}>")
    assert len(stage.public()) == 1


@pytest.mark.parametrize(("code", "prompt"), [("1234567", "x"), ("40713386", " "), ("40713386", "x" * 5000)])
async def test_a_refused_generation_is_answered_privately(stage: Stage, code: str, prompt: str) -> None:
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


@pytest.mark.covers("discord", "[cancel:*]", "by somebody else")
async def test_nobody_else_can_cancel_by_the_button(stage: Stage) -> None:
    code = await stage.trained()
    await stage.draw(code)
    pressed = await stage.bert.click(stage.public()[0], label="Cancel")
    assert translate("stale-button") in said(pressed)
    await stage.work()
    assert await bytes_of(stage.public()[0]) == [b"picture"]


async def test_a_failed_generation_says_why_in_place_of_the_card(stage: Stage) -> None:
    code = await stage.trained()
    stage.backend.fail_with = JobProblem.IMAGE_TOO_LARGE
    await stage.draw(code)
    await stage.work()
    (card,) = stage.public()
    assert translate("worker-image-too-large") in card.content


@pytest.mark.covers("discord", "/help")
async def test_help_lists_every_command(stage: Stage) -> None:
    answer = await stage.anna.slash(stage.channel, "help")
    commands = stage.anna.available_commands(stage.channel)
    assert {"train", "generate", "codes", "cancel", "show", "export", "help"} < set(commands)
    assert [command for command in commands if f"/{command}" not in text_of(answer)] == []
