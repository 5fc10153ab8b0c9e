"""Whatever happens meanwhile, on Discord a result arrives, once."""

from __future__ import annotations

import io
import random
from collections.abc import AsyncIterator
from pathlib import Path

import discord
import pytest
from PIL import ExifTags, Image, PngImagePlugin
from simcord.builders import ChannelHandle

from bot.chats.discord import DiscordAdapter
from bot.chats.discord.attachments import MAX_FILE_BYTES
from bot.core.accounts import ChatAddress, Platform
from bot.core.errors import ChatBusy, ChatUnreachable
from bot.core.jobs import JobStatus
from bot.core.loras import format_code
from bot.core.messages import Button, Reply
from tests.acceptance.discord_stage import Stage, labels, on_stage, photos, said, text_of

TWENTY_MINUTES_S = 20 * 60


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


def here(stage: Stage) -> ChatAddress:
    return ChatAddress(Platform.DISCORD, str(stage.channel.id), str(stage.anna.id))


def alone(stage: Stage) -> ChatAddress:
    return ChatAddress(Platform.DISCORD, "dm", str(stage.anna.id))


async def test_a_result_arrives_long_after_its_interaction_ended(stage: Stage) -> None:
    await stage.form(photos(5))
    await stage.env.advance_time(TWENTY_MINUTES_S)
    await stage.work()
    assert "is ready," in stage.dms()[-1].content

    await stage.draw(await stage.code())
    await stage.env.advance_time(TWENTY_MINUTES_S)
    before = len(stage.env.http_requests)
    await stage.work()
    assert len(stage.public()[0].attachments) == 1
    assert not any("/webhooks/" in each.path for each in stage.env.http_requests[before:])


async def test_an_answer_that_comes_too_late_for_its_interaction_goes_by_dm(stage: Stage) -> None:
    stage.refuse("POST", "/webhooks/*", 401, 50027)
    await stage.anna.slash(stage.channel, "codes")
    (answer,) = stage.dms()
    assert "no LoraCode yet" in answer.content


@pytest.mark.covers("discord", "[first5:*]", "[cancel:*]", "restart")
async def test_buttons_of_an_earlier_run_still_work(stage: Stage) -> None:
    six = await stage.form(photos(6))
    assert six.response is not None
    await stage.restart()
    pressed = await stage.anna.click(six.response.message, label="Use the first five")
    assert format_code(await stage.code()) in said(pressed)
    (card,) = stage.dms()
    await stage.restart()
    await stage.anna_alone.click(card, label="Cancel")
    assert (await stage.training()).status is JobStatus.CANCELLED


async def test_a_card_of_an_earlier_run_is_found_again(stage: Stage) -> None:
    code = await stage.trained()
    await stage.draw(code)
    await stage.restart()
    await stage.work()
    (card,) = stage.public()
    assert len(card.attachments) == 1


async def test_commands_are_told_to_discord_once(stage: Stage) -> None:
    await stage.restart()
    assert len(stage.asked("PUT", "/commands")) == 1
    (stage.folder / "discord-commands.sha256").write_text("something older")
    await stage.restart()
    assert len(stage.asked("PUT", "/commands")) == 2


async def test_a_start_survives_that_discord_does_not_take_the_commands(stage: Stage) -> None:
    mark = stage.folder / "discord-commands.sha256"
    mark.unlink()
    stage.refuse("PUT", "*/commands", 500)
    await stage.restart()
    assert not mark.exists(), "they must be sent again next time"
    assert format_code(await stage.trains()) in stage.dms()[-1].content


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_refused_notice_is_tried_again_and_delivered_once(stage: Stage, status: int) -> None:
    await stage.form(photos(5))
    await stage.bot.dispatcher.drain()
    stage.refuse("POST", "/channels/*/messages", status)
    await stage.tell()
    assert len(stage.dms()) == 1, "only the card"
    await stage.tell()
    assert len(stage.dms()) == 1, "not before its time"
    for _ in range(2):
        stage.clock.forward(minutes=1)
        await stage.tell()
    notices = [each for each in stage.dms() if "is ready," in each.content]
    assert len(notices) == 1
    nonces = [
        each["nonce"] for each in stage.asked("POST", "/messages") if "is ready," in str(each["content"])
    ]
    assert len(nonces) == 2
    assert len(set(nonces)) == 1, "the same message, so that Discord would not show it twice"
    assert all(each.get("enforce_nonce") for each in stage.asked("POST", "/messages"))


@pytest.mark.parametrize("status", [429, 502])
async def test_a_refused_picture_is_tried_again_on_the_same_card(stage: Stage, status: int) -> None:
    code = await stage.trained()
    await stage.draw(code)
    await stage.bot.dispatcher.drain()
    stage.refuse("PATCH", f"/channels/{stage.channel.id}/messages/*", status)
    await stage.tell()
    assert stage.public()[0].attachments == []
    stage.clock.forward(minutes=1)
    await stage.tell()
    (card,) = stage.public()
    assert len(card.attachments) == 1


@pytest.mark.covers("discord", "message deleted")
async def test_a_picture_comes_anew_when_its_card_was_deleted(stage: Stage) -> None:
    code = await stage.trained()
    await stage.draw(code)
    stage.delete(stage.public()[0])
    await stage.work()
    (picture,) = stage.public()
    assert len(picture.attachments) == 1
    assert picture.content.startswith(stage.anna.mention)


async def test_a_channel_without_files_ends_its_card_and_pictures_come_by_dm(stage: Stage) -> None:
    await stage.draw(await stage.trained())
    before = len(stage.dms())
    stage.refuse("PATCH", f"/channels/{stage.channel.id}/messages/*", 403, 50013)
    await stage.work()
    (card,) = stage.public()
    assert (card.attachments, labels(card)) == ([], ["Again", "Finer", "Edit prompt", "Recipe", "Delete"])
    assert "I am not allowed to send pictures in this chat, so I send them to you" in card.content
    (result,) = stage.dms()[before:]
    assert len(result.attachments) == 1
    pressed = await stage.anna_alone.click(result, label="Delete")
    await stage.anna_alone.click(pressed.followups[0].message, label="Delete")
    await stage.tell()
    assert [each.content.partition(": ")[2] for each in (*stage.public(), stage.dms()[before])] == [
        "deleted"
    ] * 2


async def test_a_card_whose_words_a_rule_of_the_server_blocks_ends_without_them(stage: Stage) -> None:
    await stage.draw(await stage.trained())
    stage.refuse("PATCH", f"/channels/{stage.channel.id}/messages/*", 400, 200000, times=2)
    stage.refuse("POST", f"/channels/{stage.channel.id}/messages", 400, 200000)
    await stage.work()
    (card,) = stage.public()
    assert "I write to you in our private chat" in card.content
    assert len(stage.dms()[-1].attachments) == 1


async def archived_thread(stage: Stage) -> ChannelHandle:
    """A thread in the channel in which Anna has pictures drawn, and which is archived meanwhile."""
    code, backend = await stage.trained(), stage.env.backend
    backend.create_thread(stage.channel.id, "pictures", stage.bert.id)
    (thread,) = stage.channel.threads
    await stage.anna.slash(thread, "generate", code=code, prompt="a boat")
    backend.edit_channel(thread.id, {}, thread_metadata={"archived": True})
    stage.refuse("PATCH", f"/channels/{thread.id}/messages/*", 400, 50083)
    return thread


async def test_an_archived_thread_is_opened_for_the_picture_that_comes_into_its_card(stage: Stage) -> None:
    thread = await archived_thread(stage)
    await stage.work()
    (card,) = [each for each in thread.history() if not each.flags.ephemeral]
    assert len(card.attachments) == 1
    assert stage.asked("PATCH", f"/channels/{thread.id}") == [{"archived": False}]


async def test_a_picture_goes_elsewhere_when_its_thread_may_not_be_opened(stage: Stage) -> None:
    thread = await archived_thread(stage)
    stage.refuse("PATCH", f"/channels/{thread.id}", 403, 50013)
    stage.refuse("POST", f"/channels/{thread.id}/messages", 403, 50013)
    await stage.work()
    assert len(stage.dms()[-1].attachments) == 1


@pytest.mark.parametrize("code", [50007, 50033])
async def test_an_invalid_recipient_on_discord_is_unreachable(stage: Stage, code: int) -> None:
    stage.refuse("POST", "/users/@me/channels", 400, code)
    with pytest.raises(ChatUnreachable, match=str(code)):
        await stage.bot.chat.send(alone(stage), Reply("hello"), nonce="n")


async def test_a_person_without_any_open_chat_is_unreachable(stage: Stage) -> None:
    stage.close_dms()
    with pytest.raises(ChatUnreachable, match="50007"):
        await stage.bot.chat.send(alone(stage), Reply("hello"), nonce="n")
    with pytest.raises(ChatUnreachable):
        await stage.bot.chat.edit(here(stage), f"{stage.channel.id}/1", Reply("hello"))


@pytest.mark.parametrize(("status", "code", "at_least_s"), [(403, 40003, 30), (429, 0, 1), (503, 0, 1)])
async def test_a_busy_platform_is_not_given_up(
    stage: Stage, status: int, code: int, at_least_s: float
) -> None:
    stage.refuse("POST", "/users/@me/channels", status, code)
    with pytest.raises(ChatBusy) as busy:
        await stage.bot.chat.send(alone(stage), Reply("hello"), nonce="n")
    assert busy.value.retry_after_s >= at_least_s


async def test_nothing_is_sent_before_discord_is_connected(stage: Stage) -> None:
    chat = DiscordAdapter("a token", stage.bot.studio.services)
    with pytest.raises(ChatBusy):
        await chat.send(alone(stage), Reply("hello"), nonce="n")


async def test_an_edit_takes_pictures_and_buttons_away_again(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"picture")
    chat, place = stage.bot.chat, alone(stage)
    message_id = await chat.send(place, Reply("one", (Button("B", "codes"),), (path,)), nonce="n")
    for _ in range(2):
        await chat.edit(place, message_id, Reply("two"))
    (message,) = stage.dms()
    assert (message.content, message.attachments, message.components) == ("two", [], [])


def noise(path: Path, side_px: int, settings: str = "") -> Path:
    """A picture that no format makes much smaller."""
    picture = Image.frombytes("RGB", (side_px, side_px), random.Random(1).randbytes(3 * side_px**2))
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", settings)
    picture.save(path, pnginfo=info, compress_level=0)
    return path


async def test_a_picture_over_10_mib_goes_as_jpeg_with_its_settings_and_says_so(
    stage: Stage, tmp_path: Path
) -> None:
    path = noise(tmp_path / "7-1.png", 1900, "a boat\nSteps: 25, Seed: 7")
    await stage.bot.chat.send(alone(stage), Reply("here", pictures=(path,)), nonce="n")
    (message,) = stage.dms()
    (picture,) = message.attachments
    assert picture.filename == "7-1.jpg"
    assert picture.size <= discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES
    assert "JPEG" in message.content
    with Image.open(io.BytesIO(await picture.read())) as image:
        assert image.size == (1900, 1900)
        comment = image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
    assert comment == b"UNICODE\0" + "a boat\nSteps: 25, Seed: 7".encode("utf-16-be")


async def test_pictures_that_are_too_large_together_become_smaller_copies(
    stage: Stage, tmp_path: Path
) -> None:
    paths = tuple(noise(tmp_path / f"7-{number}.png", 1500) for number in range(1, 5))
    assert all(path.stat().st_size < MAX_FILE_BYTES for path in paths)
    message_id = await stage.bot.chat.send(alone(stage), Reply("x" * 3000, pictures=paths), nonce="n")
    await stage.bot.chat.edit(alone(stage), message_id, Reply("y" * 3000, pictures=paths))
    (message,) = stage.dms()
    assert [picture.filename for picture in message.attachments] == [f"7-{n}.jpg" for n in range(1, 5)]
    assert sum(picture.size for picture in message.attachments) < 25_000_000
    assert len(message.content) <= 2000
    assert "JPEG" in message.content, "a long text leaves room for it"


async def test_a_text_that_is_too_long_is_cut_and_sent(stage: Stage) -> None:
    await stage.bot.chat.send(here(stage), Reply("*" * 3000), nonce="n")
    (message,) = stage.public()
    assert len(message.content) == 2000


async def test_an_unexpected_error_is_logged_and_apologised_for(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.bot.ledger.close()
    answer = await stage.anna.slash(stage.channel, "codes")
    assert "Sorry" in text_of(answer)
    assert "Traceback" in caplog.text


async def test_neither_prompts_nor_the_token_are_logged(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    for library in ("discord", "simcord", "aiohttp", "asyncio"):
        # What libraries say is redacted on top: bot.core.logging.
        caplog.set_level("INFO", library)
    caplog.set_level("DEBUG")  # last: it is the level of what is caught, too
    code = await stage.trained()
    stage.refuse("POST", "/channels/*/messages", 500)
    await stage.draw(code, "a canary in a coal mine")
    await stage.work()
    assert "canary in a coal mine" in stage.request().prompt
    assert any(each.name.startswith("bot.") for each in caplog.records), "there was something to log"
    assert "canary" not in caplog.text
    assert "a token" not in caplog.text + repr(stage.bot.chat) + repr(stage.bot.chat.client)


async def test_the_bot_does_not_talk_to_itself(stage: Stage) -> None:
    await stage.anna_alone.send_dm("hello?")
    (own,) = stage.dms()
    stage.env.bot.dispatch("message", own)
    await stage.env.settle()
    assert len(stage.dms()) == 1


async def test_pictures_under_a_spoiler_are_covered_and_others_are_not(stage: Stage, tmp_path: Path) -> None:
    paths = (noise(tmp_path / "7-1.png", 64), noise(tmp_path / "7-2.png", 64))
    covered = Reply("here", pictures=paths, is_spoiler=True)
    message_id = await stage.bot.chat.send(alone(stage), covered, nonce="n")
    assert [each.is_spoiler() for each in stage.dms()[-1].attachments] == [True, True]
    await stage.bot.chat.edit(alone(stage), message_id, Reply("here", pictures=paths))
    assert [each.is_spoiler() for each in stage.dms()[-1].attachments] == [False, False]
