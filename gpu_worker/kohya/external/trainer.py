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
from typing import Any

import torch
from PIL import Image

from gpu_worker.device import placement
from gpu_worker.device.memory_modes import Gear
from gpu_worker.errors import BadInput, BaseModelError
from gpu_worker.kohya.external import output
from gpu_worker.kohya.external.process import Run
from gpu_worker.kohya.external.workspace import PROGRAM, parent, workspace
from gpu_worker.lora import file as lora_file
from gpu_worker.models import drawn, tiny
from gpu_worker.models.hub import SD15
from gpu_worker.protocol import Done, Event, Progress, Started, Train
from gpu_worker.training.config import Dials

log = logging.getLogger(__name__)

#: Progress is yielded at least this often, so that other requests of the worker get their turn.
LOOK_S = 0.2
#: So long without a word is a hang; downloading and loading a base model are shorter, and a step is too.
SILENCE_S = 3600.0
#: Base models of our own, narrower than any that sd-scripts takes.
_SHIPPED = (tiny.NAME, drawn.NAME)
_NAME = "lora"
#: The LoRA that a training goes on from.
_START = "start.safetensors"
_WEIGHT_FOLDERS = ("unet", "vae", "text_encoder")
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
#: As accelerate names them.
_PRECISIONS = {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float32: "no"}
_NEEDS_SD15 = (
    "sd-scripts needs a real Stable Diffusion 1.5: set BASE_MODEL to a hub id, a diffusers folder or a "
    ".safetensors file, or TRAINER to own."
)


def measured_gear() -> Gear:
    """Measure which precision is fast here, and whether memory has to be saved."""
    return placement.choose(small_model=False).gear


@dataclass(frozen=True)
class SdScriptsTrainer:
    """Runs one checkout's trainer with one base model; each training is a process of its own."""

    checkout: Path  #: absolute, because the program is started in there
    python: Path | None  #: the interpreter; None: the worker's own
    base_model: str
    train_steps: int | None = None  #: None: as many as for a person on SD 1.5
    workspaces: Path = field(default_factory=parent)
    silence_s: float = SILENCE_S
    measure: Callable[[], Gear] = measured_gear

    def train(self, request: Train) -> Generator[Event, None, None]:
        """Train the LoRA of a request: Started, Progress now and then, Done with the file.

        Raises BadInput or BaseModelError; closing the generator ends the program and removes its folder.
        """
        if not request.photos:
            raise BadInput("There are no photos to train on.")
        began = time.monotonic()
        steps = request.steps or self.train_steps or Dials().steps
        job: Any = {"job_id": request.job_id, "attempt": request.attempt}
        model = usable_base_model(self.base_model)
        with workspace(self.workspaces) as folder:
            _write_photos(folder, request, repeats=max(1, steps // len(request.photos)))
            _write_start(folder, request)
            yield Started(**job, step=0, steps=steps)
            gear = self.measure()
            usual = replace(
                Dials(), steps=steps, seed=request.seed, gradient_checkpointing=gear.checkpointing
            )
            command = self._command(folder, model, usual, _PRECISIONS[gear.dtype])
            listener = output.Listener(steps)
            for step in self._run(command, folder, listener):
                yield Progress(**job, step=step, steps=steps)
            lora = _result(folder, listener)
            yield Progress(**job, step=steps, steps=steps)
        yield Done(**job, lora=lora, seconds=time.monotonic() - began)

    def _run(self, command: list[str], folder: Path, listener: output.Listener) -> Generator[int, None, None]:
        """Yield the step it is at, now and then, until it has ended well; BadInput when it has not."""
        try:
            run = Run(command, self.checkout, self._environ(folder), listener.hear)
        except OSError as error:
            raise BadInput(f"The Python for sd-scripts cannot be started ({error.strerror}).") from error
        try:
            while (status := run.wait(LOOK_S)) is None and run.silent_s < self.silence_s:
                yield listener.step
        finally:
            run.close()
        if status is None:
            raise _failure("sd-scripts has said nothing for too long, so it was ended.", listener, folder)
        if status != 0:
            raise _failure(output.sentence(status, listener.tail(folder)), listener, folder)

    def _command(self, folder: Path, model: str, dials: Dials, precision: str) -> list[str]:
        """Write the dials as sd-scripts' flags; what is not here is at its default."""
        flags = {
            "pretrained_model_name_or_path": model,
            "train_data_dir": folder / "photos",
            "output_dir": folder / "out",
            "output_name": _NAME,
            "save_model_as": "safetensors",
            "save_precision": dials.save_precision,
            "resolution": f"{dials.resolution_px},{dials.resolution_px}",
            "train_batch_size": dials.batch_size,
            "max_train_steps": dials.steps,
            "seed": dials.seed,
            "network_module": "networks.lora",
            "network_dim": dials.rank,
            "network_alpha": dials.alpha,
            "optimizer_type": dials.optimizer,
            "learning_rate": dials.unet_rate,
            "unet_lr": dials.unet_rate,
            "text_encoder_lr": dials.text_rate,
            "lr_scheduler": dials.scheduler,
            "max_grad_norm": dials.max_gradient_norm,
            "mixed_precision": precision,
            # Everything is in memory once the latents are cached: helpers would only cost some.
            "max_data_loader_n_workers": 0,
        }
        if (start := folder / _START).exists():
            flags["network_weights"] = start
        if dials.min_snr_gamma is not None:
            flags["min_snr_gamma"] = dials.min_snr_gamma
        switches = ["--sdpa", "--cache_latents"]
        switches += ["--network_train_unet_only"] * (not dials.train_text_encoder)
        switches += ["--gradient_checkpointing"] * bool(dials.gradient_checkpointing)
        python = str(self.python or sys.executable)
        program = [python, str(self.checkout / PROGRAM)]
        return [*program, *(f"--{name}={value}" for name, value in flags.items()), *switches]

    def _environ(self, folder: Path) -> dict[str, str]:
        environ = dict(os.environ)
        if self.python is not None:  # our interpreter's paths would lead another one astray
            for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
                environ.pop(name, None)
        # Unbuffered, or progress would come in lumps; wide, or log lines would be broken inside paths.
        environ |= {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "COLUMNS": "400", "NO_COLOR": "1"}
        return environ | {"TMPDIR": str(folder / "tmp")}


def usable_base_model(name: str) -> str:
    """Return what sd-scripts is told to train on; BaseModelError when it could not, or would unpickle."""
    if name in _SHIPPED or (not name and not torch.cuda.is_available()):
        raise BaseModelError(_NEEDS_SD15)
    path = Path(name or SD15)
    # sd-scripts follows links, and takes every other suffix for a pickle.
    if path.is_file() and path.resolve().suffix.lower() != ".safetensors":
        raise BaseModelError(f"The base model {path.name} is no .safetensors file; pickles can run code.")
    # A part of a folder that has no safetensors would be unpickled.
    for part in _WEIGHT_FOLDERS if path.is_dir() else ():
        if not any((path / part).glob("*.safetensors")):
            raise BaseModelError(f"The base model folder {path.name} has no .safetensors weights in {part}.")
    if not path.exists() and (path.is_absolute() or path.suffix):
        raise BaseModelError(f"The base model {path.name} does not exist.")
    return str(path.absolute()) if path.exists() else name or SD15


def _write_photos(folder: Path, request: Train, repeats: int) -> None:
    """Lay the photos out as sd-scripts wants them: `photos/300_sks person/photo-1.jpg`."""
    subset = folder / "photos" / f"{repeats}_{request.token} {request.class_word}"
    if subset.parent != folder / "photos" or "\0" in subset.name:
        raise BadInput("The words for the subject cannot have a slash.")
    try:
        for needed in (folder / "tmp", folder / "out", subset):
            needed.mkdir(parents=True)
        for number, photo in enumerate(request.photos, 1):
            (subset / f"photo-{number}{_suffix(photo)}").write_bytes(photo)
    except OSError as error:
        raise BadInput(f"The photos cannot be laid out for sd-scripts ({error.strerror}).") from error


def _write_start(folder: Path, request: Train) -> None:
    """Lay out the LoRA to go on from, if there is one."""
    if request.start_from is None:
        return
    try:
        (folder / _START).write_bytes(request.start_from)
    except OSError as error:
        raise BadInput(f"The LoRA cannot be laid out for sd-scripts ({error.strerror}).") from error


def _suffix(photo: bytes) -> str:
    try:
        with Image.open(io.BytesIO(photo), formats=list(_SUFFIXES)) as picture:
            picture.load()
            return _SUFFIXES[str(picture.format)]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput("One of the photos cannot be read as a picture.") from error


def _result(folder: Path, listener: output.Listener) -> bytes:
    """Read the file it wrote; BadInput when there is none, or none that can be used."""
    try:
        data = (folder / "out" / f"{_NAME}.safetensors").read_bytes()
    except OSError as error:
        raise _failure("sd-scripts ended without writing a LoRA.", listener, folder) from error
    try:
        matrices = lora_file.read(data).matrices.values()
    except BadInput as error:
        raise _failure("sd-scripts wrote a LoRA that is damaged.", listener, folder) from error
    if not all(bool(each.down.isfinite().all() and each.up.isfinite().all()) for each in matrices):
        raise _failure(
            "The training went out of bounds (numbers too large); try a smaller learning rate.",
            listener,
            folder,
        )
    return data


def _failure(sentence: str, listener: output.Listener, folder: Path) -> BadInput:
    """Give the error for the person; the last lines go to the log, and as a note with the error."""
    tail = listener.tail(folder) or "(nothing)"
    log.error("%s Its last lines:\n%s", sentence, tail)
    error = BadInput(sentence)
    error.add_note(f"the last lines of sd-scripts:\n{tail}")
    return error
