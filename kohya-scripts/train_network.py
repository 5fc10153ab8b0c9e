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
from collections.abc import Sequence

import torch

from gpu_worker.errors import BadInput, WorkerError
from gpu_worker.kohya import flags, outputs, plan, tensorboard_log
from gpu_worker.kohya.outputs import OutputFiles
from gpu_worker.kohya.plan import TrainingPlan
from gpu_worker.lora import file as lora_file
from gpu_worker.lora.layers import read_lora
from gpu_worker.lora.network import select_targets
from gpu_worker.models.base import BaseModel
from gpu_worker.models.family import SDXL_ARCHITECTURE
from gpu_worker.models.registry import load_base_model
from gpu_worker.protocol import (
    CheckpointEvent,
    DoneEvent,
    FallbackEvent,
    ProgressEvent,
    SampleEvent,
    StartedEvent,
    WorkerEvent,
)
from gpu_worker.training import metadata as training_metadata
from gpu_worker.training.checkpoint import Checkpoint
from gpu_worker.training.trainer import TrainingTask, train_photos

_DTYPES = {None: None, "no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def main(argv: Sequence[str] | None = None, is_sdxl: bool = False) -> int:
    """Train and write the file; return the exit status. `is_sdxl` is for the program of that base."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    program = "sdxl_train_network" if is_sdxl else "train_network"
    try:
        _run(flags.parse_arguments(sys.argv[1:] if argv is None else argv, is_sdxl))
    except (WorkerError, OSError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{program}: stopped; nothing more was written", file=sys.stderr)
        return 130
    return 0


def _run(args: argparse.Namespace) -> None:
    for note in args.notes:
        print(note)
    resume_checkpoint = outputs.read_state(args.resume) if args.resume else None
    if resume_checkpoint is not None and args.seed is None:
        args.seed = outputs.read_state_seed(resume_checkpoint)
    dtype = _DTYPES[args.mixed_precision]
    base = load_base_model(args.pretrained_model_name_or_path, dtype, vae_name=args.vae)
    _check_architecture(base, args.is_sdxl)
    _check_clip_skip(args.clip_skip, base)
    training_plan = plan.make_plan(args, base.native_px)
    _report_unused_modules(training_plan, base)
    outputs.prepare_folder(args.output_dir)
    log = (
        tensorboard_log.open_log(
            args.logging_dir,
            training_plan.config.gradient_accumulation_steps,
            training_plan.batches_per_epoch,
        )
        if args.logging_dir
        else None
    )
    task = TrainingTask(
        training_plan.training_images,
        training_plan.config,
        name=args.output_name,
        comment=args.training_comment,
        metadata=training_plan.metadata,
        resume_checkpoint=resume_checkpoint,
        must_resume=resume_checkpoint is not None,
        initial_lora=training_plan.initial_lora,
        latents_dir=args.output_dir / "latents" if args.cache_latents_to_disk else None,
        checkpoint_at_end=args.save_state or args.save_state_on_train_end,
        on_step=log.write_step if log else None,
    )
    _print_summary(base, training_plan)
    files = OutputFiles(
        args.output_dir, args.output_name, training_plan.steps_per_epoch, bool(args.save_every_n_epochs)
    )
    try:
        with torch.random.fork_rng(devices=[]):
            _EventRecorder(base, task, files, args.save_state).run()
    finally:
        if log:
            log.close()


def _check_architecture(base: BaseModel, is_sdxl: bool) -> None:
    """Raise BadInput if the base model is for the other program, whose flags and defaults differ."""
    if (base.family.architecture == SDXL_ARCHITECTURE) != is_sdxl:
        other = "train_network.py" if is_sdxl else "sdxl_train_network.py"
        raise BadInput(f"{base.name} is a base model for {other}: {base.family.architecture}.")


def _check_clip_skip(clip_skip: int | None, base: BaseModel) -> None:
    layers = base.max_clip_skip
    if clip_skip is not None and clip_skip > layers:
        raise BadInput(f"--clip_skip {clip_skip} is too many: the text encoder has {layers} layers.")


def _report_unused_modules(training_plan: TrainingPlan, base: BaseModel) -> None:
    """Warn of modules of the initial LoRA that are not trained, and so are not in the new file."""
    if training_plan.initial_lora is None:
        return
    config = training_plan.config
    trained_names = {each.kohya_name for each in select_targets(base, config.network, config.is_trained)}
    if config.shape_from_initial:
        targets = base.targets_by_name.values()
        trained_names = {target.kohya_name for target in targets if config.is_trained(target.group)}
    unused_modules = read_lora(base, training_plan.initial_lora).weights.keys() - trained_names
    if unused_modules:
        print(
            f"{len(unused_modules)} modules of --network_weights are not trained here "
            "and left out of the new file."
        )


def _print_summary(base: BaseModel, training_plan: TrainingPlan) -> None:
    config = training_plan.config
    print(f"base model {base.name}, {base.memory_mode} on {base.device}: {base.device_config.reason}")
    for image in training_plan.training_images:
        kind = "regularisation" if image.is_regularisation else "subject"
        print(f"  {image.repeats} x {kind} {image.size_px}: {image.caption!r}")
    image_count, epoch_steps = len(training_plan.training_images), training_plan.steps_per_epoch
    print(f"{image_count} pictures, {config.steps} steps, {epoch_steps} an epoch", end=", ")
    print(f"seed {config.seed}, rank {config.rank}, alpha {config.alpha:g}")


class _EventRecorder:
    """Runs a training and writes its files."""

    def __init__(
        self, base: BaseModel, task: TrainingTask, files: OutputFiles, should_save_states: bool
    ) -> None:
        self._base, self._task, self._files, self._should_save_states = base, task, files, should_save_states
        self._sample_counts: dict[int, int] = {}

    def run(self) -> None:
        """Run the training to its end."""
        for event in train_photos(self._base, self._task):
            self._handle_event(event)

    def _handle_event(self, event: WorkerEvent) -> None:
        match event:
            case StartedEvent():
                if event.step:
                    print(f"going on from step {event.step}")
            case ProgressEvent():
                _print_progress(event)
            case FallbackEvent():
                print(f"{event.cause}: going on from step {event.step} with {event.memory_mode}")
            case SampleEvent():
                number = self._sample_counts.get(event.step, 0)
                self._sample_counts[event.step] = number + 1
                print(f"wrote {self._files.write_sample(event.png, event.step, number)}")
            case CheckpointEvent():
                self._handle_checkpoint(event)
            case DoneEvent(lora=bytes() as lora):
                print(f"wrote {self._files.write_lora(lora)}")

    def _handle_checkpoint(self, event: CheckpointEvent) -> None:
        if event.step >= self._task.config.steps:
            print(f"wrote {self._files.write_state(event.data)}")
            return
        checkpoint = Checkpoint.decode(event.data)
        lora = _encode_checkpoint_lora(self._base, self._task, checkpoint, self._files.is_by_epoch)
        print(f"wrote {self._files.write_lora(lora, event.step)}")
        if self._should_save_states:
            print(f"wrote {self._files.write_state(event.data, event.step)}")


def _encode_checkpoint_lora(
    base: BaseModel, task: TrainingTask, checkpoint: Checkpoint, is_epoch_end: bool
) -> bytes:
    started_at = checkpoint.started_at
    record = training_metadata.TrainingRecord(
        task.name,
        checkpoint.step,
        started_at,
        started_at + checkpoint.seconds,
        task.comment,
        is_epoch_end,
        task.metadata,
    )
    metadata = training_metadata.build_metadata(base, task.images, task.config, record)
    return lora_file.write(checkpoint.weights, metadata, task.config.save_precision)


def _print_progress(event: ProgressEvent) -> None:
    if event.step and event.step % max(1, event.steps // 20) == 0:
        print(f"step {event.step}/{event.steps}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
