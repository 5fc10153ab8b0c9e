"""The coach looks at photos while they arrive; a set of five with a bad one waits for its person."""

from __future__ import annotations

import asyncio
import hashlib
import weakref
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from bot.app.factories import is_coach_enabled
from bot.app.settings import Settings
from bot.core.accounts import ChatAddress, Platform
from bot.core.jobs import JobKind
from bot.core.messages import Reply, Upload
from bot.core.photos import StoredPhoto
from bot.jobs.requests import RequestBuilder
from bot.jobs.styles import load_styles
from bot.media.quality import PhotoCoach, PhotoMeasurements
from gpu_worker.protocol import TrainRequest, WorkerHealth
from tests.acceptance.telegram_server import until
from tests.support.color_analyzer import NOBODY, SOFT, SOMEBODY_ELSE, TWO_PEOPLE, ColourAnalyzer, painted
from tests.support.photo_measurements import sight
from tests.support.services import ADMIN, ANNA, Desk, InProcessDecoder, album, open_desk, tools
from tests.support.use_cases import Studio

ALONE = ChatAddress(Platform.TELEGRAM, "1", "1")


@pytest.fixture
def eye() -> ColourAnalyzer:
    return ColourAnalyzer()


@pytest.fixture
async def desk(tmp_path: Path, eye: ColourAnalyzer) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        with_coach = replace(tools(desk.ledger, desk.queue, desk.files, desk.clock), coach=PhotoCoach(eye))
        desk.studio = Studio(with_coach, InProcessDecoder(), {ADMIN})
        yield desk


async def send(desk: Desk, *uploads: Upload) -> Reply:
    return await desk.studio.add_photos(ANNA, ALONE, uploads)


async def press(desk: Desk, reply: Reply, label: str) -> Reply:
    (action,) = [button.action for button in reply.buttons if button.label == label]
    return await desk.studio.handle_button(ANNA, ALONE, action)


def labels(reply: Reply) -> list[str]:
    return [button.label for button in reply.buttons]


async def test_a_photo_is_judged_on_arrival_and_the_card_says_how(desk: Desk) -> None:
    assert "people" not in (await send(desk, *album(1))).text
    reply = await send(desk, painted(TWO_PEOPLE))
    assert "Photo 2 shows 2 people: crop it to one, or send another." in reply.text
    assert "Photo 1" not in reply.text


async def test_the_contact_sheet_frames_each_photo_by_its_grade(desk: Desk) -> None:
    reply = await send(desk, *album(1), painted(NOBODY), painted(SOFT))
    (sheet,) = reply.pictures
    assert isinstance(sheet, bytes)
    (desk.files.root / "sheet.jpg").write_bytes(sheet)
    with Image.open(desk.files.root / "sheet.jpg") as picture:
        frames = [picture.convert("RGB").getpixel((9 + 198 * place + 90, 8)) for place in range(3)]
    for frame, colour in zip(frames, [(0, 158, 96), (190, 20, 40), (240, 170, 0)], strict=True):
        assert isinstance(frame, tuple)
        assert max(abs(one - other) for one, other in zip(frame, colour, strict=True)) < 60


async def test_five_good_photos_begin_their_training_by_themselves(desk: Desk) -> None:
    assert (await send(desk, *album(1, 2, 3), painted(SOFT), *album(4))).card_job_id is not None


async def test_five_with_a_bad_one_wait_for_their_person(desk: Desk) -> None:
    reply = await send(desk, *album(1, 2, 3, 4), painted(SOMEBODY_ELSE))
    assert reply.card_job_id is None
    assert not await desk.jobs(ANNA)
    assert "Photo 5 seems to show someone else" in reply.text
    assert "Use them anyway" in labels(reply)


async def test_a_bad_photo_is_replaced_alone_and_the_better_set_begins(desk: Desk) -> None:
    reply = await send(desk, *album(1, 2), painted(NOBODY), *album(3, 4))
    reply = await press(desk, reply, "✕ 3")
    assert "4 of 5" in reply.text
    reply = await send(desk, *album(5))
    assert reply.card_job_id is not None
    photos = await desk.ledger.photos.get_job_photos(reply.card_job_id)
    good = [(await InProcessDecoder().decode(each)).stored for each in album(1, 2, 3, 4, 5)]
    assert list(photos) == good


async def test_a_set_of_six_begins_when_its_bad_photo_is_taken_out(desk: Desk) -> None:
    await send(desk, *album(1, 2), painted(NOBODY), *album(3, 4))
    reply = await send(desk, *album(5))
    assert "exactly 5" in reply.text
    assert (await press(desk, reply, "✕ 3")).card_job_id is not None


async def test_a_set_of_six_waits_when_a_good_photo_is_taken_out(desk: Desk) -> None:
    await send(desk, *album(1, 2), painted(NOBODY), *album(3, 4))
    reply = await press(desk, await send(desk, *album(5)), "✕ 1")
    assert reply.card_job_id is None
    assert "no clear face in photo 2" in reply.text


async def test_a_person_who_insists_trains_on_the_photos_there(desk: Desk) -> None:
    reply = await send(desk, *album(1, 2, 3, 4), painted(NOBODY))
    assert (await press(desk, reply, "Use them anyway")).card_job_id is not None


async def test_the_card_is_shown_again_by_train_while_a_photo_is_bad(desk: Desk) -> None:
    await send(desk, *album(1, 2, 3, 4), painted(NOBODY))
    reply = await desk.studio.start_training(ANNA, ALONE)
    assert reply.card_job_id is None
    assert "no clear face in photo 5" in reply.text


async def test_a_dog_needs_no_face(desk: Desk) -> None:
    of_person = await send(desk, painted(NOBODY))
    assert "no clear face in photo 1" in of_person.text
    assert "face" not in (await press(desk, of_person, "Dog")).text


async def test_another_class_makes_a_waiting_set_good_and_offers_to_train(desk: Desk) -> None:
    reply = await send(desk, *album(1, 2, 3, 4), painted(NOBODY))
    assert "no clear face in photo 5" in reply.text
    reply = await press(desk, reply, "Style")
    assert "face" not in reply.text
    assert (await press(desk, reply, "Train on these")).card_job_id is not None


async def test_a_photo_is_looked_at_once(desk: Desk, eye: ColourAnalyzer) -> None:
    await send(desk, *album(1))
    await send(desk, *album(2))
    await desk.studio.start_training(ANNA, ALONE)
    assert len(eye.photos) == len(set(eye.photos)) == 2


async def test_measurements_are_deleted_with_the_photo(tmp_path: Path) -> None:
    coach = InspectableCoach(ColourAnalyzer())
    async with open_desk(tmp_path) as desk:
        studio = Studio(
            replace(tools(desk.ledger, desk.queue, desk.files, desk.clock), coach=coach),
            InProcessDecoder(),
            {ADMIN},
        )
        await studio.add_photos(ANNA, ALONE, album(1, 2))
        kept = [(await InProcessDecoder().decode(each)).data for each in album(1, 2)]
        first, second = [hashlib.sha256(each).hexdigest() for each in kept]
        assert set(coach.cached_hashes) == {first, second}
        (action,) = [
            each.action for each in (await studio.start_training(ANNA, ALONE)).buttons if each.label == "✕ 1"
        ]
        await studio.handle_button(ANNA, ALONE, action)
        assert set(coach.cached_hashes) == {second}
        await studio.add_photos(ANNA, ALONE, album(3, 4, 5, 6))
        assert await desk.ledger.jobs.claim_next(JobKind.TRAIN) is not None
        assert not coach.cached_hashes


async def test_a_photo_deleted_during_analysis_leaves_nothing() -> None:
    eye = GatedAnalyzer()
    coach = InspectableCoach(eye)
    [photo] = [(await InProcessDecoder().decode(each)).stored for each in album(1)]
    look = asyncio.ensure_future(coach.review_photos([photo], "person"))
    await eye.began.wait()
    coach.forget([photo.data_sha256])
    eye.gate.set()
    assert await look is not None
    assert not coach.cached_hashes


async def test_an_analyzer_that_is_too_slow_does_not_hold_up_the_training(tmp_path: Path) -> None:
    blind = BlockedAnalyzer()
    async with open_desk(tmp_path) as desk:
        coach = PhotoCoach(blind, timeout_s=0.01)
        studio = Studio(
            replace(tools(desk.ledger, desk.queue, desk.files, desk.clock), coach=coach),
            InProcessDecoder(),
            {ADMIN},
        )
        assert (await studio.add_photos(ANNA, ALONE, album(1, 2, 3, 4, 5))).card_job_id is not None
        await coach.close()
        assert blind.is_closed


@pytest.mark.parametrize(
    ("coach", "model", "said", "wanted"),
    [
        ("auto", "", None, False),
        ("auto", "", "drawn", False),
        ("auto", "", "sd15", True),
        ("auto", "tiny", None, False),
        ("auto", "some/model", None, True),
        ("on", "tiny", None, True),
        ("off", "some/model", None, False),
    ],
)
def test_toys_are_not_looked_at_unless_asked(coach: str, model: str, said: str | None, wanted: bool) -> None:
    settings = Settings.from_environ({"COACH": coach, "BASE_MODEL": model})
    health = said and WorkerHealth(device="", base_model=said, base_model_loaded=True, process_memory_bytes=0)
    assert is_coach_enabled(settings, health or None) is wanted


async def test_training_hints_go_to_the_worker_with_the_photos(desk: Desk) -> None:
    await send(desk, *album(1, 2, 3, 4))
    assert [crop is not None for crop in desk.queue.prefetched_crops] == [True] * 4
    reply = await send(desk, *album(5))
    assert reply.card_job_id is not None
    job = await desk.claim(JobKind.TRAIN)
    request = await RequestBuilder(desk.ledger, desk.files, load_styles(), face_mask=True).build(job)
    assert isinstance(request, TrainRequest)
    assert list(request.crops) == desk.queue.prefetched_crops, (
        "else what was encoded ahead would be of no use"
    )
    assert request.captions == ("sks person, medium shot",) * 5
    assert all(mask is not None and mask.startswith(b"\x89PNG") for mask in request.masks)


async def test_photos_of_a_dog_are_neither_cropped_nor_captioned(desk: Desk) -> None:
    await press(desk, await send(desk, *album(1, 2, 3, 4)), "Dog")
    await send(desk, *album(5))
    request = await RequestBuilder(desk.ledger, desk.files, load_styles()).build(
        await desk.claim(JobKind.TRAIN)
    )
    assert isinstance(request, TrainRequest)
    assert (request.crops, request.captions, request.masks) == ((), (), ())


class WeakMeasurements(PhotoMeasurements, frozen=True, weakref=True):
    """Measurements that a test can see disappear."""


class WeakAnalyzer:
    """An analyzer that keeps no measurements alive."""

    def __init__(self) -> None:
        self.measured = weakref.WeakSet[WeakMeasurements]()

    async def analyze(self, photo: bytes) -> PhotoMeasurements | None:
        measurements = WeakMeasurements(**msgspec.structs.asdict(sight()))
        self.measured.add(measurements)
        return measurements

    async def close(self) -> None:
        """It holds nothing."""


async def test_measurements_leave_the_memory_though_nobody_uses_them() -> None:
    analyzer = WeakAnalyzer()
    coach = PhotoCoach(analyzer, cache_ttl_s=1.0)
    assert await coach.review_photos([StoredPhoto.from_data(b"a photo")], "person") is not None
    assert len(analyzer.measured) == 1
    await until(lambda: not analyzer.measured)


class InspectableCoach(PhotoCoach):
    """A coach that lets a test see of which photos it knows."""

    @property
    def cached_hashes(self) -> list[str]:
        return list(self._measurements)


class BlockedAnalyzer:
    """An eye that sees nothing for ever."""

    is_closed = False

    async def analyze(self, photo: bytes) -> PhotoMeasurements | None:
        await asyncio.Event().wait()
        return sight()

    async def close(self) -> None:
        self.is_closed = True


class GatedAnalyzer:
    """An eye that looks for as long as a test wants."""

    def __init__(self) -> None:
        self.began, self.gate = asyncio.Event(), asyncio.Event()

    async def analyze(self, photo: bytes) -> PhotoMeasurements | None:
        self.began.set()
        await self.gate.wait()
        return sight()

    async def close(self) -> None:
        """It holds nothing."""
