"""`/generate` on Discord without all of it: buttons ask for the code, a form for the words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from simcord.results import InteractionResult

from bot.core.loras import LoraCode, format_code
from bot.texts import translate
from tests.acceptance.discord_stage import Stage, labels, on_stage, photos, said, shown, text_of

WRITE = "What to draw"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


async def asked(stage: Stage, **options: object) -> InteractionResult:
    return await stage.anna.slash(stage.channel, "generate", **options)


async def two_codes(stage: Stage) -> tuple[LoraCode, LoraCode]:
    first = await stage.trained()
    stage.clock.forward(minutes=1)
    await stage.form(photos(5, first=6))
    await stage.work()
    return first, await stage.code()


@pytest.mark.covers(
    "discord",
    "/generate",
    "[draft:*:style]",
    "[draft:*:style=*]",
    "[draft:*:size=*]",
    "[draft:*:n=*]",
    "[draft:*:write]",
    "form",
)
async def test_alone_it_is_put_together_by_buttons_and_a_form(stage: Stage) -> None:
    code = await stage.trained()
    answer = await asked(stage)
    draft = shown(answer)
    assert answer.ephemeral
    assert f"With {format_code(code)}" in draft.content
    assert labels(draft) == [
        *("Style", "Square", "Portrait", "Landscape", "✓ 1 picture", "2 pictures", "4 pictures"),
        *(WRITE, "Discard"),
    ]
    for label in ("Portrait", "2 pictures", "Style", "Oil painting"):
        assert shown(await stage.anna.click(draft, label=label)).id == draft.id
    form = await stage.anna.click(draft, label=WRITE)
    await stage.anna.submit_modal(form, {"prompt": "a boat"})
    await stage.work()
    request = stage.request()
    assert (request.shape, request.count) == ("portrait", 2)
    assert request.prompt.startswith("oil painting of")
    (result,) = stage.public()
    assert len(result.attachments) == 2, "in the channel, as after a whole /generate"


async def test_options_of_a_command_stay_until_the_prompt_comes(stage: Stage) -> None:
    code = await stage.trained()
    draft = shown(await asked(stage, code=code, style="oil", size="512x768", count=2, seed=7, negative="fog"))
    assert "style: Oil painting · size: 512x768 · pictures: 2" in draft.content
    form = await stage.anna.click(draft, label=WRITE)
    await stage.anna.submit_modal(form, {"prompt": "a boat"})
    await stage.work()
    request = stage.request()
    assert (request.seed, request.count, request.width_px) == (7, 2, 512)
    assert "fog" in request.negative_prompt


async def test_words_without_a_code_are_drawn_with_the_only_one(stage: Stage) -> None:
    code = await stage.trained()
    await asked(stage, prompt="a boat")
    await stage.work()
    assert [lora.name for lora in stage.request().loras] == [code]
    assert "a boat" in stage.public()[-1].content


@pytest.mark.covers("discord", "/generate prompt", "[draft:*:code=*]", "restart")
async def test_words_without_a_code_wait_for_the_one_that_is_chosen_of_several(stage: Stage) -> None:
    first, second = await two_codes(stage)
    question = shown(await asked(stage, prompt="a boat", seed=7))
    assert labels(question) == [format_code(second), format_code(first)]
    await stage.restart()
    await stage.anna.click(question, label=format_code(first))
    await stage.work()
    assert [lora.name for lora in stage.request().loras] == [first]
    assert stage.request().seed == 7
    assert "a boat" in stage.public()[-1].content
    pressed = await stage.anna.click(question, label=format_code(second))
    assert said(pressed) == translate("draft-gone"), "it was drawn"


@pytest.mark.covers("discord", "[use:*]")
async def test_alone_with_several_codes_the_code_is_asked_for_first(stage: Stage) -> None:
    first, _ = await two_codes(stage)
    question = shown(await asked(stage))
    draft = shown(await stage.anna.click(question, label=format_code(first)))
    assert f"With {format_code(first)}" in draft.content
    assert WRITE in labels(draft)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"style": "oli"}, "Did you mean oil"),
        ({"size": "7x7"}, "in steps of 8"),
        ({"code": "1"}, "eight digits"),
    ],
)
async def test_a_wrong_option_is_reported_before_any_question(
    stage: Stage, options: dict[str, str], told: str
) -> None:
    await stage.trained()
    assert told in text_of(await asked(stage, **options))


async def test_a_foreign_code_is_unknown_and_a_missing_one_is_explained(
    stage: Stage,
) -> None:
    code = await stage.trained()
    for each in (code, f"{(int(code) + 1) % 10**8:08d}"):
        answer = await stage.bert.slash(stage.channel, "generate", code=each)
        assert text_of(answer) == translate("unknown-code")
    assert text_of(await stage.bert.slash(stage.channel, "generate")) == translate("no-ready-code")


@pytest.mark.covers("discord", "[draft:*:write]", "form", "restart")
async def test_forms_that_stayed_open_over_a_restart_are_drawn_once(stage: Stage) -> None:
    await stage.trained()
    draft = shown(await asked(stage))
    first, second = [await stage.anna.click(draft, label=WRITE) for _ in range(2)]
    await stage.restart()
    await stage.anna.submit_modal(first, {"prompt": "a boat"})
    again = await stage.anna.submit_modal(second, {"prompt": "a boat"})
    assert text_of(again) == translate("draft-gone")
    await stage.work()
    assert len(stage.public()) == 1


@pytest.mark.covers("discord", "[draft:*:drop]")
async def test_a_draft_that_was_dropped_opens_no_form_and_takes_none(stage: Stage) -> None:
    await stage.trained()
    draft = shown(await asked(stage))
    form = await stage.anna.click(draft, label=WRITE)
    assert shown(await stage.anna.click(draft, label="Discard")).content == translate("draft-dropped")
    assert text_of(await stage.anna.submit_modal(form, {"prompt": "a boat"})) == translate("draft-gone")
    other = shown(await asked(stage))
    await stage.anna.click(shown(await asked(stage)), label="Discard")
    pressed = await stage.anna.click(other, label=WRITE)
    assert pressed.modal is None
    assert (text_of(pressed), pressed.ephemeral) == (translate("draft-gone"), True)


async def test_a_plain_message_in_a_dm_works_like_the_form(stage: Stage) -> None:
    await stage.trained()
    await stage.anna_alone.slash("generate")
    await stage.anna_alone.send_dm("a boat")
    await stage.work()
    assert len(stage.dms()[-1].attachments) == 1
