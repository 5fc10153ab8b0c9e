"""One large file from a server to the disk; after a broken line and after a kill it goes on where it was.

The hub's own library keeps nothing of a file that was not finished: a base model's largest is most of an hour
on a slow line.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    WeakFileLock,
    build_hf_headers,
    get_session,
    hf_raise_for_status,
)

from gpu_worker.errors import BaseModelError

log = logging.getLogger(__name__)

#: So often in a row a line may break without a byte having come.
MAX_VAIN_TRIES = 5


@dataclass(frozen=True)
class Source:
    """Where a file is, and how it is known to be whole."""

    name: str
    url: str
    size_bytes: int
    sha256: str
    timeout_s: float
    #: Between a line that broke and the next try.
    pause_s: float


def size_of(path: Path) -> int:
    """Give a file's size in bytes; 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0


def part_of(target: Path) -> Path:
    """Name the file that holds what has come so far."""
    return target.with_name(f"{target.name}.part")


def fetch(source: Source, target: Path, tell: Callable[[int], None]) -> None:
    """Bring a file to `target`, where it appears whole and checked; `tell` hears of bytes as they come.

    Bytes that were there already are told too; a negative number takes some back. Raises the hub's errors and
    OSError; BaseModelError when the file is not what the hub says.
    """
    part = part_of(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Two workers of one machine start at once, and both lack it.
    with WeakFileLock(f"{part}.lock"):
        if target.exists():
            tell(source.size_bytes)
            return
        tell(size_of(part))
        _complete(source, part, tell)
        if sha256_of(part) != source.sha256:
            part.unlink()
            raise BaseModelError(f"{source.name} arrived damaged and was deleted; it is downloaded again.")
        part.replace(target)
        log.info("%s: sha256 %s, as the hub says", source.name, source.sha256)


def sha256_of(path: Path) -> str:
    """Compute a file's SHA-256, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _complete(source: Source, part: Path, tell: Callable[[int], None]) -> None:
    vain = 0
    while (have := size_of(part)) != source.size_bytes:
        broke: Exception = OSError("the server sends nothing")
        try:
            _append(source, part, have, tell)
        except HTTPError as error:
            if _is_refused(error):
                raise
            broke = error
        if size_of(part) == source.size_bytes:
            return
        vain = 0 if size_of(part) > have else vain + 1
        if vain == MAX_VAIN_TRIES:
            raise broke
        log.warning("the download of %s broke off (%s); it goes on", source.name, type(broke).__name__)
        time.sleep(source.pause_s)


def _is_refused(error: Exception) -> bool:
    answer = getattr(error, "response", None)  # a line that broke has none
    return answer is not None and 400 <= answer.status_code < 500


def _append(source: Source, part: Path, have: int, tell: Callable[[int], None]) -> None:
    if have > source.size_bytes:  # of another release of it; the server would refuse the range
        part.unlink()
        tell(-have)
        have = 0
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with get_session().stream("GET", source.url, headers=headers, timeout=source.timeout_s) as response:
        hf_raise_for_status(response)
        goes_on = response.status_code == 206
        if have and not goes_on:
            tell(-have)
        with part.open("ab" if goes_on else "wb") as file:
            for piece in response.iter_bytes():  # as they come: a buffer would be lost with the line
                file.write(piece)
                tell(len(piece))
            file.flush()
            os.fsync(file.fileno())
