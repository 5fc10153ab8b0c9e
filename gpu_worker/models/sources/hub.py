"""Models of a hub: downloaded once, whole and checked, with progress; a broken download goes on where it was.

A model that is there already is used without asking the hub anything.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download, hf_hub_url
from huggingface_hub.errors import GatedRepoError, HTTPError, RepositoryNotFoundError, XetDownloadError  # type: ignore[attr-defined]
from tqdm import tqdm

from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.models.sources.download import DownloadSource, download, get_part_path, get_size_bytes
from gpu_worker.models.sources.names import read_json

log = logging.getLogger(__name__)

MODEL_INDEX = "model_index.json"
SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
WEIGHT_FOLDERS = ("unet", "vae", "text_encoder")
MODEL_FOLDERS = (*WEIGHT_FOLDERS, "tokenizer", "scheduler")
#: Of a model with a second text encoder. The last are downloaded last, so that a part is never taken for all.
WEIGHT_FOLDERS_2 = (*WEIGHT_FOLDERS, "text_encoder_2")
MODEL_FOLDERS_2 = (*WEIGHT_FOLDERS_2, "tokenizer_2", "tokenizer", "scheduler")
#: Of a transformer with flow matching.
TRANSFORMER_WEIGHTS = ("transformer", "vae", "text_encoder")
TRANSFORMER_FOLDERS = (*TRANSFORMER_WEIGHTS, "tokenizer", "scheduler")
_ALL_WEIGHTS = {*WEIGHT_FOLDERS_2, *TRANSFORMER_WEIGHTS}
#: Left free beside a download, for the database and LoRAs.
RESERVED_BYTES = 2**30
#: Progress is logged every so many percent.
LOG_EVERY_PERCENT = 5
_TEXT_SUFFIXES = (".json", ".txt")
_HUB_ERRORS = (OSError, ValueError, HTTPError, XetDownloadError)

ProgressCallback = Callable[[str], None]


@dataclass(frozen=True)
class RemoteFile:
    """A file of a model on the hub; small text files have no checksum there."""

    name: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True)
class FileLayout:
    """Which files of a repository are needed, and whether a folder has them all."""

    #: Given all files and whether half precision is preferred; empty if some are missing.
    select_files: Callable[[Iterable[RemoteFile], bool], list[RemoteFile]]
    is_complete: Callable[[Path], bool]


@dataclass(frozen=True)
class Hub:
    """A model hub; None means the default. `cache_dir` is the folder of downloaded models."""

    endpoint: str | None = None
    cache_dir: Path | None = None
    timeout_s: float = 30.0
    #: Between a line that broke and the next try.
    retry_delay_s: float = 2.0
    #: By default a whole model's.
    layout: FileLayout = field(default_factory=lambda: FileLayout(select_files, is_complete))

    def find_cached(self, name: str) -> Path | None:
        """Return the newest folder of a model that is complete on disk; None if there is none."""
        # Not asked of the library: it knows a revision by its branch only, and wants every file of the model.
        snapshots = self._repo_path(name) / "snapshots"
        folders = list(snapshots.iterdir()) if snapshots.is_dir() else []
        complete_folders = [
            folder for folder in folders if folder.is_dir() and self.layout.is_complete(folder)
        ]
        return max(complete_folders, key=lambda folder: folder.stat().st_mtime, default=None)

    def list_files(self, name: str, prefer_half: bool) -> tuple[str, list[RemoteFile]]:
        """Return a model's revision and the files it needs, from the hub; raises BaseModelError."""
        try:
            info = HfApi(endpoint=self.endpoint).model_info(name, files_metadata=True, timeout=self.timeout_s)
        except _HUB_ERRORS as error:
            raise _to_base_model_error(name, error) from error
        remote_files = [
            RemoteFile(sibling.rfilename, sibling.size or 0, sibling.lfs.sha256 if sibling.lfs else None)
            for sibling in info.siblings or ()
        ]
        needed_files = self.layout.select_files(remote_files, prefer_half)
        if not needed_files or info.sha is None:
            raise BaseModelError(JobProblem.BASE_MODEL_NO_SAFETENSORS, name=name)
        return info.sha, needed_files

    def count_missing_bytes(self, name: str, prefer_half: bool) -> int:
        """Return how much of a model is yet to be downloaded; raises BaseModelError."""
        if self.find_cached(name) is not None:
            return 0
        return self._count_missing_bytes(name, self.list_files(name, prefer_half)[1])

    def read_config(self, name: str, file_name: str) -> dict[str, Any]:
        """Return a small file of settings from the hub; raises BaseModelError."""
        try:
            path = hf_hub_download(
                name,
                file_name,
                cache_dir=self.cache_dir,
                endpoint=self.endpoint,
                etag_timeout=self.timeout_s,
            )
            return read_json(Path(path))
        except _HUB_ERRORS as error:
            raise _to_base_model_error(name, error) from error

    def get_folder(self, name: str, prefer_half: bool, on_progress: ProgressCallback) -> Path:
        """Return a model's folder; download missing files, and call `on_progress` meanwhile.

        `prefer_half` chooses the files in half precision, which are half the size. Raises BaseModelError.
        """
        cached_folder = self.find_cached(name)
        if cached_folder is not None:
            return cached_folder
        revision, files = self.list_files(name, prefer_half)
        self.ensure_room(name, self._count_missing_bytes(name, files))
        progress = _DownloadProgress(name, sum(remote_file.size_bytes for remote_file in files), on_progress)
        for file in files:
            try:
                self._download_file(name, revision, file, progress)
            except _HUB_ERRORS as error:
                raise _to_base_model_error(name, error) from error
            progress.finish_file(file)
        on_progress("")
        folder = self.find_cached(name)
        if folder is None:
            raise BaseModelError(JobProblem.BASE_MODEL_NO_SAFETENSORS, name=name)
        return folder

    def _download_file(self, name: str, revision: str, file: RemoteFile, progress: _DownloadProgress) -> None:
        """Place a file where the hub's library looks for it; that library cannot resume a download."""
        if file.sha256 is not None:
            url = hf_hub_url(name, file.name, revision=revision, endpoint=self.endpoint)
            source = DownloadSource(
                file.name, url, file.size_bytes, file.sha256, self.timeout_s, self.retry_delay_s
            )
            download(source, self._blob_path(name, file.sha256), progress.add)
        # The library finds a large file there, and only names it.
        hf_hub_download(
            *(name, file.name),
            revision=revision,
            cache_dir=self.cache_dir,
            endpoint=self.endpoint,
            etag_timeout=self.timeout_s,
            tqdm_class=_SilentProgressBar,
        )

    def _blob_path(self, name: str, sha256: str) -> Path:
        return self._repo_path(name) / "blobs" / sha256

    def _repo_path(self, name: str) -> Path:
        # The layout that the hub's library documents: blobs by their checksum, snapshots that point to them.
        return self._cache_path() / f"models--{name.replace('/', '--')}"

    def _cache_path(self) -> Path:
        return Path(self.cache_dir or constants.HF_HUB_CACHE)

    def ensure_room(self, name: str, missing_bytes: int) -> None:
        """Raise BaseModelError if a download is larger than the disk's free space."""
        folder = self._cache_path()
        folder.mkdir(parents=True, exist_ok=True)
        needed_bytes = missing_bytes + RESERVED_BYTES
        free_bytes = shutil.disk_usage(folder).free
        if free_bytes < needed_bytes:
            raise BaseModelError(
                JobProblem.BASE_MODEL_NO_DISK_SPACE,
                name=name,
                needed_gb=f"{needed_bytes / 2**30:.1f}",
                free_gb=f"{free_bytes / 2**30:.1f}",
            )

    def _count_missing_bytes(self, name: str, files: Sequence[RemoteFile]) -> int:
        return sum(file.size_bytes - self._count_present_bytes(name, file) for file in files)

    def _count_present_bytes(self, name: str, file: RemoteFile) -> int:
        if file.sha256 is None:
            return 0
        blob = self._blob_path(name, file.sha256)
        return min(get_size_bytes(blob) or get_size_bytes(get_part_path(blob)), file.size_bytes)


def select_files(files: Iterable[RemoteFile], prefer_half: bool) -> list[RemoteFile]:
    """Return the files of a diffusers model; empty if a component has no safetensors."""
    files = list(files)
    folders = list_folders({file.name.partition("/")[0] for file in files})
    return _select_in_folders(files, folders, prefer_half)


def list_folders(present: Collection[str]) -> tuple[str, ...]:
    """Return the folders that a model of those it has must have."""
    if "transformer" in present:
        return TRANSFORMER_FOLDERS
    return MODEL_FOLDERS_2 if "text_encoder_2" in present else MODEL_FOLDERS


def _select_in_folders(
    files: Sequence[RemoteFile], folders: Sequence[str], prefer_half: bool
) -> list[RemoteFile]:
    by_folder: dict[str, list[RemoteFile]] = {folder: [] for folder in folders}
    needed_files = [file for file in files if "transformer" in folders and file.name == MODEL_INDEX]
    for file in files:
        folder, _, file_name = file.name.partition("/")
        if folder in by_folder and "/" not in file_name:
            by_folder[folder].append(file)
    for folder, folder_files in by_folder.items():
        needed_files += [file for file in folder_files if file.name.endswith(_TEXT_SUFFIXES)]
        if folder in _ALL_WEIGHTS:
            weights = [each for each in folder_files if each.name.endswith(".safetensors")]
            half_files = [each for each in weights if ".fp16" in each.name]
            full_files = [each for each in weights if each not in half_files and ".non_ema" not in each.name]
            chosen_weights = (half_files or full_files) if prefer_half else (full_files or half_files)
            if not chosen_weights:
                return []
            needed_files += chosen_weights
    return needed_files


def is_complete(folder: Path, needs_vae: bool = True) -> bool:
    """Return True if a folder has all components of a diffusers model, with all shards of their weights."""
    folders = list_folders({path.name for path in folder.iterdir() if path.is_dir()})
    parts = [part for part in folders if needs_vae or part != "vae"]
    if not all((folder / part).is_dir() and any((folder / part).iterdir()) for part in parts):
        return False
    return all(has_weights(folder / part) for part in parts if part in _ALL_WEIGHTS)


def has_weights(folder: Path) -> bool:
    """Return True if a folder has a configuration and all shards of the weights."""
    names = {path.name for path in folder.glob("*.safetensors") if path.is_file()}
    # `diffusion_pytorch_model-00001-of-00002.safetensors`: the name has the number of shards.
    for name in names:
        stem, _, count = name.removesuffix(".safetensors").rpartition("-of-")
        if stem and count.isdecimal():
            stem_base = stem.rpartition("-")[0]
            pieces = {f"{stem_base}-{n:05d}-of-{count}.safetensors" for n in range(1, int(count) + 1)}
            if not pieces <= names:
                return False
    return bool(names) and (folder / "config.json").is_file()


class _DownloadProgress:
    """Adds up the downloaded bytes, and reports progress."""

    def __init__(self, name: str, total_bytes: int, on_progress: ProgressCallback) -> None:
        self._name = name
        self._total_bytes = max(total_bytes, 1)
        self._finished_bytes = 0
        self._current_bytes = 0
        self._on_progress = on_progress
        self._logged_percent = -LOG_EVERY_PERCENT

    def add(self, count_bytes: int) -> None:
        """Add downloaded bytes of the current file."""
        self._current_bytes += count_bytes
        done = min(self._finished_bytes + self._current_bytes, self._total_bytes)
        percent = 100 * done // self._total_bytes
        message = f"downloading, {percent} % of {self._total_bytes / 2**30:.1f} GB"
        self._on_progress(message)
        if percent >= self._logged_percent + LOG_EVERY_PERCENT:
            self._logged_percent = percent
            log.info("base model %s: %s", self._name, message)

    def finish_file(self, file: RemoteFile) -> None:
        """Mark the current file as complete; it may have been there before."""
        self._finished_bytes += file.size_bytes
        self._current_bytes = 0
        self.add(0)


class _SilentProgressBar(tqdm):  # type: ignore[misc]
    """A progress bar for the hub's library that shows nothing."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "disable": True})


def _to_base_model_error(name: str, error: Exception) -> BaseModelError:
    if isinstance(error, GatedRepoError):
        return BaseModelError(JobProblem.BASE_MODEL_GATED, name=name)
    if isinstance(error, RepositoryNotFoundError):
        return BaseModelError(JobProblem.BASE_MODEL_NOT_ON_HUB, name=name)
    message = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return BaseModelError(JobProblem.BASE_MODEL_UNREACHABLE, name=name, detail=message)
