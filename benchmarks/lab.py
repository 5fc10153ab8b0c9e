"""The real laboratory: every run is a fresh process on the model of SD 1.5's shape."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import measure
from benchmarks.machine import Machine
from benchmarks.measure import NotMeasured
from benchmarks.peer import Peer, PeerWork
from benchmarks.runs import CardRun, Choice, DrawingRun, PeerRun, SwitchRun, Training, WorkerRun
from benchmarks.work import photo_folder

#: Figures of the CPU are of the CPU, also where there is a card.
_ON_CPU = {"CUDA_VISIBLE_DEVICES": ""}
_LONG_S = 1800.0
_CARD_STEPS = 80
_PRECISIONS = {"no": "fp32", "bf16": "bf16", "fp16": "fp16"}


@dataclass(frozen=True)
class RealLab:
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
        """Say whether torch sees a CUDA card."""
        return bool(self.machine.card)

    def gflops(self, precision: str) -> float:
        """Return what was measured when the machine was described."""
        return self.machine.fp32_gflops if precision == "fp32" else self.machine.bf16_gflops

    def train(self, precision: str) -> Training:
        """Train in a fresh process."""
        ended = self._probe("training", *self._size(self.steps), "--precision", precision)
        return training_of(ended.told(), ended.spawned_at)

    def peer(self, flags: str, launcher: bool = False, on_card: bool = False) -> PeerRun:
        """Let the peer train."""
        peer = Peer.from_environ(self.environ)
        steps = _CARD_STEPS if on_card else self.steps
        data = photo_folder(self.bench_dir, self.side_px)
        work = PeerWork(self.model, data, self.side_px, steps)
        return peer.train(work, flags, launcher, None if on_card else _ON_CPU)

    def worker(self, only_ready: bool) -> WorkerRun:
        """Start a worker and, unless it is only to get ready, train twice with it."""
        arguments = ["--steps", str(max(2, self.steps - 1)), "--pause-s", str(self.pause_s)]
        told = self._probe("worker", *arguments, *(["--only-ready"] * only_ready)).told()
        told["precision"] = _PRECISIONS.get(told["precision"], "")
        return WorkerRun(**{key: _frozen(value) for key, value in told.items()})

    def choice(self) -> Choice:
        """Load the model without saying a precision."""
        told = self._probe("choice").told()
        return Choice(told["precision"], told["reason"], told["fp16_tensors"])

    def draw(self, precision: str) -> DrawingRun:
        """Draw in a fresh process."""
        told = self._probe("drawing", *self._size(max(2, self.steps - 2)), "--precision", precision).told()
        return DrawingRun(**{key: _frozen(value) for key, value in told.items()})

    def switch(self) -> SwitchRun:
        """Change LoRAs in a fresh process."""
        return SwitchRun(**self._probe("switching").told())

    def peak(self, duty: str) -> int:
        """Train, and draw beside it if asked, in a fresh process in bf16."""
        told = self._probe("duties", duty, "--side", str(self.side_px), "--precision", "bf16").told()
        return int(told["peak_bytes"])

    def loading(self) -> tuple[int, int]:
        """Load files in fp16 in a fresh process."""
        half = build_model(self.bench_dir, half=True)
        told = measure.probe("duties", str(half), "load", timeout_s=_LONG_S, environ=_ON_CPU).told()
        files = sum(file.stat().st_size for file in half.rglob("*.safetensors"))
        return int(told["peak_bytes"]), files

    def card(self) -> CardRun:
        """Train on the card by default settings."""
        told = measure.probe("card", str(self.model), *self._size(_CARD_STEPS), timeout_s=_LONG_S).told()
        return CardRun(**{key: _frozen(value) for key, value in told.items()})

    def _size(self, steps: int) -> list[str]:
        return ["--steps", str(steps), "--side", str(self.side_px)]

    def _probe(self, name: str, *arguments: str) -> measure.Ended:
        return measure.probe(name, str(self.model), *arguments, timeout_s=_LONG_S, environ=_ON_CPU)


def training_of(told: dict[str, Any], spawned_at: float) -> Training:
    """Work out a training's figures from what the probe told; NotMeasured when there are too few steps."""
    ends = told["step_ends"]
    if len(ends) < 2:
        raise NotMeasured("the training told of fewer than two steps")
    # The peer encodes its photos before its first step, so that is no part of a step of ours either.
    encoded = told["encode_s"][1:]
    steps_s = [gap - spent for gap, spent in zip(measure.gaps(ends), encoded, strict=True)]
    # The checkpoint lies between its step and the next.
    if 0 < told["checkpoint_step"] <= len(steps_s):
        steps_s[told["checkpoint_step"] - 1] -= told["checkpoint_s"]
    return Training(
        precision=told["precision"],
        start_s=ends[0] - spawned_at,
        steps_s=tuple(steps_s),
        told_s=median(told["told_s"]),
        checkpoint_s=told["checkpoint_s"],
        checkpoint_bytes=told["checkpoint_bytes"],
        peak_bytes=told["peak_bytes"],
        adjusted=tuple(told["adjusted"]),
    )


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def build_model(bench_dir: Path, half: bool = False) -> Path:
    """Return the model's folder, built if need be and in the system's file cache; NotMeasured without."""
    size = "2.1 GB in fp16" if half else "4.3 GB"
    print(f"bench: the model of SD 1.5's shape is in {bench_dir} (built once: {size})", flush=True)
    command = [sys.executable, "-m", "benchmarks.sd15_model", str(bench_dir), *(["--half"] * half)]
    folder = Path(measure.run(command, timeout_s=_LONG_S).told()["folder"])
    for file in folder.rglob("*.safetensors"):
        with file.open("rb") as stream:
            while stream.read(2**24):
                pass
    return folder
