"""What people write and send on Telegram besides commands and photos, and what they write under photos."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.core.accounts import Identity, Platform
from bot.texts import translate
from tests.acceptance.telegram_person import GROUP, Person
from tests.acceptance.telegram_server import Shown, until
from tests.acceptance.telegram_stage import PHOTOS, Stage, on_stage, trained, trains


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


async def said(stage: Stage, text: str, **more: Any) -> Shown:
    """Have Anna write something; return the new message that answers it."""
    seen = len(stage.anna.sees)
    await stage.anna.says(text, **more)
    answers = await until(lambda: stage.anna.sees[seen:])
    assert isinstance(answers[0], Shown)
    return answers[0]


async def keeps_photos(stage: Stage) -> None:
    card = await said(stage, "/settings")
    await stage.anna.presses(card, translate("settings-keep-button", days=7))


async def test_a_greeting_welcomes_a_new_person_and_is_returned_to_others(stage: Stage) -> None:
    assert translate("like-these") in (await said(stage, "Hello!")).text
    await trained(stage.anna)
    assert (await said(stage, "ciao")).text == translate("greeting")
    assert (await said(stage, "thank you 🙏")).text == translate("you-are-welcome")


@pytest.mark.covers("telegram", "words")
async def test_a_typed_yes_and_no_answer_the_question_that_is_open(stage: Stage) -> None:
    carla = Person(stage.server, 9)
    await carla.says("/start")
    await carla.hears("Please confirm")
    await carla.says("I agree")
    await carla.hears("Thank you. Send me five photos")
    result = await stage.result()
    await stage.anna.presses(result, "Delete")
    await stage.anna.hears("for good?")
    assert (await said(stage, "No!")).text == translate("answered-no")
    assert (await said(stage, "yes")).text == translate("nothing-asked")
    await stage.anna.presses(result, "Delete")
    await until(lambda: [each.text for each in stage.anna.sees if "for good?" in each.text][1:])
    await stage.anna.says("Yes, please")
    await until(lambda: "deleted" in result.text)


@pytest.mark.covers("telegram", "words", "[draft:*:draw]")
async def test_talk_where_a_prompt_is_asked_for_is_asked_about_first(stage: Stage) -> None:
    await trained(stage.anna)
    await said(stage, "/generate")
    asked = await said(stage, "wait, how long does that take?")
    assert asked.text == translate("ask-to-draw", words="wait, how long does that take?")
    assert not stage.drawings
    await said(stage, "no")
    assert "a boat" not in (await said(stage, "a boat")).text, "the draft is gone"
    await said(stage, "/generate")
    await said(stage, "haha look at this one")
    await stage.anna.presses(await stage.anna.hears("“haha"), translate("draw-these"))
    await until(lambda: stage.drawings)
    assert stage.drawings[0].prompt.endswith("haha look at this one")


async def test_talk_about_a_picture_is_asked_about_before_it_is_drawn(stage: Stage) -> None:
    result = await stage.result()
    await stage.anna.says("thanks, I like it", to=result)
    asked = await stage.anna.hears("Shall I draw these words?")
    assert len(stage.drawings) == 1
    await stage.anna.presses(asked, translate("draw-these"))
    await until(lambda: len(stage.drawings) == 2)
    assert stage.drawings[1].prompt.endswith("thanks, I like it")


async def test_the_bot_s_own_name_is_no_word_of_a_prompt(stage: Stage) -> None:
    code = await trained(stage.anna)
    await stage.anna.says(f"/generate {code} @loracode_bot a boat")
    await until(lambda: stage.drawings)
    assert stage.drawings[0].prompt.endswith(", a boat")


async def test_a_yes_after_something_else_was_asked_for_deletes_nothing(stage: Stage) -> None:
    result = await stage.result()
    await stage.anna.presses(result, "Delete")
    await stage.anna.hears("for good?")
    await said(stage, "/queue")
    assert (await said(stage, "yes")).text == translate("nothing-asked")
    assert result.photos


async def test_a_yes_in_a_group_is_no_answer_to_a_private_question(stage: Stage) -> None:
    result = await stage.result()
    await stage.anna.says("/help", chat=GROUP)
    (shown,) = await until(lambda: stage.anna.sees_in(GROUP))
    await stage.anna.presses(result, "Delete")
    await stage.anna.hears("for good?")
    await stage.anna.says("yes", chat=GROUP, to=shown)
    await until(lambda: stage.anna.sees_in(GROUP)[1:])
    assert result.photos


@pytest.mark.parametrize("number_of_pictures", [1, 3])
async def test_words_that_answer_a_picture_draw_it_with_them(stage: Stage, number_of_pictures: int) -> None:
    result = await stage.result(f"--n {number_of_pictures} --steps 9")
    answered = result if number_of_pictures == 1 else stage.anna.sees[-1]
    await until(lambda: len(answered.photos) or answered is not result)
    await stage.anna.says("a boat with a red sail", to=answered)
    drawings = await until(lambda: stage.drawings[1:])
    assert (drawings[0].prompt.rpartition(", ")[2], drawings[0].steps) == ("a boat with a red sail", 9)
    await stage.next_result()
    await stage.anna.says("/help")
    await stage.anna.says("which one is that", to=await stage.anna.hears("/forgetme"))
    await stage.anna.hears(translate("unknown-command"))


@pytest.mark.covers("telegram", "group")
async def test_words_in_a_group_about_a_picture_are_not_drawn(stage: Stage) -> None:
    result = await stage.result(chat=GROUP)
    seen = len(stage.anna.sees_in(GROUP))
    await stage.anna.says("haha look at this one", chat=GROUP, to=result)
    await said(stage, "hello")
    assert (len(stage.anna.sees_in(GROUP)), len(stage.drawings)) == (seen, 1)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"voice": {"duration": 3}}, "cannot-hear"),
        ({"audio": {"duration": 3}}, "cannot-hear"),
        ({"video": {"duration": 3, "width": 640, "height": 480}}, "cannot-watch"),
        ({"video_note": {"duration": 3, "length": 240}}, "cannot-watch"),
        ({"document": {"file_name": "clip.mov", "mime_type": "video/quicktime"}}, "cannot-watch"),
        (
            {
                "sticker": {
                    "type": "regular",
                    "width": 9,
                    "height": 9,
                    "is_animated": False,
                    "is_video": False,
                }
            },
            "cannot-use",
        ),
        ({"dice": {"emoji": "🎲", "value": 3}}, "cannot-use"),
        ({"contact": {"phone_number": "1", "first_name": "B"}}, "cannot-use"),
    ],
)
async def test_a_message_without_photo_or_words_is_answered_with_what_to_send(
    stage: Stage, content: dict[str, dict[str, Any]], key: str
) -> None:
    (kind, fields), file = next(iter(content.items())), stage.anna._file(b"x" * 2000)
    await stage.anna._message({kind: {**file, **fields}})
    await stage.anna.hears(translate(key))


async def test_a_video_in_an_album_is_told_by_its_number_and_the_photos_count(stage: Stage) -> None:
    await stage.anna.sends_photos(PHOTOS[:4], album="a")
    video = {**stage.anna._file(b"x"), "duration": 3, "width": 640, "height": 480}
    await stage.anna._message({"video": video, "media_group_id": "a"})
    await stage.anna.hears("4 of 5")
    assert stage.anna.sees[0].text == f"Photo 5: {translate('cannot-watch')}"


@pytest.mark.parametrize("kind", ["code", "pre", "bold"])
async def test_a_formatted_command_is_a_command(stage: Stage, kind: str) -> None:
    entities = [{"type": kind, "offset": 0, "length": 5}]
    assert "/forgetme" in (await said(stage, "/help", entities=entities)).text


async def test_a_command_is_read_however_it_is_typed(stage: Stage) -> None:
    code = await trained(stage.anna)
    texts = (
        f"/generate{code} a boat",
        f"/GENERA\n{code}\na boat",
        f"\uff0fgenerate {code} a boat",
        f"{code} a boat",
    )
    for number, text in enumerate(texts):
        await stage.anna.says(text)
        await stage.next_result(number)
    assert {each.prompt.rpartition(", ")[2] for each in stage.drawings} == {"a boat"}
    assert (await said(stage, "/generte")).text == translate("unknown-command-near", near="/generate")


@pytest.mark.covers("telegram", "caption", "photo")
async def test_a_prompt_under_a_photo_is_drawn_and_the_photo_is_told_not_to_be_taken(stage: Stage) -> None:
    code = await trained(stage.anna)
    for number, caption in enumerate((f"/generate {code} a boat", f"{code} a boat")):
        await stage.anna.sends_photos(PHOTOS[:1], album=False, caption=caption)
        result = await stage.next_result(number)
        assert stage.anna.sees[-2].text == translate("photo-with-prompt")
        assert "a boat" in result.text
    await stage.anna.sends_photos(PHOTOS[:2], caption="/queue")
    await stage.anna.hears(translate("photo-with-command"))
    assert "You have nothing" in stage.anna.sees[-1].text
    account = await stage.app.database.accounts.get_or_create(Identity(Platform.TELEGRAM, "7"))
    assert await stage.app.database.photo_sets.count_collected(account) == 0


@pytest.mark.covers("telegram", "caption", "photo", "file")
async def test_a_photo_whose_command_wants_one_is_taken(stage: Stage) -> None:
    await keeps_photos(stage)
    code = await trains(stage.anna)
    await stage.anna.sends_photos(PHOTOS[5:], album=False, caption=f"/replace {code} 2")
    await stage.anna.hears("has trained for")
    await stage.anna.sends_file("1.png", PHOTOS[0], caption="/train")
    card = await stage.anna.hears("1 of 5")
    assert translate("caption-not-read") not in card.text


@pytest.mark.covers("telegram", "caption", "photo", "forwarded")
async def test_words_under_a_photo_are_told_not_to_be_read(stage: Stage) -> None:
    await stage.anna.sends_photos(PHOTOS[:1], album=False, caption="me at the sea")
    card = await stage.anna.hears("1 of 5")
    assert card.text.endswith(translate("caption-not-read"))
    forwarded = {"forward_origin": {"type": "hidden_user", "date": 1, "sender_user_name": "Carla"}}
    await stage.anna.sends_photos(PHOTOS[1:2], album=False, caption="my cat", **forwarded)
    card = await stage.anna.hears("2 of 5")
    assert translate("caption-not-read") not in card.text, "they are somebody else's"
    await stage.anna.sends_photos(PHOTOS[2:5], caption="five of me")
    await stage.anna.hears("Your LoraCode is")
    assert [each for each in stage.anna.sees if each.text == translate("caption-not-read")]
