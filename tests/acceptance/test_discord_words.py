"""What people write and send in DMs on Discord besides photos, and what they write with photos."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import discord
import pytest

from bot.texts import translate
from gpu_worker.protocol import GenerateRequest
from tests.acceptance.discord_stage import PhotoFile, Stage, on_stage, photos


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


async def said(stage: Stage, text: str = "", files: list[PhotoFile] | None = None) -> list[str]:
    """Have Anna write a DM; return what the new messages of the bot say."""
    before = {each.id for each in stage.dms()}
    payloads = stage.env.backend.store_attachments(stage.anna_alone.dm_channel.id, files or [])
    await stage.anna_alone.send_dm(text, attachments=payloads)
    return [each.content for each in stage.dms() if each.id not in before]


def prompts(stage: Stage) -> list[str]:
    requests = [each for each in stage.backend.requests if isinstance(each, GenerateRequest)]
    return [each.prompt.rpartition(", ")[2] for each in requests]


async def test_a_greeting_welcomes_a_new_person_and_is_returned_to_others(stage: Stage) -> None:
    assert "8-digit LoraCode" in (await said(stage, "hi"))[0]
    await stage.trained()
    assert await said(stage, "Hello there!") == [translate("greeting")]
    assert await said(stage, "thanks") == [translate("you-are-welcome")]


@pytest.mark.covers("discord", "words")
async def test_a_command_written_in_a_dm_is_carried_out(stage: Stage) -> None:
    code = await stage.trained()
    assert "Drawing 1 picture" in (await said(stage, f"/generate code:{code} prompt:a boat"))[0]
    assert "Drawing 1 picture" in (await said(stage, f"`{code}` a boat"))[0]
    await stage.work()
    assert prompts(stage) == ["a boat", "a boat"]
    assert f"{code[:4]} {code[4:]}" in (await said(stage, "/codes"))[0]
    assert (await said(stage, "/export"))[0].endswith("/export code:40713386")
    assert await said(stage, "/imagine a boat") == [translate("unknown-command-near", near="/generate")]
    assert await said(stage, "is that enough?") == [translate("unknown-command")]


async def test_a_typed_yes_and_no_answer_the_question_that_is_open(stage: Stage) -> None:
    await stage.trained()
    await said(stage, "/forgetme")
    assert await said(stage, "nope") == [translate("answered-no")]
    assert await said(stage, "yes") == [translate("nothing-asked")]
    await said(stage, "/forgetme")
    assert "Receipt" in (await said(stage, "yes"))[0]


@pytest.mark.covers("discord", "words", "[draft:*:draw]")
async def test_talk_where_a_prompt_is_asked_for_is_asked_about_first(stage: Stage) -> None:
    await stage.trained()
    await stage.anna_alone.slash("generate")
    (asked,) = await said(stage, "thanks I will do that later")
    assert asked == translate("ask-to-draw", words="thanks I will do that later")
    await stage.work()
    assert prompts(stage) == []
    await stage.anna_alone.click(stage.dms()[-1], label=translate("draw-these"))
    await stage.work()
    assert prompts(stage) == ["thanks I will do that later"]


async def test_words_that_answer_a_picture_draw_it_with_them(stage: Stage) -> None:
    code = await stage.trained()
    await said(stage, f"/generate {code} a boat")
    await stage.work()
    result = stage.dms()[-1]
    backend, channel = stage.env.backend, stage.anna_alone.dm_channel
    reference = backend.normalize_message_reference(
        channel.id, {"channel_id": str(channel.id), "message_id": str(result.id)}
    )
    backend.create_message(channel.id, stage.anna.id, "a boat with a red sail", reference=reference)
    await stage.env.settle()
    await stage.work()
    assert prompts(stage) == ["a boat", "a boat with a red sail"]


@pytest.mark.parametrize(
    ("name", "kind", "key"),
    [("voice-message.ogg", "audio/ogg", "cannot-hear"), ("clip.mp4", "video/mp4", "cannot-watch")],
)
async def test_a_recording_and_a_video_are_told_what_is_wanted(
    stage: Stage, name: str, kind: str, key: str
) -> None:
    channel = stage.anna_alone.dm_channel
    payloads = stage.env.backend.store_attachments(channel.id, [(name, b"x" * 2000)])
    await stage.anna_alone.send_dm(attachments=[{**each, "content_type": kind} for each in payloads])
    assert stage.dms()[-1].content.startswith(translate(key))


async def test_a_prompt_with_a_photo_is_drawn_and_the_photo_is_told_not_to_be_taken(stage: Stage) -> None:
    code = await stage.trained()
    note, card = await said(stage, f"/generate {code} a boat", photos(1))
    assert note == translate("photo-with-prompt")
    assert "Drawing 1 picture" in card
    (answer,) = await said(stage, "/queue", photos(1))
    assert answer.startswith(translate("photo-with-command"))
    assert await stage.held() == 0
    (card,) = await said(stage, "me at the sea", photos(1))
    assert "1 of 5" in card
    assert card.endswith(translate("caption-not-read"))


async def test_a_forwarded_message_is_not_taken_for_an_answer(stage: Stage) -> None:
    result = await stage.drawn(prompt="a boat")
    assert isinstance(result, discord.Message)
    await stage.anna.forward(result, stage.anna_alone.dm_channel)
    await stage.work()
    assert prompts(stage) == ["a boat"]
