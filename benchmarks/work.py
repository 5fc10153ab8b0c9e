"""The photos that every figure is measured with: of a drawn person. Torch-free."""

from __future__ import annotations

from pathlib import Path

from drawn import sample_photos

PHOTO_COUNT = 5
#: As many as the ancestor of this project used; one training then has 1500 steps.
REPEATS = 300
CAPTION = "sks person"
RANK = 16


def sample_person_photos(side_px: int, person: int = 1) -> list[bytes]:
    """Return five pictures of one person; another person means other bytes, so nothing of them is cached."""
    return sample_photos(person, PHOTO_COUNT, side_px)


def write_photo_folder(folder: Path, side_px: int) -> Path:
    """Write the photos in a `<repeats>_<caption>` folder; return the folder to train on."""
    data = folder / f"photos-{side_px}"
    subset = data / f"{REPEATS}_{CAPTION}"
    subset.mkdir(parents=True, exist_ok=True)
    for number, photo in enumerate(sample_person_photos(side_px), start=1):
        (subset / f"{number}.jpg").write_bytes(photo)
    return data
