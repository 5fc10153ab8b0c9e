"""The files of a data folder: which are pictures, and what their captions say."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from gpu_worker.errors import BadInput

log = logging.getLogger(__name__)

PICTURE_SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp"),
    *(".avif", ".gif", ".tif", ".tiff"),
}
#: Pictures to people, and none to Pillow.
_OTHER_PICTURE_SUFFIXES = {".heic", ".heif", ".jxl", ".svg", ".psd", ".dng", ".cr2", ".nef", ".arw"}
#: What captions are usually called.
_CAPTION_SUFFIXES = (".txt", ".caption")


def find_pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder, sorted by name; warn of each that is skipped."""
    pictures = []
    for path in sorted(folder.iterdir()):
        if (reason := _describe_skipped(path)) is not None:
            log.warning("skipped %s: %s", path.name, reason)
        elif path.suffix.lower() in PICTURE_SUFFIXES:
            pictures.append(path)
    return pictures


def has_pictures(folder: Path) -> bool:
    """Return True if there are pictures in a folder itself."""
    return any(path.suffix.lower() in PICTURE_SUFFIXES and path.is_file() for path in folder.iterdir())


def _describe_skipped(path: Path) -> str | None:
    """Return why a file is no picture though its name says so; None for pictures and all other files."""
    suffix = path.suffix.lower()
    if suffix in _OTHER_PICTURE_SUFFIXES:
        return f"{suffix} is not read here; save it as PNG or JPEG"
    if suffix not in PICTURE_SUFFIXES:
        return None
    if path.name.startswith("."):
        return "files whose name begins with a dot are hidden, and are no pictures"
    if path.is_dir():
        return "it is a folder"
    if not path.is_file():
        return "it is a broken link" if path.is_symlink() else "it is no file"
    return None


def read_picture(path: Path) -> bytes:
    """Return the bytes of a picture; BadInput if they cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from error


def normalize_caption_extension(text: str) -> str:
    """Return the ending of caption files with its dot; BadInput if it is none."""
    suffix = "." + text.strip().lstrip("*").lstrip(".")
    if suffix == "." or "/" in suffix or "\\" in suffix or suffix.lower() in PICTURE_SUFFIXES:
        raise BadInput(f"caption_extension takes the ending of caption files, such as .txt, not {text!r}.")
    return suffix


def read_caption(path: Path, default_caption: str) -> str:
    """Return the first line with words of a caption file, or the default if there is no file."""
    if not path.is_file():
        return default_caption
    try:
        text = path.read_text("utf-8-sig")  # some editors put a mark in front
    except UnicodeDecodeError as error:
        raise BadInput(f"The caption {path.name} is not UTF-8 text; save it as UTF-8.") from error
    except OSError as error:
        raise BadInput(f"The caption {path} cannot be read: {error.strerror}.") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        log.warning("the caption %s is empty: its picture trains without words", path.name)
    return lines[0] if lines else ""


def warn_of_captions(pictures: Iterable[Path], caption_extension: str) -> None:
    """Warn of a caption that several pictures share, and of captions that are called otherwise."""
    names_by_caption: dict[Path, list[str]] = {}
    for picture in pictures:
        names_by_caption.setdefault(picture.with_suffix(caption_extension), []).append(picture.name)
    captions = [path for path in names_by_caption if path.is_file()]
    for path in captions:
        if len(names := names_by_caption[path]) > 1:
            log.warning("%s share the caption %s", " and ".join(names), path.name)
    if captions:
        return
    for suffix in _CAPTION_SUFFIXES:
        count = sum(path.with_suffix(suffix).is_file() for path in names_by_caption)
        if count:
            log.warning(
                "%d captions end with %s and are not read; use --caption_extension %s", count, *[suffix] * 2
            )
