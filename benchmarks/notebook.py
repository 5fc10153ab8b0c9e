"""Keeps what was measured, so that each run is done once however many rows need it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar, cast

from benchmarks.measure import Measurement, NotMeasured
from benchmarks.runs import (
    CardRun,
    DrawingRun,
    Lab,
    PeerRun,
    PictureRun,
    PrecisionChoice,
    StoredBlockRun,
    SwitchRun,
    TrainingRun,
    WorkerRun,
)

T = TypeVar("T")
Duel = tuple[list[TrainingRun], list[PeerRun]]

#: The peer's flags for a precision; `default` has none.
PEER_FLAGS = {"fp32": "--sdpa", "bf16": "--sdpa --mixed_precision bf16", "default": ""}


@dataclass
class RunCache:
    """Measures when a row asks, and remembers figures and failures."""

    lab: Lab
    rounds: int = 2  #: of us and the peer in turn, so that a machine that changes its speed is fair to both
    _results: dict[str, Any] = field(default_factory=dict)

    def our_trainings(self, precision: str) -> list[TrainingRun]:
        """Return our trainings in a precision: those beside the peer's if they were done, or one alone."""
        pairs = self._results.get(_duel_key(precision))
        if isinstance(pairs, tuple):
            return cast(Duel, pairs)[0]
        return [self._get_or_measure(f"ours {precision}", lambda: self.lab.train(precision))]

    def paired_runs(self, precision: str) -> Duel:
        """Return our trainings and the peer's, done in turn."""
        return self._get_or_measure(_duel_key(precision), lambda: self._run_pairs(precision))

    def _run_pairs(self, precision: str) -> Duel:
        ours, theirs = [], []
        for _ in range(self.rounds):
            # The peer first: where there is none, nothing of ours is done in vain.
            theirs.append(self.lab.peer(PEER_FLAGS[precision], launcher=precision == "default"))
            ours.append(self.lab.train(precision))
        return ours, theirs

    def sdxl_pairs(self) -> Duel:
        """Return trainings of SDXL, ours and the peer's, done in turn."""
        return self._get_or_measure("us and the peer SDXL", self._run_sdxl_pairs)

    def _run_sdxl_pairs(self) -> Duel:
        theirs, ours = [], []
        for _ in range(self.rounds):
            theirs.append(self.lab.peer_sdxl())
            ours.append(self.lab.train_sdxl())
        return ours, theirs

    def sdxl_drawing(self) -> DrawingRun:
        """Return denoising steps of SDXL, ours and those of diffusers' pipeline."""
        return self._get_or_measure("drawing SDXL", self.lab.draw_sdxl)

    def worker(self) -> WorkerRun:
        """Return a worker's whole life."""
        return self._get_or_measure("worker", lambda: self.lab.worker(only_ready=False))

    def start_worker(self) -> WorkerRun:
        """Return a worker's start; of the whole life where that was measured anyway."""
        full_run = self._results.get("worker")
        if isinstance(full_run, WorkerRun):
            return full_run
        return self._get_or_measure("worker start", lambda: self.lab.worker(only_ready=True))

    def default_precision(self) -> PrecisionChoice:
        """Return what is chosen by default on the CPU."""
        return self._get_or_measure("choice", self.lab.choice)

    def drawing(self, precision: str) -> DrawingRun:
        """Return denoising steps of ours and of diffusers' pipeline."""
        return self._get_or_measure(f"drawing {precision}", lambda: self.lab.draw(precision))

    def whole_pictures(self) -> PictureRun:
        """Return whole pictures of ours and of diffusers' pipeline."""
        return self._get_or_measure("whole pictures", self.lab.draw_whole)

    def switching(self) -> SwitchRun:
        """Return what it takes to change LoRAs."""
        return self._get_or_measure("switching", self.lab.switch)

    def stored_block(self) -> StoredBlockRun:
        """Return passes through a block of SDXL with whole and rounded weights."""
        return self._get_or_measure("stored block", self.lab.pass_stored_block)

    def peak(self, duty: str) -> int:
        """Return most memory of a duty in bytes."""
        return self._get_or_measure(f"peak {duty}", lambda: self.lab.peak(duty))

    def loading(self) -> tuple[int, int]:
        """Return most memory while loading fp16 files, and their size, in bytes."""
        return self._get_or_measure("loading", self.lab.loading)

    def compared_loras(self) -> Measurement:
        """Return how far our LoRAs are from the peer's."""
        return self._get_or_measure("same lora", self.lab.compare_loras)

    def card(self) -> CardRun:
        """Return a training on the card."""
        return self._get_or_measure("card", self._train_on_gpu)

    def _train_on_gpu(self) -> CardRun:
        if not self.lab.has_card:
            raise NotMeasured("there is no CUDA card")
        return self.lab.card()

    def card_peer(self) -> PeerRun:
        """Return the peer's training on the card, in our precision there."""
        precision = "fp16" if self.card().precision == "float16" else "bf16"
        flags = f"--sdpa --mixed_precision {precision}"
        return self._get_or_measure("card peer", lambda: self.lab.peer(flags, on_card=True))

    def as_json(self) -> dict[str, Any]:
        """Return everything that was measured, for the results' file."""
        return {key: _plain(value) for key, value in self._results.items()}

    def _get_or_measure(self, key: str, measure: Callable[[], T]) -> T:
        if key not in self._results:
            try:
                self._results[key] = measure()
            except NotMeasured as error:
                self._results[key] = error
        result = self._results[key]
        if isinstance(result, NotMeasured):
            raise result
        return cast(T, result)


def _duel_key(precision: str) -> str:
    return f"us and the peer {precision}"


def _plain(value: Any) -> Any:
    if isinstance(value, NotMeasured):
        return {"not measured": str(value)}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, int):
        return value
    return asdict(value)
