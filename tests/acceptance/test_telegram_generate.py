"""Asking for pictures on Telegram: by words, by buttons, in a chat with others, and while they are drawn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import drawn
from bot.core.loras import format_code
from bot.texts import translate
from gpu_worker.protocol import JobProblem
from tests.acceptance.telegram_server import Shown, until
from tests.acceptance.telegram_stage import GROUP, PHOTOS, Person, Stage, on_stage, trained, trains

PREVIEW = b"what is to be seen so far"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


async def says_and_hears(person: Person, text: str) -> Shown:
    """Say something and give the next message of the bot's."""
    before = len(person.sees)
    await person.says(text)
    shown = await until(lambda: person.sees[before:])
    assert isinstance(shown[0], Shown)
    return shown[0]


async def pressed(person: Person, message: Shown, label: str) -> None:
    """Press a button of a message that is changed by it, and wait for the change."""
    before = len(message.versions)
    assert await person.presses(message, label) == ""
    await until(lambda: len(message.versions) > before)


@pytest.mark.covers(
    "telegram",
    "--n",
    "--size",
    "--seed",
    "--no",
    "--steps",
    "--guidance",
    "--strength",
    "--style",
    "--sampler",
)
async def test_every_option_by_words_reaches_the_card(stage: Stage) -> None:
    code = await trained(stage.anna)
    await stage.anna.says(
        f"/generate {code} a boat --n 2 --size portrait --seed 7 --no blurry --steps 12 --guidance 6.5 "
        "--strength 0.8 --style oil --sampler lcm"
    )
    request = (await until(lambda: stage.drawings))[0]
    assert "a boat" in request.prompt
    assert "oil painting" in request.prompt
    assert "blurry" in request.negative_prompt
    assert (request.count, request.shape, request.seed) == (2, "portrait", 7)
    assert (request.steps, request.guidance_scale, request.sampler) == (12, 6.5, "lcm")
    assert [each.strength for each in request.loras] == [0.8]


async def test_a_size_by_numbers_reaches_the_card(stage: Stage) -> None:
    code = await trained(stage.anna)
    await stage.anna.says(f"/generate {code} a boat --size 512x768")
    request = (await until(lambda: stage.drawings))[0]
    assert (request.width_px, request.height_px) == (512, 768)


async def test_a_pasted_recipe_draws_with_its_settings_and_not_as_words(stage: Stage) -> None:
    code = await trained(stage.anna)
    await stage.anna.says(
        f"/generate <{format_code(code)}>, a boat <lora:{code}:0.8>\nNegative prompt: fog\n"
        "Steps: 12, Sampler: Euler a, CFG scale: 6.5, Seed: 7, Size: 512x768, Model: drawn"
    )
    request = (await until(lambda: stage.drawings))[0]
    assert request.prompt == "a boat sks person"
    assert (request.negative_prompt, request.seed, request.steps) == ("fog", 7, 12)
    assert (request.sampler, request.guidance_scale, request.height_px) == ("euler a", 6.5, 768)
    assert [each.strength for each in request.loras] == [0.8]


async def test_two_codes_in_one_prompt_draw_together(stage: Stage) -> None:
    first = await trained(stage.anna)
    second = await trains(stage.anna, drawn.sample_photos(12, count=5, side_px=256))
    await stage.anna.says(f"/generate {first} dancing with {format_code(second)}")
    request = (await until(lambda: stage.drawings))[0]
    assert [each.name for each in request.loras] == [first, second]
    assert second not in request.prompt.replace(" ", "")


async def test_arguments_of_a_command_may_be_on_the_next_line(stage: Stage) -> None:
    code = await trained(stage.anna)
    await stage.anna.says(f"/generate\n{code} a boat\nat sea")
    assert "at sea" in (await until(lambda: stage.drawings))[0].prompt


@pytest.mark.parametrize(
    "typed",
    ["a boat --size 7x7", "a boat --guidance nan", "a boat --steps -3", "--no rain", "a boat --style oyl"],
)
async def test_an_impossible_request_fails_with_one_sentence(stage: Stage, typed: str) -> None:
    code = await trained(stage.anna)
    refusal = await says_and_hears(stage.anna, f"/generate {code} {typed}")
    assert refusal.text != translate("apology")
    assert refusal.buttons == []
    assert (await stage.app.database.monitoring.count_all()).pending_notices == 0
    assert stage.drawings == []


async def test_the_first_of_several_pictures_has_the_buttons_and_the_others_follow_it(stage: Stage) -> None:
    first = await stage.result("--n 4")
    assert first.photos == PHOTOS[:1]
    assert first.labels == [
        *([f"Variations {number}", f"Larger {number}"] for number in range(1, 4)),
        ["Variations 4", "Larger 4", "Finer"],
        ["Again", "Edit prompt", "Recipe", "Delete"],
    ]
    album = await until(lambda: [each for each in stage.anna.sees if len(each.photos) == 3])
    assert album[0].answers == first.id
    assert album[0].buttons == []


async def test_the_second_of_two_pictures_follows_alone(stage: Stage) -> None:
    first = await stage.result("--n 2")
    second = await until(lambda: [each for each in stage.anna.sees if each.answers == first.id])
    assert second[0].photos == PHOTOS[:1]


async def drawing_with_a_preview(stage: Stage) -> Shown:
    """Have Anna's picture half drawn: its card shows a preview."""
    code = await trained(stage.anna)
    stage.card.preview_png = PREVIEW
    stage.card.proceed_event.clear()
    card = await says_and_hears(stage.anna, f"/generate {code} a boat")
    await until(lambda: card.photos == [PREVIEW])
    assert card.labels == [["Cancel"]]
    return card


async def test_a_preview_takes_the_place_of_the_card_and_the_picture_that_of_the_preview(
    stage: Stage,
) -> None:
    card = await drawing_with_a_preview(stage)
    stage.card.proceed_event.set()
    await until(lambda: card.photos == PHOTOS[:1])
    assert "Again" in card.labels[0]


async def test_a_preview_of_a_cancelled_picture_is_deleted(stage: Stage) -> None:
    card = await drawing_with_a_preview(stage)
    await stage.anna.presses(card, "Cancel")
    await until(lambda: card.text.endswith("Cancelled."))
    assert card.photos != [PREVIEW]
    assert card.buttons == []


async def test_a_preview_of_a_failed_picture_is_deleted(stage: Stage) -> None:
    card = await drawing_with_a_preview(stage)
    stage.card.fail_with = JobProblem.IMAGE_TOO_LARGE
    stage.card.proceed_event.set()
    await until(lambda: translate("worker-image-too-large") in card.text)
    assert card.photos != [PREVIEW]


async def test_generate_alone_without_a_code_says_what_is_missing(stage: Stage) -> None:
    assert (await says_and_hears(stage.anna, "/generate")).text == translate("no-ready-code")


@pytest.mark.covers(
    "telegram", "words", "[draft:*:n=*]", "[draft:*:size=*]", "[draft:*:style]", "[draft:*:style=*]"
)
async def test_generate_alone_is_put_together_by_buttons_of_one_message(stage: Stage) -> None:
    code = await trained(stage.anna)
    options = await says_and_hears(stage.anna, "/generate")
    assert format_code(code) in options.text
    before = len(stage.anna.sees)
    await pressed(stage.anna, options, "Style")
    await pressed(stage.anna, options, "Oil painting")
    await pressed(stage.anna, options, "Landscape")
    await pressed(stage.anna, options, "4 pictures")
    assert len(stage.anna.sees) == before, "the buttons change the message that they stand in"
    assert "✓ Landscape" in options.labels[1]
    assert "✓ 4 pictures" in options.labels[2]
    await stage.anna.says("a boat --seed 5")
    request = (await until(lambda: stage.drawings))[0]
    assert "oil painting" in request.prompt
    assert (request.shape, request.count, request.seed) == ("landscape", 4, 5)


@pytest.mark.covers("telegram", "[draft:*:style=]")
async def test_a_style_can_be_taken_back(stage: Stage) -> None:
    await trained(stage.anna)
    options = await says_and_hears(stage.anna, "/generate")
    for label in ("Style", "Watercolour"):
        await pressed(stage.anna, options, label)
    await pressed(stage.anna, options, "Style: Watercolour")
    await pressed(stage.anna, options, "No style")
    assert "style: none" in options.text


@pytest.mark.covers("telegram", "[draft:*:drop]")
async def test_a_dropped_draft_takes_no_prompt(stage: Stage) -> None:
    await trained(stage.anna)
    options = await says_and_hears(stage.anna, "/generate")
    await pressed(stage.anna, options, "Discard")
    assert options.text == translate("draft-dropped")
    assert options.buttons == []
    assert (await says_and_hears(stage.anna, "a boat")).text == translate("unknown-command")


@pytest.mark.covers("telegram", "[use:*]")
async def test_one_of_several_codes_is_chosen_by_a_button(stage: Stage) -> None:
    first = await trained(stage.anna)
    await trains(stage.anna, drawn.sample_photos(12, count=5, side_px=256))
    which = await says_and_hears(stage.anna, "/generate")
    await pressed(stage.anna, which, format_code(first))
    await stage.anna.says("a boat")
    assert [each.name for each in (await until(lambda: stage.drawings))[0].loras] == [first]


@pytest.mark.covers("telegram", "restart")
async def test_a_draft_survives_a_restart(stage: Stage) -> None:
    await trained(stage.anna)
    options = await says_and_hears(stage.anna, "/generate")
    await pressed(stage.anna, options, "2 pictures")
    await stage.stop()
    await stage.anna.says("a boat")
    await stage.start()
    assert (await until(lambda: stage.drawings))[0].count == 2


async def test_words_without_a_draft_and_unknown_commands_get_the_usual_sentence(stage: Stage) -> None:
    await trained(stage.anna)
    for text in ("what is that", "/nonsense", "/generate_me"):
        assert (await says_and_hears(stage.anna, text)).text == translate("unknown-command")


async def test_a_command_is_no_prompt(stage: Stage) -> None:
    await trained(stage.anna)
    await says_and_hears(stage.anna, "/generate")
    assert (await says_and_hears(stage.anna, "/nonsense")).text == translate("unknown-command")
    await stage.anna.says("a boat")
    await until(lambda: stage.drawings)


@pytest.mark.covers("telegram", "/cancel", "[edit:*]", "[draft:*:drop]")
async def test_a_question_is_ended_by_cancel_by_a_button_and_by_any_command(stage: Stage) -> None:
    code = await trained(stage.anna)
    await stage.anna.says(f"/generate {code} a boat")
    result = await stage.next_result(0)
    await stage.anna.presses(result, "Edit prompt")
    asked = await stage.anna.hears("Now write the new prompt")
    assert (await says_and_hears(stage.anna, "/cancel")).text == translate("draft-dropped")
    await stage.anna.presses(result, "Edit prompt")
    await until(lambda: len([each for each in stage.anna.sees if each.text == asked.text]) == 2)
    await pressed(stage.anna, [each for each in stage.anna.sees if each.text == asked.text][-1], "Discard")
    await says_and_hears(stage.anna, "/generate")
    await says_and_hears(stage.anna, "/queue")
    assert (await says_and_hears(stage.anna, "ok thanks, never mind")).text == translate("answered-no")
    answer = await says_and_hears(stage.anna, "how much does it cost?")
    assert answer.text == translate("unknown-command")
    assert len(stage.drawings) == 1


@pytest.mark.covers("telegram", "group", "words")
async def test_words_in_a_group_are_no_prompt_of_a_private_draft(stage: Stage) -> None:
    code = await trained(stage.anna)
    await stage.anna.says(f"/generate {code} a boat", chat=GROUP)
    result = await stage.next_result(0, GROUP)
    await says_and_hears(stage.anna, "/generate")
    await stage.anna.says("haha look at this one", chat=GROUP, to=result)
    await stage.anna.says("a boat at sunset")
    await stage.next_result(0)
    assert ["haha" in each.prompt for each in stage.drawings] == [False, False]


@pytest.mark.covers("telegram", "group", "words")
async def test_a_prompt_in_a_group_is_a_reply_to_the_question_alone(stage: Stage) -> None:
    code = await trained(stage.anna)
    await stage.anna.says(f"/generate {code} a cat", chat=GROUP)
    picture = await stage.next_result(0, GROUP)
    await stage.anna.says("/generate", chat=GROUP)
    asked = await forced_reply(stage)
    options = stage.anna.sees_in(GROUP)[-2]
    assert "reply to the message below" in options.text
    await pressed(stage.anna, options, "2 pictures")
    assert stage.anna.sees_in(GROUP)[-1] is asked, "it is asked once"
    await stage.anna.says("how are you all", chat=GROUP)
    await stage.anna.says("haha look at this one", chat=GROUP, to=picture)
    await stage.bert.says("a plane", chat=GROUP, to=asked)
    await stage.anna.says("a train, like that?", chat=GROUP, reply_to_message=stage.bert.wrote(GROUP))
    await stage.anna.says("a boat", chat=GROUP, to=asked)
    result = await stage.next_result(1, GROUP)
    assert "a boat" in result.text
    assert [each.prompt.split(", ")[-1] for each in stage.drawings] == ["a cat", "a boat"]


@pytest.mark.covers("telegram", "group", "words", "[edit:*]", "[rename:*]", "[set:*:name]")
async def test_questions_in_a_group_are_not_called_private(stage: Stage) -> None:
    code = await trained(stage.anna)
    await stage.anna.says(f"/generate {code} a cat", chat=GROUP)
    await stage.anna.presses(await stage.next_result(0, GROUP), "Edit prompt")
    await stage.anna.says("a boat", chat=GROUP, to=await forced_reply(stage))
    await stage.next_result(1, GROUP)
    await stage.anna.says("/codes", chat=GROUP)
    card = (await until(lambda: [each for each in stage.anna.sees_in(GROUP) if "Try" in each.text]))[0]
    await pressed(stage.anna, card, format_code(code))
    await stage.anna.presses(card, "Rename")
    await stage.anna.says("Sunny", chat=GROUP, to=await forced_reply(stage, 2))
    await until(lambda: [each for each in stage.anna.sees_in(GROUP) if "Sunny" in each.text])
    await stage.anna.says("/train", chat=GROUP)
    photo_set = (await until(lambda: [e for e in stage.anna.sees_in(GROUP) if "Name it" in dict(e.buttons)]))[
        0
    ]
    await stage.anna.presses(photo_set, "Name it")
    await forced_reply(stage, 3)
    asked = [each.text for each in stage.anna.sees_in(GROUP) if "Now " in each.text]
    assert len(asked) == 3
    assert not any("only you" in each for each in asked)
    assert all("reply to the message below" in each for each in asked)


async def forced_reply(stage: Stage, number: int = 1) -> Shown:
    """Wait for so many messages that begin Anna's reply by themselves; give the last."""
    forced = await until(
        lambda: [each for each in stage.anna.sees_in(GROUP) if each.begins_reply][number - 1 :]
    )
    assert isinstance(forced[-1], Shown)
    assert stage.anna.id in forced[-1].rings, "it begins in her app alone"
    return forced[-1]


async def test_a_message_in_the_name_of_a_channel_has_no_codes(stage: Stage) -> None:
    group = {"id": GROUP, "type": "group", "title": "Friends"}
    await stage.anna.says("/codes", chat=GROUP, sender_chat=group)
    answer = (await until(lambda: stage.anna.sees_in(GROUP)))[0]
    assert answer.text == translate("who-are-you")


async def test_the_menu_offers_every_command(stage: Stage) -> None:
    await until(lambda: stage.server.commands)
    assert {"generate", "show", "export", "codes", "train", "cancel", "help"} <= set(stage.server.commands)
    listed = (await says_and_hears(stage.anna, "/help")).text
    assert all(f"/{each}" in listed for each in stage.server.commands if each != "start")


@pytest.mark.covers("telegram", "/show", "group")
async def test_the_card_of_another_chat_is_shown_as_it_is_and_its_own_becomes_the_result(
    stage: Stage,
) -> None:
    code = await trained(stage.anna)
    stage.card.proceed_event.clear()
    await stage.anna.says(f"/generate {code} a boat")
    card = await stage.anna.hears("Drawing 1 picture")
    [(_, cancel)] = card.buttons
    await stage.anna.says(f"/show {cancel.partition(':')[2]}", chat=GROUP)
    await until(lambda: stage.anna.sees_in(GROUP))
    stage.card.proceed_event.set()
    assert (await stage.next_result(0)).id == card.id
