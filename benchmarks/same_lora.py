"""The row `same-lora`: the same flags on both sides give the same kind of LoRA.

Each set of flags is trained with eight seeds by our program and by sd-scripts, on a small model of Stable
Diffusion 1.5's shape. Random streams differ, so single LoRAs do; the norms of what was learnt are compared as
means over the seeds, and the logged learning rates step by step.
"""

from __future__ import annotations

import importlib
import json
import math
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks import measure
from benchmarks.measure import Measurement, NotMeasured
from benchmarks.peer import STAND_INS, Peer

#: Three are too few: for Prodigy's text encoder the ratio was 0.926 with seeds 1 to 3, and 0.986 with 4 to 8.
SEEDS = tuple(range(1, 9))
PARTS = ("lora_unet_", "lora_te_")
_WIDTHS = (32, 64, 64, 64)  # sd-scripts' groups of channels are 32
_TIMEOUT_S = 3600.0
_COMMON = "--network_dim 4 --network_alpha 2 --learning_rate 1e-3 --caption_extension .txt "
_SQUARE = "--train_data_dir {data}/square --resolution 128 --train_batch_size 5 --max_train_steps 12 "
_ODD = (
    "--train_data_dir {data}/odd --resolution 128 --enable_bucket --min_bucket_reso 64 --max_bucket_reso 256 "
)
#: The sets of flags by name. A batch of all five photos keeps the noise between seeds small.
FLAG_SETS: dict[str, str] = {
    "plain": _SQUARE,
    "unet-only-warm-up": _SQUARE + "--network_train_unet_only --lr_scheduler cosine --lr_warmup_steps 4",
    "accumulated-epochs": _ODD
    + "--train_batch_size 2 --gradient_accumulation_steps 2 --max_train_epochs 4 --reg_data_dir {data}/reg",
    "prodigy": _SQUARE + "--optimizer_type Prodigy --learning_rate 1 --lr_scheduler cosine",
    "dropout": _SQUARE + "--network_dropout 0.1 --network_args rank_dropout=0.1 module_dropout=0.1",
    "locon": _SQUARE + "--network_args conv_dim=4 conv_alpha=2 --scale_weight_norms 0.1",
    "block-rates": _SQUARE + "--network_args down_lr_weight=linear mid_lr_weight=0 up_lr_weight=1,0.5,0.25",
    "long-captions": _ODD
    + "--train_batch_size 2 --max_train_steps 12 --max_token_length 150 --min_snr_gamma 5 "
    "--noise_offset 0.05 --clip_skip 2 --shuffle_caption --keep_tokens 1",
}


@dataclass(frozen=True)
class TrainedLora:
    """What is compared of one training."""

    norms: Mapping[str, float]  #: of the matrices that began at zero, by the part's prefix
    rates: Mapping[str, list[tuple[int, float]]]  #: the logged curves, by their names


def compare(bench_dir: Path, environ: Mapping[str, str]) -> Measurement:
    """Train all sets on both sides; return the largest ratio of norms, or infinity where rates differ."""
    peer = Peer.from_environ(environ)
    folder = bench_dir / "same-lora"
    inputs = _prepare(folder)
    loras: dict[str, dict[str, list[TrainedLora]]] = {}
    for side, command in {
        "theirs": [peer.python, "--peer", str(peer.folder), "--widths", json.dumps(_WIDTHS)],
        "ours": [sys.executable],
    }.items():
        loras[side] = _train_all(folder, side, command, inputs)
    return compare_sides(loras["ours"], loras["theirs"])


def compare_sides(
    ours: Mapping[str, list[TrainedLora]], theirs: Mapping[str, list[TrainedLora]]
) -> Measurement:
    """Return the largest ratio of mean norms, either way; infinity where a rate differs at any step."""
    worst, notes = 1.0, []
    for name in ours:
        ratios = {
            part: fmean(lora.norms[part] for lora in ours[name])
            / fmean(lora.norms[part] for lora in theirs[name])
            for part in PARTS
            if part in ours[name][0].norms
        }
        worst = max(worst, *(max(ratio, 1 / ratio) for ratio in ratios.values()))
        note = f"{name} " + " and ".join(f"{ratio:.3f}" for ratio in ratios.values())
        if not _have_same_rates(ours[name], theirs[name]):
            worst, note = math.inf, f"{note}, other rates"
        notes.append(note)
    return Measurement(worst, "UNet and text encoder by sd-scripts': " + "; ".join(notes))


def _have_same_rates(ours: list[TrainedLora], theirs: list[TrainedLora]) -> bool:
    return all(
        one.rates.keys() == other.rates.keys()
        and all(
            len(one.rates[tag]) == len(curve)
            and all(
                step == other_step and math.isclose(rate, other_rate, rel_tol=1e-5, abs_tol=1e-12)
                for (step, rate), (other_step, other_rate) in zip(one.rates[tag], curve, strict=True)
            )
            for tag, curve in other.rates.items()
        )
        for one, other in zip(ours, theirs, strict=True)
    )


def _train_all(
    folder: Path, side: str, command: list[str], inputs: Mapping[str, Path]
) -> dict[str, list[TrainedLora]]:
    out_dirs = {(name, seed): folder / side / f"{name}-{seed}" for name in FLAG_SETS for seed in SEEDS}
    shutil.rmtree(folder / side, ignore_errors=True)
    jobs = []
    for (name, seed), out_dir in out_dirs.items():
        out_dir.mkdir(parents=True)
        paths = {key: str(path) for key, path in inputs.items()}
        flags = shlex.split(_COMMON + FLAG_SETS[name])
        own = {"pretrained_model_name_or_path": inputs["model"], "output_dir": out_dir, "seed": seed}
        own |= {"logging_dir": out_dir / "logs", "max_data_loader_n_workers": 0, "output_name": "lora"}
        own |= {"network_module": "networks.lora", "save_model_as": "safetensors", "mixed_precision": "no"}
        if side == "theirs":
            own |= {"tokenizer_cache_dir": inputs["model"] / "peer-tokenizers"}
        words = [word for key, value in own.items() for word in (f"--{key}", str(value))]
        words += [flag.format(**paths) for flag in flags] + ["--cache_latents"]
        jobs.append({"log": str(out_dir / "log.txt"), "flags": words})
    job_file = folder / f"{side}.json"
    job_file.write_text(json.dumps(jobs), "utf-8")
    program = str(Path(__file__).parent / "probes" / "same_lora.py")
    process = measure.run(
        [command[0], program, str(job_file), *command[1:]],
        timeout_s=_TIMEOUT_S,
        environ={"CUDA_VISIBLE_DEVICES": "", **_peer_path(side)},
    )
    statuses = process.read_json()["statuses"]
    for ((name, _), out_dir), status in zip(out_dirs.items(), statuses, strict=True):
        if status:
            last_line = measure.last_line((out_dir / "log.txt").read_text("utf-8"))
            raise NotMeasured(f"{name} failed for {side}: {last_line}")
    return {name: [_read_lora(out_dirs[name, seed]) for seed in SEEDS] for name in FLAG_SETS}


def _peer_path(side: str) -> dict[str, str]:
    """Return the stand-ins for packages of which no build fits; a peer that has its own takes that first."""
    root = str(Path(__file__).parents[1])
    return {"PYTHONPATH": str(STAND_INS)} if side == "theirs" else {"PYTHONPATH": root}


def _read_lora(out_dir: Path) -> TrainedLora:
    from safetensors.torch import load_file

    # tensorboard has no types
    event_accumulator: Any = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    squares: dict[str, float] = {}
    for key, tensor in load_file(out_dir / "lora.safetensors").items():
        for part in PARTS:
            if key.startswith(part) and key.endswith("lora_up.weight"):
                squares[part] = squares.get(part, 0.0) + float(tensor.float().square().sum())
    rates: dict[str, list[tuple[int, float]]] = {}
    for log_file in (out_dir / "logs").rglob("events.out.tfevents.*"):
        events = event_accumulator.EventAccumulator(str(log_file)).Reload()
        for tag in events.Tags()["scalars"]:
            if tag.startswith("lr/") and "d*lr" not in tag:  # Prodigy's factor follows the noise
                rates[tag] = [(event.step, event.value) for event in events.Scalars(tag)]
    return TrainedLora({part: math.sqrt(square) for part, square in squares.items()}, rates)


def _prepare(folder: Path) -> dict[str, Path]:
    """Write model and photos; return their folders."""
    inputs = {"model": folder / "model", "data": folder / "data"}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "benchmarks.probes.small_model", *map(str, inputs.values())]
    measure.run([*command, json.dumps(_WIDTHS)], timeout_s=_TIMEOUT_S)
    return inputs
