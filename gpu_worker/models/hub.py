"""Models of a hub: downloaded once, whole and checked, with progress; a broken download goes on where it was.

A model that is there already is used without asking the hub anything.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download, hf_hub_url
from huggingface_hub.errors import GatedRepoError, HTTPError, RepositoryNotFoundError, XetDownloadError  # type: ignore[attr-defined]
from tqdm import tqdm

from gpu_worker.errors import BaseModelError
from gpu_worker.models.download import Source, fetch, part_of, size_of

log = logging.getLogger(__name__)

SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
WEIGHT_FOLDERS = ("unet", "vae", "text_encoder")
FOLDERS = (*WEIGHT_FOLDERS, "tokenizer", "scheduler")
#: Left free beside a download, for the ledger and LoRAs.
SPARE_BYTES = 2**30
#: The log tells of every so many percent.
LOG_EVERY_PERCENT = 5
_TEXTS = (".json", ".txt")
_TROUBLES = (OSError, ValueError, HTTPError, XetDownloadError)

Tell = Callable[[str], None]


@dataclass(frozen=True)
class RemoteFile:
    """A file of a model on the hub; small text files have no checksum there."""

    name: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True)
class Hub:
    """A hub of models; None: the usual one. `cache_dir` is where models are kept."""

    endpoint: str | None = None
    cache_dir: Path | None = None
    timeout_s: float = 30.0
    #: Between a line that broke and the next try.
    pause_s: float = 2.0

    def cached(self, name: str) -> Path | None:
        """Give the folder of a model that is here and whole, the newest where there are several."""
        # Not asked of the library: it knows a revision by its branch only, and wants every file of the model.
        snapshots = self._home(name) / "snapshots"
        folders = list(snapshots.iterdir()) if snapshots.is_dir() else []
        whole = [folder for folder in folders if folder.is_dir() and is_whole(folder)]
        return max(whole, key=lambda folder: folder.stat().st_mtime, default=None)

    def files(self, name: str, half: bool) -> tuple[str, list[RemoteFile]]:
        """Ask the hub for a model's revision and the files that are needed; BaseModelError in one line."""
        try:
            info = HfApi(endpoint=self.endpoint).model_info(name, files_metadata=True, timeout=self.timeout_s)
        except _TROUBLES as error:
            raise _sentence(name, error) from error
        everything = [
            RemoteFile(each.rfilename, each.size or 0, each.lfs.sha256 if each.lfs else None)
            for each in info.siblings or ()
        ]
        chosen = needed(everything, half)
        if not chosen or info.sha is None:
            raise BaseModelError(f"The base model {name} has no safetensors of Stable Diffusion 1.x.")
        return info.sha, chosen

    def folder(self, name: str, half: bool, tell: Tell) -> Path:
        """Give a model's folder, downloading what is missing; `tell` hears how far that is.

        `half` prefers the files in half precision, which are half the download. BaseModelError in one line.
        """
        here = self.cached(name)
        if here is not None:
            return here
        revision, files = self.files(name, half)
        self._make_sure_of_room(name, files)
        progress = _Progress(name, sum(each.size_bytes for each in files), tell)
        for file in files:
            try:
                self._bring(name, revision, file, progress)
            except _TROUBLES as error:
                raise _sentence(name, error) from error
            progress.reached(file)
        tell("")
        found = self.cached(name)
        if found is None:
            raise BaseModelError(f"The base model {name} lacks files of Stable Diffusion 1.x.")
        return found

    def _bring(self, name: str, revision: str, file: RemoteFile, progress: _Progress) -> None:
        """Put a file where the hub's library looks for it; it could not resume a large one itself."""
        if file.sha256 is not None:
            url = hf_hub_url(name, file.name, revision=revision, endpoint=self.endpoint)
            source = Source(file.name, url, file.size_bytes, file.sha256, self.timeout_s, self.pause_s)
            fetch(source, self._blob(name, file.sha256), progress.add)
        # The library finds a large file there, and only names it.
        hf_hub_download(
            *(name, file.name),
            revision=revision,
            cache_dir=self.cache_dir,
            endpoint=self.endpoint,
            etag_timeout=self.timeout_s,
            tqdm_class=_Silent,
        )

    def _blob(self, name: str, sha256: str) -> Path:
        return self._home(name) / "blobs" / sha256

    def _home(self, name: str) -> Path:
        # The layout that the hub's library documents: blobs by their checksum, snapshots that point to them.
        return self._cache() / f"models--{name.replace('/', '--')}"

    def _cache(self) -> Path:
        return Path(self.cache_dir or constants.HF_HUB_CACHE)

    def _make_sure_of_room(self, name: str, files: Sequence[RemoteFile]) -> None:
        folder = self._cache()
        folder.mkdir(parents=True, exist_ok=True)
        wanted = sum(each.size_bytes - self._here(name, each) for each in files) + SPARE_BYTES
        free = shutil.disk_usage(folder).free
        if free < wanted:
            raise BaseModelError(
                f"The base model {name} needs {wanted / 2**30:.1f} GB of disk, and {free / 2**30:.1f} GB "
                "are free where models are kept (HF_HOME)."
            )

    def _here(self, name: str, file: RemoteFile) -> int:
        if file.sha256 is None:
            return 0
        blob = self._blob(name, file.sha256)
        return min(size_of(blob) or size_of(part_of(blob)), file.size_bytes)


def is_id(name: str) -> bool:
    """Tell a hub id, `owner/name`, from a path: that has more separators, a drive or a dot in front."""
    return not name.startswith(("/", ".", "~")) and "\\" not in name and name.count("/") == 1


def needed(files: Iterable[RemoteFile], half: bool) -> list[RemoteFile]:
    """Choose what a Stable Diffusion 1.x model is made of; empty when a part has no safetensors."""
    chosen: list[RemoteFile] = []
    by_folder: dict[str, list[RemoteFile]] = {folder: [] for folder in FOLDERS}
    for file in files:
        folder, _, rest = file.name.partition("/")
        if folder in by_folder and "/" not in rest:
            by_folder[folder].append(file)
    for folder, inside in by_folder.items():
        chosen += [file for file in inside if file.name.endswith(_TEXTS)]
        if folder in WEIGHT_FOLDERS:
            weights = [each for each in inside if each.name.endswith(".safetensors")]
            halves = [each for each in weights if ".fp16" in each.name]
            full = [each for each in weights if each not in halves and ".non_ema" not in each.name]
            picked = (halves or full) if half else (full or halves)
            if not picked:
                return []
            chosen += picked
    return chosen


def is_whole(folder: Path) -> bool:
    """Say whether all parts of a diffusers model are in a folder, with every piece of their weights."""
    if not all((folder / part).is_dir() and any((folder / part).iterdir()) for part in FOLDERS):
        return False
    return all(_has_weights(folder / part) for part in WEIGHT_FOLDERS)


def _has_weights(folder: Path) -> bool:
    names = {path.name for path in folder.glob("*.safetensors") if path.is_file()}
    # `diffusion_pytorch_model-00001-of-00002.safetensors`: the name tells how many pieces there are.
    for name in names:
        stem, _, count = name.removesuffix(".safetensors").rpartition("-of-")
        if stem and count.isdecimal():
            head = stem.rpartition("-")[0]
            pieces = {f"{head}-{n:05d}-of-{count}.safetensors" for n in range(1, int(count) + 1)}
            if not pieces <= names:
                return False
    return bool(names) and (folder / "config.json").is_file()


class _Progress:
    """Adds up what has arrived, and tells it."""

    def __init__(self, name: str, total_bytes: int, tell: Tell) -> None:
        self._name = name
        self._total_bytes = max(total_bytes, 1)
        self._whole_bytes = 0
        self._part_bytes = 0
        self._tell = tell
        self._logged_percent = -LOG_EVERY_PERCENT

    def add(self, count_bytes: int) -> None:
        """So much more of the present file has arrived."""
        self._part_bytes += count_bytes
        done = min(self._whole_bytes + self._part_bytes, self._total_bytes)
        percent = 100 * done // self._total_bytes
        line = f"downloading, {percent} % of {self._total_bytes / 2**30:.1f} GB"
        self._tell(line)
        if percent >= self._logged_percent + LOG_EVERY_PERCENT:
            self._logged_percent = percent
            log.info("base model %s: %s", self._name, line)

    def reached(self, file: RemoteFile) -> None:
        """The present file is whole; it may have been here before."""
        self._whole_bytes += file.size_bytes
        self._part_bytes = 0
        self.add(0)


class _Silent(tqdm):  # type: ignore[misc]
    """What the library wants for its progress bars; it draws nothing."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "disable": True})


def _sentence(name: str, error: Exception) -> BaseModelError:
    if isinstance(error, GatedRepoError):
        return BaseModelError(
            f"The base model {name} is gated: accept its terms on its page, and set HF_TOKEN to a token "
            "of yours; or give a folder or a .safetensors file."
        )
    if isinstance(error, RepositoryNotFoundError):
        return BaseModelError(f"The base model {name} is not on the hub, or it is private: check BASE_MODEL.")
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return BaseModelError(
        f"The base model {name} can be neither found nor downloaded ({line}); it is tried again with the "
        "next job or start. Or give a folder or a .safetensors file."
    )
