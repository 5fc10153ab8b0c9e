"""On Telegram: what a person decides about themselves and what is kept of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.core.accounts import Identity, Platform
from bot.texts import translate
from tests.acceptance.telegram_server import until
from tests.acceptance.telegram_stage import GROUP, PHOTOS, Person, Stage, code_in, on_stage, trained, trains

ANNA = Identity(Platform.TELEGRAM, "7")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


@pytest.mark.covers("telegram", "/queue", "[cancel:*]")
async def test_queue_lists_what_waits_and_cancels_it(stage: Stage) -> None:
    stage.card.proceed_event.clear()
    await stage.anna.sends_photos(PHOTOS[:5])
    code = code_in(await stage.anna.hears("Your LoraCode is"))
    await stage.anna.says("/queue")
    listed = await stage.anna.hears(": training")
    assert f"{code[:4]} {code[4:]}" in listed.text
    await stage.anna.presses(listed, f"Cancel {code[:4]} {code[4:]}")
    await stage.anna.hears("will not be trained")
    stage.card.proceed_event.set()


@pytest.mark.covers("telegram", "/privacy")
async def test_privacy_says_what_is_kept(stage: Stage) -> None:
    await stage.anna.says("/privacy")
    await stage.anna.hears("What I keep about you")


@pytest.mark.covers("telegram", "/forgetme", "[forgetme!:*:*]", "restart")
async def test_everything_goes_with_a_press_also_after_a_restart(stage: Stage) -> None:
    code = await trained(stage.anna)
    await stage.anna.says("/forgetme")
    asked = await stage.anna.hears("Shall I forget you?")
    await stage.stop()
    await stage.start()
    await stage.anna.presses(asked, "Delete everything")
    receipt = await stage.anna.hears("Receipt")
    assert receipt.id == asked.id, "the question becomes the receipt"
    assert not receipt.buttons
    assert await stage.app.database.loras.get_by_code(code) is None
    assert await stage.app.database.accounts.find_by_identity(ANNA) is None
    assert not stage.app.storage.lora_path(f"{code}.safetensors").exists()


@pytest.mark.covers("telegram", "/start", "[consent]", "restart")
async def test_start_shows_five_examples_as_one_picture_then_asks_for_consent(stage: Stage) -> None:
    carla = Person(stage.server, 9)
    await carla.says("/start")
    shown = await carla.hears("Five like these make a good set")
    assert [each[:3] for each in shown.photos] == [b"\xff\xd8\xff"]
    assert shown.labels == [["I agree"]]
    await stage.stop()
    await stage.start()
    await carla.presses(shown, "I agree")
    await until(lambda: "Thank you. Send me five photos" in shown.text)
    assert [each[:3] for each in shown.photos] == [b"\xff\xd8\xff"], "the examples stay in sight"
    await carla.sends_photos(PHOTOS[:2])
    await carla.hears("2 of 5")


async def test_consent_comes_before_the_first_photo(stage: Stage) -> None:
    carla = Person(stage.server, 9)
    await carla.sends_photos(PHOTOS[:2])
    asked = await carla.hears("I have not kept any of these yet")
    await carla.presses(asked, "I agree")
    await carla.hears("Thank you. Send me five photos")
    await carla.sends_photos(PHOTOS[:2])
    await carla.hears("2 of 5")


@pytest.mark.covers("telegram", "[set:*:drop=*]", "[set:*:class=*]", "[set:*:name]", "restart")
async def test_one_card_collects_shows_the_photos_and_is_chosen_on(stage: Stage) -> None:
    anna = stage.anna
    await anna.sends_photos(PHOTOS[:3], album=False)
    card = await anna.hears("3 of 5")
    await until(lambda: anna.sees == [card])  # one message, however the photos came
    assert card.photos[0].startswith(b"\xff\xd8"), "a contact sheet"
    await anna.presses(card, "✕ 2")
    await until(lambda: "2 of 5" in card.text)
    await stage.stop()
    await stage.start()
    await anna.presses(card, "Woman")
    await until(lambda: "They show: woman" in card.text)
    await anna.presses(card, "Name it")
    await anna.hears("write the name")
    await anna.says("Ann")
    card = await anna.hears("name: Ann")
    await anna.sends_photos(PHOTOS[3:])
    await anna.hears("Your LoraCode is")
    await until(lambda: "That is all five" in card.text)
    assert not card.buttons


@pytest.mark.covers("telegram", "two albums at once")
async def test_two_albums_at_once_share_a_card(stage: Stage) -> None:
    for name, photos in (("a", PHOTOS[:2]), ("b", PHOTOS[2:4])):
        for photo in photos:
            await stage.anna.sends_photos([photo], album=name)
    card = await stage.anna.hears("4 of 5")
    await until(lambda: stage.anna.sees == [card])


@pytest.mark.covers(
    "telegram",
    "/codes",
    "[code:*]",
    "[rename:*]",
    "[question:drop:*]",
    "[export:*]",
    "[remove:*]",
    "[remove!:*]",
    "by somebody else",
    "restart",
)
async def test_a_code_has_a_card_with_everything_that_can_be_done(stage: Stage) -> None:
    anna = stage.anna
    code = await trained(anna)
    await anna.says("/codes")
    shown = await until(
        lambda: [each for each in anna.sees if any(b == f"code:{code}" for _, b in each.buttons)]
    )
    card = shown[0]
    await stage.stop()
    await stage.start()
    await anna.presses(card, f"{code[:4]} {code[4:]}")
    await until(lambda: "trigger: sks person" in card.text)
    await anna.presses(card, "Rename")
    await anna.presses(await anna.hears("Now write the new name"), "Discard")
    await anna.hears(translate("question-dropped"))
    await anna.presses(card, "Rename")
    await anna.says("/help")  # a command ends what was asked
    await anna.hears("/forgetme")
    await anna.says("what was that")
    await anna.hears(translate("unknown-command"))
    await anna.presses(card, "Rename")
    await until(lambda: len([each for each in anna.sees if "Now write the new name" in each.text]) == 2)
    await anna.says("Me in spring")
    await anna.hears("Me in spring")
    await anna.presses(card, "Export")
    await until(lambda: [each for each in anna.sees if each.files])
    await anna.presses(card, "Delete")
    await until(lambda: "for good" in card.text)
    assert await stage.bert.presses(card, "Delete for good") == translate("unknown-code")
    await anna.presses(card, "Delete for good")
    await until(lambda: "is deleted" in card.text)
    assert await stage.app.database.loras.get_by_code(code) is None
    assert not stage.app.storage.lora_path(f"{code}.safetensors").exists()


@pytest.mark.covers("telegram", "/link")
async def test_a_link_token_from_another_platform_brings_its_codes(stage: Stage) -> None:
    there = await stage.app.database.accounts.get_or_create(Identity(Platform.DISCORD, "70"))
    await stage.app.database.accounts.save_link_token(
        there, "ABCDEF", datetime.now(UTC) + timedelta(minutes=5)
    )
    code = await trained(stage.anna)
    await stage.anna.says("/link abcdef")
    await stage.anna.hears("Linked")
    lora = await stage.app.database.loras.get_by_code(code)
    assert lora is not None
    assert lora.account == there
    await stage.anna.says("/link", chat=GROUP)
    assert "private chat" in (await until(lambda: stage.anna.sees_in(GROUP)))[0].text


@pytest.mark.covers("telegram", "by somebody else", "group")
async def test_a_question_in_a_group_is_answered_by_its_person_alone(stage: Stage) -> None:
    code = await trained(stage.anna)
    await stage.anna.says("/forgetme", chat=GROUP)
    asked = await until(lambda: stage.anna.sees_in(GROUP))
    assert await stage.bert.presses(asked[0], "Delete everything") == translate("stale-button")
    assert await stage.app.database.loras.get_by_code(code) is not None


@pytest.mark.covers("telegram", "/cancel")
async def test_cancel_stops_the_training_of_a_code_or_the_newest_job(stage: Stage) -> None:
    stage.card.proceed_event.clear()
    await stage.anna.sends_photos(PHOTOS[:5])
    code = code_in(await stage.anna.hears("Your LoraCode is"))
    await stage.anna.says("/cancel 00000001")
    await stage.anna.hears(translate("unknown-code"))
    await stage.anna.says(f"/cancel {code[:4]} {code[4:]}")
    await stage.anna.hears("will not be trained")
    await stage.anna.says("/cancel")
    await stage.anna.hears(translate("nothing-open"))
    stage.card.proceed_event.set()


@pytest.mark.covers("telegram", "[draw:*]", "words")
async def test_the_notice_that_a_code_is_ready_has_a_button_that_draws_and_stays(stage: Stage) -> None:
    await trains(stage.anna)
    ready = await stage.anna.hears("is ready,")
    await stage.anna.presses(ready, "Generate")
    await stage.anna.hears("Now write what to draw")
    await stage.anna.says("a boat")
    await stage.next_result(0)
    assert len(ready.versions) == 1


@pytest.mark.covers("telegram", "[codes]", "[codes:all]", "[code:*]")
async def test_the_ready_notice_leads_to_the_list_of_codes_and_a_card_leads_back(stage: Stage) -> None:
    code = await trains(stage.anna)
    label = f"{code[:4]} {code[4:]}"
    await stage.anna.presses(await stage.anna.hears("is ready,"), "My codes")
    (listed,) = await until(lambda: [each for each in stage.anna.sees if label in dict(each.buttons)])
    await stage.anna.presses(listed, label)
    await until(lambda: "trigger: sks person" in listed.text)
    await stage.anna.presses(listed, "All my codes")
    await until(lambda: label in dict(listed.buttons))


@pytest.mark.covers("telegram", "[restart:*]")
async def test_start_over_deletes_the_photos_of_the_set(stage: Stage) -> None:
    await stage.anna.sends_photos(PHOTOS[:3])
    card = await stage.anna.hears("3 of 5")
    await stage.anna.presses(card, "Start over")
    await stage.anna.hears("Deleted: 3 photos")
    await until(lambda: card.text == translate("set-deleted"))
    assert card.photos[0] not in PHOTOS
    assert not card.buttons
    assert (
        await stage.app.database.photo_sets.count_collected(
            await stage.app.database.accounts.get_or_create(ANNA)
        )
        == 0
    )
