"""Train a LoRA on a folder of pictures, with the flags and file format of kohya's sd-scripts.

    python kohya-scripts/train_network.py --pretrained_model_name_or_path tiny \\
        --train_data_dir photos --output_dir out --output_name me --learning_rate 1e-3

`photos` holds folders named `<repeats>_<words>`, such as `300_sks person`. It is the worker's own trainer;
docs/training.md tells what differs from sd-scripts.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from gpu_worker.errors import BadInput, WorkerError
from gpu_worker.kohya import flags, outputs, plan
from gpu_worker.kohya.outputs import Outputs
from gpu_worker.kohya.plan import Plan
from gpu_worker.lora import file as lora_file
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import Adjusted, Checkpoint, Done, Event, Progress, Sample, Started
from gpu_worker.training import metadata as training_metadata
from gpu_worker.training.checkpoint import Snapshot
from gpu_worker.training.trainer import StepReport, TrainingTask, train_photos

_DTYPES = {None: None, "no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def main(line: Sequence[str] | None = None) -> int:
    """Train and write the file; return the exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        _run(flags.parse(sys.argv[1:] if line is None else line))
    except (WorkerError, OSError) as error:
        print(f"train_network: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("train_network: stopped; nothing more was written", file=sys.stderr)
        return 130
    return 0


def _run(asked: argparse.Namespace) -> None:
    for note in asked.notes:
        print(note)
    resume = outputs.read_state(asked.resume) if asked.resume else None
    if resume is not None and asked.seed is None:
        asked.seed = outputs.seed_of(resume)
    base = BaseModel.load(asked.pretrained_model_name_or_path, _DTYPES[asked.mixed_precision])
    _check_clip_skip(asked.clip_skip, base)
    planned = plan.make(asked, base.native_px)
    _tell_left_out(planned, base)
    outputs.prepare(asked.output_dir)
    watch, close = _watcher(asked.logging_dir)
    task = TrainingTask(
        planned.examples,
        planned.dials,
        name=asked.output_name,
        comment=asked.training_comment,
        resume=resume,
        must_resume=resume is not None,
        start_from=planned.start_from,
        latents_dir=asked.output_dir / "latents" if asked.cache_latents_to_disk else None,
        checkpoint_at_end=asked.save_state or asked.save_state_on_train_end,
        on_step=watch,
    )
    _introduce(base, planned)
    files = Outputs(
        asked.output_dir, asked.output_name, planned.steps_per_epoch, bool(asked.save_every_n_epochs)
    )
    try:
        with torch.random.fork_rng(devices=[]):
            _Recorder(base, task, files, asked.save_state).record()
    finally:
        close()


def _check_clip_skip(clip_skip: int | None, base: BaseModel) -> None:
    layers = int(base.text_encoder.config.num_hidden_layers)
    if clip_skip is not None and clip_skip > layers:
        raise BadInput(f"--clip_skip {clip_skip} is too many: the text encoder has {layers} layers.")


def _tell_left_out(planned: Plan, base: BaseModel) -> None:
    """Say which parts of a finished LoRA are not trained on, and so are not in the new file."""
    if planned.start_from is None:
        return
    dials = planned.dials
    targets = (base.unet_targets if dials.train_unet else ()) + (
        base.text_targets if dials.train_text_encoder else ()
    )
    rest = lora_file.read(planned.start_from).matrices.keys() - {target.kohya_name for target in targets}
    if rest:
        print(f"{len(rest)} modules of --network_weights are not trained here and left out of the new file.")


def _introduce(base: BaseModel, planned: Plan) -> None:
    dials = planned.dials
    print(f"base model {base.name}, {base.gear} on {base.device}: {base.placement.reason}")
    for example in planned.examples:
        kind = "regularisation" if example.is_regularisation else "subject"
        print(f"  {example.repeats} x {kind} {example.size_px}: {example.caption!r}")
    told = f"{len(planned.examples)} pictures, {dials.steps} steps, {planned.steps_per_epoch} an epoch"
    print(f"{told}, seed {dials.seed}, rank {dials.rank}, alpha {dials.alpha:g}")


class _Recorder:
    """Runs a training and writes down what it gives."""

    def __init__(self, base: BaseModel, task: TrainingTask, files: Outputs, states: bool) -> None:
        self._base, self._task, self._files, self._states = base, task, files, states
        self._samples: dict[int, int] = {}

    def record(self) -> None:
        """Train to the end."""
        for event in train_photos(self._base, self._task):
            self._note(event)

    def _note(self, event: Event) -> None:
        match event:
            case Started():
                if event.step:
                    print(f"going on from step {event.step}")
            case Progress():
                _show(event)
            case Adjusted():
                print(event.reason)
            case Sample():
                number = self._samples.get(event.step, 0)
                self._samples[event.step] = number + 1
                print(f"wrote {self._files.write_sample(event.png, event.step, number)}")
            case Checkpoint():
                self._note_checkpoint(event)
            case Done(lora=bytes() as lora):
                print(f"wrote {self._files.write_lora(lora)}")

    def _note_checkpoint(self, event: Checkpoint) -> None:
        if event.step >= self._task.dials.steps:
            print(f"wrote {self._files.write_state(event.data)}")
            return
        lora = _intermediate(self._base, self._task, Snapshot.decode(event.data))
        print(f"wrote {self._files.write_lora(lora, event.step)}")
        if self._states:
            print(f"wrote {self._files.write_state(event.data, event.step)}")


def _intermediate(base: BaseModel, task: TrainingTask, snapshot: Snapshot) -> bytes:
    started_at = snapshot.started_at
    record = training_metadata.TrainingRecord(
        task.name, snapshot.step, started_at, started_at + snapshot.seconds, task.comment
    )
    metadata = training_metadata.describe(base, task.photos, task.dials, record)
    return lora_file.write(snapshot.matrices, metadata, task.dials.save_precision)


def _watcher(folder: Path | None) -> tuple[Callable[[StepReport], None] | None, Callable[[], None]]:
    """Return what writes each step's report to TensorBoard, and what closes the log."""
    if folder is None:
        return None, lambda: None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise BadInput("--logging_dir needs the package tensorboard: pip install tensorboard.") from error
    own = folder / datetime.now(UTC).strftime("%Y%m%d%H%M%S") / "network_train"
    writer: Any = SummaryWriter(str(own))
    total = 0.0
    count = 0

    def watch(report: StepReport) -> None:
        nonlocal total, count
        total, count = total + report.loss, count + 1
        writer.add_scalar("loss/current", report.loss, report.step)
        writer.add_scalar("loss/average", total / count, report.step)
        writer.add_scalar("lr/unet", report.unet_rate, report.step)
        writer.add_scalar("lr/textencoder", report.text_rate, report.step)

    return watch, writer.close


def _show(event: Progress) -> None:
    if event.step and event.step % max(1, event.steps // 20) == 0:
        print(f"step {event.step}/{event.steps}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
