"""Messages on Telegram that are special: forwarded, edited, with captions, albums of ten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from lo_bot_api_emulator import ApiRefusal

import drawn
from bot.core.accounts import Identity, Platform
from bot.jobs.backends.fake import FakeBackend
from bot.media.quality import PhotoMeasurements
from bot.texts import translate
from tests.acceptance.telegram_person import Person
from tests.acceptance.telegram_server import telegram_server, until
from tests.acceptance.telegram_stage import PEOPLE, PHOTOS, Stage, on_stage, telegram_bot, trained

WAIT_1 = ApiRefusal("Too Many Requests: retry after 1", 429, {"retry_after": 1})
FORWARDED = {"forward_origin": {"type": "hidden_user", "date": 1, "sender_user_name": "Carla"}}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


@pytest.mark.covers("telegram", "album of ten", "[first5:*]")
async def test_the_first_five_of_an_album_of_ten_can_be_trained_on(stage: Stage) -> None:
    await stage.anna.sends_photos(drawn.sample_photos(11, count=10, side_px=256))
    card = await stage.anna.hears("You have 10 photos")
    assert not stage.card.requests
    await stage.anna.presses(card, "Use the first five")
    await stage.anna.hears("is ready,")
    assert len(stage.card.requests[0].photos) == 5


async def test_photos_of_an_album_are_fetched_while_it_is_not_known_whether_more_come(tmp_path: Path) -> None:
    no_more_came = asyncio.Event()

    async def pause() -> None:
        await no_more_came.wait()

    async with (
        telegram_server() as server,
        telegram_bot(server, tmp_path, FakeBackend(), album_pause=pause),
    ):
        anna = Person(server, PEOPLE[0])
        await anna.sends_photos(PHOTOS[:3])
        await until(lambda: len(server.fetched) == 3)
        assert not anna.sees
        no_more_came.set()
        await anna.hears("3 of 5")
        assert len(server.fetched) == 3, "none is fetched again"


async def test_a_refused_photo_is_answered_below_it_each_time_and_stays_answered(stage: Stage) -> None:
    small = drawn.sample_photos(3, count=1, side_px=100)[0]
    await stage.anna.sends_photos(PHOTOS[:1], album=False)
    await stage.anna.hears("1 of 5")
    for refusals in (1, 2):
        await stage.anna.sends_photos([small], album=False)
        await until(
            lambda refusals=refusals: (
                ["too small" in each.text for each in stage.anna.sees] == [*[True] * refusals, False]
            )
        )
        assert "1 of 5" in stage.anna.sees[-1].text
    await stage.anna.sends_photos(PHOTOS[1:2], album=False)
    card = await stage.anna.hears("2 of 5")
    await until(lambda: len(stage.anna.sees) == 3)
    assert stage.anna.sees[-1] == card
    assert all("too small" in each.text and not each.buttons for each in stage.anna.sees[:2])


async def test_a_refused_photo_of_an_album_that_starts_a_training_stays_answered(stage: Stage) -> None:
    await stage.anna.sends_photos([*PHOTOS[:3], PHOTOS[0], *PHOTOS[3:5]])
    await stage.anna.hears("is ready,")
    (refused,) = [each for each in stage.anna.sees if translate("same-photo") in each.text]
    assert refused.text.startswith("Photo 4: ")
    assert len(refused.versions) == 1


@pytest.mark.covers("telegram", "forwarded", "photo", "album")
async def test_forwarded_photos_count_like_any_others(stage: Stage) -> None:
    await stage.anna.sends_photos(PHOTOS[:3], **FORWARDED)
    await stage.anna.hears("3 of 5")
    for photo in PHOTOS[3:5]:
        await stage.anna.sends_photos([photo], album=False, **FORWARDED)
    await stage.anna.hears("is ready,")


@pytest.mark.covers("telegram", "edited", "caption")
async def test_an_edited_message_is_not_carried_out_again_and_says_so(stage: Stage) -> None:
    code = await trained(stage.anna)
    await stage.anna.says(f"/generate {code} a boat")
    await stage.next_result(0)
    await stage.brings(stage.anna.edits({"text": f"/generate {code} a plane"}))
    await stage.anna.hears(translate("edited-too-late"))
    await stage.anna.sends_photos(PHOTOS[:1], album=False, caption="me")
    await stage.anna.hears("1 of 5")
    await stage.brings(stage.anna.edits({"caption": "/forgetme"}))
    await until(lambda: [each.text for each in stage.anna.sees].count(translate("edited-too-late")) == 2)
    assert len(stage.drawings) == 1


@pytest.mark.covers("telegram", "edited")
async def test_a_refused_message_is_carried_out_once_when_it_is_edited(stage: Stage) -> None:
    code = await trained(stage.anna)
    await stage.anna.says(f"/generate {code} a boat --seed many")
    await stage.anna.hears("--seed takes a number")
    for seed in (7, 8):
        await stage.brings(stage.anna.edits({"text": f"/generate {code} a boat --seed {seed}"}, seed))
    await stage.anna.hears(translate("edited-too-late"))
    await stage.next_result(0)
    assert [each.seed for each in stage.drawings] == [7]


async def test_albums_that_have_one_number_in_two_chats_are_two_albums(stage: Stage) -> None:
    for photo, more in zip(PHOTOS[:2], PHOTOS[2:4], strict=True):
        await stage.anna.sends_photos([photo], album="12345")
        await stage.bert.sends_photos([more], album="12345")
    for person in (stage.anna, stage.bert):
        await person.hears("2 of 5")


async def test_photos_that_come_faster_than_they_are_shown_end_as_a_set_that_is_complete(
    stage: Stage,
) -> None:
    stage.server.refusals["sendPhoto"] = [WAIT_1]
    for photo in PHOTOS[:5]:
        await stage.anna.sends_photos([photo], album=False)
    await stage.anna.hears("is ready,")
    await stage.stop()
    assert not [each.text for each in stage.anna.sees if "of 5" in each.text]
    assert len(stage.anna.sees) == 3, "the set, its training, and that it is ready"


async def test_a_set_that_is_shown_while_the_last_photo_is_looked_at_is_ended_too(tmp_path: Path) -> None:
    eye = DrowsyAnalyzer()
    async with on_stage(tmp_path, eye=eye) as stage:
        stage.server.refusals["sendPhoto"] = [WAIT_1]
        await stage.anna.sends_photos(PHOTOS[:4])
        await until(lambda: len(eye.photos) == 4)
        await stage.anna.sends_photos(PHOTOS[4:5], album=False)
        await until(lambda: len(eye.photos) == 5)
        card = await stage.anna.hears("4 of 5")
        account = await stage.app.database.accounts.get_or_create(
            Identity(Platform.TELEGRAM, str(stage.anna.id))
        )
        while (
            await stage.app.database.photo_sets.get_set(account)
        ).card_message_id is None:  # noted after it was shown
            await asyncio.sleep(0.005)
        eye.is_awake.set()
        await until(lambda: "That is all five" in card.text)


class DrowsyAnalyzer:
    """Sees nothing in particular, and the fifth photo not before it is awake."""

    def __init__(self) -> None:
        self.is_awake = asyncio.Event()
        self.photos = list[bytes]()

    async def analyze(self, photo: bytes) -> PhotoMeasurements | None:
        if photo not in self.photos:
            self.photos.append(photo)
        if self.photos.index(photo) == 4:
            await self.is_awake.wait()
        return None

    async def close(self) -> None:
        """Hold nothing."""
