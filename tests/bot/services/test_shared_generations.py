"""Drawing with somebody else's code: once or always, and what a permission is spent for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.errors import ShareEnded, UserError
from bot.core.jobs import GenerationParams, JobFailure, JobKind
from bot.core.loras import LoraCode, format_code
from bot.texts import translate
from tests.bot.services.test_sharing import ALONE, BERT_BY_NAME, asked, draws, post, presses, refused
from tests.support.services import ADMIN, ANNA, ANNAS, BERT, BERTS, Desk, open_desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def test_a_share_draws_and_does_nothing_else(desk: Desk) -> None:
    code, letter = await asked(desk)
    await presses(desk, letter, "Always")
    for what in ("code", "export", "rename", "remove", "remove!", "share", "invite"):
        with pytest.raises(UserError) as caught:
            await desk.studio.handle_button(BERT, BERTS, f"{what}:{code}")
        assert caught.value.message == translate("unknown-code")
    with pytest.raises(UserError):
        await desk.studio.export_lora(BERT, BERTS, code)
    listed = await desk.studio.list_loras(BERT, BERTS)
    assert "Shared with you:" in listed.text
    assert "· always" in listed.text
    assert (
        "Press “What to draw”" in (await presses(desk, listed, f"Draw with {code[:4]} {code[4:]}", BERT)).text
    )
    assert [each.value for each in await desk.studio.suggest_codes(BERT, "")] == [code]


async def test_a_picture_belongs_to_the_requester(desk: Desk) -> None:
    code, letter = await asked(desk)
    await presses(desk, letter, "Once")
    number = (await draws(desk, code)).card_job_id
    assert (await desk.studio.show_result(BERT, BERTS, str(number))).card_job_id == number
    with pytest.raises(UserError) as caught:
        await desk.studio.show_result(ANNA, ALONE, str(number))
    assert caught.value.message == translate("no-such-result")


async def test_a_generation_with_a_shared_code_is_cancelled_by_that_code(desk: Desk) -> None:
    code, letter = await asked(desk)
    await presses(desk, letter, "Once")
    await draws(desk, code)
    assert "Cancelled" in (await desk.studio.cancel_job(BERT, code)).text
    assert await desk.jobs(BERT) == []


async def test_a_shared_code_inside_a_prompt_is_spent_too(desk: Desk) -> None:
    code, letter = await asked(desk)
    own = (await desk.ready(BERT, first=11)).code
    await presses(desk, letter, "Once")
    await draws(desk, f"{own} with {code} and")
    unknown = "00000000" if "00000000" not in (code, own) else "00000001"
    for spent in (code, LoraCode(unknown)):
        with pytest.raises(UserError) as caught:
            await draws(desk, f"{own} with {spent} and")
        assert caught.value.message == translate("unknown-code-in-prompt", code=format_code(spent))


async def test_a_permission_that_ended_meanwhile_queues_nothing(desk: Desk) -> None:
    code, letter = await asked(desk)
    await presses(desk, letter, "Once")
    lora = await desk.ledger.loras.get_by_code(code)
    assert lora is not None
    await draws(desk, code)
    [job] = await desk.jobs(BERT)
    with pytest.raises(ShareEnded):
        await desk.ledger.jobs.add_generation(job.account, code, replace(job.params), BERTS)  # type: ignore[arg-type]
    assert len(await desk.jobs(BERT)) == 1


@pytest.mark.parametrize("end", ["fail", "cancel"])
async def test_a_single_permission_is_spent_by_a_generation_that_is_done(desk: Desk, end: str) -> None:
    code, letter = await asked(desk)
    await presses(desk, letter, "Once")
    await draws(desk, code)
    job = await desk.claim(JobKind.GENERATE)
    assert await refused(desk, code), "one at a time"
    if end == "fail":
        assert await desk.ledger.jobs.fail(job.id, job.attempt, JobFailure(sentence="The card is on fire."))
    else:
        await desk.studio.cancel_job(BERT)
    await draws(desk, code)
    job = await desk.claim(JobKind.GENERATE)
    assert await desk.ledger.jobs.finish_generation(job.id, job.attempt, ["9-1.png"])
    assert await refused(desk, code)
    assert await desk.ledger.sharing.list_shares(code) == []


async def test_a_drawing_that_goes_with_one_code_returns_the_other(desk: Desk) -> None:
    code, letter = await asked(desk)
    own = (await desk.ready(BERT, first=11)).code
    await presses(desk, letter, "Once")
    await draws(desk, f"{own} with {code} and")
    await desk.studio.handle_button(BERT, BERTS, f"remove!:{own}")
    assert "Drawing" in (await draws(desk, code)).text


async def test_a_request_that_nobody_answers_is_forgotten_after_a_week(desk: Desk) -> None:
    code, letter = await asked(desk)
    desk.clock.forward(days=7, seconds=1)
    await desk.ledger.sharing.delete_expired_requests(desk.clock.now)
    assert await desk.ledger.sharing.list_shares(code) == []
    with pytest.raises(UserError) as caught:
        await presses(desk, letter, "Always")
    assert caught.value.message == translate("stale-button")
    await desk.studio.request_access(BERT, BERTS, code)
    assert len(await post(desk)) == 1


async def test_a_lasting_share_counts_at_once_while_a_single_one_draws(desk: Desk) -> None:
    code, letter = await asked(desk)
    await presses(desk, letter, "Once")
    await draws(desk, code)
    await presses(desk, letter, "Always")
    for _ in range(2):
        await draws(desk, code)
    job = await desk.claim(JobKind.GENERATE)
    assert await desk.ledger.jobs.finish_generation(job.id, job.attempt, ["9-1.png"])
    await draws(desk, code)


@pytest.mark.parametrize("answer", ["Once", "Always"])
async def test_a_request_while_once_is_being_drawn_is_a_new_one(desk: Desk, answer: str) -> None:
    code, letter = await asked(desk)
    await presses(desk, letter, "Once")
    await post(desk)
    await draws(desk, code)
    await desk.studio.request_access(BERT_BY_NAME, BERTS, code)
    [(_, second)] = await post(desk)
    assert "wants to draw with your" in second.text
    assert await refused(desk, code)
    await presses(desk, second, answer)
    job = await desk.claim(JobKind.GENERATE)
    assert await desk.ledger.jobs.finish_generation(job.id, job.attempt, ["9-1.png"])
    await draws(desk, code)


async def test_a_guest_is_not_promised_a_message_about_a_lora_in_training(desk: Desk) -> None:
    code = (await desk.train(ANNA)).code
    await desk.studio.request_access(BERT_BY_NAME, BERTS, code)
    [(_, letter)] = await post(desk)
    await presses(desk, letter, "Always")
    for who, sentence in ((ANNA, "I will write when it is ready"), (BERT, "Try again then")):
        with pytest.raises(UserError, match=sentence):
            await draws(desk, code, who)


async def test_a_single_permission_goes_to_one_of_two_requests_at_once(desk: Desk) -> None:
    code, letter = await asked(desk)
    await presses(desk, letter, "Once")
    account = await desk.ledger.accounts.get_or_create(BERT)
    both = [
        desk.ledger.jobs.add_generation(account, code, GenerationParams("a boat"), BERTS) for _ in range(2)
    ]
    ended = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(type(each).__name__ for each in ended) == ["Job", "ShareEnded"]
    assert len(await desk.jobs(BERT)) == 1


async def test_a_button_of_a_result_draws_no_more_than_its_share_allows(desk: Desk) -> None:
    code, letter = await asked(desk)
    await presses(desk, letter, "Once")
    await draws(desk, code)
    job = await desk.claim(JobKind.GENERATE)
    assert await desk.ledger.jobs.finish_generation(job.id, job.attempt, ["1-1.png"])
    for action in (f"again:{job.id}", f"vary:{job.id}:1", f"edit:{job.id}"):
        if action.startswith("edit"):
            await desk.studio.handle_button(BERT, BERTS, action)
        with pytest.raises(UserError) as caught:
            if action.startswith("edit"):
                await desk.studio.handle_text(BERT, BERTS, "a ship")
            else:
                await desk.studio.handle_button(BERT, BERTS, action)
        assert caught.value.message == translate("unknown-code")
    assert await desk.jobs(BERT) == []


@pytest.mark.parametrize("end", ["removed", "taken down", "erased"])
async def test_a_picture_of_two_goes_with_the_code_of_either(desk: Desk, end: str) -> None:
    code, letter = await asked(desk)
    own = (await desk.ready(BERT, first=11)).code
    await presses(desk, letter, "Always")
    await draws(desk, f"{own} with {code} and")
    done = await desk.claim(JobKind.GENERATE)
    assert await desk.ledger.jobs.finish_generation(done.id, done.attempt, ["9-1.png"])
    await draws(desk, f"{own} with {code} and")
    if end == "removed":
        await desk.studio.handle_button(ANNA, ANNAS, f"remove!:{code}")
    elif end == "taken down":
        await desk.studio.run_admin_command(ADMIN, "takedown", code)
    else:
        await desk.ledger.privacy.erase_account(await desk.ledger.accounts.get_or_create(ANNA))
    assert await desk.ledger.results.list_pictures(done.id) == []
    assert await desk.jobs(BERT) == []
    assert [lora.code for lora in await desk.loras(BERT)] == [own]


async def test_a_picture_of_two_waits_for_nobody_whose_share_was_taken_back(desk: Desk) -> None:
    code, letter = await asked(desk)
    own = (await desk.ready(BERT, first=11)).code
    await presses(desk, letter, "Always")
    await draws(desk, f"{own} with {code} and")
    [share] = await desk.ledger.sharing.list_shares(code)
    await desk.studio.handle_button(ANNA, ANNAS, f"share:{share.number}:revoke")
    with pytest.raises(UserError):
        await draws(desk, f"{own} with {code} and")
