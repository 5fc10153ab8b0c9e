"""Models of a hub: downloaded once, whole and checked, with progress; a broken download goes on where it was.

A model that is there already is used without asking the hub anything.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import GatedRepoError, HTTPError, RepositoryNotFoundError, XetDownloadError  # type: ignore[attr-defined]
from tqdm import tqdm

from gpu_worker.errors import BaseModelError

log = logging.getLogger(__name__)

SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
WEIGHT_FOLDERS = ("unet", "vae", "text_encoder")
FOLDERS = (*WEIGHT_FOLDERS, "tokenizer", "scheduler")
#: Left free beside a download, for the ledger and LoRAs.
SPARE_BYTES = 2**30
#: The log tells of every so many percent.
LOG_EVERY_PERCENT = 5
_TEXTS = (".json", ".txt")
_PART_BYTES = 2**20
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

    def cached(self, name: str) -> Path | None:
        """Give the folder of a model that is here and whole."""
        try:
            found = snapshot_download(name, local_files_only=True, cache_dir=self.cache_dir)
        except (OSError, ValueError):  # the library's word for "not here"
            return None
        return Path(found) if is_whole(Path(found)) else None

    def files(self, name: str, half: bool) -> tuple[str, list[RemoteFile]]:
        """Ask the hub for a model's revision and the files that are needed; BaseModelError in one line."""
        try:
            info = HfApi(endpoint=self.endpoint).model_info(name, files_metadata=True, timeout=self.timeout_s)
        except GatedRepoError as error:
            raise BaseModelError(
                f"The base model {name} is gated: accept its terms on its page, and set HF_TOKEN to a token "
                "of yours; or give a folder or a .safetensors file."
            ) from error
        except RepositoryNotFoundError as error:
            raise BaseModelError(
                f"The base model {name} is not on the hub, or it is private: check BASE_MODEL."
            ) from error
        except _TROUBLES as error:
            raise _unreachable(name, error) from error
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
                path = hf_hub_download(
                    *(name, file.name),
                    revision=revision,
                    cache_dir=self.cache_dir,
                    endpoint=self.endpoint,
                    etag_timeout=self.timeout_s,
                    tqdm_class=_bar(progress.add),
                )
            except _TROUBLES as error:
                raise _unreachable(name, error) from error
            progress.reached(file)
            _check(Path(path), file)
        tell("")
        found = self.cached(name)
        if found is None:
            raise BaseModelError(f"The base model {name} lacks files of Stable Diffusion 1.x.")
        return found

    def _make_sure_of_room(self, name: str, files: Sequence[RemoteFile]) -> None:
        folder = Path(self.cache_dir or constants.HF_HUB_CACHE)
        folder.mkdir(parents=True, exist_ok=True)
        wanted, free = sum(each.size_bytes for each in files) + SPARE_BYTES, shutil.disk_usage(folder).free
        if free < wanted:
            raise BaseModelError(
                f"The base model {name} needs {wanted / 2**30:.1f} GB of disk, and {free / 2**30:.1f} GB "
                "are free where models are kept (HF_HOME)."
            )


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
    names = {path.name for path in folder.glob("*.safetensors")}
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


def _bar(add: Callable[[int], None]) -> type[Any]:
    """Make what the library wants for its progress bars: a tqdm that draws nothing and tells the count."""

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})
            add(int(options.get("initial") or 0))

        def update(self, n: float | None = 1) -> None:
            add(int(n or 0))

    return Bar


def _check(path: Path, file: RemoteFile) -> None:
    """Compare a file with the hub's checksum; a damaged one is deleted, so that it comes again."""
    if file.sha256 is None:
        return
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while part := stream.read(_PART_BYTES):
            digest.update(part)
    if digest.hexdigest() != file.sha256:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise BaseModelError(f"{file.name} arrived damaged and was deleted; it is downloaded again.")
    log.info("%s: sha256 %s, as the hub says", file.name, file.sha256)


def _unreachable(name: str, error: Exception) -> BaseModelError:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return BaseModelError(
        f"The base model {name} can be neither found nor downloaded ({line}); it is tried again with the "
        "next job or start. Or give a folder or a .safetensors file."
    )
