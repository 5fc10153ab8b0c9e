"""Training images on disk: data folders, captions, masks."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image, ImageOps

from gpu_worker.errors import BadInput
from gpu_worker.kohya.dataset.buckets import BucketConfig
from gpu_worker.models.pixels import Size
from gpu_worker.training.data import CaptionRules, TrainingImage

log = logging.getLogger(__name__)

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
_SQUARE_STEP_PX = 64


@dataclass(frozen=True)
class Subset:
    """One folder of images with the same settings."""

    folder: Path
    repeats: int = 1
    default_caption: str | None = None  #: the caption of pictures without a caption file
    is_regularisation: bool = False
    caption_extension: str = ".caption"
    caption_rules: CaptionRules = field(default_factory=CaptionRules)
    flip: bool = False
    mask_dir: Path | None = None  #: folder of grey pictures with the same names
    alpha_mask: bool = False  #: transparency is the mask


@dataclass(frozen=True)
class ResolutionRules:
    """The size of training images."""

    resolution_px: Size
    buckets: BucketConfig | None = None  #: None: all at the resolution

    def resolve(self) -> ResolutionRules:
        """Return these settings with sizes that can be trained at; BadInput if there are none."""
        if self.buckets is None:
            check_resolution(self.resolution_px)
            return self
        return ResolutionRules(
            self.resolution_px, replace(self.buckets, resolution_px=self.resolution_px).resolve_limits()
        )

    def size_for(self, picture_size: Size) -> Size:
        """Return the size that an image is cropped to."""
        return self.resolution_px if self.buckets is None else self.buckets.choose_size(picture_size)


def check_resolution(resolution_px: Size) -> None:
    """Raise BadInput if a side cannot be trained at."""
    if any(side < _SQUARE_STEP_PX or side % _SQUARE_STEP_PX for side in resolution_px):
        resolution_text = f"{resolution_px[0]},{resolution_px[1]}"
        raise BadInput(f"Both sides of the resolution must be multiples of 64 pixels, not {resolution_text}.")


def find_subsets(folder: Path, template: Subset) -> list[Subset]:
    """Return the `<repeats>_<words>` folders in here, sorted by name, with the rules' settings."""
    if not folder.is_dir():
        raise BadInput(f"The data folder {folder} does not exist.")
    subsets = []
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        repeats, _, default_caption = path.name.partition("_")
        if repeats.isdecimal() and int(repeats) > 0:
            subsets.append(
                replace(template, folder=path, repeats=int(repeats), default_caption=default_caption)
            )
        else:
            log.warning("skipped folder %s: its name does not begin with a number and _", path.name)
    return subsets


def read_subset(subset: Subset, resolution_rules: ResolutionRules) -> list[TrainingImage]:
    """Read the images of a subset; BadInput if one cannot be used."""
    if not subset.folder.is_dir():
        raise BadInput(f"The data folder {subset.folder} does not exist.")
    paths = sorted(path for path in subset.folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        log.warning("no images in folder %s", subset.folder.name)
    return [_read_training_image(path, subset, resolution_rules) for path in paths]


def _read_training_image(path: Path, subset: Subset, resolution_rules: ResolutionRules) -> TrainingImage:
    data = path.read_bytes()
    picture = _open_picture(data, path)
    return TrainingImage(
        data=data,
        caption=_read_caption(path.with_suffix(subset.caption_extension), subset.default_caption or ""),
        repeats=subset.repeats,
        folder=subset.folder.name,
        size_px=resolution_rules.size_for(picture.size),
        is_regularisation=subset.is_regularisation,
        flip=subset.flip,
        mask=_read_mask(path, picture, subset),
        caption_rules=subset.caption_rules,
    )


def _open_picture(data: bytes, path: Path) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data)) as opened:
            return ImageOps.exif_transpose(opened)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path.name} cannot be read as a picture.") from error


def _read_mask(path: Path, picture: Image.Image, subset: Subset) -> bytes | None:
    if subset.mask_dir is not None:
        return _find_mask(path, picture, subset.mask_dir)
    if subset.alpha_mask and picture.has_transparency_data:
        file = io.BytesIO()
        picture.convert("RGBA").getchannel("A").save(file, "PNG")
        return file.getvalue()
    return None


def _find_mask(path: Path, picture: Image.Image, folder: Path) -> bytes:
    if not folder.is_dir():
        raise BadInput(f"The folder of masks {folder} does not exist.")
    for mask_path in sorted(folder.iterdir()):
        if mask_path.stem == path.stem and mask_path.suffix.lower() in PICTURE_SUFFIXES:
            data = mask_path.read_bytes()
            # Mask and image are cropped alike, so they must have the same size.
            if (size := _open_picture(data, mask_path).size) != picture.size:
                raise BadInput(
                    f"The mask {mask_path.name} is {size}, its picture {path.name} is {picture.size}."
                )
            return data
    raise BadInput(f"There is no mask for {path.name} in {folder}.")


def _read_caption(path: Path, default_caption: str) -> str:
    if not path.is_file():
        return default_caption
    try:
        text = path.read_text("utf-8-sig")  # some editors put a mark in front
    except UnicodeDecodeError as error:
        raise BadInput(f"The caption {path.name} is not UTF-8 text; save it as UTF-8.") from error
    if not text:
        raise BadInput(f"The caption {path.name} is empty; write it, or delete it to use the folder's words.")
    return text.splitlines()[0].strip()
