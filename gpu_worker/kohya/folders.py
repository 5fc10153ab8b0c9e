"""Pictures on disk as examples: data folders, captions, masks."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from gpu_worker.dataset import CaptionRules, Example, Size
from gpu_worker.errors import BadInput
from gpu_worker.kohya.buckets import Buckets

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
_SQUARE_STEP_PX = 64


@dataclass(frozen=True)
class Subset:
    """One folder of pictures that are treated alike."""

    folder: Path
    repeats: int = 1
    words: str | None = None  #: the caption of pictures without a caption file
    is_regularisation: bool = False
    caption_extension: str = ".caption"
    caption_rules: CaptionRules = field(default_factory=CaptionRules)
    flip: bool = False
    masks: Path | None = None  #: folder of grey pictures with the same names
    alpha_mask: bool = False  #: transparency is the mask


@dataclass(frozen=True)
class Sizing:
    """How large pictures are shown."""

    resolution_px: Size
    buckets: Buckets | None = None  #: None: all at the resolution

    def of(self, picture_px: Size) -> Size:
        """Return the size that a picture is cut to."""
        return self.resolution_px if self.buckets is None else self.buckets.pick(picture_px)


def check_resolution(resolution_px: Size) -> None:
    """Raise BadInput unless both sides can be trained at."""
    if any(side < _SQUARE_STEP_PX or side % _SQUARE_STEP_PX for side in resolution_px):
        told = f"{resolution_px[0]},{resolution_px[1]}"
        raise BadInput(f"Both sides of the resolution must be multiples of 64 pixels, not {told}.")


def find_subsets(folder: Path, rules: Subset) -> list[Subset]:
    """Return the `<repeats>_<words>` folders in here, sorted by name, with the rules' settings."""
    if not folder.is_dir():
        raise BadInput(f"The data folder {folder} does not exist.")
    found = []
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        repeats, _, words = path.name.partition("_")
        if repeats.isdecimal() and int(repeats) > 0:
            found.append(_like(rules, path, int(repeats), words))
    return found


def _like(rules: Subset, folder: Path, repeats: int, words: str) -> Subset:
    return Subset(
        folder,
        repeats,
        words,
        rules.is_regularisation,
        rules.caption_extension,
        rules.caption_rules,
        rules.flip,
        rules.masks,
        rules.alpha_mask,
    )


def read(subset: Subset, sizing: Sizing) -> list[Example]:
    """Read a subset's pictures; BadInput when one cannot be used."""
    if not subset.folder.is_dir():
        raise BadInput(f"The data folder {subset.folder} does not exist.")
    paths = sorted(path for path in subset.folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    return [_example(path, subset, sizing) for path in paths]


def _example(path: Path, subset: Subset, sizing: Sizing) -> Example:
    data = path.read_bytes()
    picture = _open(data, path)
    return Example(
        data=data,
        caption=_caption(path.with_suffix(subset.caption_extension), subset.words or ""),
        repeats=subset.repeats,
        folder=subset.folder.name,
        size_px=sizing.of(picture.size),
        is_regularisation=subset.is_regularisation,
        flip=subset.flip,
        mask=_mask(path, picture, subset),
        caption_rules=subset.caption_rules,
    )


def _open(data: bytes, path: Path) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data)) as opened:
            return ImageOps.exif_transpose(opened)
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path.name} cannot be read as a picture.") from error


def _mask(path: Path, picture: Image.Image, subset: Subset) -> bytes | None:
    if subset.masks is not None:
        for suffix in sorted(PICTURE_SUFFIXES):
            mask = subset.masks / (path.stem + suffix)
            if mask.is_file():
                return mask.read_bytes()
        raise BadInput(f"There is no mask for {path.name} in {subset.masks}.")
    if subset.alpha_mask and "A" in picture.getbands():
        file = io.BytesIO()
        picture.getchannel("A").save(file, "PNG")
        return file.getvalue()
    return None


def _caption(path: Path, words: str) -> str:
    if not path.is_file():
        return words
    try:
        lines = path.read_text("utf-8").strip().splitlines()
    except UnicodeDecodeError as error:
        raise BadInput(f"The caption {path.name} is not UTF-8 text; save it as UTF-8.") from error
    return lines[0].strip() if lines else words
