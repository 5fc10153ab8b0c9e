"""Train a LoRA on a folder of pictures, with the flags and file format of kohya's sd-scripts.

    python kohya-scripts/train_network.py --pretrained_model_name_or_path tiny \\
        --train_data_dir photos --output_dir out --output_name me --learning_rate 1e-3

`photos` holds folders named `<repeats>_<words>`, such as `300_sks person`. It is the worker's own trainer.
"""

from __future__ import annotations

import argparse
import math
import os
import secrets
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from gpu_worker import lora_file, lora_metadata
from gpu_worker.base_model import BaseModel
from gpu_worker.dataset import CaptionedPhoto
from gpu_worker.dials import Dials
from gpu_worker.errors import BadInput, WorkerError
from gpu_worker.protocol import Checkpoint, Done, Progress
from gpu_worker.training import TrainingTask, train_photos
from gpu_worker.training_state import Snapshot

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
_DTYPES = {None: None, "no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def arguments(line: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; where sd-scripts has the flag, its meaning and default are the same."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--pretrained_model_name_or_path", required=True, help="tiny, folder, .safetensors file or hub id")
    add("--train_data_dir", type=Path, required=True, help="folder of `<repeats>_<words>` folders")
    add("--output_dir", type=Path, required=True, help="where the LoRA is written; made if missing")
    add("--output_name", default="last", help="file name without .safetensors (default: last)")
    add("--save_precision", choices=list(lora_file.PRECISIONS), default="float", help="default: float")
    add("--save_every_n_steps", type=_positive, help="also write the LoRA after every so many steps")
    add("--resolution", help="side in pixels, or `512,512` (default: the base model's)")
    add(
        "--caption_extension", default=".caption", help="of caption files beside pictures (default: .caption)"
    )
    add("--train_batch_size", type=_positive, default=1, help="pictures in one step (default: 1)")
    add("--max_train_steps", type=_positive, help="steps in all (default: as many as the epochs have)")
    add(
        "--max_train_epochs",
        type=_positive,
        help="rounds over all repeats; goes before the steps (default: 1)",
    )
    add("--learning_rate", type=float, default=2e-6, help="default: 2e-6")
    add("--unet_lr", type=float, help="learning rate of the UNet (default: --learning_rate)")
    add("--text_encoder_lr", type=float, help="of the text encoder (default: --learning_rate)")
    add("--network_dim", type=_positive, default=4, help="rank (default: 4)")
    add("--network_alpha", type=float, default=1.0, help="effect is alpha / rank (default: 1)")
    add("--network_train_unet_only", action="store_true", help="leave the text encoder alone")
    add("--max_grad_norm", type=float, default=1.0, help="cut the gradient to this length (default: 1)")
    add("--min_snr_gamma", type=float, help="weigh timesteps by min-SNR; 5 is usual (default: off)")
    add("--mixed_precision", choices=["no", "fp16", "bf16"], help="of the frozen weights (default: measured)")
    add("--seed", type=int, help="default: drawn, and printed")
    return parser.parse_args(line)


def main(line: Sequence[str] | None = None) -> int:
    """Train and write the file; return the exit status."""
    asked = arguments(line)
    try:
        _run(asked)
    except (WorkerError, OSError) as error:
        print(f"train_network: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("train_network: stopped; nothing more was written", file=sys.stderr)
        return 130
    return 0


def _run(asked: argparse.Namespace) -> None:
    photos = read_folder(asked.train_data_dir, asked.caption_extension)
    asked.output_dir.mkdir(parents=True, exist_ok=True)
    base = BaseModel.load(asked.pretrained_model_name_or_path, _DTYPES[asked.mixed_precision])
    dials = settings(asked, photos, base.native_px)
    print(f"base model {base.name}, {base.dtype} on {base.device}: {base.placement.reason}")
    print(f"{len(photos)} pictures, {dials.steps} steps at {dials.resolution_px} px, seed {dials.seed}")
    task = TrainingTask(photos, dials, name=asked.output_name)
    for event in train_photos(base, task):
        if isinstance(event, Progress):
            _show(event)
        elif isinstance(event, Checkpoint):
            file = _intermediate(base, task, Snapshot.decode(event.data))
            _write(asked.output_dir / f"{asked.output_name}-step{event.step:08d}.safetensors", file)
        elif isinstance(event, Done) and event.lora is not None:
            _write(asked.output_dir / f"{asked.output_name}.safetensors", event.lora)


def settings(asked: argparse.Namespace, photos: tuple[CaptionedPhoto, ...], native_px: int) -> Dials:
    """Turn the flags into the trainer's dials."""
    round_steps = math.ceil(sum(photo.repeats for photo in photos) / asked.train_batch_size)
    steps = round_steps * (asked.max_train_epochs or 1)
    if asked.max_train_steps and not asked.max_train_epochs:
        steps = asked.max_train_steps
    return replace(
        Dials(),
        steps=steps,
        resolution_px=_side_px(asked.resolution) if asked.resolution else native_px,
        batch_size=asked.train_batch_size,
        seed=secrets.randbelow(2**31) if asked.seed is None else asked.seed,
        rank=asked.network_dim,
        alpha=asked.network_alpha,
        train_text_encoder=not asked.network_train_unet_only,
        unet_rate=asked.learning_rate if asked.unet_lr is None else asked.unet_lr,
        text_rate=asked.learning_rate if asked.text_encoder_lr is None else asked.text_encoder_lr,
        max_gradient_norm=asked.max_grad_norm,
        min_snr_gamma=asked.min_snr_gamma,
        save_precision=asked.save_precision,
        checkpoint_every_steps=asked.save_every_n_steps or steps,
        checkpoint_every_s=math.inf,
    )


def read_folder(folder: Path, caption_extension: str) -> tuple[CaptionedPhoto, ...]:
    """Read every picture of the `<repeats>_<words>` folders in here, in the order of their names."""
    if not folder.is_dir():
        raise BadInput(f"The data folder {folder} does not exist.")
    photos = []
    for subset in sorted(path for path in folder.iterdir() if path.is_dir()):
        repeats, _, words = subset.name.partition("_")
        if not repeats.isdecimal() or int(repeats) < 1:
            print(
                f"{subset.name} is left out: its name does not begin with repeats, as `300_sks person` does"
            )
            continue
        for path in sorted(subset.iterdir()):
            if path.suffix.lower() in PICTURE_SUFFIXES:
                caption = _caption(path.with_suffix(caption_extension), words)
                photos.append(CaptionedPhoto(path.read_bytes(), caption, int(repeats), subset.name))
    if not photos:
        raise BadInput(f"There are no pictures in {folder}: put them into a folder such as `300_sks person`.")
    return tuple(photos)


def _caption(path: Path, words: str) -> str:
    if not path.is_file():
        return words
    try:
        return path.read_text("utf-8").strip() or words
    except UnicodeDecodeError as error:
        raise BadInput(f"The caption {path.name} is not UTF-8 text; save it as UTF-8.") from error


def _intermediate(base: BaseModel, task: TrainingTask, snapshot: Snapshot) -> bytes:
    started_at = snapshot.started_at
    record = lora_metadata.TrainingRecord(task.name, snapshot.step, started_at, started_at + snapshot.seconds)
    metadata = lora_metadata.describe(base, task.photos, task.dials, record)
    return lora_file.write(snapshot.matrices, metadata, task.dials.save_precision)


def _write(path: Path, data: bytes) -> None:
    """Write a file that is whole or not there: a full disk or a crash leaves nothing half-written."""
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(part).chmod(0o644)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    print(f"wrote {path}")


def _show(event: Progress) -> None:
    if event.step and event.step % max(1, event.steps // 20) == 0:
        print(f"step {event.step}/{event.steps}", flush=True)


def _side_px(text: str) -> int:
    sides = text.split(",")
    if len(sides) > 2 or not all(side.strip().isdecimal() for side in sides):
        raise BadInput(f"--resolution takes a side in pixels such as 512 or 512,512, not {text}.")
    if len({int(side) for side in sides}) > 1:
        raise BadInput("--resolution must be square here, such as 512 or 512,512.")
    return int(sides[0])


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return number


if __name__ == "__main__":
    sys.exit(main())
