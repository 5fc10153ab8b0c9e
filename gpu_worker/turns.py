"""Whose turn the card is. Pure: knows nothing of torch, threads or pipes.

Jobs are plain generators that one thread advances a step at a time, so handing the card over is choosing
whom to advance next: there is no lock to hold and none to lose. A generation that arrives waits for at most
the one training step that is under way.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Generic, TypeVar

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Turn(Generic[E]):
    """A job at the card: `key` names the attempt, `steps` does one step each time it is advanced."""

    key: tuple[int, int]
    is_generation: bool
    steps: Generator[E, None, None]


class Turns(Generic[E]):
    """The jobs at the card. Generations go first, in the order they came; trainings take turns."""

    def __init__(self) -> None:
        self._generations: list[Turn[E]] = []
        self._trainings: list[Turn[E]] = []

    def __len__(self) -> int:
        return len(self._generations) + len(self._trainings)

    @property
    def has_generation(self) -> bool:
        """Whether a picture waits or is being drawn."""
        return bool(self._generations)

    def add(self, turn: Turn[E]) -> None:
        """Let a job take part."""
        (self._generations if turn.is_generation else self._trainings).append(turn)

    def remove(self, key: tuple[int, int]) -> Turn[E] | None:
        """Take a job out; None when it is not there (an older attempt, or one that has ended)."""
        for turns in (self._generations, self._trainings):
            for index, turn in enumerate(turns):
                if turn.key == key:
                    return turns.pop(index)
        return None

    def next(self) -> Turn[E] | None:
        """Say who does the next step."""
        if self._generations:
            return self._generations[0]
        if not self._trainings:
            return None
        turn = self._trainings.pop(0)
        self._trainings.append(turn)
        return turn

    def clear(self) -> list[Turn[E]]:
        """Take everybody out."""
        everybody = [*self._generations, *self._trainings]
        self._generations.clear()
        self._trainings.clear()
        return everybody
