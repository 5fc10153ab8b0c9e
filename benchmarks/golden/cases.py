"""The cases of a golden file: trainings by `train_network.py`, and stories at the console."""

from __future__ import annotations

import os
import pty
import re
from dataclasses import dataclass
from pathlib import Path

from benchmarks.golden.outputs import CaseOutputs, read_outputs
from benchmarks.golden.program import CaseError, Checkout, ProgramOutput, run_program

_TRAINER = Path("kohya-scripts") / "train_network.py"


@dataclass(frozen=True)
class TrainingCase:
    """Runs of `train_network.py`: a base model, and the flags of each run with `{out}` and `{data}`."""

    base_model: str
    flag_lines: tuple[str, ...]

    def run(self, checkout: Checkout, out_dir: Path) -> None:
        """Run the trainer once for each line of flags; its files go to `out_dir`."""
        folders = {"out": str(out_dir), "data": str(checkout.work_dir / "inputs")}
        for flag_line in self.flag_lines:
            line = f"--pretrained_model_name_or_path {self.base_model} {_COMMON_FLAGS} {flag_line}"
            flags = [word.format(**folders) for word in line.split()]
            with run_program([checkout.python, str(checkout.repo / _TRAINER), *flags], checkout) as output:
                for _ in output:
                    pass


@dataclass(frozen=True)
class ConsoleCase:
    """The demo at the console, then the lines that are typed; `[label]` presses the button of that name."""

    base_model: str
    steps: int
    typed_lines: tuple[str, ...]

    def run(self, checkout: Checkout, out_dir: Path) -> None:
        """Run the console with `out_dir` as its data folder; type each line when the last is answered."""
        settings = {"DATA_DIR": str(out_dir), "BASE_MODEL": self.base_model, "TRAIN_STEPS": str(self.steps)}
        pty_master, pty_slave = pty.openpty()
        pending_lines = list(self.typed_lines)
        with (
            os.fdopen(pty_master, "wb", buffering=0) as keyboard,
            run_program(_console_command(checkout), checkout, settings, pty_slave) as output,
        ):
            code, has_result = "", False
            for line in output:
                demo_match = re.match(r"demo: ok code=(\d+)", line)
                code = demo_match[1] if demo_match else code
                # A result is its number, its pictures, and its buttons.
                has_result = has_result or line.startswith("#")
                if demo_match or (code and has_result and line.startswith("  [")):
                    has_result = False
                    typed_line = pending_lines.pop(0) if pending_lines else "/quit"
                    keyboard.write(_resolve_input(typed_line, output, code).encode())
        if pending_lines:
            raise CaseError(f"the console ended before {pending_lines[0]!r} was typed")


def _console_command(checkout: Checkout) -> list[str]:
    """Return the command of the console program, which `pyproject.toml` names as `module:function`."""
    scripts: dict[str, str] = checkout.read_pyproject()["project"]["scripts"]
    module, _, function = next(iter(scripts.values())).partition(":")
    code = f"import sys; from {module} import {function} as main; sys.exit(main())"
    return [checkout.python, "-c", code]


def _resolve_input(typed_line: str, output: ProgramOutput, code: str) -> str:
    """Return what is typed: the line with the LoraCode, or the number of the button shown last."""
    if not typed_line.startswith("["):
        return f"{typed_line.format(code=code)}\n"
    for line in reversed(output.seen_lines):
        if match := re.search(rf"\[(\d+)\] {re.escape(typed_line[1:-1])}", line):
            return f"{match[1]}\n"
    raise CaseError(f"there is no button {typed_line}")


def run_case(name: str, checkout: Checkout) -> CaseOutputs:
    """Run a case and return its outputs; CaseError if it fails or leaves nothing behind."""
    out_dir = checkout.work_dir / name
    CASES[name].run(checkout, out_dir)
    outputs = read_outputs(out_dir)
    if not outputs:
        raise CaseError("it wrote no files")
    return outputs


_COMMON_FLAGS = (
    "--output_dir {out} --output_name golden --seed 7 --resolution 64 --network_dim 4 --network_alpha 2 "
    "--learning_rate 1e-3 --mixed_precision no --max_train_steps 6"
)
_PHOTOS = "--train_data_dir {data}/photos "
_SAMPLES = _PHOTOS + "--sample_prompts {data}/prompts.txt --sample_every_n_steps 3 "
_PLAIN = _SAMPLES + "--sample_at_first --save_every_n_steps 3 --min_snr_gamma 5"
_NOISE = (
    "--train_batch_size 2 --gradient_accumulation_steps 2 --noise_offset 0.05 --multires_noise_iterations 4 "
    "--min_snr_gamma 5 --clip_skip 2 --network_dropout 0.1 --network_args rank_dropout=0.1 "
    "module_dropout=0.1 --optimizer_type Lion --learning_rate 1e-4 --lr_scheduler cosine "
    "--lr_warmup_steps 25% --shuffle_caption --keep_tokens 1 --caption_dropout_rate 0.3"
)
_CLASS_PICTURES = (
    "--reg_data_dir {data}/class --prior_loss_weight 0.5 --masked_loss --alpha_mask --flip_aug "
    "--enable_bucket --min_bucket_reso 64 --max_bucket_reso 128 --train_batch_size 2 "
    "--optimizer_type Prodigy --learning_rate 1 --optimizer_args weight_decay=0.01 --max_train_epochs 2 "
    "--save_every_n_epochs 1 --sample_prompts {data}/prompts.toml --sample_every_n_epochs 1"
)
_DATASET_FILE = (
    "--dataset_config {data}/dataset.toml --masked_loss --optimizer_type Adafactor --optimizer_args "
    "relative_step=False scale_parameter=False warmup_init=False --lr_scheduler polynomial "
    "--lr_scheduler_power 2 --network_train_text_encoder_only --save_precision bf16"
)
_DRAWN = (
    "--unet_lr 2e-3 --text_encoder_lr 5e-4 --train_batch_size 2 --cache_latents_to_disk "
    "--save_precision fp16 --lr_scheduler cosine_with_restarts --lr_scheduler_num_cycles 2"
)
_RESUMED = (
    _PHOTOS + "--save_state --save_every_n_steps 3 --network_dropout 0.1",
    _PHOTOS + "--network_dropout 0.1 --output_name resumed --resume {out}/golden-step00000003-state",
    _PHOTOS + "--output_name further --network_weights {out}/golden.safetensors --dim_from_weights",
)
_CONSOLE_LINES = (
    "/generate {code} sks person on mars --seed 5 --sampler euler a --n 2",
    "/generate {code} (sks person:1.3) [at the lake] --seed 6 --sampler unipc --no blurry, (dark:1.2) "
    "--size 96x64 --steps 5",
    "/generate {code} sks person --seed 4294967295 --sampler lcm --steps 4 --guidance 1.5 --strength 0.7",
    "/generate {code} sks person in the snow --seed 9 --style oil --size portrait",
    "[Larger]",
    "/generate {code} sks person in space --seed 10",
    "[Variations]",
)
CASES: dict[str, TrainingCase | ConsoleCase] = {
    "tiny": TrainingCase("tiny", (_PLAIN,)),
    "tiny-noise": TrainingCase("tiny", (_PHOTOS + _NOISE,)),
    "tiny-class-pictures": TrainingCase("tiny", (_PHOTOS + _CLASS_PICTURES,)),
    "tiny-dataset-file": TrainingCase("tiny", (_DATASET_FILE,)),
    "drawn": TrainingCase("drawn", (_SAMPLES + _DRAWN,)),
    "drawn-preserved": TrainingCase(
        "drawn", (_SAMPLES + "--preserve_class 1 --trigger sks --network_train_unet_only",)
    ),
    "drawn-resumed": TrainingCase("drawn", _RESUMED),
    "folder-bf16": TrainingCase(
        "{data}/model", (_PLAIN + " --mixed_precision bf16 --gradient_checkpointing --max_train_steps 3",)
    ),
    "folder-velocity": TrainingCase("{data}/velocity", (_PLAIN + " --resolution 128",)),
    "bot-tiny": ConsoleCase("tiny", 6, _CONSOLE_LINES[:1]),
    "bot-drawn": ConsoleCase("drawn", 12, _CONSOLE_LINES),
}
