"""What can be done with a result: by its buttons, by its number, after a restart, by nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bot.core.accounts import ChatAddress, Platform
from bot.core.errors import UserError
from bot.core.jobs import FailureReason, GenerationParams, Job, JobFailure, JobStatus
from bot.core.messages import Reply
from bot.services.generation import double_size
from bot.texts import translate
from bot.texts.results import result_title
from gpu_worker.protocol import GenerateRequest
from tests.support.engine import EngineRoom, open_engine_room, png
from tests.support.services import ANNA, ANNAS, BERT, BERTS, InProcessDecoder, tools
from tests.support.use_cases import Studio

SIDE_PX = 64  # of the pictures that `png` draws


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[EngineRoom]:
    async with open_engine_room(tmp_path) as each:
        each.backend.picture = png()
        yield each


async def drawn(room: EngineRoom, prompt: str = "on the moon --seed 7 --n 2") -> Job:
    """Have a result of Anna's delivered."""
    code = (await room.trained()).code
    return await finished(room, await room.desk.studio.generate_from_text(ANNA, ANNAS, f"{code} {prompt}"))


async def finished(room: EngineRoom, reply: Reply) -> Job:
    assert reply.card_job_id is not None, reply.text
    await room.desk.studio.record_card(reply.card_job_id, f"card{reply.card_job_id}")
    await room.dispatcher.drain()
    await room.notifier.deliver_due()
    job = await room.ledger.jobs.get(reply.card_job_id)
    assert job is not None
    assert job.status is JobStatus.DONE
    return job


async def press(room: EngineRoom, action: str) -> Reply:
    return await room.desk.studio.handle_button(ANNA, ANNAS, action)


async def pressed(room: EngineRoom, action: str) -> tuple[Job, GenerationParams]:
    job = await finished(room, await press(room, action))
    assert isinstance(job.params, GenerationParams)
    return job, job.params


def wish_of(job: Job) -> GenerationParams:
    assert isinstance(job.params, GenerationParams)
    return job.params


def requested(room: EngineRoom) -> GenerateRequest:
    request = room.backend.requests[-1]
    assert isinstance(request, GenerateRequest)
    return request


async def refusal(room: EngineRoom, action: str) -> str:
    with pytest.raises(UserError) as caught:
        await press(room, action)
    return caught.value.message


async def test_a_result_comes_with_its_number_and_every_button(room: EngineRoom) -> None:
    job = await drawn(room)
    message_id, reply = room.chat.edits[-1]
    assert message_id == f"card{job.id}"
    assert reply.text.startswith(f"#{job.id} · ")
    assert len(reply.pictures) == 2
    assert {button.action for button in reply.buttons} == {
        f"again:{job.id}",
        *(f"{what}:{job.id}:{number}" for what in ("vary", "large") for number in (1, 2)),
        f"speed:{job.id}:fine",
        f"edit:{job.id}",
        f"recipe:{job.id}",
        f"delete:{job.id}",
    }


async def test_a_seed_is_set_once_for_all_attempts(
    room: EngineRoom,
) -> None:
    code = (await room.trained()).code
    room.backend.lost_at_steps = [2]
    await finished(room, await room.desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat"))
    first, second = (each for each in room.backend.requests if isinstance(each, GenerateRequest))
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.seed is not None
    assert first.seed == second.seed < 2**32
    assert len(room.chat.edits) == 1, "delivered once"


async def test_again_draws_the_same_request_with_another_seed(room: EngineRoom) -> None:
    job = await drawn(room, "on the moon --seed 7 --n 2 --style oil --strength 0.5")
    _, wish = await pressed(room, f"again:{job.id}")
    assert wish.seed != 7
    assert replace(wish, seed=7) == replace(wish_of(job), source=job.id)


async def test_finer_pictures_have_the_same_seed_and_more_steps(room: EngineRoom) -> None:
    job = await drawn(room, "on the moon --seed 7 --n 2 --style oil")
    assert wish_of(job).is_fast
    finer, wish = await pressed(room, f"speed:{job.id}:fine")
    assert wish == replace(wish_of(job), is_fast=False, source=job.id)
    assert (requested(room).is_fast, requested(room).steps, requested(room).seed) == (False, None, 7)
    assert "Faster" in [button.label for button in room.chat.edits[-1][1].buttons]
    _, faster_wish = await pressed(room, f"speed:{finer.id}:fast")
    assert faster_wish == replace(wish_of(job), source=finer.id)
    assert requested(room).is_fast


async def test_a_faster_picture_leaves_out_the_steps_that_were_asked_for(room: EngineRoom) -> None:
    job = await drawn(room, "on the moon --steps 40")
    assert (wish_of(job).is_fast, wish_of(job).steps) == (False, 40)
    _, wish = await pressed(room, f"speed:{job.id}:fast")
    assert (wish.is_fast, wish.steps) == (True, None)


async def test_variations_are_four_of_one_picture_s_seed(room: EngineRoom) -> None:
    job = await drawn(room)
    _, wish = await pressed(room, f"vary:{job.id}:2")
    assert (wish.seed, wish.count, wish.variation) == (8, 4, 0.25)
    request = requested(room)
    assert (request.seed, request.variation_strength, request.variation_seed) == (
        8,
        0.25,
        wish.variation_seed,
    )
    assert request.init_image is None


async def test_variations_drawn_again_are_others_of_the_same_picture(room: EngineRoom) -> None:
    job = await drawn(room)
    first, wish = await pressed(room, f"vary:{job.id}:1")
    _, again = await pressed(room, f"again:{first.id}")
    assert (again.seed, again.variation) == (wish.seed, wish.variation)
    assert again.variation_seed != wish.variation_seed


async def test_variations_of_a_variation_begin_from_the_picture_itself(room: EngineRoom) -> None:
    job = await drawn(room)
    first, _ = await pressed(room, f"vary:{job.id}:1")
    _, wish = await pressed(room, f"vary:{first.id}:3")
    assert (wish.source, wish.source_picture, wish.count, wish.variation) == (first.id, 3, 4, 0.0)
    start = requested(room).init_image
    assert start is not None
    assert start.data == room.backend.picture


async def test_a_larger_picture_has_twice_the_sides_and_begins_from_the_first(
    room: EngineRoom,
) -> None:
    job = await drawn(room)
    _, wish = await pressed(room, f"large:{job.id}:2")
    assert (wish.count, wish.source, wish.source_picture) == (1, job.id, 2)
    request = requested(room)
    assert (request.width_px, request.height_px) == (2 * SIDE_PX, 2 * SIDE_PX)
    assert request.init_image is not None
    assert (request.init_image.data, request.init_image.denoising_strength) == (room.backend.picture, 0.35)


async def test_larger_again_begins_from_the_same_picture(room: EngineRoom) -> None:
    job = await drawn(room)
    large, _ = await pressed(room, f"large:{job.id}:1")
    _, wish = await pressed(room, f"again:{large.id}")
    assert (wish.source, wish.source_picture, wish.redraw) == (job.id, 1, 0.35)


async def test_a_picture_whose_file_is_gone_cannot_grow_but_be_drawn_again(room: EngineRoom) -> None:
    job = await drawn(room)
    room.files.picture_path(f"{job.id}-2.png").unlink()
    reply = await press(room, f"large:{job.id}:2")
    assert "Picture 2" in reply.text
    assert [button.action for button in reply.buttons] == [f"again:{job.id}"]
    assert reply.card_job_id is None


async def test_a_picture_that_vanishes_while_its_job_waits_is_told(room: EngineRoom) -> None:
    job = await drawn(room)
    reply = await press(room, f"large:{job.id}:1")
    room.files.picture_path(f"{job.id}-1.png").unlink()
    await room.dispatcher.drain()
    assert reply.card_job_id is not None
    failed = await room.ledger.jobs.get(reply.card_job_id)
    assert failed is not None
    assert (failed.status, failed.error) == (
        JobStatus.FAILED,
        JobFailure(FailureReason.START_PICTURE_GONE),
    )


async def test_an_edited_prompt_keeps_everything_else_but_the_seed(room: EngineRoom) -> None:
    job = await drawn(room, "on the moon --seed 7 --n 2 --style oil")
    assert await room.desk.studio.get_prompt(ANNA, job.id) == "on the moon"
    reply = await room.desk.studio.generate_edited(ANNA, ANNAS, job.id, "under the sea --n 1")
    wish = wish_of(await finished(room, reply))
    assert (wish.prompt, wish.count, wish.style, wish.source) == ("under the sea", 1, "oil", job.id)
    assert wish.seed != 7


async def test_the_edited_prompt_is_the_next_plain_message(room: EngineRoom) -> None:
    job = await drawn(room)
    asked = await press(room, f"edit:{job.id}")
    assert "on the moon" in asked.text
    reply = await room.desk.studio.handle_text(ANNA, ANNAS, "under the sea")
    assert reply is not None
    assert wish_of(await finished(room, reply)).prompt == "under the sea"
    assert await room.desk.studio.handle_text(ANNA, ANNAS, "on the hill") is None


async def test_a_recipe_names_all_that_it_takes(room: EngineRoom) -> None:
    job = await drawn(room, "on the moon --seed 7 --n 2 --style oil --no rain --strength 0.5 --size 64x128")
    text = (await press(room, f"recipe:{job.id}")).text
    lora = await room.ledger.loras.get_by_code(job.code)
    assert lora is not None
    assert lora.sha256 is not None
    for said in (
        "Prompt: on the moon",
        "Negative: rain",
        "Seed: 7 to 8",
        "Size: 64x128",
        "Steps: 25",
        "Guidance: 7.5",
        "Sampler: DPM++ 2M Karras",
        "Style: Oil painting",
        "Strength: 0.5",
        f"hash {lora.sha256[:12]}, trained for 3 steps",
        f"/show {job.id}",
    ):
        assert said in text


async def test_a_result_comes_back_by_show_with_its_buttons(room: EngineRoom) -> None:
    job = await drawn(room)
    for written in (str(job.id), f"#{job.id}", f" # {job.id} "):
        shown = await room.desk.studio.show_result(ANNA, ANNAS, written)
        assert replace(shown, result_job_id=None) == room.chat.edits[-1][1]
        assert shown.result_job_id == job.id


async def test_a_card_is_shown_for_a_result_that_is_not_done(room: EngineRoom) -> None:
    code = (await room.trained()).code
    job = await room.draws(code)
    shown = await room.desk.studio.show_result(ANNA, ANNAS, str(job.id))
    assert shown.card_job_id == job.id
    await room.desk.studio.cancel_job(ANNA)
    assert "Cancelled" in (await room.desk.studio.show_result(ANNA, ANNAS, str(job.id))).text


async def test_a_card_is_followed_only_where_its_messages_can_be_edited(room: EngineRoom) -> None:
    job = await room.draws((await room.trained()).code)
    topic = ChatAddress(Platform.TELEGRAM, f"{ANNAS.chat_id}:7", ANNAS.user_id)
    places = (ANNAS, topic, ChatAddress(Platform.TELEGRAM, "-5", ANNAS.user_id), BERTS)
    shown = [await room.desk.studio.show_result(ANNA, each, str(job.id)) for each in places]
    assert [each.card_job_id for each in shown] == [job.id, job.id, None, None]
    assert len({(each.text, each.buttons) for each in shown}) == 1


@pytest.mark.parametrize("written", ["0", "-1", "x", "999999", "9" * 40, "1 2", "\u0667"])
async def test_a_result_that_is_not_there_is_one_sentence(room: EngineRoom, written: str) -> None:
    with pytest.raises(UserError) as caught:
        await room.desk.studio.show_result(ANNA, ANNAS, written)
    assert caught.value.message == translate("no-such-result")


async def test_a_deleted_result_was_asked_for_once_and_leaves_nothing(room: EngineRoom) -> None:
    job = await drawn(room, "a very private wish --n 2")
    question = await press(room, f"delete:{job.id}")
    assert [button.action for button in question.buttons] == [f"delete!:{job.id}"]
    assert all(path.exists() for path in room.chat.edits[-1][1].pictures)
    done = await press(room, f"delete!:{job.id}")
    assert done.edits_message
    assert not any(path.exists() for path in room.chat.edits[-1][1].pictures)
    await room.notifier.scrub_deleted()
    message_id, reply = room.chat.edits[-1]
    assert (message_id, reply.buttons, reply.pictures) == (f"card{job.id}", (), ())
    await room.ledger.checkpoint_wal()
    for file in room.files.root.glob("ledger.sqlite3*"):
        assert b"very private" not in file.read_bytes()


async def test_a_deleted_result_says_so_everywhere(room: EngineRoom) -> None:
    job = await drawn(room)
    await press(room, f"delete!:{job.id}")
    for action in (
        *(f"{what}:{job.id}" for what in ("again", "edit", "recipe", "delete", "delete!")),
        *(f"{what}:{job.id}:1" for what in ("vary", "large")),
    ):
        assert await refusal(room, action) == translate("deleted")
    for call in (
        room.desk.studio.show_result(ANNA, ANNAS, str(job.id)),
        room.desk.studio.generate_edited(ANNA, ANNAS, job.id, "a cat"),
        room.desk.studio.get_prompt(ANNA, job.id),
    ):
        with pytest.raises(UserError, match="You deleted"):
            await call


async def test_a_result_deleted_before_its_message_arrives_as_deleted(room: EngineRoom) -> None:
    code = (await room.trained()).code
    job = await room.draws(code)
    await room.dispatcher.drain()
    await press(room, f"delete!:{job.id}")
    await room.notifier.deliver_due()
    assert room.chat.sent[-1][1] == Reply(translate("result-deleted", result=result_title(job)))


async def test_a_foreign_result_is_answered_like_one_that_never_was(
    room: EngineRoom,
) -> None:
    job = await drawn(room)
    for number in (job.id, 987654):
        for action in (
            *(f"{what}:{number}" for what in ("again", "edit", "recipe", "delete", "delete!", "cancel")),
            *(f"{what}:{number}:1" for what in ("vary", "large")),
        ):
            with pytest.raises(UserError) as caught:
                await room.desk.studio.handle_button(BERT, BERTS, action)
            assert caught.value.message == translate("stale-button")
        with pytest.raises(UserError) as caught:
            await room.desk.studio.show_result(BERT, BERTS, str(number))
        assert caught.value.message == translate("no-such-result")
        with pytest.raises(UserError):
            await room.desk.studio.get_prompt(BERT, number)
    assert [path.exists() for path in room.chat.edits[-1][1].pictures] == [True, True]


@pytest.mark.parametrize(
    "action", ["vary:{}:3", "large:{}:9", "vary:{}", "large:{}:0", "again:{}:1", "use:1"]
)
async def test_a_forged_button_does_nothing(room: EngineRoom, action: str) -> None:
    job = await drawn(room)
    await refusal(room, action.format(job.id))
    assert await room.desk.jobs(ANNA) == []


async def test_a_training_has_no_buttons_of_a_result(room: EngineRoom) -> None:
    job = await room.trained()
    assert await refusal(room, f"again:{job.id}") == translate("not-done")
    assert await refusal(room, f"delete!:{job.id}") == translate("not-done")


async def test_buttons_work_after_a_restart_and_a_year(room: EngineRoom) -> None:
    job = await drawn(room)
    room.desk.clock.forward(days=365)
    desk_tools = tools(room.ledger, room.dispatcher, room.files, room.desk.clock)
    room.desk.studio = Studio(desk_tools, InProcessDecoder(), frozenset())
    _, wish = await pressed(room, f"vary:{job.id}:1")
    assert wish.seed == 7
    assert "Seed: 7" in (await press(room, f"recipe:{job.id}")).text


def test_a_picture_of_the_largest_size_grows_no_more() -> None:
    assert double_size((512, 768)) == (1024, 1536)
    assert double_size((768, 1024)) == (1536, 2048)
    assert double_size((1024, 1536)) == (1360, 2048), "as far as it may, in its shape"
    assert double_size((1360, 2048)) is None


#: As it was stored before there were fast pictures.
OLD_WISH = (
    '{"prompt":"on the moon","negative":"","seed":7,"width_px":null,"height_px":null,"count":2,"steps":null,'
    '"guidance":null,"shape":"","strength":null,"style":"","sampler":"","codes":[],"variation":0.0,'
    '"variation_seed":0,"source":null,"source_picture":null,"redraw":null,"best":false}'
)


async def test_results_from_before_there_were_fast_pictures_are_drawn_as_they_were(room: EngineRoom) -> None:
    code = (await room.trained()).code
    params = msgspec.json.decode(OLD_WISH, type=GenerationParams)
    lora = await room.ledger.loras.get_by_code(code)
    assert lora is not None
    old = await room.ledger.jobs.add_generation(lora.account, code, params, ANNAS)
    await finished(room, Reply("", card_job_id=old.id))
    old_request = requested(room)
    assert (old_request.is_fast, old_request.steps, old_request.sampler) == (False, None, "")
    changes = {
        f"again:{old.id}": {"seed"},
        f"vary:{old.id}:2": {"seed", "count", "variation_strength", "variation_seed"},
        f"large:{old.id}:1": {"seed", "count", "width_px", "height_px", "init_image"},
    }
    for action, changed in changes.items():
        await pressed(room, action)
        again = msgspec.structs.asdict(requested(room))
        before = msgspec.structs.asdict(old_request)
        assert {name for name in before if again[name] != before[name]} - {"job_id"} == changed, action
    shown = await room.desk.studio.show_result(ANNA, ANNAS, str(old.id))
    assert "Faster" in [button.label for button in shown.buttons]
    assert len(shown.pictures) == 2


async def test_pictures_of_a_model_that_reads_no_weights_say_so(room: EngineRoom) -> None:
    job = await drawn(room)
    await pressed(room, f"again:{job.id}")
    assert "weights" not in room.chat.edits[-1][1].text
    room.backend.ignores_weights = True
    await pressed(room, f"again:{job.id}")
    assert room.chat.edits[-1][1].text.endswith(
        "This base model reads no weights such as (word:1.3), so they were left out."
    )


async def test_fast_pictures_made_from_those_of_another_acceleration_say_so(room: EngineRoom) -> None:
    job = await drawn(room)
    await pressed(room, f"again:{job.id}")
    assert "in another way" not in room.chat.edits[-1][1].text
    room.backend.acceleration = "Hyper-SD15-8steps-CFG-lora"
    varied, _ = await pressed(room, f"vary:{job.id}:1")
    assert room.chat.edits[-1][1].text.endswith(
        f"Fast pictures are drawn in another way since #{job.id}, so these may differ from it."
    )
    await pressed(room, f"again:{varied.id}")
    assert "in another way" not in room.chat.edits[-1][1].text
    await pressed(room, f"speed:{varied.id}:fine")
    assert "in another way" not in room.chat.edits[-1][1].text
    shown = await room.desk.studio.handle_button(ANNA, ANNAS, f"recipe:{varied.id}")
    assert "Acceleration: Hyper-SD15-8steps-CFG-lora" in shown.text
