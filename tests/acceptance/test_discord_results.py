"""What a person does with a result on Discord: every button, for its person alone, whatever happens."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import discord
import pytest
from PIL import Image

from bot.core.loras import format_code
from bot.texts import translate
from tests.acceptance.discord_stage import (
    ONE_PICTURE,
    Stage,
    delete,
    labels,
    number_of,
    on_stage,
    said,
)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        picture = io.BytesIO()
        Image.new("RGB", (512, 512), "green").save(picture, "PNG")
        each.backend.picture = picture.getvalue()
        yield each


async def drawn_anew(stage: Stage, result: discord.Message, label: str) -> discord.Message:
    """Press a button of a result and wait for the pictures."""
    await stage.anna.click(result, label=label)
    await stage.work()
    assert stage.public()[-1].id != result.id
    return stage.public()[-1]


@pytest.mark.covers("discord", "[again:*]")
async def test_again_draws_the_same_request_with_another_seed_beside_the_first(stage: Stage) -> None:
    first = await stage.drawn(seed=7, steps=12, guidance=6.5, negative="fog")
    before = stage.request()
    second = await drawn_anew(stage, first, "Again")
    after = stage.request()
    assert (after.prompt, after.negative_prompt, after.steps, after.guidance_scale) == (
        before.prompt,
        "fog",
        12,
        6.5,
    )
    assert after.seed not in (7, None)
    assert [len(each.attachments) for each in stage.public()] == [1, 1]
    assert second.content.startswith(stage.anna.mention)


async def test_a_button_on_a_message_in_the_channel_answers_with_nothing_but_its_card(stage: Stage) -> None:
    first = await stage.drawn()
    pressed = await stage.anna.click(first, label="Again")
    assert pressed.followups == []
    assert labels(stage.public()[-1]) == ["Cancel"]
    assert labels(stage.public()[0]) == ONE_PICTURE, "the message that was pressed stays as it is"


@pytest.mark.covers("discord", "/generate speed", "[speed:*:fast]", "[speed:*:fine]")
async def test_finer_and_faster_draw_the_same_picture_in_other_steps(stage: Stage) -> None:
    code = await stage.trained()
    first = await stage.drawn(code, seed=7, speed="fast")
    assert stage.request().is_fast
    finer = await drawn_anew(stage, first, "Finer")
    assert (stage.request().seed, stage.request().is_fast) == (7, False)
    await drawn_anew(stage, finer, "Faster")
    assert (stage.request().seed, stage.request().is_fast) == (7, True)
    await stage.drawn(code, speed="fine")
    assert not stage.request().is_fast


@pytest.mark.covers("discord", "[vary:*:*]")
async def test_variations_are_four_of_the_chosen_picture(stage: Stage) -> None:
    first = await stage.drawn(seed=7, count=2)
    assert labels(first)[:4] == ["Variations 1", "Larger 1", "Variations 2", "Larger 2"]
    second = await drawn_anew(stage, first, "Variations 2")
    request = stage.request()
    assert (request.seed, request.count, request.variation_strength) == (8, 4, 0.25)
    assert len(second.attachments) == 4
    assert len(labels(second)) == 13


@pytest.mark.covers("discord", "[large:*:*]")
async def test_larger_begins_from_the_chosen_picture_with_twice_its_sides(stage: Stage) -> None:
    first = await stage.drawn()
    await drawn_anew(stage, first, "Larger")
    request = stage.request()
    assert (request.width_px, request.height_px, request.count) == (1024, 1024, 1)
    assert request.init_image is not None
    assert request.init_image.data == stage.backend.picture


async def test_larger_says_so_when_the_picture_is_gone_and_offers_again(stage: Stage) -> None:
    first = await stage.drawn()
    for path in (stage.folder / "pictures").iterdir():
        path.unlink()
    pressed = await stage.anna.click(first, label="Larger")
    assert "no longer here" in said(pressed)
    again = await stage.anna.click(pressed.followups[0].message, label="Again")
    assert again.followups == []
    await stage.work()
    assert len(stage.public()[-1].attachments) == 1


@pytest.mark.covers("discord", "[recipe:*]")
async def test_a_recipe_is_for_the_eyes_of_its_person(stage: Stage) -> None:
    code = await stage.trained()
    first = await stage.drawn(code, "a boat", seed=7, negative="fog", steps=12)
    recipe = said(await stage.anna.click(first, label="Recipe"))
    for part in ("a boat", "fog", "Seed: 7", "Steps: 12", format_code(code), "hash", "/show"):
        assert part in recipe
    assert len(stage.public()) == 1


@pytest.mark.covers("discord", "[delete:*]", "[delete!:*]")
async def test_delete_asks_once_and_takes_picture_and_buttons_away(stage: Stage) -> None:
    first = await stage.drawn(prompt="a boat")
    question = await delete(stage, first)
    assert "is deleted" in question.content
    assert question.components == []
    (gone,) = stage.public()
    assert "boat" not in gone.content
    assert (gone.attachments, gone.components) == ([], [])
    assert list((stage.folder / "pictures").glob("*.png")) == []


@pytest.mark.parametrize("label", ONE_PICTURE)
async def test_each_button_of_a_deleted_result_says_deleted(stage: Stage, label: str) -> None:
    first = await stage.drawn()
    shown = await stage.anna.slash(stage.channel, "show", id=number_of(first))
    assert shown.response is not None
    # Its 15 minutes are over, so it stays as it is.
    stage.refuse("PATCH", f"/webhooks/*/messages/{shown.response.message.id}", 401, 50027)
    await delete(stage, first)
    pressed = await stage.anna.click(shown.response.message, label=label)
    answer = pressed.response if label == "Edit prompt" else pressed.followups[0]
    assert answer is not None
    assert answer.content == translate("deleted")
    assert answer.ephemeral
    assert len(stage.public()) == 1


async def test_delete_answered_twice_deletes_once(stage: Stage) -> None:
    first = await stage.drawn()
    questions = [(await stage.anna.click(first, label="Delete")).followups[0].message for _ in range(2)]
    deleted, already = [await stage.anna.click(each, label="Delete") for each in questions]
    assert deleted.followups == []
    assert said(already) == translate("deleted")


@pytest.mark.covers("discord", "pressed twice")
async def test_again_pressed_twice_is_two_results_each_shown_once(stage: Stage) -> None:
    first = await stage.drawn()
    for _ in range(2):
        await stage.anna.click(first, label="Again")
    await stage.work()
    assert [len(each.attachments) for each in stage.public()] == [1, 1, 1]
    assert len({each.content for each in stage.public()}) == 3


@pytest.mark.parametrize("label", ONE_PICTURE)
@pytest.mark.covers("discord", "by somebody else")
async def test_nobody_else_can_press(stage: Stage, label: str) -> None:
    first = await stage.drawn(prompt="a boat")
    pressed = await stage.bert.click(first, label=label)
    assert pressed.modal is None
    answer = pressed.response if label == "Edit prompt" else pressed.followups[0]
    assert answer is not None
    assert (answer.content, answer.ephemeral) == (translate("stale-button"), True)
    await stage.work()
    (same,) = stage.public()
    assert (same.content, labels(same), len(same.attachments)) == (first.content, ONE_PICTURE, 1)


@pytest.mark.covers("discord", "[edit:*]", "restart")
async def test_buttons_work_after_a_restart_and_a_year_later(stage: Stage) -> None:
    first = await stage.drawn(prompt="a boat")
    stage.clock.forward(days=365)
    await stage.restart()
    second = await drawn_anew(stage, first, "Again")
    assert len(second.attachments) == 1
    assert "a boat" in said(await stage.anna.click(first, label="Recipe"))
    shown = await stage.anna.click(first, label="Edit prompt")
    assert shown.modal is not None


async def test_a_result_whose_bot_restarted_before_it_was_drawn_arrives_once(stage: Stage) -> None:
    first = await stage.drawn()
    await stage.anna.click(first, label="Again")
    await stage.restart()
    await stage.work()
    assert [len(each.attachments) for each in stage.public()] == [1, 1]


@pytest.mark.covers("discord", "expired press")
async def test_a_press_that_came_too_late_does_nothing_and_can_be_pressed_again(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    first = await stage.drawn()
    stage.refuse("POST", "/interactions/*/callback", 404, 10062)
    await stage.anna.click(first, label="Again")
    await stage.work()
    assert len(stage.public()) == 1
    assert "Traceback" not in caplog.text
    await drawn_anew(stage, first, "Again")
    assert len(stage.public()) == 2


async def test_a_question_that_can_no_longer_be_edited_is_answered_by_a_message(stage: Stage) -> None:
    first = await stage.drawn()
    pressed = await stage.anna.click(first, label="Delete")
    stage.refuse("PATCH", "/webhooks/*/messages/@original", 404, 10008)
    stage.refuse("PATCH", f"/channels/{stage.channel.id}/messages/*", 404, 10008)
    answer = await stage.anna.click(pressed.followups[0].message, label="Delete")
    assert "is deleted" in said(answer)


async def test_an_answer_whose_interaction_ended_goes_by_dm(stage: Stage) -> None:
    first = await stage.drawn()
    before = len(stage.dms())
    stage.refuse("POST", "/webhooks/*", 401, 50027)
    await stage.anna.click(first, label="Recipe")
    (recipe,) = stage.dms()[before:]
    assert "Seed" in recipe.content
