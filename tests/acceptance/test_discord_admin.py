"""On Discord: what an administrator sees and does, and that it is hidden from others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.core.jobs import JobStatus
from bot.texts import translate
from bot.texts.admin.commands import ADMIN_COMMANDS, NO_REPORTS, PAUSED, RESUMED, WHICH_PERSON
from tests.acceptance.discord_stage import Stage, labels, on_stage, photos, said, shown, text_of


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        await each.restart()  # Bert is an administrator from then on
        yield each


async def does(stage: Stage, command: str, **options: str) -> str:
    """Bert, who runs the bot, gives a command in the channel; gives what he alone reads."""
    answer = await stage.bert.slash(stage.channel, command, **options)
    assert answer.ephemeral
    return text_of(answer)


@pytest.mark.covers("discord", "/status")
async def test_status_is_one_answer_with_text_and_a_picture(stage: Stage) -> None:
    answer = await stage.bert.slash(stage.channel, "status")
    assert answer.ephemeral
    assert "Waiting: 0 train, 0 generate" in text_of(answer)
    assert len(shown(answer).attachments) == 1
    assert not stage.public()


async def test_discord_hides_administrators_commands_from_others(stage: Stage) -> None:
    assert not set(ADMIN_COMMANDS) & set(stage.anna.available_commands(stage.channel))
    assert set(ADMIN_COMMANDS) < set(stage.bert.available_commands(stage.channel))


async def test_a_server_administrator_gets_no_command_of_the_bots_administrators(
    stage: Stage,
) -> None:
    carla = stage.channel.guild.add_member(stage.env.create_user("carla"), roles=[stage.office])
    for command in ADMIN_COMMANDS:
        assert text_of(await carla.slash(stage.channel, command)) == translate("unknown-command")


async def test_administrator_writes_commands_in_a_dm_and_nobody_else_can(stage: Stage) -> None:
    await stage.bert_alone.send_dm("/status")
    await stage.bert_alone.send_dm("/pause")
    told = [each for each in stage.bert_alone.dm_channel.history() if each.author.id != stage.bert.id]
    assert "Waiting: 0 train" in told[0].content
    assert len(told[0].attachments) == 1
    assert told[1].content == PAUSED
    await stage.anna_alone.send_dm("/resume")
    await stage.form(photos(5))
    await stage.work()
    assert not stage.backend.requests, "it is still paused"


@pytest.mark.covers("discord", "/pause", "/resume", "restart")
async def test_trainings_wait_while_paused_also_after_a_restart(stage: Stage) -> None:
    assert await does(stage, "pause") == PAUSED
    await stage.form(photos(5))
    await stage.restart()
    await stage.work()
    assert not stage.backend.requests
    assert "Paused" in await does(stage, "status")
    assert await does(stage, "resume") == RESUMED
    await stage.work()
    assert "is ready," in stage.dms()[-1].content


@pytest.mark.covers("discord", "/ban", "/ban person", "/unban", "/unban person", "[cancel:*]")
async def test_a_banned_person_s_jobs_stop_and_nothing_answers_them_until_they_may_come_back(
    stage: Stage,
) -> None:
    await stage.form(photos(5))
    (card,) = stage.dms()
    person = f"discord:{stage.anna.id}"
    assert await does(stage, "ban", person=person) == f"Banned: {person}; 1 job of theirs stopped."
    assert (await stage.training()).status is JobStatus.CANCELLED
    assert text_of(await stage.anna.slash(stage.channel, "codes")) == translate("banned")
    assert said(await stage.anna_alone.click(card, label="Cancel")) == translate("banned")
    assert text_of(await stage.anna.slash(stage.channel, "train")) == translate("banned")
    assert await does(stage, "unban", person=person) == f"No longer banned: {person}."
    assert (await stage.anna.slash(stage.channel, "train")).modal is not None
    assert await does(stage, "ban", person="anna") == WHICH_PERSON


@pytest.mark.covers("discord", "/quota", "/quota person")
async def test_quota_is_shown_and_changed(stage: Stage) -> None:
    code = await stage.trained()
    told = await does(stage, "quota", person=f"discord:{stage.anna.id} 1 2")
    assert "Trainings a day: 1, 1 used\nPictures an hour: 2, 0 used" in told
    assert "1 training a day" in text_of(await stage.form(photos(5, first=6)))
    assert "2 pictures an hour" in text_of(await stage.draw(code, count=3))


@pytest.mark.covers("discord", "/takedown", "/takedown code", "/logs")
async def test_a_takedown_leaves_nothing_its_owner_is_told_and_it_is_in_the_audit(stage: Stage) -> None:
    code = await stage.trained()
    await stage.drawn(code)
    assert "is deleted, with 2 jobs and" in await does(stage, "takedown", code=f"{code[:4]} {code[4:]}")
    assert await stage.bot.ledger.loras.get_by_code(code) is None
    assert list((stage.folder / "loras").iterdir()) == []
    await stage.tell()
    assert "has deleted your LoraCode" in stage.dms()[-1].content
    assert f"discord:{stage.bert.id} /takedown {code[:4]} {code[4:]}" in await does(stage, "logs")


@pytest.mark.covers("discord", "/broadcast", "/broadcast text", "rate limit")
async def test_a_broadcast_obeys_a_rate_limit_and_comes_once(stage: Stage) -> None:
    await stage.anna.slash(stage.channel, "codes")
    assert "I am sending that to 2 people" in await does(stage, "broadcast", text="We are closed")
    stage.refuse("POST", "/channels/*/messages", 429)
    await stage.tell()
    stage.clock.forward(minutes=2)
    await stage.tell()
    await stage.tell()
    assert [each.content for each in stage.dms()] == ["We are closed"]


@pytest.mark.covers("discord", "/broadcast", "DMs closed")
async def test_a_broadcast_passes_over_closed_dms(stage: Stage) -> None:
    stage.close_dms()
    assert "I am sending that to 2 people" in await does(stage, "broadcast", text="We are closed")
    assert await stage.bot.ledger.outbox.count_undelivered() == 2
    await stage.tell()
    assert [each.content for each in stage.bert_alone.dm_channel.history()] == ["We are closed"]
    assert stage.dms() == []
    assert stage.public() == [], "a letter to one is no announcement to a channel"
    assert await stage.bot.ledger.outbox.count_undelivered() == 0


@pytest.mark.covers("discord", "/invite", "/drain", "/reports")
async def test_words_that_let_in_reports_and_the_end(stage: Stage) -> None:
    assert "It works once, for 7 days" in await does(stage, "invite")
    assert await does(stage, "reports") == NO_REPORTS
    assert "I will finish 0 running jobs, then stop" in await does(stage, "drain")
    assert "/drain" in await does(stage, "logs")
    await stage.form(photos(5))
    assert labels(stage.dms()[-1]) == ["Cancel"], "what comes now is kept for the next start"
