"""What a person does with a result on Discord: every button, for its person alone, whatever happens."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import discord
import pytest
from PIL import Image

from bot import texts
from bot.chats.discord._post import own_dm
from bot.domain import Identity, Place, Platform, format_code
from bot.errors import UserError
from tests.acceptance.discord_stage import Stage, labels, on_stage, said, text_of

TWENTY_MINUTES_S = 20 * 60
ONE = ["Again", "Variations", "Larger", "Edit prompt", "Recipe", "Delete"]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        picture = io.BytesIO()
        Image.new("RGB", (512, 512), "green").save(picture, "PNG")
        each.backend.picture = picture.getvalue()
        yield each


def number_of(result: discord.Message) -> str:
    """The number of a result, as its text shows it."""
    return result.content.partition("#")[2].split(" ")[0]


async def drawn_anew(stage: Stage, result: discord.Message, label: str) -> discord.Message:
    """Press a button of a result and wait for the pictures."""
    await stage.anna.click(result, label=label)
    await stage.work()
    assert stage.public()[-1].id != result.id
    return stage.public()[-1]


async def test_again_draws_the_same_wish_with_another_seed_beside_the_first(stage: Stage) -> None:
    first = await stage.drawn(seed=7, steps=12, guidance=6.5, negative="fog")
    before = stage.request()
    second = await drawn_anew(stage, first, "Again")
    after = stage.request()
    assert (after.prompt, after.negative, after.steps, after.guidance) == (before.prompt, "fog", 12, 6.5)
    assert after.seed not in (7, None)
    assert [len(each.attachments) for each in stage.public()] == [1, 1]
    assert second.content.startswith(stage.anna.mention)


async def test_a_button_on_a_message_in_the_channel_answers_with_nothing_but_its_card(stage: Stage) -> None:
    first = await stage.drawn()
    pressed = await stage.anna.click(first, label="Again")
    assert pressed.followups == []
    assert labels(stage.public()[-1]) == ["Cancel"]
    assert labels(stage.public()[0]) == ONE, "the message that was pressed stays as it is"


async def test_variations_are_four_of_the_chosen_picture(stage: Stage) -> None:
    first = await stage.drawn(seed=7, count=2)
    assert labels(first)[:4] == ["Variations 1", "Larger 1", "Variations 2", "Larger 2"]
    second = await drawn_anew(stage, first, "Variations 2")
    request = stage.request()
    assert (request.seed, request.count, request.variation) == (8, 4, 0.25)
    assert len(second.attachments) == 4
    assert len(labels(second)) == 12


async def test_larger_begins_from_the_chosen_picture_with_twice_its_sides(stage: Stage) -> None:
    first = await stage.drawn()
    await drawn_anew(stage, first, "Larger")
    request = stage.request()
    assert (request.width_px, request.height_px, request.count) == (1024, 1024, 1)
    assert request.start is not None
    assert request.start.picture == stage.backend.picture


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


async def test_edit_opens_a_form_with_the_old_words_as_the_first_answer(stage: Stage) -> None:
    first = await stage.drawn(prompt="a boat", seed=7)
    shown = await stage.anna.click(first, label="Edit prompt")
    assert shown.modal is not None
    (label,) = shown.modal["components"]
    assert label["component"]["value"] == "a boat"
    await stage.anna.submit_modal(shown, {"prompt": "a ship"})
    await stage.work()
    assert "a ship" in stage.public()[-1].content
    assert stage.request().prompt.endswith("a ship")
    assert stage.request().seed != 7
    assert len(stage.public()) == 2


async def test_a_form_that_stayed_open_over_a_restart_still_counts_once(stage: Stage) -> None:
    first = await stage.drawn()
    shown = await stage.anna.click(first, label="Edit prompt")
    await stage.restart()
    await stage.anna.submit_modal(shown, {"prompt": "a ship"})
    await stage.work()
    assert [("a ship" in each.content) for each in stage.public()] == [False, True]


async def test_a_form_that_comes_back_after_its_result_was_deleted_is_told(stage: Stage) -> None:
    first = await stage.drawn()
    shown = await stage.anna.click(first, label="Edit prompt")
    await delete(stage, first)
    answer = await stage.anna.submit_modal(shown, {"prompt": "a ship"})
    assert answer.ephemeral
    assert text_of(answer) == texts.DELETED


async def test_a_form_with_nothing_in_it_to_draw_is_told(stage: Stage) -> None:
    shown = await stage.anna.click(await stage.drawn(), label="Edit prompt")
    answer = await stage.anna.submit_modal(shown, {"prompt": "\u200b \u200b"})
    assert "What shall I draw?" in text_of(answer)
    assert len(stage.public()) == 1


async def test_a_recipe_is_for_the_eyes_of_its_person(stage: Stage) -> None:
    code = await stage.trained()
    first = await stage.drawn(code, "a boat", seed=7, negative="fog", steps=12)
    recipe = said(await stage.anna.click(first, label="Recipe"))
    for part in ("a boat", "fog", "Seed: 7", "Steps: 12", format_code(code), "hash", "/show"):
        assert part in recipe
    assert len(stage.public()) == 1


async def delete(stage: Stage, result: discord.Message) -> discord.Message:
    """Anna deletes a result; gives the question, as it reads after her answer."""
    pressed = await stage.anna.click(result, label="Delete")
    question = pressed.followups[0].message
    assert labels(question) == ["Delete"]
    await stage.anna.click(question, label="Delete")
    await stage.work()
    return pressed.followups[0].message


async def test_delete_asks_once_and_takes_picture_and_buttons_away(stage: Stage) -> None:
    first = await stage.drawn(prompt="a boat")
    question = await delete(stage, first)
    assert "is deleted" in question.content
    assert question.components == []
    (gone,) = stage.public()
    assert "boat" not in gone.content
    assert (gone.attachments, gone.components) == ([], [])
    assert list((stage.folder / "pictures").glob("*.png")) == []


@pytest.mark.parametrize("label", ONE)
async def test_each_button_of_a_deleted_result_says_deleted(stage: Stage, label: str) -> None:
    first = await stage.drawn()
    shown = await stage.anna.slash(stage.channel, "show", id=number_of(first))
    assert shown.response is not None
    await delete(stage, first)
    pressed = await stage.anna.click(shown.response.message, label=label)
    answer = pressed.response if label == "Edit prompt" else pressed.followups[0]
    assert answer is not None
    assert answer.content == texts.DELETED
    assert answer.ephemeral
    assert len(stage.public()) == 1


async def test_delete_answered_twice_deletes_once(stage: Stage) -> None:
    first = await stage.drawn()
    questions = [(await stage.anna.click(first, label="Delete")).followups[0].message for _ in range(2)]
    deleted, already = [await stage.anna.click(each, label="Delete") for each in questions]
    assert deleted.followups == []
    assert said(already) == texts.DELETED


async def test_again_pressed_twice_is_two_results_each_shown_once(stage: Stage) -> None:
    first = await stage.drawn()
    for _ in range(2):
        await stage.anna.click(first, label="Again")
    await stage.work()
    assert [len(each.attachments) for each in stage.public()] == [1, 1, 1]
    assert len({each.content for each in stage.public()}) == 3


@pytest.mark.parametrize("label", ONE)
async def test_nobody_else_can_press(stage: Stage, label: str) -> None:
    first = await stage.drawn(prompt="a boat")
    pressed = await stage.bert.click(first, label=label)
    assert pressed.modal is None
    answer = pressed.response if label == "Edit prompt" else pressed.followups[0]
    assert answer is not None
    assert (answer.content, answer.ephemeral) == (texts.STALE_BUTTON, True)
    await stage.work()
    (same,) = stage.public()
    assert (same.content, labels(same), len(same.attachments)) == (first.content, ONE, 1)


async def test_a_form_for_somebody_else_s_result_draws_nothing(stage: Stage) -> None:
    first = await stage.drawn()
    other = int(number_of(first))
    studio, place = stage.bot.studio, Place(Platform.DISCORD, str(stage.channel.id), str(stage.bert.id))
    with pytest.raises(UserError, match=texts.STALE_BUTTON):
        await studio.edit(Identity(Platform.DISCORD, str(stage.bert.id)), place, other, "a ship")


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


async def test_a_form_that_came_too_late_can_be_opened_again(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    first = await stage.drawn()
    stage.refuse("POST", "/interactions/*/callback", 404, 10062)
    await stage.anna.click(first, label="Edit prompt")
    assert "Traceback" not in caplog.text
    shown = await stage.anna.click(first, label="Edit prompt")
    assert shown.modal is not None


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


async def test_a_result_whose_message_was_deleted_can_be_brought_back(stage: Stage) -> None:
    first = await stage.drawn(prompt="a boat")
    stage.env.backend.delete_message(stage.channel.id, first.id)
    shown = await stage.anna.slash(stage.channel, "show", id=f"#{number_of(first)}")
    assert shown.response is not None
    assert shown.ephemeral
    message = shown.response.message
    assert ("a boat" in message.content, labels(message), len(message.attachments)) == (True, ONE, 1)
    await stage.restart()
    await stage.anna.click(message, label="Again")
    await stage.work()
    assert len(stage.public()) == 1


@pytest.mark.parametrize("number", ["#1", "999", "x", "-1", "1" * 40])
async def test_what_is_not_one_s_own_result_cannot_be_shown(stage: Stage, number: str) -> None:
    first = await stage.drawn()
    asked = number_of(first) if number == "#1" else number
    answer = await stage.bert.slash(stage.channel, "show", id=asked)
    assert (text_of(answer), answer.ephemeral) == (texts.NO_SUCH_RESULT, True)


async def test_a_result_that_is_still_drawn_is_shown_as_its_card(stage: Stage) -> None:
    await stage.draw(await stage.trained())
    (job,) = await stage.bot.ledger.open_jobs_of(await stage.account())
    await stage.anna_alone.slash("show", id=str(job.id))
    assert labels(stage.dms()[-1]) == ["Cancel"]
    await stage.work()
    assert len(stage.dms()[-1].attachments) == 1, "that card is the one which becomes the result"


async def test_a_preview_comes_into_the_card_and_the_picture_takes_its_place(stage: Stage) -> None:
    await stage.draw(await stage.trained())
    async with stage.previewing(b"preview"):
        (card,) = stage.public()
        assert [await each.read() for each in card.attachments] == [b"preview"]
        assert labels(card) == ["Cancel"]
    await stage.tell()
    (card,) = stage.public()
    assert [await each.read() for each in card.attachments] == [stage.backend.picture]
    assert labels(card) == ONE


async def test_a_cancelled_drawing_loses_its_preview(stage: Stage) -> None:
    await stage.draw(await stage.trained())
    async with stage.previewing(b"preview"):
        await stage.anna.click(stage.public()[0], label="Cancel")
    await stage.tell()
    (card,) = stage.public()
    assert (card.attachments, card.components) == ([], [])
    assert await stage.bot.ledger.open_jobs_of(await stage.account()) == []


async def test_a_prompt_that_was_begun_by_buttons_is_taken_from_a_dm(stage: Stage) -> None:
    code = await stage.trained()
    place = own_dm(stage.anna.id)
    draft = await stage.bot.studio.generate_text(Identity(Platform.DISCORD, str(stage.anna.id)), place, "")
    await stage.bot.chat.send(place, draft, nonce="draft")
    question = stage.dms()[-1]
    await stage.anna_alone.click(question, label="Portrait")
    await stage.anna_alone.click(question, label="2 pictures")
    await stage.anna_alone.click(question, label="Style")
    chosen = await stage.anna_alone.click(question, label="Oil painting")
    assert chosen.response is not None
    assert "Oil painting" in chosen.response.content
    await stage.restart()
    await stage.anna_alone.send_dm("a boat")
    await stage.work()
    request = stage.request()
    assert (request.shape, request.count) == ("portrait", 2)
    assert request.prompt.startswith("oil painting of")
    assert [lora.name for lora in request.loras] == [code]
    assert len(stage.dms()[-1].attachments) == 2


async def test_words_in_a_dm_without_anything_begun_are_told_how_to_begin(stage: Stage) -> None:
    await stage.anna_alone.send_dm("a boat")
    assert stage.dms()[-1].content == texts.start(Platform.DISCORD).text
