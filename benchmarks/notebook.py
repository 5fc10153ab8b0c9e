"""Keeps what was measured, so that each run is done once however many rows need it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar, cast

from benchmarks.measure import NotMeasured
from benchmarks.runs import CardRun, Choice, DrawingRun, Lab, PeerRun, SwitchRun, Training, WorkerRun

T = TypeVar("T")
Duel = tuple[list[Training], list[PeerRun]]

#: How the peer is told a precision; `default` is what it does when it is told nothing.
PEER_FLAGS = {"fp32": "--sdpa", "bf16": "--sdpa --mixed_precision bf16", "default": ""}


@dataclass
class Notebook:
    """Measures when a row asks, and remembers figures and failures."""

    lab: Lab
    rounds: int = 2  #: of us and the peer in turn, so that a machine that changes its speed is fair to both
    _kept: dict[str, Any] = field(default_factory=dict)

    def ours(self, precision: str) -> list[Training]:
        """Return our trainings in a precision: those beside the peer's if they were done, or one alone."""
        duel = self._kept.get(_duel_key(precision))
        if isinstance(duel, tuple):
            return cast(Duel, duel)[0]
        return [self._once(f"ours {precision}", lambda: self.lab.train(precision))]

    def duel(self, precision: str) -> Duel:
        """Return our trainings and the peer's, done in turn."""
        return self._once(_duel_key(precision), lambda: self._fight(precision))

    def _fight(self, precision: str) -> Duel:
        ours, theirs = [], []
        for _ in range(self.rounds):
            # The peer first: where there is none, nothing of ours is done in vain.
            theirs.append(self.lab.peer(PEER_FLAGS[precision], launcher=precision == "default"))
            ours.append(self.lab.train(precision))
        return ours, theirs

    def worker(self) -> WorkerRun:
        """Return a worker's whole life."""
        return self._once("worker", lambda: self.lab.worker(only_ready=False))

    def worker_start(self) -> WorkerRun:
        """Return a worker's start; of the whole life where that was measured anyway."""
        whole = self._kept.get("worker")
        if isinstance(whole, WorkerRun):
            return whole
        return self._once("worker start", lambda: self.lab.worker(only_ready=True))

    def choice(self) -> Choice:
        """Return what is chosen by default on the CPU."""
        return self._once("choice", self.lab.choice)

    def drawing(self, precision: str) -> DrawingRun:
        """Return denoising steps of ours and of diffusers' pipeline."""
        return self._once(f"drawing {precision}", lambda: self.lab.draw(precision))

    def switching(self) -> SwitchRun:
        """Return what it takes to change LoRAs."""
        return self._once("switching", self.lab.switch)

    def peak(self, duty: str) -> int:
        """Return most memory of a duty in bytes."""
        return self._once(f"peak {duty}", lambda: self.lab.peak(duty))

    def loading(self) -> tuple[int, int]:
        """Return most memory while loading fp16 files, and their size, in bytes."""
        return self._once("loading", self.lab.loading)

    def card(self) -> CardRun:
        """Return a training on the card."""
        return self._once("card", self._on_card)

    def _on_card(self) -> CardRun:
        if not self.lab.has_card:
            raise NotMeasured("there is no CUDA card")
        return self.lab.card()

    def card_peer(self) -> PeerRun:
        """Return the peer's training on the card, in our precision there."""
        half = "fp16" if self.card().precision == "float16" else "bf16"
        flags = f"--sdpa --mixed_precision {half}"
        return self._once("card peer", lambda: self.lab.peer(flags, on_card=True))

    def raw(self) -> dict[str, Any]:
        """Return everything that was measured, for the results' file."""
        return {key: _plain(value) for key, value in self._kept.items()}

    def _once(self, key: str, measure: Callable[[], T]) -> T:
        if key not in self._kept:
            try:
                self._kept[key] = measure()
            except NotMeasured as failure:
                self._kept[key] = failure
        kept = self._kept[key]
        if isinstance(kept, NotMeasured):
            raise kept
        return cast(T, kept)


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
