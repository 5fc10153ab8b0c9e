"""`/generate` alone: buttons, until the next plain message is the prompt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.core.accounts import AccountId
from bot.core.errors import UserError
from bot.core.jobs import GenerationParams, JobId, JobKind
from bot.core.messages import Reply
from bot.texts import translate
from tests.support.services import ANNA, ANNAS, BERT, BERTS, PLACES, Desk, open_desk
from tests.support.wishes import typed_params


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def press(desk: Desk, action: str) -> Reply:
    return await desk.studio.handle_button(ANNA, ANNAS, action)


def actions(reply: Reply) -> list[str]:
    return [button.action for button in reply.buttons]


async def only_wish(desk: Desk) -> GenerationParams:
    [job] = await desk.jobs(ANNA)
    assert isinstance(job.params, GenerationParams)
    return job.params


async def test_a_draft_needs_a_ready_code(desk: Desk) -> None:
    await desk.train(ANNA)
    with pytest.raises(UserError) as caught:
        await desk.studio.generate_from_text(ANNA, ANNAS, " ")
    assert caught.value.message == translate("no-ready-code")


async def test_the_only_code_goes_straight_to_its_options(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    reply = await desk.studio.generate_from_text(ANNA, ANNAS, "")
    assert not reply.edits_message
    assert f"With {code[:4]} {code[4:]}" in reply.text
    assert "what to draw" in reply.text
    assert actions(reply) == [
        "draft:1:style",
        *(f"draft:1:size={shape}" for shape in ("square", "portrait", "landscape")),
        *(f"draft:1:n={count}" for count in (1, 2, 4)),
        "draft:1:drop",
    ]


async def test_a_draft_asks_first_for_one_of_several_codes(desk: Desk) -> None:
    codes = [(await desk.ready(ANNA, 10 * number)).code for number in range(10)]
    reply = await desk.studio.generate_from_text(ANNA, ANNAS, "")
    assert actions(reply) == [f"use:{code}" for code in reversed(codes[2:])], "the newest eight"
    chosen = await press(desk, f"use:{codes[5]}")
    assert chosen.edits_message
    await desk.studio.handle_text(ANNA, ANNAS, "a boat")
    [job] = await desk.jobs(ANNA)
    assert job.code == codes[5]


async def test_a_draft_is_drawn_with_the_next_plain_message(desk: Desk) -> None:
    await desk.ready(ANNA)
    await desk.studio.generate_from_text(ANNA, ANNAS, "")
    for action in ("draft:style=oil", "draft:size=portrait", "draft:n=4"):
        reply = await press(desk, action)
        assert reply.edits_message
    assert "style: Oil painting · size: portrait · pictures: 4" in reply.text
    assert [button.label for button in reply.buttons if button.label.startswith("✓")] == [
        "✓ Portrait",
        "✓ 4 pictures",
    ]
    card = await desk.studio.handle_text(ANNA, ANNAS, "a boat --seed 7 --no rain")
    assert card is not None
    assert card.card_job_id is not None
    expected = typed_params("a boat", "rain", 7, shape="portrait", count=4, style="oil")
    assert await only_wish(desk) == expected
    assert await desk.studio.handle_text(ANNA, ANNAS, "on the hill") is None


async def test_a_typed_code_answers_a_draft_that_has_its_prompt(desk: Desk) -> None:
    codes = [(await desk.ready(ANNA, 10 * number)).code for number in range(2)]
    asked = await desk.studio.generate(ANNA, ANNAS, "", GenerationParams("a boat"))
    assert len(actions(asked)) >= len(codes)
    card = await desk.studio.handle_text(ANNA, ANNAS, f"{codes[0][:4]} {codes[0][4:]}")
    assert card is not None
    assert card.card_job_id is not None
    [job] = await desk.jobs(ANNA)
    assert isinstance(job.params, GenerationParams)
    assert (job.code, job.params.prompt) == (codes[0], "a boat")


async def test_styles_are_buttons_and_none_is_one_of_them(desk: Desk) -> None:
    await desk.ready(ANNA)
    await desk.studio.generate_from_text(ANNA, ANNAS, "")
    await press(desk, "draft:style=oil")
    listed = await press(desk, "draft:style")
    assert {"draft:1:style=oil", "draft:1:style=photo", "draft:1:style="} <= set(actions(listed))
    assert "✓ Oil painting" in [button.label for button in listed.buttons]
    assert "style: none" in (await press(desk, "draft:style=")).text


async def test_a_draft_may_be_dropped(desk: Desk) -> None:
    await desk.ready(ANNA)
    await desk.studio.generate_from_text(ANNA, ANNAS, "")
    assert (await press(desk, "draft:drop")).edits_message
    assert await desk.studio.handle_text(ANNA, ANNAS, "a boat") is None
    with pytest.raises(UserError) as caught:
        await press(desk, "draft:n=2")
    assert caught.value.message == translate("draft-gone")


async def test_a_draft_is_forgotten_after_an_hour_without_a_touch(desk: Desk) -> None:
    await desk.ready(ANNA)
    await desk.studio.generate_from_text(ANNA, ANNAS, "")
    desk.clock.forward(minutes=59)
    await press(desk, "draft:n=2")
    desk.clock.forward(minutes=59)
    await press(desk, "draft:n=4")
    desk.clock.forward(minutes=61)
    assert await desk.studio.handle_text(ANNA, ANNAS, "a boat") is None
    await desk.ledger.results.delete_expired_drafts(desk.clock.now)
    assert await desk.jobs(ANNA) == []


async def test_a_draft_stays_open_after_words_that_cannot_be_drawn(desk: Desk) -> None:
    await desk.ready(ANNA)
    await desk.studio.generate_from_text(ANNA, ANNAS, "")
    for wrong in ("\u200b", "x" * 10_000, "a boat --n 9", "a boat --style oli"):
        with pytest.raises(UserError):
            await desk.studio.handle_text(ANNA, ANNAS, wrong)
    assert await desk.studio.handle_text(ANNA, ANNAS, "a boat") is not None


async def test_a_draft_takes_the_next_words_though_a_name_was_waited_for(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    await desk.studio.handle_button(ANNA, ANNAS, f"rename:{code}")
    asked = await desk.studio.handle_button(ANNA, ANNAS, f"draw:{code}")
    assert "what to draw" in asked.text
    await desk.studio.handle_text(ANNA, ANNAS, "an astronaut")
    assert (await only_wish(desk)).prompt == "an astronaut"


async def test_a_style_called_none_is_no_style_however_it_is_written(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    asked = await desk.studio.generate(ANNA, ANNAS, code, GenerationParams("", style="None"))
    assert "style: none" in asked.text
    await desk.studio.handle_text(ANNA, ANNAS, "a boat")
    assert (await only_wish(desk)).style == ""


async def test_pictures_are_all_sent_when_as_many_are_chosen(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    await desk.studio.generate(ANNA, ANNAS, code, GenerationParams("", count=4, best=True))
    await press(desk, "draft:n=2")
    await desk.studio.handle_text(ANNA, ANNAS, "a boat")
    wish = await only_wish(desk)
    assert (wish.count, wish.best) == (2, False)


async def test_a_draft_becomes_one_job_however_fast_the_words_come(desk: Desk) -> None:
    await desk.ready(ANNA)
    await desk.studio.generate_from_text(ANNA, ANNAS, "")
    words = [desk.studio.handle_text(ANNA, ANNAS, f"boat {number}") for number in range(5)]
    await asyncio.gather(*words, return_exceptions=True)
    assert len(await desk.jobs(ANNA)) == 1


async def test_a_draft_is_its_person_s_and_its_platform_s(desk: Desk) -> None:
    await desk.ready(ANNA)
    await desk.studio.generate_from_text(ANNA, ANNAS, "")
    assert await desk.studio.handle_text(BERT, BERTS, "a boat") is None
    assert await desk.studio.handle_text(ANNA, BERTS, "a boat") is None
    with pytest.raises(UserError):
        await desk.studio.handle_button(BERT, BERTS, "draft:n=2")


@pytest.mark.parametrize(
    "action",
    [
        "draft:",
        "draft:x",
        "draft:n=",
        "draft:n=x",
        "draft:n=99",
        "draft:size=huge",
        "draft:style=zz",
        "draft:code=1",
        "draft:code=00000000",
    ],
)
async def test_a_forged_choice_changes_nothing(desk: Desk, action: str) -> None:
    await desk.ready(ANNA)
    await desk.studio.generate_from_text(ANNA, ANNAS, "")
    with pytest.raises(UserError):
        await press(desk, action)
    await desk.studio.handle_text(ANNA, ANNAS, "a boat --seed 1")
    assert await only_wish(desk) == typed_params("a boat", seed=1)


async def test_a_stranger_s_code_cannot_be_used(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    with pytest.raises(UserError) as caught:
        await desk.studio.handle_button(BERT, BERTS, f"use:{code}")
    assert caught.value.message == translate("unknown-code")


async def test_a_field_missing_in_a_form_is_asked_for_and_the_others_stay(desk: Desk) -> None:
    old, new = [(await desk.ready(ANNA, 10 * number)).code for number in range(2)]
    reply = await desk.studio.generate(ANNA, ANNAS, "", GenerationParams("a boat", seed=7))
    assert actions(reply) == [f"draft:1:code={new}", f"draft:1:code={old}"]
    assert (await press(desk, f"draft:code={old}")).card_job_id is not None
    [job] = await desk.jobs(ANNA)
    assert (job.code, job.params) == (old, GenerationParams("a boat", seed=7))
    reply = await desk.studio.generate(ANNA, ANNAS, new, GenerationParams("", seed=8, count=2))
    assert "pictures: 2" in reply.text
    assert await desk.studio.get_draft_prompt(ANNA) == ""
    await desk.studio.generate_draft(ANNA, ANNAS, "a ship")
    assert (await desk.jobs(ANNA))[-1].params == GenerationParams("a ship", seed=8, count=2)
    for gone in (desk.studio.get_draft_prompt(ANNA), desk.studio.generate_draft(ANNA, ANNAS, "a cat")):
        with pytest.raises(UserError, match=translate("draft-gone")):
            await gone


async def test_a_code_that_is_not_one_s_own_cannot_be_chosen_for_a_draft(desk: Desk) -> None:
    for number in range(2):
        await desk.ready(ANNA, 10 * number)
    foreign = (await desk.ready(BERT, 30)).code
    await desk.studio.generate(ANNA, ANNAS, "", GenerationParams("a boat"))
    with pytest.raises(UserError, match=translate("unknown-code")):
        await press(desk, f"draft:code={foreign}")
    assert await desk.jobs(ANNA) == []


async def test_an_enlarged_picture_can_be_drawn_with_another_prompt(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    larger = GenerationParams(
        "a boat", width_px=1024, height_px=1536, redraw=0.35, source=JobId(1), source_picture=1
    )
    await desk.ledger.jobs.add_generation(await desk.ledger.accounts.get_or_create(ANNA), code, larger, ANNAS)
    job = await desk.claim(JobKind.GENERATE)
    assert await desk.ledger.jobs.finish_generation(job.id, job.attempt, [f"{job.id}-1.png"])
    await press(desk, f"edit:{job.id}")
    await desk.studio.handle_text(ANNA, ANNAS, "a ship")
    wish = await only_wish(desk)
    assert (wish.prompt, wish.width_px, wish.height_px) == ("a ship", 1024, 1536)


async def test_buttons_of_somebody_else_s_draft_change_no_draft(desk: Desk) -> None:
    for person in (ANNA, BERT):
        await desk.ready(person, 10 * (person is BERT) + 1)
        await desk.studio.generate_from_text(person, PLACES[person], "")
    drafts = [await desk.ledger.results.get_draft(AccountId(number)) for number in (1, 2)]
    for action in ("style", "style=oil", "size=portrait", "n=4", "drop"):
        with pytest.raises(UserError) as caught:
            await desk.studio.handle_button(BERT, BERTS, f"draft:1:{action}")
        assert caught.value.message == translate("not-your-button")
    assert [await desk.ledger.results.get_draft(AccountId(number)) for number in (1, 2)] == drafts


@pytest.mark.parametrize("action", ["first5:1", "restart:1", "set:1:class=dog", "question:drop:1"])
async def test_buttons_of_somebody_else_s_photos_change_no_set(desk: Desk, action: str) -> None:
    for person in (ANNA, BERT):
        await desk.send(person, *range(1, 7))
    with pytest.raises(UserError) as caught:
        await desk.studio.handle_button(BERT, BERTS, action)
    assert caught.value.message == translate("not-your-button")
    sets = [await desk.ledger.photo_sets.get_set(AccountId(number)) for number in (1, 2)]
    assert [(len(each.photo_ids), each.class_word) for each in sets] == [(6, "person")] * 2
    assert await desk.jobs(BERT) == []
