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

from bot.media.decoding import decode
from bot.media.quality import Box, ChildEye, Grade, Reason, Sight, report

SETS, GOAL = 1000, 0.95  # of few people 100 sets would be luck
PICTURES_A_FACE = 6
SEEDS = (8, 9, 10)
#: Around a face, in widths and heights of it; more would show the neighbours of a group.
_MARGIN = 0.6
_SIDE_PX = 512
Person = list[Sight]


async def people_of(folder: Path, photos: Sequence[Path], luck: random.Random) -> list[Person]:
    """Look at pictures of every person whose face, cut out, is a photo that the coach would take."""
    eye, people = ChildEye(timeout_s=60.0), dict[str, Person]()
    try:
        for path in photos:
            photo = decode(path.read_bytes()).data
            seen = await eye.see(photo)
            for number, face in enumerate(seen.faces or () if seen else ()):
                name = str(path.parent) if path.parent != folder else f"{path} {number}"
                cut = _cut(photo, face.box)
                looks = [await eye.see(_jpeg(_changed(cut, luck))) for _ in range(PICTURES_A_FACE)]
                good = [each for each in looks if each and report([each], "person").worst < Grade.RED]
                people.setdefault(name, []).extend(good)
    finally:
        await eye.close()
    return [each for each in people.values() if len(each) >= 5]


def planted(people: Sequence[Person], luck: random.Random) -> tuple[int, int, int]:
    """Count the sets whose stranger is called so, those who are asked about at least, and quiet sets."""
    found = asked = quiet = 0
    for _ in range(SETS):
        one, other = luck.sample(people, 2)
        photos, place = luck.sample(one, 5), luck.randrange(5)
        quiet += not _strangers(photos, Reason.OTHER_PERSON)
        photos[place] = luck.choice(other)
        found += _strangers(photos, Reason.OTHER_PERSON) == [place]
        asked += place in _strangers(photos, Reason.OTHER_PERSON, Reason.UNSURE_PERSON)
    return found, asked, quiet


def _strangers(photos: Sequence[Sight], *reasons: Reason) -> list[int]:
    said = report(photos, "person").verdicts
    return [place for place, verdict in enumerate(said) if verdict.reason in reasons]


def _cut(photo: bytes, box: Box) -> Image.Image:
    with Image.open(io.BytesIO(photo)) as opened:
        whole = opened.convert("RGB")
    wide, high = whole.size
    left, right = box.left - _MARGIN * box.width, box.left + (1 + _MARGIN) * box.width
    top, bottom = box.top - _MARGIN * box.height, box.top + (1 + _MARGIN) * box.height
    cut = whole.crop(
        (
            *(round(max(0.0, left) * wide), round(max(0.0, top) * high)),
            *(round(min(1.0, right) * wide), round(min(1.0, bottom) * high)),
        )
    )
    return ImageOps.contain(cut, (_SIDE_PX, _SIDE_PX), Image.Resampling.LANCZOS)


def _changed(cut: Image.Image, luck: random.Random) -> Image.Image:
    wide, high = cut.size
    part = luck.uniform(0.86, 1.0)
    left, top = luck.uniform(0, 1 - part) * wide, luck.uniform(0, 1 - part) * high
    changed = cut.resize(cut.size, box=(left, top, left + part * wide, top + part * high))
    changed = changed.rotate(luck.uniform(-15, 15), Image.Resampling.BICUBIC)
    if luck.random() < 0.5:
        changed = ImageOps.mirror(changed)
    changed = ImageEnhance.Brightness(changed).enhance(luck.uniform(0.75, 1.15))
    changed = ImageEnhance.Contrast(changed).enhance(luck.uniform(0.8, 1.2))
    return changed.filter(ImageFilter.GaussianBlur(luck.uniform(0, 0.8)))


def _jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return decode(file.getvalue()).data


def main() -> int:
    """Measure on a folder of photos."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coach",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="photos of people, as .jpg")
    folder = parser.parse_args().folder
    sums, photos = [0, 0, 0], sorted(folder.rglob("*.jpg"))
    for seed in SEEDS:
        luck = random.Random(seed)
        people = asyncio.run(people_of(folder, photos, luck))
        if len(people) < 2:
            parser.error(
                "fewer than two people with a clear face were found; is the extra `faces` installed?"
            )
        counts = planted(people, luck)
        print(f"  seed {seed}: {len(people)} people, {counts[0]} of {SETS} strangers called so", flush=True)
        sums = [before + count for before, count in zip(sums, counts, strict=True)]
    shares = [each / (SETS * len(SEEDS)) for each in sums]
    for name, share in zip(("planted-photo", "planted-or-asked", "no-false-alarm"), shares, strict=True):
        told = "holds" if share >= GOAL else "short"
        print(f"coach: {name} value={share:.3f} goal=>={GOAL} {told}")
    return 0 if min(shares) >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
