"""Training images on disk: data folders, captions, masks."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image, ImageOps

from gpu_worker.errors import BadInput
from gpu_worker.kohya.dataset import files
from gpu_worker.kohya.dataset.buckets import BucketConfig
from gpu_worker.models.inputs.pixels import Size
from gpu_worker.training.data import CaptionRules, TrainingImage

log = logging.getLogger(__name__)

_SQUARE_STEP_PX = 64
#: The side of a latent: a narrower picture has nothing to show.
_MIN_SIDE_PX = 8


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

    def size_for(self, picture_size: Size) -> Size | None:
        """Return the size that an image is cropped to; None if it is too narrow for the buckets."""
        return self.resolution_px if self.buckets is None else self.buckets.choose_size(picture_size)


def check_resolution(resolution_px: Size) -> None:
    """Raise BadInput if a side cannot be trained at."""
    if any(side < _SQUARE_STEP_PX or side % _SQUARE_STEP_PX for side in resolution_px):
        resolution_text = f"{resolution_px[0]},{resolution_px[1]}"
        raise BadInput(f"Both sides of the resolution must be multiples of 64 pixels, not {resolution_text}.")


def find_subsets(folder: Path, template: Subset) -> list[Subset]:
    """Return the `<repeats>_<words>` folders in here, sorted by name, with the rules' settings.

    Raises BadInput if there are none because another folder was meant.
    """
    _check_folder(folder)
    subsets = []
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        repeats, default_caption = _parse_folder_name(path)
        if repeats:
            subsets.append(replace(template, folder=path, repeats=repeats, default_caption=default_caption))
        else:
            log.warning("skipped folder %s: its name does not begin with a number and _", path.name)
    if not subsets:
        _check_folder_is_meant(folder)
    elif files.has_pictures(folder):
        log.warning("skipped the pictures in %s itself: only those in its folders are read", folder.name)
    return subsets


def _parse_folder_name(folder: Path) -> tuple[int, str]:
    """Return the repeats and words of a folder's name; 0 repeats if it is not of this form."""
    repeats, _, words = folder.name.partition("_")
    return (int(repeats), words) if repeats.isdecimal() else (0, "")


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "does not exist"
        raise BadInput(f"The data folder {folder} {problem}.")


def _check_folder_is_meant(folder: Path) -> None:
    """Raise BadInput if the pictures are one folder above or below the expected one."""
    if files.has_pictures(folder):
        if _parse_folder_name(folder.absolute())[0]:
            raise BadInput(
                f"{folder} is itself a folder of pictures with repeats: "
                f"give the folder that holds it, {folder.absolute().parent}."
            )
        raise BadInput(
            f"The pictures are in {folder} itself: put them into a folder in it such as `300_sks person`."
        )
    for inner_folder in sorted(path for path in folder.iterdir() if path.is_dir()):
        if any(path.is_dir() and _parse_folder_name(path)[0] for path in inner_folder.iterdir()):
            raise BadInput(f"There are no pictures in {folder}; did you mean {inner_folder}?")


def read_subset(subset: Subset, resolution_rules: ResolutionRules) -> list[TrainingImage]:
    """Read the images of a subset; BadInput if one cannot be used."""
    _check_folder(subset.folder)
    paths = files.find_pictures(subset.folder)
    if not paths:
        inner_folders = (path for path in subset.folder.iterdir() if path.is_dir())
        inner = next((path.name for path in inner_folders if files.has_pictures(path)), None)
        hint = f"; those in its folder {inner} are not read" if inner else ""
        log.warning("no images in folder %s%s", subset.folder.name, hint)
    files.warn_of_captions(paths, subset.caption_extension)
    images = (_read_training_image(path, subset, resolution_rules) for path in paths)
    return [image for image in images if image is not None]


def _read_training_image(
    path: Path, subset: Subset, resolution_rules: ResolutionRules
) -> TrainingImage | None:
    """Return an image; None, with a warning, if it is too small or too narrow to train on."""
    data = files.read_picture(path)
    picture = _open_picture(data, path)
    size_px = resolution_rules.size_for(picture.size) if min(picture.size) >= _MIN_SIDE_PX else None
    if size_px is None:
        log.warning(
            "skipped %s: %d x %d pixels are too %s to train on",
            *(path.name, *picture.size),
            "narrow" if max(picture.size) >= _MIN_SIDE_PX else "few",
        )
        return None
    return TrainingImage(
        data=data,
        caption=files.read_caption(path.with_suffix(subset.caption_extension), subset.default_caption or ""),
        repeats=subset.repeats,
        folder=subset.folder.name,
        size_px=size_px,
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
        is_picture = mask_path.suffix.lower() in files.PICTURE_SUFFIXES and mask_path.is_file()
        if mask_path.stem == path.stem and is_picture:
            data = files.read_picture(mask_path)
            # Mask and image are cropped alike, so they must have the same size.
            if (size := _open_picture(data, mask_path).size) != picture.size:
                raise BadInput(
                    f"The mask {mask_path.name} is {size}, its picture {path.name} is {picture.size}."
                )
            return data
    raise BadInput(f"There is no mask for {path.name} in {folder}.")
