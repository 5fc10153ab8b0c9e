"""Messages and how they may change on Telegram: what the notifier relies on."""

from __future__ import annotations

import io
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from lo_bot_api_emulator import ApiRefusal
from PIL import Image

from bot.chats.telegram import RateLimit, RateLimits
from bot.core.accounts import ChatAddress, Platform
from bot.core.errors import ChatBusy, ChatUnreachable
from bot.core.jobs import JobId
from bot.core.messages import Button, Reply
from bot.texts import translate
from tests.acceptance.telegram_server import Shown, until
from tests.acceptance.telegram_stage import PHOTOS, Stage, on_stage

HERE = ChatAddress(Platform.TELEGRAM, "7", "7")
JOB = JobId(1)
WAIT_7 = ApiRefusal("Too Many Requests: retry after 7", 429, {"retry_after": 7})
WAIT_1 = ApiRefusal("Too Many Requests: retry after 1", 429, {"retry_after": 1})


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path / "data") as each:
        yield each


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Path, ...]:
    paths = tuple(tmp_path / f"{number}.png" for number in range(4))
    for path, data in zip(paths, PHOTOS, strict=False):
        path.write_bytes(data)
    return paths


async def sent(stage: Stage, reply: Reply) -> Shown:
    return stage.server.shown[int((await stage.chat.send(HERE, reply, nonce="n")).split(",")[0])]


async def edited(stage: Stage, message: Shown, reply: Reply) -> None:
    await stage.chat.edit(HERE, str(message.id), reply)


async def test_a_card_may_turn_from_text_to_picture_to_picture_to_text(
    stage: Stage, pictures: tuple[Path, ...]
) -> None:
    cancel = (Button("Cancel", "cancel:1"),)
    card = await sent(stage, Reply("in line", cancel, card_job_id=JOB))
    await edited(stage, card, Reply("half", cancel, pictures[:1], card_job_id=JOB))
    assert (card.text, card.photos) == ("half", PHOTOS[:1])
    await edited(stage, card, Reply("more", cancel, pictures[1:2], card_job_id=JOB))
    assert (card.text, card.photos) == ("more", PHOTOS[1:2])
    await edited(stage, card, Reply("in line again", cancel, card_job_id=JOB))
    assert (card.text, card.photos, card.labels) == ("in line again", PHOTOS[1:2], [["Cancel"]])
    await edited(stage, card, Reply("Cancelled."))
    assert (card.text, card.labels) == ("Cancelled.", [])
    (blank,) = card.photos
    assert len(Image.open(io.BytesIO(blank)).getcolors() or ()) == 1


async def test_pictures_under_a_spoiler_are_covered_each_of_them_and_others_are_not(
    stage: Stage, pictures: tuple[Path, ...]
) -> None:
    for is_spoiler in (True, False):
        before = set(stage.server.shown)
        message = await sent(stage, Reply("here", pictures=pictures, is_spoiler=is_spoiler))
        new = [each for number, each in stage.server.shown.items() if number not in before]
        assert [len(each.photos) for each in new] == [1, 3]
        assert [each.is_covered for each in new] == [is_spoiler, is_spoiler]
        await edited(stage, message, Reply("other", pictures=pictures[:1], is_spoiler=not is_spoiler))
        assert message.is_covered is not is_spoiler


@pytest.mark.parametrize("has_picture", [False, True])
async def test_an_edit_that_changes_nothing_is_quiet(
    stage: Stage, pictures: tuple[Path, ...], has_picture: bool
) -> None:
    card = await sent(stage, Reply("a card", pictures=pictures[:1] if has_picture else (), card_job_id=JOB))
    await edited(stage, card, Reply("a card", card_job_id=JOB))
    assert card.versions == ["a card"]


@pytest.mark.parametrize("method", ["editMessageText", "editMessageCaption", "editMessageMedia"])
async def test_a_rate_limit_of_an_edit_names_the_seconds_to_wait(
    stage: Stage, pictures: tuple[Path, ...], method: str
) -> None:
    card = await sent(stage, Reply("a card", pictures=() if method.endswith("Text") else pictures[:1]))
    stage.server.refusals[method] = [WAIT_7]
    shown = pictures[1:2] if method.endswith("Media") else ()
    with pytest.raises(ChatBusy) as busy:
        await edited(stage, card, Reply("changed", pictures=shown, card_job_id=JOB))
    assert busy.value.retry_after_s == 7
    assert card.text == "a card"


async def test_a_message_that_is_gone_cannot_be_edited(stage: Stage, pictures: tuple[Path, ...]) -> None:
    gone = Shown(999_999, 7)
    for reply in (Reply("text"), Reply("picture", pictures=pictures[:1])):
        with pytest.raises(ChatUnreachable, match="not found"):
            await edited(stage, gone, reply)


async def test_messages_owed_to_a_group_follow_it_to_its_supergroup(
    stage: Stage, pictures: tuple[Path, ...]
) -> None:
    moved = ApiRefusal(
        "Bad Request: group chat was upgraded to a supergroup chat", 400, {"migrate_to_chat_id": -1005}
    )
    place = ChatAddress(Platform.TELEGRAM, "-500", "7")
    stage.server.refusals = {"sendPhoto": [moved], "editMessageText": [moved]}
    with pytest.raises(ChatUnreachable):  # its messages have other numbers now
        await stage.chat.edit(place, "1", Reply("a result"))
    result = await stage.chat.send(place, Reply("a result", pictures=pictures), nonce="n")
    shown = stage.anna.sees_in(-1005)
    assert [each.photos for each in shown] == [PHOTOS[:1], PHOTOS[1:4]]
    assert shown[0].rings
    await stage.chat.edit(place, result, Reply("deleted"))
    assert (shown[0].text, len(stage.server.deleted)) == ("deleted", 3)


async def test_an_album_that_is_put_off_is_sent_once_beside_its_first_picture(
    stage: Stage, pictures: tuple[Path, ...]
) -> None:
    stage.server.refusals["sendMediaGroup"] = [WAIT_1]
    await sent(stage, Reply("four", pictures=pictures))
    first, album = stage.anna.sees
    assert (first.text, first.photos) == ("four", PHOTOS[:1])
    assert (album.photos, album.answers) == (PHOTOS[1:4], first.id)


async def test_an_album_that_is_put_off_has_the_edit_repeated(
    stage: Stage, pictures: tuple[Path, ...]
) -> None:
    card = await sent(stage, Reply("a card", card_job_id=JOB))
    stage.server.refusals["sendMediaGroup"] = [WAIT_1]
    with pytest.raises(ChatBusy):
        await edited(stage, card, Reply("four", pictures=pictures))
    await edited(stage, card, Reply("four", pictures=pictures))
    assert [each.photos for each in stage.anna.sees] == [PHOTOS[:1], PHOTOS[1:4]]


async def test_deleted_pictures_are_not_shown(stage: Stage, pictures: tuple[Path, ...]) -> None:
    card = await sent(stage, Reply("a card", card_job_id=JOB))
    pictures[3].unlink()
    with pytest.raises(FileNotFoundError):
        await sent(stage, Reply("four", pictures=pictures))
    with pytest.raises(FileNotFoundError):
        await edited(stage, card, Reply("four", pictures=pictures))
    assert (stage.anna.sees, card.versions) == ([card], ["a card"])


async def test_an_album_that_is_refused_leaves_what_was_shown_before_it(
    stage: Stage, pictures: tuple[Path, ...]
) -> None:
    refused = ApiRefusal("Bad Request: IMAGE_PROCESS_FAILED")
    stage.server.refusals["sendMediaGroup"] = [refused, refused]
    first = await sent(stage, Reply("four", pictures=pictures))
    card = await sent(stage, Reply("a card", card_job_id=JOB))
    await edited(stage, card, Reply("four more", pictures=pictures))
    assert stage.anna.sees == [first, card]
    assert (first.text, card.text) == ("four", "four more")


async def test_messages_beyond_telegram_s_limit_wait_and_progress_cards_first(
    tmp_path: Path,
) -> None:
    plenty, two_an_hour = RateLimit(10**6, 1.0, 10**6), RateLimit(2, 3600.0, 1)
    async with on_stage(tmp_path / "data", limits=RateLimits(plenty, two_an_hour, plenty)) as stage:
        message = await sent(stage, Reply("one"))
        with pytest.raises(ChatBusy):
            await edited(stage, message, Reply("a card", card_job_id=JOB))
        await edited(stage, message, Reply("two"))
        with pytest.raises(ChatBusy) as busy:
            await sent(stage, Reply("three"))
    assert busy.value.retry_after_s > 3000
    assert (message.versions, len(stage.anna.sees)) == (["one", "two"], 1)


async def test_a_chat_with_a_429_is_left_in_peace_and_no_other(stage: Stage) -> None:
    stage.server.refusals["sendMessage"] = [WAIT_7]
    with pytest.raises(ChatBusy):
        await sent(stage, Reply("one"))
    with pytest.raises(ChatBusy, match="enough"):
        await sent(stage, Reply("two"))
    await stage.bert.says("/help")
    await until(lambda: stage.bert.sees)
    assert not stage.anna.sees


@pytest.mark.covers("telegram", "/help", "rate limit")
async def test_a_direct_answer_waits_as_long_as_it_is_told(stage: Stage) -> None:
    stage.server.refusals["sendMessage"] = [WAIT_1]
    await stage.anna.says("/help")
    await until(lambda: stage.anna.sees)
    assert not stage.server.refusals["sendMessage"]
    assert "/generate" in stage.anna.sees[0].text


async def test_a_direct_answer_survives_that_telegram_does_not_know_us_for_a_moment(stage: Stage) -> None:
    stage.server.refusals["sendMessage"] = [ApiRefusal("Unauthorized", 401)]
    await stage.anna.says("/help")
    await stage.anna.hears("/generate")


async def test_a_picture_too_large_for_a_photo_goes_as_jpeg_and_says_so(stage: Stage, tmp_path: Path) -> None:
    noise = Image.frombytes("RGB", (1900, 1900), random.Random(1).randbytes(1900 * 1900 * 3))
    large = tmp_path / "large.png"
    noise.save(large)
    assert large.stat().st_size > 10_000_000
    first = await sent(stage, Reply("a result", pictures=(large,)))
    assert first.text == f"a result\n{translate('smaller-copy')}"
    assert Image.open(io.BytesIO(first.photos[0])).format == "JPEG"
    await edited(stage, first, Reply("two", pictures=(large, large)))
    second = stage.anna.sees[-1]
    assert second.text == translate("smaller-copy")
    assert Image.open(io.BytesIO(second.photos[0])).size == noise.size


async def test_texts_of_emoji_fit_as_telegram_counts_them(stage: Stage, pictures: tuple[Path, ...]) -> None:
    many = "😀" * 600
    split = await sent(stage, Reply(many, pictures=pictures[:1]))
    assert (split.text, split.photos) == (many, [])
    assert stage.anna.sees[-1].photos == PHOTOS[:1]
    caption = await sent(stage, Reply("a card", pictures=pictures[:1], card_job_id=JOB))
    await edited(stage, caption, Reply(many, card_job_id=JOB))
    assert caption.text == "😀" * 511 + "…"
    text = await sent(stage, Reply("😀" * 3000))
    assert text.text == "😀" * 2047 + "…"


async def test_buttons_of_one_row_share_it_and_those_without_have_their_own(stage: Stage) -> None:
    rows = (None, None, 0, 0, 1, None)
    buttons = tuple(Button(f"{number}", f"a:{number}", row) for number, row in enumerate(rows))
    message = await sent(stage, Reply("buttons", buttons))
    assert message.labels == [["0"], ["1"], ["2", "3"], ["4"], ["5"]]


async def test_pictures_that_followed_go_with_what_they_belong_to(
    stage: Stage, pictures: tuple[Path, ...]
) -> None:
    card = await stage.chat.send(HERE, Reply("drawing", card_job_id=JOB), nonce="n")
    four = await stage.chat.edit(HERE, card, Reply("four", pictures=pictures))
    first, *others = four.split(",")
    assert (first, len(others)) == (card, 3)
    stage.server.refusals["deleteMessage"] = [
        ApiRefusal("Bad Request: message can't be deleted for everyone")
    ]
    stage.server.shown[int(others[-1])] = old = Shown(int(others[-1]), 7, photos=PHOTOS[3:4])
    assert await stage.chat.edit(HERE, four, Reply("deleted")) == card
    assert stage.server.deleted == [int(others[1]), int(others[0])]
    assert old.photos[0] not in PHOTOS, "after two days it can be covered alone"
