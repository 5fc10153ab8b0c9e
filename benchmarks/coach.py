"""Does the coach find a stranger's photo among five? On the faces of real photos that you have.

    python -m benchmarks.coach <folder>

Each face of the folder's photos is cut out, and made into pictures that differ in cut, tilt, light and
sharpness. A set has four such pictures of one person and one of another; beside it stands one of one person.
A folder inside the folder holds photos of one person. Prints `coach: <name> value=<v> goal=<g> holds|short`.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from bot.media.decoding import decode_photo
from bot.media.quality import (
    Box,
    PhotoGrade,
    PhotoMeasurements,
    PhotoProblem,
    SandboxedPhotoAnalyzer,
    build_report,
)

SETS, GOAL = 1000, 0.95  # of few people 100 sets would be luck
PICTURES_A_FACE = 6
SEEDS = (8, 9, 10)
#: Around a face, in widths and heights of it; more would show the neighbours of a group.
_MARGIN = 0.6
_SIDE_PX = 512
PersonMeasurements = list[PhotoMeasurements]


async def find_people(folder: Path, photos: Sequence[Path], rng: random.Random) -> list[PersonMeasurements]:
    """Look at pictures of every person whose face, cut out, is a photo that the coach would take."""
    analyzer, people = SandboxedPhotoAnalyzer(timeout_s=60.0), dict[str, PersonMeasurements]()
    try:
        for path in photos:
            photo = decode_photo(path.read_bytes()).data
            measurements = await analyzer.analyze(photo)
            for index, face in enumerate(measurements.faces or () if measurements else ()):
                name = str(path.parent) if path.parent != folder else f"{path} {index}"
                face_crop = _crop_face(photo, face.box)
                analyzed_photos = [
                    await analyzer.analyze(_encode_jpeg(_augment(face_crop, rng)))
                    for _ in range(PICTURES_A_FACE)
                ]
                good_photos = [
                    measurement
                    for measurement in analyzed_photos
                    if measurement and build_report([measurement], "person").worst_grade < PhotoGrade.RED
                ]
                people.setdefault(name, []).extend(good_photos)
    finally:
        await analyzer.close()
    return [measurement for measurement in people.values() if len(measurement) >= 5]


def count_found_strangers(people: Sequence[PersonMeasurements], rng: random.Random) -> tuple[int, int, int]:
    """Count the sets whose stranger is called so, those who are asked about at least, and quiet sets."""
    found_count = asked_count = quiet_count = 0
    for _ in range(SETS):
        person, stranger = rng.sample(people, 2)
        photos, index = rng.sample(person, 5), rng.randrange(5)
        quiet_count += not _find_strangers(photos, PhotoProblem.OTHER_PERSON)
        photos[index] = rng.choice(stranger)
        found_count += _find_strangers(photos, PhotoProblem.OTHER_PERSON) == [index]
        asked_count += index in _find_strangers(photos, PhotoProblem.OTHER_PERSON, PhotoProblem.UNSURE_PERSON)
    return found_count, asked_count, quiet_count


def _find_strangers(photos: Sequence[PhotoMeasurements], *reasons: PhotoProblem) -> list[int]:
    verdicts = build_report(photos, "person").verdicts
    return [index for index, verdict in enumerate(verdicts) if verdict.problem in reasons]


def _crop_face(photo: bytes, box: Box) -> Image.Image:
    with Image.open(io.BytesIO(photo)) as file:
        image = file.convert("RGB")
    width, height = image.size
    left, right = box.left - _MARGIN * box.width, box.left + (1 + _MARGIN) * box.width
    top, bottom = box.top - _MARGIN * box.height, box.top + (1 + _MARGIN) * box.height
    face_crop = image.crop(
        (
            *(round(max(0.0, left) * width), round(max(0.0, top) * height)),
            *(round(min(1.0, right) * width), round(min(1.0, bottom) * height)),
        )
    )
    return ImageOps.contain(face_crop, (_SIDE_PX, _SIDE_PX), Image.Resampling.LANCZOS)


def _augment(face_crop: Image.Image, rng: random.Random) -> Image.Image:
    width, height = face_crop.size
    share = rng.uniform(0.86, 1.0)
    left, top = rng.uniform(0, 1 - share) * width, rng.uniform(0, 1 - share) * height
    image = face_crop.resize(face_crop.size, box=(left, top, left + share * width, top + share * height))
    image = image.rotate(rng.uniform(-15, 15), Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        image = ImageOps.mirror(image)
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.75, 1.15))
    image = ImageEnhance.Contrast(image).enhance(rng.uniform(0.8, 1.2))
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8)))


def _encode_jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return decode_photo(file.getvalue()).data


def main() -> int:
    """Measure on a folder of photos."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coach",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="photos of people, as .jpg")
    folder = parser.parse_args().folder
    totals, photos = [0, 0, 0], sorted(folder.rglob("*.jpg"))
    for seed in SEEDS:
        rng = random.Random(seed)
        people = asyncio.run(find_people(folder, photos, rng))
        if len(people) < 2:
            parser.error(
                "fewer than two people with a clear face were found; is the extra `faces` installed?"
            )
        counts = count_found_strangers(people, rng)
        print(f"  seed {seed}: {len(people)} people, {counts[0]} of {SETS} strangers called so", flush=True)
        totals = [before + count for before, count in zip(totals, counts, strict=True)]
    shares = [total / (SETS * len(SEEDS)) for total in totals]
    for name, share in zip(("planted-photo", "planted-or-asked", "no-false-alarm"), shares, strict=True):
        verdict = "holds" if share >= GOAL else "short"
        print(f"coach: {name} value={share:.3f} goal=>={GOAL} {verdict}")
    return 0 if min(shares) >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
