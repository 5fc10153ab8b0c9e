"""Trains with the `train_network.py` of an sd-scripts checkout, and says the same as our own trainer.

The program runs beside the worker. Its generator only looks what was printed meanwhile, so cancelling and
drawing pictures never wait for a step of it.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from PIL import Image

from gpu_worker.device import placement
from gpu_worker.device.memory_modes import MemoryMode
from gpu_worker.errors import BadInput, BaseModelError, JobProblem
from gpu_worker.kohya.external import output
from gpu_worker.kohya.external.process import ExternalProcess
from gpu_worker.kohya.external.workspace import PROGRAM, create_workspace, workspaces_root
from gpu_worker.lora import file as lora_file
from gpu_worker.models.sd15.family import SD15 as SD15_FAMILY
from gpu_worker.models.sources.hub import SD15
from gpu_worker.models.sources.names import resolve_name
from gpu_worker.models.sources.vae import find_vae
from gpu_worker.protocol import (
    SHIPPED_MODELS,
    DoneEvent,
    ProgressEvent,
    StartedEvent,
    TrainRequest,
    WorkerEvent,
)
from gpu_worker.training.config import TrainingConfig

log = logging.getLogger(__name__)

#: Progress is yielded at least this often, so that other requests of the worker get their turn.
POLL_INTERVAL_S = 0.2
#: No output for this long is a hang; loading a base model and a step take less.
SILENCE_TIMEOUT_S = 3600.0
_OUTPUT_NAME = "lora"
#: File name of the initial LoRA.
_INITIAL_LORA_FILE = "start.safetensors"
_WEIGHT_FOLDERS = ("unet", "vae", "text_encoder")
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
#: As accelerate names them.
_PRECISIONS = {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float32: "no"}


def measure_memory_mode() -> MemoryMode:
    """Benchmark precisions, and return the memory mode to train in."""
    return placement.select_device(is_small_model=False).memory_mode


@dataclass(frozen=True)
class SdScriptsTrainer:
    """Trains with one checkout and one base model; each training is a process of its own."""

    checkout_dir: Path  #: absolute, because the program is started in there
    python: Path | None  #: the interpreter; None: the worker's own
    base_model: str
    train_steps: int | None = None  #: None: the default for SD 1.5
    workspaces_dir: Path = field(default_factory=workspaces_root)
    silence_s: float = SILENCE_TIMEOUT_S
    measure: Callable[[], MemoryMode] = measure_memory_mode
    base_vae: str = ""  #: empty: the base model's own

    def train(self, request: TrainRequest) -> Generator[WorkerEvent, None, None]:
        """Train the LoRA of a request: Started, Progress now and then, Done with the file.

        Raises BadInput or BaseModelError; closing the generator ends the program and removes its folder.
        """
        if not request.photos:
            raise BadInput(JobProblem.NO_PHOTOS)
        started_at = time.monotonic()
        steps = request.steps or self.train_steps or TrainingConfig().steps
        base_model = resolve_base_model(self.base_model)
        with create_workspace(self.workspaces_dir) as folder:
            _write_photos(folder, request, repeats=max(1, steps // len(request.photos)))
            _write_initial_lora(folder, request)
            yield StartedEvent(
                job_id=request.job_id, attempt=request.attempt, step=0, steps=steps, family=SD15_FAMILY.name
            )
            memory_mode = self.measure()
            config = replace(
                TrainingConfig(),
                steps=steps,
                seed=request.seed,
                gradient_checkpointing=memory_mode.gradient_checkpointing,
            )
            command = self._build_command(folder, base_model, config, _PRECISIONS[memory_mode.dtype])
            progress_parser = output.ProgressParser(steps)
            for step in self._run(command, folder, progress_parser):
                yield ProgressEvent(job_id=request.job_id, attempt=request.attempt, step=step, steps=steps)
            lora = _read_result(folder, progress_parser)
            yield ProgressEvent(job_id=request.job_id, attempt=request.attempt, step=steps, steps=steps)
        yield DoneEvent(
            job_id=request.job_id, attempt=request.attempt, lora=lora, elapsed_s=time.monotonic() - started_at
        )

    def _run(
        self, command: list[str], folder: Path, progress_parser: output.ProgressParser
    ) -> Generator[int, None, None]:
        """Yield the current step now and then until the program ends; BadInput if it fails."""
        try:
            process = ExternalProcess(
                command, self.checkout_dir, self._build_environ(folder), progress_parser.parse_line
            )
        except OSError as error:
            raise BadInput(JobProblem.SD_SCRIPTS_CANNOT_START, detail=str(error.strerror)) from error
        try:
            while (status := process.wait(POLL_INTERVAL_S)) is None and process.silence_s < self.silence_s:
                yield progress_parser.step
        finally:
            process.close()
        if status is None:
            raise _with_last_lines(BadInput(JobProblem.SD_SCRIPTS_SILENT), progress_parser, folder)
        if status != 0:
            failure = output.find_error(status, progress_parser.format_tail(folder))
            raise _with_last_lines(failure, progress_parser, folder)

    def _build_command(
        self, folder: Path, base_model: str, config: TrainingConfig, precision: str
    ) -> list[str]:
        """Return the settings as sd-scripts' flags; others stay at their defaults."""
        flags = {
            "pretrained_model_name_or_path": base_model,
            "train_data_dir": folder / "photos",
            "output_dir": folder / "out",
            "output_name": _OUTPUT_NAME,
            "save_model_as": "safetensors",
            "save_precision": config.save_precision,
            "resolution": f"{config.resolution_px},{config.resolution_px}",
            "train_batch_size": config.batch_size,
            "max_train_steps": config.steps,
            "seed": config.seed,
            "network_module": "networks.lora",
            "network_dim": config.rank,
            "network_alpha": config.alpha,
            "optimizer_type": config.optimizer_type,
            "learning_rate": config.unet_lr,
            "unet_lr": config.unet_lr,
            "text_encoder_lr": config.text_encoder_lr,
            "lr_scheduler": config.lr_scheduler,
            "max_grad_norm": config.max_grad_norm,
            "mixed_precision": precision,
            # Once the latents are cached, worker processes would only cost memory.
            "max_data_loader_n_workers": 0,
        }
        if self.base_vae:  # as files that are here, so that sd-scripts unpickles nothing from the hub
            flags["vae"] = find_vae(self.base_vae).path.absolute()
        if (initial_lora_path := folder / _INITIAL_LORA_FILE).exists():
            flags["network_weights"] = initial_lora_path
        if config.min_snr_gamma is not None:
            flags["min_snr_gamma"] = config.min_snr_gamma
        switches = ["--sdpa", "--cache_latents"]
        switches += ["--network_train_unet_only"] * (not config.train_text_encoder)
        switches += ["--gradient_checkpointing"] * bool(config.gradient_checkpointing)
        python = str(self.python or sys.executable)
        program = [python, str(self.checkout_dir / PROGRAM)]
        return [*program, *(f"--{name}={value}" for name, value in flags.items()), *switches]

    def _build_environ(self, folder: Path) -> dict[str, str]:
        environ = dict(os.environ)
        if self.python is not None:  # our interpreter's paths would lead another one astray
            for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
                environ.pop(name, None)
        # Unbuffered, or progress would come in lumps; wide, or log lines would be broken inside paths.
        environ |= {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "COLUMNS": "400", "NO_COLOR": "1"}
        return environ | {"TMPDIR": str(folder / "tmp")}


def resolve_base_model(name: str) -> str:
    """Return the base model for sd-scripts; BaseModelError if it cannot load it without unpickling."""
    name = resolve_name(name)
    # Those of our own are narrower than any that sd-scripts takes.
    if name in SHIPPED_MODELS or (not name and not torch.cuda.is_available()):
        raise BaseModelError(JobProblem.SD_SCRIPTS_NEEDS_SD15)
    path = Path(name or SD15)
    # sd-scripts follows links, and takes every other suffix for a pickle.
    if path.is_file() and path.resolve().suffix.lower() != ".safetensors":
        raise BaseModelError(JobProblem.BASE_MODEL_PICKLE, name=path.name)
    # A part of a folder that has no safetensors would be unpickled.
    for component in _WEIGHT_FOLDERS if path.is_dir() else ():
        if not any((path / component).glob("*.safetensors")):
            raise BaseModelError(JobProblem.BASE_MODEL_LACKS_WEIGHTS, name=path.name, part=component)
    if not path.exists() and (path.is_absolute() or path.suffix):
        raise BaseModelError(JobProblem.BASE_MODEL_MISSING, name=path.name)
    return str(path.absolute()) if path.exists() else name or SD15


def _write_photos(folder: Path, request: TrainRequest, repeats: int) -> None:
    """Write the photos as sd-scripts expects them: `photos/300_sks person/photo-1.jpg`."""
    subset = folder / "photos" / f"{repeats}_{request.token} {request.class_word}"
    if subset.parent != folder / "photos" or "\0" in subset.name:
        raise BadInput(JobProblem.SD_SCRIPTS_BAD_TRIGGER)
    try:
        for directory in (folder / "tmp", folder / "out", subset):
            directory.mkdir(parents=True)
        for number, photo in enumerate(request.photos, 1):
            (subset / f"photo-{number}{_suffix(photo)}").write_bytes(photo)
    except OSError as error:
        raise BadInput(JobProblem.SD_SCRIPTS_CANNOT_WRITE, detail=str(error.strerror)) from error


def _write_initial_lora(folder: Path, request: TrainRequest) -> None:
    """Write the initial LoRA, if there is one, and return its path."""
    if request.initial_lora is None:
        return
    try:
        (folder / _INITIAL_LORA_FILE).write_bytes(request.initial_lora)
    except OSError as error:
        raise BadInput(JobProblem.SD_SCRIPTS_CANNOT_WRITE, detail=str(error.strerror)) from error


def _suffix(photo: bytes) -> str:
    try:
        with Image.open(io.BytesIO(photo), formats=list(_SUFFIXES)) as picture:
            picture.load()
            return _SUFFIXES[str(picture.format)]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(JobProblem.PHOTO_UNREADABLE) from error


def _read_result(folder: Path, progress_parser: output.ProgressParser) -> bytes:
    """Read the LoRA that it wrote; BadInput if it is missing or not usable."""
    try:
        data = (folder / "out" / f"{_OUTPUT_NAME}.safetensors").read_bytes()
    except OSError as error:
        raise _with_last_lines(BadInput(JobProblem.SD_SCRIPTS_NO_LORA), progress_parser, folder) from error
    try:
        lora_file.read(data)
    except BadInput as error:
        is_not_finite = error.problem is JobProblem.LORA_NOT_FINITE
        problem = JobProblem.TRAINING_NOT_FINITE if is_not_finite else JobProblem.SD_SCRIPTS_DAMAGED_LORA
        raise _with_last_lines(BadInput(problem), progress_parser, folder) from error
    return data


def _with_last_lines(error: BadInput, progress_parser: output.ProgressParser, folder: Path) -> BadInput:
    """Return the error with the last lines in a note; they go to the log, too."""
    tail = progress_parser.format_tail(folder) or "(nothing)"
    log.error("%s Its last lines:\n%s", error, tail)
    error.add_note(f"the last lines of sd-scripts:\n{tail}")
    return error
