"""What a person does with a result on Telegram: its buttons, `/show` and `/export`."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from lo_bot_api_emulator import ApiRefusal
from PIL import Image

from bot.core.jobs import JobId
from bot.texts import translate
from gpu_worker.protocol import GenerateRequest
from tests.acceptance.telegram_server import Shown, until
from tests.acceptance.telegram_stage import GROUP, PHOTOS, Stage, on_stage, trained, trains


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


def number_of(result: Shown) -> str:
    return result.text.partition(" ")[0].removeprefix("#")


async def until_noted(stage: Stage) -> None:
    """Wait until it is noted that everything was shown."""
    while (await stage.app.database.monitoring.count_all()).pending_notices:
        await asyncio.sleep(0.01)


async def picture_files(stage: Stage) -> list[Path]:
    """Give where the pictures of the first result are kept."""
    pictures = await stage.app.database.results.list_pictures(JobId(stage.drawings[0].job_id))
    return [stage.app.storage.picture_path(picture.file) for picture in pictures]


async def next_drawing(stage: Stage) -> GenerateRequest:
    """Wait for what the card is asked to draw after the first result."""
    drawings = await until(lambda: stage.drawings[1:])
    assert isinstance(drawings[0], GenerateRequest)
    return drawings[0]


async def test_a_single_result_has_every_button(stage: Stage) -> None:
    result = await stage.result()
    assert result.labels == [["Again", "Variations", "Larger", "Finer"], ["Edit prompt", "Recipe", "Delete"]]


@pytest.mark.parametrize("is_edited", [True, False])
async def test_a_group_that_lets_nobody_send_pictures_is_told_where_they_are(
    stage: Stage, is_edited: bool
) -> None:
    code = await trained(stage.anna)
    no_right = ApiRefusal("Bad Request: not enough rights to send photos to the chat")
    stage.card.proceed_event.clear()
    await stage.anna.says(f"/generate {code} a boat", chat=GROUP)
    (card,) = await until(lambda: stage.anna.sees_in(GROUP))
    gone = [] if is_edited else [ApiRefusal("Bad Request: message to edit not found")]
    stage.server.refusals["editMessageMedia"] = [*gone, no_right]
    stage.server.refusals["sendPhoto"] = [] if is_edited else [no_right]
    stage.card.proceed_event.set()
    told = await until(
        lambda: [
            each for each in stage.anna.sees_in(GROUP) if "I am not allowed to send pictures" in each.text
        ]
    )
    assert (told[0] == card) == is_edited
    assert not told[0].photos
    labels = [label for label, _ in told[0].buttons]
    assert "Again" in labels
    assert "Larger" not in labels
    number = str(stage.drawings[0].job_id)
    await until(lambda: [each for each in stage.anna.sees if each.photos and number_of(each) == number])


async def test_a_result_comes_privately_when_the_bot_was_put_out_of_its_group(stage: Stage) -> None:
    code = await trained(stage.anna)
    stage.card.proceed_event.clear()
    await stage.anna.says(f"/generate {code} a boat", chat=GROUP)
    await until(lambda: stage.anna.sees_in(GROUP))
    stage.server.blocked.add(GROUP)
    stage.card.proceed_event.set()
    number = await until(lambda: [str(each.job_id) for each in stage.drawings])
    (result,) = await until(
        lambda: [each for each in stage.anna.sees if each.photos and number_of(each) == number[0]]
    )
    await stage.anna.presses(result, "Delete")
    question = await stage.anna.hears("for good?")
    await stage.anna.presses(question, "Delete")
    await until(lambda: "deleted" in result.text)


async def test_silent_notices_stay_silent_for_further_pictures(stage: Stage) -> None:
    await stage.anna.says("/settings")
    card = await stage.anna.hears("Size: square")
    await stage.anna.presses(card, "Silent")
    result = await stage.result("--n 4")
    others = await until(lambda: [each for each in stage.anna.sees if each.id > result.id])
    assert [(len(each.photos), each.is_silent) for each in others] == [(3, True)]


@pytest.mark.covers("telegram", "[again:*]")
async def test_again_draws_the_same_words_from_another_seed(stage: Stage) -> None:
    result = await stage.result("--n 2 --seed 5 --steps 9")
    assert await stage.anna.presses(result, "Again") == ""
    request, first = await next_drawing(stage), stage.drawings[0]
    assert (request.prompt, request.count, request.steps) == (first.prompt, 2, 9)
    assert request.seed != 5
    another = await stage.next_result()
    assert another.id != result.id, "the first one stays"


@pytest.mark.covers("telegram", "--fast", "--fine", "[speed:*:fast]", "[speed:*:fine]")
async def test_finer_and_faster_draw_the_same_picture_in_other_steps(stage: Stage) -> None:
    code = await trained(stage.anna)
    await stage.anna.says(f"/generate {code} a boat --seed 5 --fast")
    result = await stage.next_result(0)
    assert stage.drawings[0].is_fast
    await stage.anna.presses(result, "Finer")
    request = await next_drawing(stage)
    assert (request.prompt, request.seed, request.is_fast) == (stage.drawings[0].prompt, 5, False)
    finer = await stage.next_result()
    await stage.anna.presses(finer, "Faster")
    await until(lambda: len(stage.drawings) == 3)
    assert (stage.drawings[2].seed, stage.drawings[2].is_fast) == (5, True)
    await stage.anna.says(f"/generate {code} a boat --fine")
    await until(lambda: len(stage.drawings) == 4)
    assert not stage.drawings[3].is_fast


@pytest.mark.covers("telegram", "[vary:*:*]")
async def test_variations_are_four_that_are_like_that_picture(stage: Stage) -> None:
    result = await stage.result("--n 2 --seed 5")
    await stage.anna.presses(result, "Variations 2")
    request = await next_drawing(stage)
    assert (request.seed, request.count) == (6, 4)
    assert 0 < request.variation_strength < 1


@pytest.mark.covers("telegram", "[large:*:*]")
async def test_larger_begins_from_that_picture_and_doubles_its_sides(stage: Stage) -> None:
    result = await stage.result("--n 2")
    await stage.anna.presses(result, "Larger 2")
    request = await next_drawing(stage)
    side_px = Image.open(io.BytesIO(PHOTOS[0])).width
    assert (request.width_px, request.height_px, request.count) == (2 * side_px, 2 * side_px, 1)
    assert request.init_image is not None
    assert request.init_image.data == PHOTOS[0]


async def test_larger_offers_to_draw_a_deleted_picture_again(stage: Stage) -> None:
    result = await stage.result()
    for path in await picture_files(stage):
        path.unlink()
    await stage.anna.presses(result, "Larger")
    offer = await stage.anna.hears("no longer here")
    await stage.anna.presses(offer, "Again")
    await next_drawing(stage)


@pytest.mark.covers("telegram", "[edit:*]")
async def test_edit_prompt_takes_the_next_words_and_keeps_the_rest(stage: Stage) -> None:
    result = await stage.result("--seed 5 --steps 9")
    await stage.anna.presses(result, "Edit prompt")
    assert "a boat" in (await stage.anna.hears("new prompt")).text
    await stage.anna.says("a plane")
    request = await next_drawing(stage)
    assert "a plane" in request.prompt
    assert request.steps == 9
    assert request.seed != 5


@pytest.mark.covers("telegram", "[recipe:*]")
async def test_the_recipe_tells_the_parameters_that_telegram_strips(stage: Stage) -> None:
    result = await stage.result("--seed 5 --no blurry --style oil")
    await stage.anna.presses(result, "Recipe")
    recipe = (await stage.anna.hears("Prompt:")).text
    assert "a boat" in recipe
    assert "Seed: 5" in recipe
    assert "blurry" in recipe
    assert "hash" in recipe
    assert f"/show {number_of(result)}" in recipe


@pytest.mark.covers("telegram", "[delete:*]", "[delete!:*]")
async def test_delete_asks_once_and_then_nothing_is_left(stage: Stage) -> None:
    result = await stage.result()
    files = await picture_files(stage)
    await stage.anna.presses(result, "Delete")
    asked = await stage.anna.hears("for good?")
    assert [each.exists() for each in files] == [True]
    assert result.photos == PHOTOS[:1], "nothing happens before the answer"
    await stage.anna.presses(asked, "Delete")
    await until(lambda: asked.buttons == [] and result.buttons == [])
    assert "is deleted" in asked.text
    assert result.photos != PHOTOS[:1]
    assert "a boat" not in result.text
    assert [each.exists() for each in files] == [False]


async def test_deleting_takes_every_picture_of_the_chat(stage: Stage) -> None:
    result = await stage.result("--n 3")
    (album,) = await until(lambda: [each for each in stage.anna.sees if len(each.photos) == 2])
    await until_noted(stage)
    await stage.anna.sends_action(result, f"delete!:{number_of(result)}")
    await until(lambda: len(stage.server.deleted) == 2)
    assert album.id in stage.server.deleted


@pytest.mark.parametrize("what", ["again:{}", "vary:{}:1", "large:{}:1", "edit:{}", "recipe:{}", "delete:{}"])
async def test_the_buttons_of_a_deleted_result_say_so(stage: Stage, what: str) -> None:
    result = await stage.result()
    action = what.format(number_of(result))
    await stage.anna.sends_action(result, f"delete!:{number_of(result)}")
    await until(lambda: result.buttons == [])
    press = await stage.anna.sends_action(result, action)
    await until(lambda: press in stage.server.pressed)
    assert stage.server.pressed[press] == translate("deleted")
    assert len(stage.drawings) == 1


@pytest.mark.covers("telegram", "by somebody else", "group")
@pytest.mark.parametrize("label", ["Again", "Variations", "Larger", "Edit prompt", "Recipe", "Delete"])
async def test_a_button_pressed_by_somebody_else_tells_them_alone(stage: Stage, label: str) -> None:
    result = await stage.result(chat=GROUP)
    before = len(stage.server.shown)
    assert await stage.bert.presses(result, label) == translate("stale-button")
    assert await stage.bert.presses(result, label) == translate("stale-button")
    assert len(stage.server.shown) == before, "others are not told"
    assert len(stage.drawings) == 1


async def test_a_foreign_and_an_unknown_result_are_answered_alike(stage: Stage) -> None:
    result = await stage.result()
    told = []
    for job in (number_of(result), "999999"):
        press = await stage.bert.sends_action(result, f"recipe:{job}")
        await until(lambda press=press: press in stage.server.pressed)
        told.append(stage.server.pressed[press])
    assert told == [translate("stale-button")] * 2


@pytest.mark.covers("telegram", "pressed twice", "restart")
async def test_a_double_tap_is_one_press_and_two_presses_are_two(stage: Stage) -> None:
    result = await stage.result()
    await stage.stop()  # so that both come at once
    taps = [await stage.anna.taps(result, "Again") for _ in range(2)]
    await stage.start()
    await until(lambda: set(taps) <= set(stage.server.pressed))
    await stage.next_result(1)
    assert len(stage.drawings) == 2
    await stage.anna.presses(result, "Again")
    await stage.next_result(2)
    assert len(stage.drawings) == 3


@pytest.mark.covers("telegram", "restart", "expired press")
async def test_a_press_while_the_bot_is_away_counts_when_it_is_back(stage: Stage) -> None:
    result = await stage.result()
    await stage.stop()
    await stage.anna.taps(result, "Again")
    too_late = "Bad Request: query is too old and response timeout expired or query ID is invalid"
    stage.server.refusals["answerCallbackQuery"] = [ApiRefusal(too_late)]
    await stage.start()
    await stage.next_result()
    assert not stage.server.refusals["answerCallbackQuery"]


async def test_a_refusal_that_comes_too_late_for_an_alert_is_a_message(stage: Stage) -> None:
    result = await stage.result()
    stage.server.refusals["answerCallbackQuery"] = [ApiRefusal("Bad Request: query is too old")]
    await stage.anna.sends_action(result, "again:999999")
    assert (await stage.anna.hears(translate("stale-button"))).buttons == []


async def test_a_press_is_acknowledged_also_while_its_work_takes_long(tmp_path: Path) -> None:
    async with on_stage(tmp_path, acknowledge_within_s=0.0) as stage:
        result = await stage.result()
        assert await stage.anna.presses(result, "Again") == ""
        await stage.next_result()
        press = await stage.anna.sends_action(result, "again:999999")
        await stage.anna.hears(translate("stale-button"))
        assert stage.server.pressed[press] == "", "an alert cannot be had any more"


@pytest.mark.covers("telegram", "years later")
async def test_buttons_work_years_later_when_telegram_no_longer_shows_the_message(stage: Stage) -> None:
    result = await stage.result()
    await stage.anna.presses(result, "Delete", years_later=True)
    asked = await stage.anna.hears("for good?")
    await stage.anna.presses(asked, "Delete", years_later=True)
    await until(lambda: "is deleted" in asked.text and result.buttons == [])


@pytest.mark.covers("telegram", "message deleted")
async def test_an_answer_whose_message_was_deleted_meanwhile_comes_as_a_new_one(stage: Stage) -> None:
    result = await stage.result()
    await stage.anna.presses(result, "Delete")
    asked = await stage.anna.hears("for good?")
    stage.server.delete(asked, result)
    await stage.anna.presses(asked, "Delete")
    told = await stage.anna.hears("is deleted")
    assert told.id not in (asked.id, result.id)


@pytest.mark.covers("telegram", "/show")
async def test_show_brings_a_result_back_with_its_buttons(stage: Stage) -> None:
    result = await stage.result()
    await stage.anna.says(f"/show {number_of(result)}")
    shown = await stage.next_result()
    assert (shown.text, shown.photos, shown.labels) == (result.text, result.photos, result.labels)
    await stage.anna.presses(shown, "Again")
    await next_drawing(stage)


async def test_show_says_the_same_of_a_foreign_and_of_no_result(stage: Stage) -> None:
    result = await stage.result()
    for job in (number_of(result), "999999", "x"):
        await stage.bert.says(f"/show {job}")
    await until(lambda: len(stage.bert.sees) == 3)
    assert {each.text for each in stage.bert.sees} == {translate("no-such-result")}


@pytest.mark.covers("telegram", "/export")
async def test_export_hands_over_the_lora_with_a_name_and_a_how_to(stage: Stage) -> None:
    code = await trained(stage.anna)
    await stage.anna.says(f"/export {code}")
    how_to = await stage.anna.hears("AUTOMATIC1111")
    assert "ComfyUI" in how_to.text
    (file,) = await until(lambda: [each for each in stage.anna.sees if each.files])
    assert file.files == [(f"loracode-{code}.safetensors", b"lora")]
    assert file.answers == how_to.id


async def test_a_lora_above_the_limit_comes_in_parts_that_are_loras(stage: Stage) -> None:
    tensors = {f"lora_unet_{number}.lora_up.weight": np.full(500, number, np.float16) for number in range(4)}
    stage.card.lora = safetensors.numpy.save(tensors)
    code = await trains(stage.anna)
    stage.chat.max_file_bytes = 3000
    await stage.anna.says(f"/export {code}")
    await stage.anna.hears("parts together")
    files = await until(lambda: _all_there([f for each in stage.anna.sees for f in each.files], len(tensors)))
    assert files[0][0] == f"loracode-{code}-1of{len(files)}.safetensors"
    assert all(len(data) <= 3000 for _, data in files)


def _all_there(files: list[tuple[str, bytes]], count: int) -> list[tuple[str, bytes]]:
    loaded = [name for _, data in files for name in safetensors.numpy.load(data)]
    return files if len(loaded) == count else []


async def test_a_lora_asked_for_in_a_group_goes_to_its_owner_alone(stage: Stage) -> None:
    code = await trained(stage.anna)
    await stage.anna.says(f"/export {code}", chat=GROUP)
    (line,) = await until(lambda: stage.anna.sees_in(GROUP))
    assert line.text == translate("sent-to-you-alone")
    assert not line.files
    assert [each for each in stage.anna.sees if each.files]


async def test_an_export_asks_a_person_to_open_a_private_chat_first(stage: Stage) -> None:
    code = await trained(stage.anna)
    stage.server.refusals["sendMessage"] = [
        ApiRefusal("Forbidden: bot can't initiate conversation with a user", 403)
    ]
    await stage.anna.says(f"/export {code}", chat=GROUP)
    (line,) = await until(lambda: stage.anna.sees_in(GROUP))
    assert line.text == translate("open-a-private-chat")


async def test_export_says_the_same_of_a_foreign_and_of_no_code(stage: Stage) -> None:
    code = await trained(stage.anna)
    for each in (code, "00000001"):
        await stage.bert.says(f"/export {each}")
    await until(lambda: len(stage.bert.sees) == 2)
    assert {each.text for each in stage.bert.sees} == {translate("unknown-code")}
