"""The real eye: its child on real photos, on bytes that are none, and after its death."""

from __future__ import annotations

import io
import math
import os
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance, ImageOps

import drawn
from bot.core.photos import StoredPhoto
from bot.media.decoding import decode_photo
from bot.media.quality import PhotoCoach, PhotoGrade, PhotoProblem, SandboxedPhotoAnalyzer
from bot.media.quality._analyzer import is_face_detection_installed

#: Photos of real people are never part of the project; they lie beside it where it is developed.
PEOPLE = Path(__file__).parents[4] / "shared" / "photos" / "people"
has_faces = pytest.mark.skipif(not is_face_detection_installed(), reason="the extra `faces` is not installed")
has_people = pytest.mark.skipif(not PEOPLE.is_dir(), reason="no real photos lie beside the project")
#: dlib takes what is nearer for one person.
ONE_PERSON = 0.6


@pytest.fixture
async def eye() -> AsyncIterator[SandboxedPhotoAnalyzer]:
    eye = SandboxedPhotoAnalyzer(timeout_s=60.0)  # a busy machine must not fail a test
    yield eye
    await eye.close()


def toy() -> bytes:
    """A photo without any person, as the gate keeps it."""
    return decode_photo(drawn.sample_photos(3, count=1, side_px=256)[0]).data


def real(*names: str) -> list[bytes]:
    return [decode_photo((PEOPLE / name).read_bytes()).data for name in names]


def pictures_of_one(photo: bytes) -> Sequence[bytes]:
    """Four pictures that one photo gives: as it is, mirrored, nearer and tilted, each in other light."""
    with Image.open(io.BytesIO(photo)) as opened:
        whole = opened.convert("RGB")
    wide, high = whole.size
    nearer = whole.crop((wide // 10, 0, wide * 9 // 10, high * 8 // 10)).resize(whole.size)
    made = [
        whole,
        ImageEnhance.Brightness(ImageOps.mirror(whole)).enhance(0.8),
        ImageEnhance.Contrast(nearer).enhance(0.8),
        ImageEnhance.Brightness(whole.rotate(12, Image.Resampling.BICUBIC)).enhance(1.1),
    ]
    return [_png(each) for each in made]


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return decode_photo(file.getvalue()).data


@has_faces
@has_people
async def test_the_analyzer_counts_the_faces_of_real_photos(eye: SandboxedPhotoAnalyzer) -> None:
    counted = {}
    for path in sorted(PEOPLE.glob("*_[0-9].jpg")):
        seen = await eye.analyze(decode_photo(path.read_bytes()).data)
        assert seen is not None
        assert seen.faces is not None
        counted[path.name] = len(seen.faces)
    assert len(counted) >= 5
    assert counted == {name: int(name[-5]) for name in counted}


@has_faces
@has_people
async def test_two_photos_of_one_person_are_nearer_than_those_of_two(eye: SandboxedPhotoAnalyzer) -> None:
    numbers = []
    for photo in real("person_B/007_B.jpg", "person_B/008_B.jpg", "astronaut.jpg"):
        seen = await eye.analyze(photo)
        assert seen is not None
        assert seen.main_face is not None
        numbers.append(seen.main_face.embedding)
    one, again, other = numbers
    assert math.dist(one, again) < ONE_PERSON < min(math.dist(one, other), math.dist(again, other))


@has_faces
@has_people
@pytest.mark.parametrize(
    ("bad", "reason"),
    [("person_B/007_B.jpg", PhotoProblem.OTHER_PERSON), ("010_2.jpg", PhotoProblem.SEVERAL_FACES)],
)
async def test_one_bad_photo_among_five_is_the_red_one(
    eye: SandboxedPhotoAnalyzer, bad: str, reason: PhotoProblem
) -> None:
    [astronaut, wrong] = real("astronaut.jpg", bad)
    one, two, three, four, odd = map(StoredPhoto.from_data, [*pictures_of_one(astronaut), wrong])
    coach = PhotoCoach(eye, timeout_s=120.0)
    said = await coach.review_photos([one, two, odd, three, four], "person")
    assert said is not None
    assert [verdict.grade is PhotoGrade.RED for verdict in said.verdicts] == [
        False,
        False,
        True,
        False,
        False,
    ]
    assert said.verdicts[2].problem is reason
    better = await coach.review_photos([one, two, three, four], "person")
    assert better is not None
    assert better.worst_grade < PhotoGrade.RED
    await coach.close()


async def test_a_photo_is_measured_as_a_whole_without_the_extra() -> None:
    eye = SandboxedPhotoAnalyzer(timeout_s=60.0, detect_faces=False)
    seen = await eye.analyze(toy())
    await eye.close()
    assert seen is not None
    assert seen.faces is None
    assert (seen.width_px, seen.height_px) == (256, 256)


async def test_bytes_that_are_no_photo_are_not_seen_and_the_next_photo_is(
    eye: SandboxedPhotoAnalyzer,
) -> None:
    assert await eye.analyze(b"\xff\xd8 no photo") is None
    first = eye.pid
    assert await eye.analyze(toy()) is not None
    assert eye.pid == first


async def test_an_eye_that_was_killed_costs_one_look(eye: SandboxedPhotoAnalyzer) -> None:
    assert await eye.analyze(toy()) is not None
    assert eye.pid is not None
    os.kill(eye.pid, signal.SIGKILL)
    assert await eye.analyze(toy()) is None
    assert await eye.analyze(toy()) is not None


async def test_photos_without_an_analyzer_process_are_not_measured(
    eye: SandboxedPhotoAnalyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as crowded:
        crowded.setenv("PATH", "x" * 2**18)  # more than a program may be started with
        assert await eye.analyze(toy()) is None
    assert await eye.analyze(toy()) is not None


async def test_a_closed_eye_leaves_no_process(eye: SandboxedPhotoAnalyzer) -> None:
    await eye.analyze(toy())
    pid = eye.pid
    assert pid is not None
    await eye.close()
    assert eye.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
