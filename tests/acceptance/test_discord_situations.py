"""What may happen meanwhile on Discord: edits, forwards, doors that close, forms that wait."""

from __future__ import annotations

from collections.abc import AsyncIterator, Set
from pathlib import Path

import discord
import pytest
from simcord.builders import UserHandle

from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.jobs import JobStatus
from bot.core.loras import format_code
from bot.services.context import PhotoDecoder, ServiceContext
from bot.services.photo_sets import SetCard, SetCards
from bot.texts import translate
from gpu_worker.protocol import GenerateRequest
from tests.acceptance.discord_stage import PhotoFile, Stage, labels, on_stage, photos, said, shown, text_of
from tests.acceptance.uses import note
from tests.support.use_cases import Studio

SIXTEEN_MINUTES_S = 16 * 60


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


async def dm(stage: Stage, text: str) -> discord.Message:
    """Anna writes to the bot."""
    message: discord.Message = await stage.anna_alone.send_dm(text)
    return message


@pytest.mark.covers("discord", "forwarded", "photo")
async def test_forwarded_photos_join_the_set_like_others(stage: Stage) -> None:
    message = await stage.bert.send(stage.channel, "look", attachments=photos(3))
    await stage.anna.forward(message, stage.anna_alone.dm_channel)
    assert await stage.held() == 3
    await stage.album(photos(2, first=4))
    assert format_code(await stage.code()) in stage.dms()[-1].content


async def test_the_menu_takes_the_photos_of_a_message_that_was_forwarded(stage: Stage) -> None:
    message = await stage.bert.send(stage.channel, "look", attachments=photos(5))
    forwarded = await stage.bert.forward(message, stage.channel)
    answer = await stage.anna.context_menu(stage.channel, "Train on these photos", forwarded)
    assert format_code(await stage.code()) in text_of(answer)


@pytest.mark.covers("discord", "edited", "words")
async def test_words_that_are_edited_afterwards_change_nothing_that_was_asked_for(stage: Stage) -> None:
    await stage.trained()
    await stage.anna_alone.slash("generate")
    words = await dm(stage, "a boat")
    before = len(stage.dms())
    stage.env.backend.edit_message(words.channel.id, words.id, {"content": "a ship"})
    await stage.env.settle()
    await stage.work()
    assert stage.request().prompt.endswith("a boat")
    assert [each.content for each in stage.dms()[before:]] == [translate("edited-too-late")]


@pytest.mark.covers("discord", "edited", "words")
async def test_a_refused_command_is_carried_out_once_when_it_is_edited(stage: Stage) -> None:
    code = await stage.trained()
    words = await dm(stage, f"/generate {code} a boat --seed many")
    assert "--seed takes a number" in stage.dms()[-1].content
    for seed in (7, 8):
        stage.env.backend.edit_message(
            words.channel.id, words.id, {"content": f"/generate {code} a boat --seed {seed}"}
        )
        await stage.env.settle()
    await stage.work()
    assert [each.seed for each in stage.backend.requests if isinstance(each, GenerateRequest)] == [7]
    assert stage.dms()[-1].content == translate("edited-too-late")


@pytest.mark.covers("discord", "more than five", "[first5:*]")
async def test_ten_photos_in_one_message_ask_which_five_are_meant(stage: Stage) -> None:
    await stage.album(photos(10))
    [card] = stage.dms()
    assert "10" in card.content
    assert "Use the first five" in labels(card)
    await stage.work()
    assert stage.backend.requests == []
    await stage.anna_alone.click(card, label="Use the first five")
    assert format_code(await stage.code()) in stage.dms()[-1].content


async def arrive_at_once(stage: Stage, *sent: tuple[UserHandle, list[PhotoFile]]) -> None:
    """Let messages with photos come to the bot before it has done anything about the first."""
    note(Platform.DISCORD, "two sets at once")
    backend = stage.env.backend
    for person, files in sent:
        channel = person.dm_channel.id
        backend.create_message(channel, person.id, attachments=backend.store_attachments(channel, files))
    await stage.env.settle()


@pytest.mark.covers("discord", "two sets at once")
async def test_two_messages_of_photos_at_once_are_one_set_shown_by_one_message(stage: Stage) -> None:
    await arrive_at_once(stage, (stage.anna_alone, photos(2)), (stage.anna_alone, photos(2, first=3)))
    assert await stage.held() == 4
    [card] = stage.dms()
    assert "4 of 5" in card.content


@pytest.mark.covers("discord", "two sets at once")
async def test_two_people_s_sets_at_once_stay_theirs(stage: Stage) -> None:
    await arrive_at_once(stage, (stage.anna_alone, photos(5)), (stage.bert_alone, photos(4, first=6)))
    await stage.work()
    (request,) = stage.backend.requests
    assert request.job_id == (await stage.training()).id
    berts = Identity(Platform.DISCORD, str(stage.bert.id))
    assert (
        await stage.bot.ledger.photo_sets.count_collected(
            await stage.bot.ledger.accounts.get_or_create(berts)
        )
        == 4
    )


async def test_a_refused_photo_is_answered_below_it_each_time_and_stays_answered(stage: Stage) -> None:
    for _ in range(3):
        await stage.album(photos(1))
    await stage.album(photos(1, first=2))
    assert [each.content.partition("\n")[0] for each in stage.dms()] == [
        translate("same-photo"),
        translate("same-photo"),
        "You have 2 of 5; send 3 more.",
    ]


async def test_a_refused_photo_of_a_message_that_starts_a_training_stays_answered(stage: Stage) -> None:
    await stage.album([*photos(5), *photos(1)])
    await stage.work()
    assert stage.dms()[0].content == f"Photo 6: {translate('same-photo')}"


@pytest.mark.covers("discord", "message deleted")
async def test_a_set_whose_message_was_deleted_is_shown_by_another(stage: Stage) -> None:
    await stage.album(photos(2))
    [card] = stage.dms()
    stage.delete(card)
    await stage.album(photos(1, first=3))
    [card] = stage.dms()
    assert "3 of 5" in card.content


@pytest.mark.covers("discord", "blocked")
async def test_a_person_who_blocked_the_bot_holds_up_nobody(stage: Stage) -> None:
    await stage.album(photos(5))
    stage.close_dms()  # Discord says the same of a block
    await stage.work()
    assert (await stage.training()).status is JobStatus.DONE
    assert await stage.bot.ledger.outbox.count_undelivered() == 0, "it is not tried for ever"
    asked = len(stage.asked("POST", "/messages"))
    stage.clock.forward(minutes=10)
    await stage.tell()
    assert len(stage.asked("POST", "/messages")) == asked
    code = await stage.code()
    listed = await stage.anna.slash(stage.channel, "codes")
    assert format_code(code) in text_of(listed), "what was made is there"


async def test_a_form_that_comes_back_when_the_first_interaction_is_long_over_counts(stage: Stage) -> None:
    opened = await stage.anna.slash(stage.channel, "train")
    await stage.env.advance_time(SIXTEEN_MINUTES_S)
    answer = await stage.anna.submit_modal(opened, {"photos": photos(5)})
    assert format_code(await stage.code()) in text_of(answer)


@pytest.mark.covers("discord", "expired press", "form")
async def test_a_form_that_cannot_be_acknowledged_takes_nothing_and_may_be_sent_again(stage: Stage) -> None:
    opened = await stage.anna.slash(stage.channel, "train")
    stage.refuse("POST", "/interactions/*/callback", 404, 10062)
    await stage.anna.submit_modal(opened, {"photos": photos(5)})
    assert await stage.held() == 0
    await stage.form(photos(5))
    await stage.code()


@pytest.mark.covers("discord", "pressed twice", "[first5:*]")
async def test_a_button_of_a_set_pressed_twice_is_done_once(stage: Stage) -> None:
    six = shown(await stage.form(photos(6)))
    for _ in range(2):
        pressed = await stage.anna.click(six, label="Use the first five")
    assert said(pressed).startswith("You have no photos waiting.")
    await stage.work()
    assert len(stage.backend.requests) == 1


async def test_cancel_pressed_twice_says_that_it_is_over(stage: Stage) -> None:
    await stage.form(photos(5))
    [card] = stage.dms()
    first, second = [await stage.anna_alone.click(card, label="Cancel") for _ in range(2)]
    assert "will not be trained" in said(first)
    assert said(second) == translate("already-ended")


class SlowCards(SetCards):
    """Lets a card of a set be on its way while the set may become complete."""

    async def read(self, identity: Identity, address: ChatAddress) -> SetCard:
        database = self._context.database
        account = await database.accounts.get_or_create(identity)
        for _ in range(1000):
            if await database.jobs.list_open_for_account(account):
                break
        return await super().read(identity, address)


def with_a_slow_card(tools: ServiceContext, gate: PhotoDecoder, admins: Set[Identity]) -> Studio:
    studio = Studio(tools, gate, admins)
    studio.services.photo_sets.cards = SlowCards(tools)
    return studio


@pytest.mark.covers("discord", "two sets at once")
async def test_a_set_that_becomes_complete_while_its_card_is_on_its_way_leaves_no_card_behind(
    tmp_path: Path,
) -> None:
    async with on_stage(tmp_path, new_studio=with_a_slow_card) as stage:
        await arrive_at_once(stage, (stage.anna_alone, photos(4)), (stage.anna_alone, photos(1, first=5)))
        code = format_code(await stage.code())
        [card, training] = stage.dms()
        assert (code in card.content, labels(card)) == (True, [])
        assert (code in training.content, labels(training)) == (True, ["Cancel"])
