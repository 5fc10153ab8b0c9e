"""Photos of somebody from whom none are taken are not even fetched from the platform."""

from __future__ import annotations

from collections.abc import AsyncIterator, Set
from dataclasses import replace
from pathlib import Path

import pytest
from simcord.backend.cdn import CdnStore

from bot.core.accounts import AccessMode, Identity, Platform, Quota
from bot.jobs.backends.fake import FakeBackend
from bot.services.context import PhotoDecoder, ServiceContext
from tests.acceptance import discord_stage, telegram_stage
from tests.acceptance.discord_stage import photos, text_of
from tests.acceptance.telegram_person import Person
from tests.acceptance.telegram_server import TelegramServer, telegram_server, until
from tests.acceptance.telegram_stage import PHOTOS, telegram_bot
from tests.support.use_cases import Studio

#: Somebody who has not agreed to what photos must be.
STRANGER = 71


class NotingCdn(CdnStore):  # type: ignore[misc]
    """Discord's file server, which notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def get(self, url: str) -> bytes | None:
        self.fetched.append(url)
        blob: bytes | None = super().get(url)
        return blob


def by_invitation(context: ServiceContext, decoder: PhotoDecoder, admins: Set[Identity]) -> Studio:
    return Studio(
        replace(context, rules=replace(context.rules, access=AccessMode.INVITATION)), decoder, admins
    )


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[discord_stage.Stage]:
    async with discord_stage.on_stage(tmp_path) as each:
        each.env.backend.cdn = NotingCdn()
        await each.restart()  # Bert is an administrator from then on
        yield each


async def send_everywhere(stage: discord_stage.Stage) -> list[str]:
    """Send photos in a DM and with a command; return what is answered."""
    await stage.album(photos(2))
    options = {"photo1": photos(1, 3)[0], "photo2": photos(1, 4)[0]}
    answer = await stage.anna.slash(stage.channel, "train", **options)
    return [stage.dms()[-1].content, text_of(answer)]


async def command(stage: discord_stage.Stage, name: str, person: str) -> None:
    await stage.bert.slash(stage.channel, name, person=person)


async def test_photos_on_discord_are_fetched_once_where_they_are_taken(stage: discord_stage.Stage) -> None:
    await send_everywhere(stage)
    assert len(stage.env.backend.cdn.fetched) == 4
    assert await stage.held() == 4


async def test_photos_on_discord_of_somebody_banned_are_not_fetched(stage: discord_stage.Stage) -> None:
    await command(stage, "ban", f"discord:{stage.anna.id}")
    answers = await send_everywhere(stage)
    assert stage.env.backend.cdn.fetched == []
    assert all("banned" in each for each in answers), answers


async def test_photos_on_discord_beyond_the_quota_are_not_fetched(stage: discord_stage.Stage) -> None:
    await stage.trained()
    await command(stage, "quota", f"discord:{stage.anna.id} 1 5")
    answers = await send_everywhere(stage)
    assert stage.env.backend.cdn.fetched == []
    assert all("a day" in each for each in answers), answers


async def test_photos_on_discord_of_whom_nobody_let_in_are_not_fetched(tmp_path: Path) -> None:
    async with discord_stage.on_stage(tmp_path, new_studio=by_invitation) as stage:
        stage.env.backend.cdn = NotingCdn()
        answers = await send_everywhere(stage)
        assert stage.env.backend.cdn.fetched == []
        assert all("invitation" in each for each in answers), answers


async def test_photos_on_discord_before_consent_are_not_fetched(stage: discord_stage.Stage) -> None:
    carla = stage.env.create_user("carla")
    payloads = stage.env.backend.store_attachments(carla.dm_channel.id, photos(2))
    await carla.send_dm(attachments=payloads)
    assert stage.env.backend.cdn.fetched == []
    assert "I have not kept any" in carla.dm_channel.history()[-1].content


async def send_all_kinds(person: Person) -> None:
    """Send an album, a single photo and a file, and wait for the answers."""
    await person.sends_photos(PHOTOS[:2])
    await person.sends_photos(PHOTOS[2:3], album=False)
    await person.sends_file("4.png", PHOTOS[3])


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with telegram_server() as each:
        yield each


async def test_photos_on_telegram_are_fetched_once_where_they_are_taken(
    server: TelegramServer, tmp_path: Path
) -> None:
    anna = Person(server, 7)
    async with telegram_bot(server, tmp_path, FakeBackend()):
        await send_all_kinds(anna)
        await until(lambda: len(server.fetched) == 4)
        await anna.hears("4 of 5")
    assert len(server.fetched) == 4


async def test_photos_on_telegram_of_somebody_banned_are_not_fetched(
    server: TelegramServer, tmp_path: Path
) -> None:
    anna, admin = Person(server, 7), Person(server, telegram_stage.ADMIN)
    async with telegram_bot(server, tmp_path, FakeBackend()):
        await admin.says("/ban telegram:7")
        await admin.hears("Banned")
        await send_all_kinds(anna)
        await until(lambda: len(anna.sees) == 3)
        assert server.fetched == []
        assert all("banned" in each.text for each in anna.sees)


async def test_photos_on_telegram_beyond_the_quota_are_not_fetched(
    server: TelegramServer, tmp_path: Path
) -> None:
    anna = Person(server, 7)
    async with telegram_bot(server, tmp_path, FakeBackend()) as app:
        await telegram_stage.trained(anna)
        account = await app.database.accounts.get_or_create(Identity(Platform.TELEGRAM, "7"))
        await app.database.access.set_quota(account, Quota(1, 5))
        await send_all_kinds(anna)
        await until(lambda: len(anna.sees) == 3)
        assert server.fetched == []
        assert all("a day" in each.text for each in anna.sees)


async def test_photos_on_telegram_before_consent_are_not_fetched(
    server: TelegramServer, tmp_path: Path
) -> None:
    stranger = Person(server, STRANGER)
    async with telegram_bot(server, tmp_path, FakeBackend()):
        await send_all_kinds(stranger)
        await until(lambda: len(stranger.sees) == 3)
        assert server.fetched == []
        assert all("I have not kept any" in each.text for each in stranger.sees)
