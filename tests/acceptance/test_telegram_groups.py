"""In a group on Telegram: what is meant for the bot, topics, and whose photos are shown where."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from lo_bot_api_emulator import ApiRefusal

from bot.texts import translate
from tests.acceptance.telegram_server import Shown, until
from tests.acceptance.telegram_stage import GROUP, PHOTOS, Stage, code_in, on_stage, trained

TOPIC: dict[str, Any] = {"message_thread_id": 77, "is_topic_message": True}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


async def asked_to_train(stage: Stage, **more: Any) -> Shown:
    """Have Anna ask in the group how to begin."""
    await stage.anna.says("/train@loracode_bot", chat=GROUP, **more)
    (shown,) = await until(lambda: stage.anna.sees_in(GROUP))
    assert isinstance(shown, Shown)
    return shown


def caption(text: str, kind: str) -> dict[str, Any]:
    entity = {"type": kind, "offset": text.index("@" if kind == "mention" else "/"), "length": 0}
    return {"caption": text, "caption_entities": [{**entity, "length": len(text.split()[0])}]}


@pytest.mark.covers("telegram", "/train", "group", "album")
async def test_an_album_that_answers_the_bot_is_taken_and_shown_in_private_alone(stage: Stage) -> None:
    how = await asked_to_train(stage)
    assert "https://t.me/loracode_bot?start=train" in how.text
    await stage.anna.sends_photos(PHOTOS[:3], chat=GROUP, to=how)
    (card,) = await until(lambda: [each for each in stage.anna.sees_in(GROUP) if "3 of 5" in each.text])
    assert not card.photos, "others can read along"
    assert card.answers is not None
    await stage.anna.says("/start train")
    shown = await stage.anna.hears("3 of 5")
    assert shown.photos, "a contact sheet"
    await stage.anna.sends_photos(PHOTOS[3:5], chat=GROUP, to=how)
    await until(lambda: [each for each in stage.anna.sees_in(GROUP) if "is ready," in each.text])


@pytest.mark.covers("telegram", "caption", "group", "by somebody else")
async def test_a_photo_with_the_bot_s_name_beneath_is_its_sender_s(stage: Stage) -> None:
    named = (("@Loracode_Bot me at the sea", "mention"), ("/train@loracode_bot", "bot_command"))
    for number, (text, kind) in enumerate(named, 1):
        photo = PHOTOS[number - 1 : number]
        await stage.anna.sends_photos(photo, album=False, chat=GROUP, **caption(text, kind))
        await until(
            lambda number=number: any(f"{number} of 5" in each.text for each in stage.anna.sees_in(GROUP))
        )
    await until(lambda: len(stage.anna.sees_in(GROUP)) == 1)
    (card,) = stage.anna.sees_in(GROUP)
    await stage.bert.presses(card, "✕ 1")
    await stage.bert.sends_photos(PHOTOS[:1], album=False, chat=GROUP, to=card)
    await until(lambda: [each for each in stage.bert.sees_in(GROUP) if "1 of 5" in each.text])
    assert "2 of 5" in card.text


@pytest.mark.covers("telegram", "caption", "group", "album")
async def test_late_photos_belong_to_the_album_that_names_the_bot(
    stage: Stage,
) -> None:
    named = caption("@loracode_bot me at the sea", "mention")
    await stage.anna.sends_photos(PHOTOS[:1], album="1", chat=GROUP, **named)
    (card,) = await until(lambda: stage.anna.sees_in(GROUP))
    assert "1 of 5" in card.text
    await stage.anna.sends_photos(PHOTOS[1:2], album="2", chat=GROUP)
    await stage.anna.sends_photos(PHOTOS[2:4], album="1", chat=GROUP)
    await until(lambda: any("3 of 5" in each.text for each in stage.anna.sees_in(GROUP)))


@pytest.mark.covers("telegram", "group", "album")
async def test_photos_that_people_show_each_other_are_not_even_fetched(stage: Stage) -> None:
    how = await asked_to_train(stage)
    fetched = sum(each["method"] == "getFile" for each in stage.server.requests)
    await stage.anna.sends_photos(PHOTOS[:2], chat=GROUP)
    await stage.anna.sends_photos(PHOTOS[:1], album=False, chat=GROUP, **caption("@carla look", "mention"))
    await stage.anna.sends_photos(
        PHOTOS[2:3], album=False, chat=GROUP, reply_to_message=stage.bert.wrote(GROUP)
    )
    await stage.anna.sends_photos(PHOTOS[3:4], album=False, chat=GROUP, to=how)
    (card,) = await until(lambda: [each for each in stage.anna.sees_in(GROUP) if "of 5" in each.text])
    assert "1 of 5" in card.text
    now = sum(each["method"] == "getFile" for each in stage.server.requests)
    assert now == fetched + 1


@pytest.mark.covers("telegram", "thread", "group")
async def test_answers_and_notices_stay_in_their_topic(stage: Stage) -> None:
    how = await asked_to_train(stage, **TOPIC)
    await stage.anna.sends_photos(PHOTOS[:5], chat=GROUP, to=how, **TOPIC)
    (ready,) = await until(lambda: [each for each in stage.anna.sees_in(GROUP) if "is ready," in each.text])
    code = code_in(ready)
    await stage.anna.presses(ready, "My codes")
    await stage.anna.says(f"/generate {code} a boat --n 2", chat=GROUP, **TOPIC)
    await stage.next_result(0, GROUP)
    await until(lambda: [each for each in stage.anna.sees_in(GROUP) if each.photos and not each.buttons])
    assert {each.topic for each in stage.anna.sees_in(GROUP) if each.text} == {77}


@pytest.mark.covers("telegram", "thread")
async def test_a_private_chat_with_topics_is_private_and_answers_stay_in_them(stage: Stage) -> None:
    await stage.anna.sends_photos(PHOTOS[:3], **TOPIC)
    card = await stage.anna.hears("3 of 5")
    assert card.photos, "a contact sheet"
    await stage.anna.sends_photos(PHOTOS[3:5], **TOPIC)
    ready = await stage.anna.hears("is ready,")
    assert (ready.topic, ready.rings) == (77, {})


@pytest.mark.covers("telegram", "thread", "group")
async def test_a_notice_for_a_topic_that_is_gone_comes_to_its_group(stage: Stage) -> None:
    stage.card.proceed_event.clear()
    how = await asked_to_train(stage, **TOPIC)
    await stage.anna.sends_photos(PHOTOS[:5], chat=GROUP, to=how, **TOPIC)
    await until(lambda: any("Your LoraCode is" in each.versions[0] for each in stage.anna.sees_in(GROUP)))
    stage.server.refusals["sendMessage"] = [ApiRefusal("Bad Request: message thread not found")]
    stage.card.proceed_event.set()
    (ready,) = await until(lambda: [each for each in stage.anna.sees_in(GROUP) if "is ready," in each.text])
    assert ready.topic is None
    assert ready.rings


@pytest.mark.covers("telegram", "thread", "group")
async def test_an_apology_stands_in_the_topic_of_what_failed(stage: Stage) -> None:
    how = await asked_to_train(stage, **TOPIC)
    stage.server.refusals["getFile"] = [ApiRefusal("Too Many Requests: retry after 100", 429, 100)]
    await stage.anna.sends_photos(PHOTOS[:1], chat=GROUP, to=how, **TOPIC)
    (sorry,) = await until(
        lambda: [each for each in stage.anna.sees_in(GROUP) if each.text == translate("apology")]
    )
    assert sorry.topic == 77


@pytest.mark.covers("telegram", "thread", "group")
async def test_the_first_message_of_a_topic_is_answered_by_nobody(stage: Stage) -> None:
    how = await asked_to_train(stage, **TOPIC)
    opened = {
        **stage.anna.about(how),
        "message_id": 77,
        "forum_topic_created": {"name": "a", "icon_color": 1},
    }
    await stage.anna.says("how are you all", chat=GROUP, reply_to_message=opened, **TOPIC)
    await stage.anna.sends_photos(PHOTOS[:2], chat=GROUP, reply_to_message=opened, **TOPIC)
    await stage.anna.says("/queue", chat=GROUP, **TOPIC)
    await until(lambda: len(stage.anna.sees_in(GROUP)) == 2)
    assert "You have nothing" in stage.anna.sees_in(GROUP)[1].text


async def notice_in_the_group(stage: Stage) -> Shown:
    """Have Anna train there, and give what tells her that it is done."""
    how = await asked_to_train(stage)
    await stage.anna.sends_photos(PHOTOS[:5], chat=GROUP, to=how)
    (ready,) = await until(lambda: [each for each in stage.anna.sees_in(GROUP) if "is ready," in each.text])
    assert isinstance(ready, Shown)
    return ready


@pytest.mark.covers("telegram", "group")
async def test_a_notice_in_a_group_rings_its_person(stage: Stage) -> None:
    ready = await notice_in_the_group(stage)
    assert ready.rings == {stage.anna.id: f"Person {stage.anna.id}"}
    assert not ready.is_silent
    others = [each for each in stage.anna.sees_in(GROUP) if each.id != ready.id]
    assert not any(each.rings for each in others), "answers and cards ring nobody"


async def test_a_person_without_a_name_is_mentioned_all_the_same(stage: Stage) -> None:
    stage.server.refusals["getChatMember"] = [ApiRefusal("Bad Request: CHAT_ADMIN_REQUIRED")]
    ready = await notice_in_the_group(stage)
    assert ready.rings == {stage.anna.id: "For you"}


async def test_silent_notices_in_a_group_mention_nobody(stage: Stage) -> None:
    await stage.anna.says("/settings")
    (card,) = await until(lambda: stage.anna.sees)
    await stage.anna.presses(card, "Silent")
    assert (await notice_in_the_group(stage)).is_silent


@pytest.mark.covers("telegram", "group", "message deleted")
async def test_a_result_that_is_sent_anew_in_a_group_rings_its_person(stage: Stage) -> None:
    code = await trained(stage.anna)
    stage.card.proceed_event.clear()
    await stage.anna.says(f"/generate {code} a boat", chat=GROUP)
    (card,) = await until(lambda: stage.anna.sees_in(GROUP))
    stage.server.delete(card)
    stage.card.proceed_event.set()
    result = await stage.next_result(0, GROUP)
    assert result.rings == {stage.anna.id: f"Person {stage.anna.id}"}
    assert result.photos


async def test_a_private_chat_names_nobody(stage: Stage) -> None:
    await stage.anna.sends_photos(PHOTOS[:5])
    ready = await stage.anna.hears("is ready,")
    assert ready.rings == {}
    assert not any(each["method"] == "getChatMember" for each in stage.server.requests)
