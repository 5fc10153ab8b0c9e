"""The real laboratory: every run is a fresh process on the model of SD 1.5's shape."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import measure, same_lora
from benchmarks.machine import Machine
from benchmarks.measure import Measurement, NotMeasured
from benchmarks.peer import Peer, PeerWork
from benchmarks.runs import (
    CardRun,
    DrawingRun,
    PeerRun,
    PictureRun,
    PrecisionChoice,
    StoredBlockRun,
    SwitchRun,
    TrainingRun,
    WorkerRun,
)
from benchmarks.work import write_photo_folder

#: Figures of the CPU are of the CPU, also where there is a card.
_ON_CPU = {"CUDA_VISIBLE_DEVICES": ""}
_TIMEOUT_S = 1800.0
_CARD_STEPS = 80
_PEER_SDXL_FLAGS = "--sdpa --mixed_precision bf16 --network_train_unet_only --cache_text_encoder_outputs"
_PRECISIONS = {"no": "fp32", "bf16": "bf16", "fp16": "fp16"}


@dataclass(frozen=True)
class ProcessLab:
    """Runs our programs and the peer's."""

    bench_dir: Path
    model: Path
    machine: Machine
    environ: Mapping[str, str]  #: where PEER and PEER_PYTHON are looked for
    side_px: int = 512
    steps: int = 4
    pause_s: float = 10.0  #: between two photos of a person

    @property
    def has_card(self) -> bool:
        """Return whether torch sees a CUDA GPU."""
        return bool(self.machine.card)

    def gflops(self, precision: str) -> float:
        """Return what was measured when the machine was described."""
        return self.machine.fp32_gflops if precision == "fp32" else self.machine.bf16_gflops

    def train(self, precision: str) -> TrainingRun:
        """Train in a fresh process."""
        process = self._probe("training", *self._size(self.steps), "--precision", precision)
        return parse_training(process.read_json(), process.spawned_at)

    def peer(self, flags: str, launcher: bool = False, on_card: bool = False) -> PeerRun:
        """Run a training of the peer."""
        peer = Peer.from_environ(self.environ)
        steps = _CARD_STEPS if on_card else self.steps
        data = write_photo_folder(self.bench_dir, self.side_px)
        work = PeerWork(self.model, data, self.side_px, steps)
        return peer.train(work, flags, launcher, None if on_card else _ON_CPU)

    def train_sdxl(self) -> TrainingRun:
        """Train the UNet of SDXL in a fresh process in bf16."""
        arguments = [*self._size(self.steps), "--precision", "bf16", "--unet-only"]
        process = self._probe("training", *arguments, model=build_sdxl(self.bench_dir))
        return parse_training(process.read_json(), process.spawned_at)

    def peer_sdxl(self) -> PeerRun:
        """Run the same with the peer's program for SDXL."""
        peer = Peer.from_environ(self.environ)
        work = PeerWork(
            build_sdxl(self.bench_dir),
            write_photo_folder(self.bench_dir, self.side_px),
            self.side_px,
            self.steps,
            program="sdxl_train_network.py",
            tokenizers=self.bench_dir / "sdxl-peer-tokenizers",
        )
        return peer.train(work, _PEER_SDXL_FLAGS, environ=_ON_CPU)

    def draw_sdxl(self) -> DrawingRun:
        """Draw with SDXL in a fresh process in bf16, without a LoRA."""
        arguments = [*self._size(max(2, self.steps - 2)), "--precision", "bf16"]
        process = self._probe("sdxl_drawing", *arguments, model=build_sdxl(self.bench_dir))
        return DrawingRun(**{key: _to_tuple(value) for key, value in process.read_json().items()})

    def worker(self, only_ready: bool) -> WorkerRun:
        """Start a worker and, unless it is only to get ready, train twice with it."""
        arguments = ["--steps", str(max(2, self.steps - 1)), "--pause-s", str(self.pause_s)]
        figures = self._probe("worker", *arguments, *(["--only-ready"] * only_ready)).read_json()
        figures["precision"] = _PRECISIONS.get(figures["precision"], "")
        return WorkerRun(**{key: _to_tuple(value) for key, value in figures.items()})

    def choice(self) -> PrecisionChoice:
        """Load the model with the default precision."""
        figures = self._probe("choice").read_json()
        return PrecisionChoice(figures["precision"], figures["reason"], figures["fp16_tensors"])

    def draw(self, precision: str) -> DrawingRun:
        """Draw in a fresh process."""
        figures = self._probe(
            "drawing", *self._size(max(2, self.steps - 2)), "--precision", precision
        ).read_json()
        return DrawingRun(**{key: _to_tuple(value) for key, value in figures.items()})

    def draw_whole(self) -> PictureRun:
        """Draw whole pictures in a fresh process."""
        return PictureRun(**self._probe("whole_picture", "--side", str(self.side_px)).read_json())

    def switch(self) -> SwitchRun:
        """Change LoRAs in a fresh process."""
        return SwitchRun(**self._probe("switching").read_json())

    def pass_stored_block(self) -> StoredBlockRun:
        """Pass through a block of SDXL with whole and rounded weights, in a fresh process."""
        return StoredBlockRun(**self._probe("stored_block").read_json())

    def peak(self, duty: str) -> int:
        """Train, and draw beside it if asked, in a fresh process in bf16."""
        figures = self._probe("duties", duty, "--side", str(self.side_px), "--precision", "bf16").read_json()
        return int(figures["peak_bytes"])

    def loading(self) -> tuple[int, int]:
        """Load files in fp16 in a fresh process."""
        half_model = build_model(self.bench_dir, half=True)
        figures = measure.probe(
            "duties", str(half_model), "load", timeout_s=_TIMEOUT_S, environ=_ON_CPU
        ).read_json()
        files_bytes = sum(file.stat().st_size for file in half_model.rglob("*.safetensors"))
        return int(figures["peak_bytes"]), files_bytes

    def compare_loras(self) -> Measurement:
        """Train on a small model, which is built for it."""
        return same_lora.compare(self.bench_dir, self.environ)

    def card(self) -> CardRun:
        """Train on the card by default settings."""
        figures = measure.probe(
            "card", str(self.model), *self._size(_CARD_STEPS), timeout_s=_TIMEOUT_S
        ).read_json()
        return CardRun(**{key: _to_tuple(value) for key, value in figures.items()})

    def _size(self, steps: int) -> list[str]:
        return ["--steps", str(steps), "--side", str(self.side_px)]

    def _probe(self, probe_name: str, *arguments: str, model: Path | None = None) -> measure.FinishedProcess:
        return measure.probe(
            probe_name, str(model or self.model), *arguments, timeout_s=_TIMEOUT_S, environ=_ON_CPU
        )


def parse_training(figures: dict[str, Any], spawned_at: float) -> TrainingRun:
    """Return a training's figures from the probe's output; NotMeasured if there are too few steps."""
    ends = figures["step_ends"]
    if len(ends) < 2:
        raise NotMeasured("the training told of fewer than two steps")
    # The peer encodes its photos before its first step, so that is no part of a step of ours either.
    encode_times_s = figures["encode_s"][1:]
    steps_s = [step_s - encode_s for step_s, encode_s in zip(measure.gaps(ends), encode_times_s, strict=True)]
    # The checkpoint lies between its step and the next.
    if 0 < figures["checkpoint_step"] <= len(steps_s):
        steps_s[figures["checkpoint_step"] - 1] -= figures["checkpoint_s"]
    return TrainingRun(
        precision=figures["precision"],
        start_s=ends[0] - spawned_at,
        steps_s=tuple(steps_s),
        progress_delay_s=median(figures["progress_delay_s"]),
        checkpoint_s=figures["checkpoint_s"],
        checkpoint_bytes=figures["checkpoint_bytes"],
        peak_bytes=figures["peak_bytes"],
        adjusted=tuple(figures["adjusted"]),
    )


def _to_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def build_model(bench_dir: Path, half: bool = False) -> Path:
    """Return the model's folder, built if need be and in the system's file cache; NotMeasured without."""
    size = "2.1 GB in fp16" if half else "4.3 GB"
    print(f"bench: the model of SD 1.5's shape is in {bench_dir} (built once: {size})", flush=True)
    command = [sys.executable, "-m", "benchmarks.sd15_model", str(bench_dir), *(["--half"] * half)]
    folder = Path(measure.run(command, timeout_s=_TIMEOUT_S).read_json()["folder"])
    for file in folder.rglob("*.safetensors"):
        _read_whole(file)
    return folder


def build_sdxl(bench_dir: Path) -> Path:
    """Return SDXL's file, built if need be and in the system's file cache; NotMeasured without."""
    print(f"bench: the model of SDXL's shape is in {bench_dir} (built once: 6.9 GB)", flush=True)
    command = [sys.executable, "-m", "benchmarks.sdxl_model", str(bench_dir)]
    path = Path(measure.run(command, timeout_s=_TIMEOUT_S).read_json()["file"])
    _read_whole(path)
    return path


def _read_whole(path: Path) -> None:
    with path.open("rb") as stream:
        while stream.read(2**24):
            pass
