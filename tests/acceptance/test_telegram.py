"""The whole story on Telegram: the real library over HTTP, with a fake card or the real worker."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from lo_bot_api_emulator import ApiRefusal

from bot.app.root import App, open_app
from bot.app.settings import Settings
from bot.chats.telegram import TelegramAdapter
from bot.core.errors import SettingsError
from bot.core.photos import PhotoRefusal
from bot.jobs.backends.fake import FakeBackend
from bot.jobs.backends.local import ProcessBackend
from bot.texts.photo_sets import photo_refusal
from tests.acceptance.telegram_server import TOKEN, TelegramServer, telegram_server, until
from tests.acceptance.telegram_stage import PHOTOS, Person, code_in, telegram_bot, trained, trains
from tests.support.photo_files import as_file, picture
from tests.support.skipped_time import SkippedTime

REAL_PHOTOS = Path(__file__).parents[3] / "shared" / "photos" / "dog3"
WORKER = [sys.executable, "-m", "gpu_worker", "--base-model", "tiny", "--train-steps", "6"]


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with telegram_server() as running:
        yield running


@pytest.fixture
def card() -> FakeBackend:
    return FakeBackend(picture=PHOTOS[0])


@pytest.fixture
async def app(server: TelegramServer, card: FakeBackend, tmp_path: Path) -> AsyncIterator[App]:
    async with telegram_bot(server, tmp_path, card) as running:
        yield running


@pytest.fixture
def anna(server: TelegramServer, app: App) -> Person:
    return Person(server, 7)


@pytest.fixture
def bert(server: TelegramServer, app: App) -> Person:
    return Person(server, 8)


@pytest.mark.covers("telegram", "album", "photo", "/generate")
async def test_an_album_of_five_becomes_a_code_and_a_prompt_a_picture(anna: Person) -> None:
    code = await trains(anna)
    await anna.says(f"/generate {code} on the moon")
    shown = await until(lambda: [each for each in anna.sees if each.photos])
    assert shown[0].photos == [PHOTOS[0]]
    assert "on the moon" in shown[0].text
    assert len(shown[0].versions) > 1, "the picture takes the place of the card that was there"


async def test_five_photos_one_by_one_count_like_an_album(anna: Person) -> None:
    for number, photo in enumerate(PHOTOS[:5], 1):
        await anna.sends_photos([photo], album=False)
        await anna.hears(f"{number} of 5" if number < 5 else "is ready,")
        if number < 5:
            await until(lambda: len(anna.sees) == 1)  # below each photo, and nowhere else


@pytest.mark.covers("telegram", "file")
async def test_photos_sent_as_files_count_too(anna: Person) -> None:
    for number, photo in enumerate(PHOTOS[:5], 1):
        await anna.sends_file(f"{number}.png", photo)
    await anna.hears("is ready,")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("me.avif", "image/avif"), ("me.avif", "application/octet-stream"), ("me", "")],
)
async def test_an_avif_as_a_file_is_a_photo_whatever_telegram_calls_it(
    anna: Person, name: str, kind: str
) -> None:
    await anna.sends_file(name, as_file(picture(), "AVIF"), kind=kind)
    await anna.hears("1 of 5")


@pytest.mark.covers("telegram", "/train")
async def test_four_photos_and_train_say_what_is_missing(anna: Person) -> None:
    await anna.sends_photos(PHOTOS[:4])
    await until(lambda: anna.sees)
    await anna.says("/train")
    await until(lambda: len(anna.sees) == 2)
    assert "4 of 5" in anna.sees[-1].text


@pytest.mark.covers("telegram", "[first5:*]")
async def test_a_sixth_photo_in_an_album_starts_nothing_until_the_person_has_chosen(anna: Person) -> None:
    await anna.sends_photos(PHOTOS)
    asked = await until(lambda: [each for each in anna.sees if each.buttons])
    assert not re.search(r"\d{4} \d{4}", asked[0].text)
    await anna.presses(asked[0], "Use the first five")
    await anna.hears("is ready,")


async def test_the_same_photo_five_times_is_taken_once(anna: Person) -> None:
    await anna.sends_photos(PHOTOS[:1] * 5)
    await until(lambda: anna.sees)
    assert anna.sees[0].text.count("Photo ") >= 4
    await anna.says("/train")
    await until(lambda: len(anna.sees) == 2)
    assert "1 of 5" in anna.sees[-1].text


async def test_a_text_file_called_jpg_is_one_clear_sentence(anna: Person) -> None:
    await anna.sends_file("holiday.jpg", b"dear diary")
    await until(lambda: anna.sees)
    assert len(anna.sees) == 1
    assert "Sorry, something went wrong" not in anna.sees[0].text


async def test_a_file_over_20_mb_is_refused_without_fetching_it(anna: Person, server: TelegramServer) -> None:
    server.refusals["getFile"] = [ApiRefusal("Bad Request: file is too big", 400)]
    await anna.sends_file("big.jpg", b"", size=21 * 2**20)
    await until(lambda: anna.sees)
    assert anna.sees[0].text.startswith(photo_refusal(PhotoRefusal.TOO_MANY_BYTES))
    assert server.refusals["getFile"], "the file was asked for"


async def test_a_photo_of_an_album_that_telegram_finds_too_big_leaves_the_others(
    anna: Person, server: TelegramServer
) -> None:
    server.refusals["getFile"] = [ApiRefusal("Bad Request: file is too big", 400)]
    await anna.sends_photos(PHOTOS[:3])
    await until(lambda: any("2 of 5" in each.text for each in anna.sees))
    assert any(photo_refusal(PhotoRefusal.TOO_MANY_BYTES) in each.text for each in anna.sees)
    assert not any("something went wrong" in each.text for each in anna.sees)


async def test_a_code_of_somebody_else_reads_like_no_code_at_all(anna: Person, bert: Person) -> None:
    code = await trained(anna)
    await bert.says(f"/generate {code} me")
    await until(lambda: len(bert.sees) == 1)
    await bert.says("/generate 00000001 me")
    await until(lambda: len(bert.sees) == 2)
    assert bert.sees[0].text == bert.sees[1].text


async def test_the_card_shows_what_a_training_drew_so_far_and_goes_on_showing_it(
    anna: Person, card: FakeBackend
) -> None:
    card.sample_png = PHOTOS[5]
    card.proceed_event.clear()
    await anna.sends_photos(PHOTOS[:5])
    shown = await until(lambda: [each for each in anna.sees if each.photos and "step" in each.text])
    strip = shown[0].photos
    assert shown[0].labels == [["Cancel"]]
    card.sample_png = None
    card.proceed_event.set()
    await until(lambda: "100 %" in shown[0].text)
    assert shown[0].photos == strip


@pytest.mark.covers("telegram", "[cancel:*]")
async def test_a_training_can_be_cancelled_by_its_button(anna: Person, card: FakeBackend) -> None:
    card.proceed_event.clear()
    await anna.sends_photos(PHOTOS[:5])
    shown = await until(lambda: [each for each in anna.sees if each.buttons])
    await until(lambda: card.requests)
    await anna.presses(shown[0], "Cancel")
    await anna.hears("Cancelled")
    await until(lambda: card.cancelled_jobs)


async def test_status_is_for_administrators(anna: Person) -> None:
    await anna.says("/status")
    await anna.says("/nonsense")
    await until(lambda: len(anna.sees) == 2)
    assert anna.sees[0].text == anna.sees[1].text


async def test_a_rate_limit_is_obeyed_and_the_notice_arrives(anna: Person, server: TelegramServer) -> None:
    await anna.sends_photos(PHOTOS[:4])
    await until(lambda: anna.sees)
    server.refusals["editMessageText"] = [ApiRefusal("Too Many Requests", 429, {"retry_after": 1})] * 3
    await anna.sends_photos(PHOTOS[4:5], album=False)
    await anna.hears("is ready,")


@pytest.mark.covers("telegram", "blocked")
async def test_a_person_who_blocked_the_bot_costs_nothing(
    anna: Person, bert: Person, server: TelegramServer, app: App, card: FakeBackend
) -> None:
    card.proceed_event.clear()
    await anna.sends_photos(PHOTOS[:5])
    await until(lambda: card.requests)
    server.refusals["sendMessage"] = [ApiRefusal("Forbidden: bot was blocked by the user", 403)]
    server.refusals["editMessageText"] = [ApiRefusal("Forbidden: bot was blocked by the user", 403)] * 9
    card.proceed_event.set()
    await until(lambda: not server.refusals["sendMessage"])
    server.refusals.clear()
    await trained(bert)
    assert (await app.database.monitoring.count_all()).pending_notices == 0


async def test_a_chat_that_is_gone_is_not_tried_again(
    anna: Person, server: TelegramServer, app: App, card: FakeBackend
) -> None:
    card.proceed_event.clear()
    await anna.sends_photos(PHOTOS[:5])
    await until(lambda: card.requests)
    gone = ApiRefusal("Bad Request: chat not found", 400)
    server.refusals = {"sendMessage": [gone], "editMessageText": [gone] * 9}
    card.proceed_event.set()
    await until(lambda: not server.refusals["sendMessage"])
    server.refusals.clear()
    await trained(Person(server, 8))
    assert (await app.database.monitoring.count_all()).pending_notices == 0


@pytest.mark.parametrize(
    "refusal",
    [
        ApiRefusal("Bad Gateway", 502),
        ApiRefusal("Too Many Requests: retry after 1", 429, {"retry_after": 1}),
    ],
    ids=lambda refusal: str(refusal.status),
)
async def test_photos_that_telegram_does_not_hand_over_at_once_are_asked_for_again(
    anna: Person, server: TelegramServer, refusal: ApiRefusal
) -> None:
    server.refusals["getFile"] = [refusal]
    await anna.sends_photos(PHOTOS[:4])
    await anna.sends_file("5.png", PHOTOS[4])
    await anna.hears("is ready,")
    assert not server.refusals["getFile"]


async def test_a_wrong_token_is_one_line_without_the_token(server: TelegramServer, tmp_path: Path) -> None:
    server.refusals["getMe"] = [ApiRefusal("Unauthorized", 401)]
    async with open_app(Settings(data_dir=tmp_path), FakeBackend()) as app:
        chat = TelegramAdapter(app.services, TOKEN, server.base_url)
        with pytest.raises(SettingsError, match="TELEGRAM_BOT_TOKEN was refused") as caught:
            await chat.run()
    assert "canary" not in str(caught.value)


async def test_a_bot_that_is_told_to_wait_at_its_start_waits(server: TelegramServer, tmp_path: Path) -> None:
    server.refusals["getMe"] = [ApiRefusal("Too Many Requests: retry after 1", 429, {"retry_after": 1})]
    time = SkippedTime()
    async with telegram_bot(server, tmp_path, FakeBackend(), time=time):
        bert = Person(server, 8)
        await bert.says("/help")
        await bert.hears("/generate")
    assert not server.refusals["getMe"]
    assert time.pauses_s == [1.0]


async def test_the_token_is_never_logged(
    anna: Person, server: TelegramServer, caplog: pytest.LogCaptureFixture
) -> None:
    # What libraries say is redacted on top: bot.core.logging.
    caplog.set_level(logging.DEBUG)
    for library in ("telegram", "aiohttp"):
        caplog.set_level(logging.DEBUG, library)  # another test may have silenced it
    server.refusals["sendMessage"] = [ApiRefusal("Bad Gateway", 502)] * 9
    await anna.sends_photos([b"broken"])
    await until(lambda: len(server.refusals["sendMessage"]) < 9)
    assert "telegram" in caplog.text
    assert "canary" not in caplog.text
    server.refusals["sendMessage"].clear()


async def test_set_queue_and_notices_outlive_a_restart(server: TelegramServer, tmp_path: Path) -> None:
    anna, bert = Person(server, 7), Person(server, 8)
    card = FakeBackend(picture=PHOTOS[0])
    card.proceed_event.clear()
    async with telegram_bot(server, tmp_path, card):
        await anna.sends_photos(PHOTOS[:3])
        await until(lambda: anna.sees)
        await bert.sends_photos(PHOTOS[:5])
        await until(lambda: card.requests)
    card.proceed_event.set()
    async with telegram_bot(server, tmp_path, card):
        await bert.hears("is ready,")
        await anna.sends_photos(PHOTOS[3:5])
        await anna.hears("is ready,")


async def test_a_real_worker_killed_in_the_middle_is_told_once_and_a_picture_arrives(
    server: TelegramServer, tmp_path: Path
) -> None:
    real_photos = sorted(REAL_PHOTOS.iterdir())[:5] if REAL_PHOTOS.is_dir() else []
    photos = [path.read_bytes() for path in real_photos] or PHOTOS[:5]
    anna, worker = Person(server, 7), ProcessBackend(WORKER)
    async with telegram_bot(server, tmp_path, worker) as app:
        await anna.sends_photos(photos)
        await until(lambda: worker.health() is not None and worker._attempts)
        pid = worker.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        code = code_in(await anna.hears("is ready,"))
        assert sum("interrupted" in each.text for each in anna.sees) == 1
        await anna.says(f"/generate {code} in a garden --seed 3")
        shown = await until(lambda: [each for each in anna.sees if "Again" in dict(each.buttons)])
        assert shown[0].photos[0].startswith(b"\x89PNG")
        while (await app.database.monitoring.count_all()).pending_notices:  # noted just after it was shown
            await asyncio.sleep(0.01)
