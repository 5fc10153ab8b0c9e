"""One large file from a server to the disk; after a broken line and after a kill it goes on where it was.

The hub's own library keeps nothing of a file that was not finished: a base model's largest is most of an hour
on a slow line.
"""

from __future__ import annotations

import hashlib
import logging
import os
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
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_fixed

from gpu_worker.errors import BaseModelError, JobProblem

log = logging.getLogger(__name__)

#: So often in a row a line may break without a byte having come.
MAX_FAILED_TRIES = 5


@dataclass(frozen=True)
class DownloadSource:
    """Where a file is, and how it is known to be whole."""

    name: str
    url: str
    size_bytes: int
    sha256: str
    timeout_s: float
    #: Between a line that broke and the next try.
    retry_delay_s: float


class _NothingSentError(OSError):
    """An answer without a byte."""


def get_size_bytes(path: Path) -> int:
    """Return a file's size in bytes; 0 if it does not exist."""
    return path.stat().st_size if path.is_file() else 0


def get_part_path(target: Path) -> Path:
    """Return the path of the partial download."""
    return target.with_name(f"{target.name}.part")


def download(source: DownloadSource, target: Path, on_bytes: Callable[[int], None]) -> None:
    """Download a file to `target`, where it appears when it is complete and its checksum is right.

    `on_bytes` is called with the number of new bytes, with those that were there already, and with a negative
    number if some are discarded. Raises the hub's errors and OSError; BaseModelError for a wrong checksum.
    """
    part_path = get_part_path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Two workers of one machine may start at once, and both need the file.
    with WeakFileLock(f"{part_path}.lock"):
        if target.exists():
            on_bytes(source.size_bytes)
            return
        on_bytes(get_size_bytes(part_path))
        _download_rest(source, part_path, on_bytes)
        if hash_file(part_path) != source.sha256:
            part_path.unlink()
            raise BaseModelError(JobProblem.BASE_MODEL_DOWNLOAD_DAMAGED, name=source.name)
        part_path.replace(target)
        log.info("downloaded %s: sha256 %s matches the hub", source.name, source.sha256)


def hash_file(path: Path) -> str:
    """Compute a file's SHA-256, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _download_rest(source: DownloadSource, part_path: Path, on_bytes: Callable[[int], None]) -> None:
    retrying = Retrying(
        retry=retry_if_exception(_is_worth_a_retry),
        stop=stop_after_attempt(MAX_FAILED_TRIES),
        wait=wait_fixed(source.retry_delay_s),
        reraise=True,
    )
    # A try that brought bytes is none that failed, so they are counted anew after it.
    while get_size_bytes(part_path) != source.size_bytes:
        retrying(_append_some, source, part_path, on_bytes)


def _append_some(source: DownloadSource, part_path: Path, on_bytes: Callable[[int], None]) -> None:
    """Append what comes until the line breaks or the file is complete; raise if no byte came."""
    present_bytes = get_size_bytes(part_path)
    error: Exception = _NothingSentError("the server sends nothing")
    try:
        _append_bytes(source, part_path, present_bytes, on_bytes)
    except HTTPError as http_error:
        if _is_client_error(http_error):
            raise
        error = http_error
    new_size_bytes = get_size_bytes(part_path)
    if new_size_bytes == source.size_bytes:
        return
    log.warning("the download of %s broke off (%s); it goes on", source.name, type(error).__name__)
    if new_size_bytes <= present_bytes:
        raise error


def _is_worth_a_retry(error: BaseException) -> bool:
    return isinstance(error, _NothingSentError) or (
        isinstance(error, HTTPError) and not _is_client_error(error)
    )


def _is_client_error(error: Exception) -> bool:
    response = getattr(error, "response", None)  # a line that broke has none
    return response is not None and 400 <= response.status_code < 500


def _append_bytes(
    source: DownloadSource, part_path: Path, present_bytes: int, on_bytes: Callable[[int], None]
) -> None:
    if present_bytes > source.size_bytes:  # of another release of it; the server would refuse the range
        part_path.unlink()
        on_bytes(-present_bytes)
        present_bytes = 0
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if present_bytes:
        headers["Range"] = f"bytes={present_bytes}-"
    with get_session().stream("GET", source.url, headers=headers, timeout=source.timeout_s) as response:
        hf_raise_for_status(response)
        is_resumed = response.status_code == 206
        if present_bytes and not is_resumed:
            on_bytes(-present_bytes)
        with part_path.open("ab" if is_resumed else "wb") as file:
            for chunk in response.iter_bytes():  # as they come: a buffer would be lost with the line
                file.write(chunk)
                on_bytes(len(chunk))
            file.flush()
            os.fsync(file.fileno())
