"""Whose turn the card is. Pure: knows nothing of torch, threads or pipes.

Jobs are plain generators that one thread advances a step at a time, so handing the card over is choosing
whom to advance next: there is no lock to hold and none to lose. A generation that arrives waits for at most
the one training step that is under way; and a training keeps its share of the time whatever arrives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeVar

E = TypeVar("E")

#: Most of the card's time that generations may take from a waiting training, over a window.
GENERATE_SHARE = 0.8
WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Turn(Generic[E]):
    """A job at the card: `key` names the attempt, `steps` does one step each time it is advanced."""

    key: tuple[int, int]
    is_generation: bool
    steps: Generator[E, None, None]


class Turns(Generic[E]):
    """The jobs at the card. Generations go first and take turns; so do trainings among themselves.

    `generate_share` bounds what generations take while a training waits; a new one's first step may pass
    that bound, after the one training step it waits for.
    """

    def __init__(
        self,
        generate_share: float = GENERATE_SHARE,
        window_s: float = WINDOW_S,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._generate_share, self._window_s, self._clock = generate_share, window_s, clock
        self._new: deque[Turn[E]] = deque()  # generations that have not had a step yet
        self._generations: deque[Turn[E]] = deque()
        self._trainings: deque[Turn[E]] = deque()
        self._taken: deque[tuple[float, float]] = deque()  # by generations: when it ended, seconds
        self._trained_last = True

    def __len__(self) -> int:
        return len(self._new) + len(self._generations) + len(self._trainings)

    @property
    def has_generation(self) -> bool:
        """Whether a picture waits or is being drawn."""
        return bool(self._new or self._generations)

    def add(self, turn: Turn[E]) -> None:
        """Let a job take part."""
        (self._new if turn.is_generation else self._trainings).append(turn)

    def remove(self, key: tuple[int, int]) -> Turn[E] | None:
        """Take a job out; None when it is not there (an older attempt, or one that has ended)."""
        for turns in (self._new, self._generations, self._trainings):
            for turn in turns:
                if turn.key == key:
                    turns.remove(turn)
                    return turn
        return None

    def next(self) -> Turn[E] | None:
        """Say who does the next step."""
        if self._trainings and not (self._may_begin() or self._may_draw()):
            self._trained_last = True
            self._trainings.rotate(-1)
            return self._trainings[-1]
        self._trained_last = False
        if self._new:
            self._generations.append(self._new.popleft())
            return self._generations[-1]
        if self._generations:
            self._generations.rotate(-1)
            return self._generations[-1]
        return None

    def took(self, turn: Turn[E], seconds: float) -> None:
        """Note how long a step was."""
        # Time that nobody waited for is not taken from anybody.
        if turn.is_generation and self._trainings:
            self._taken.append((self._clock(), seconds))

    def clear(self) -> list[Turn[E]]:
        """Take everybody out."""
        everybody = [*self._new, *self._generations, *self._trainings]
        for turns in (self._new, self._generations, self._trainings):
            turns.clear()
        return everybody

    def _may_begin(self) -> bool:
        """Whether a generation that just came goes next: it waits for one training step at most."""
        return bool(self._new) and (self._trained_last or self._within_share())

    def _may_draw(self) -> bool:
        return bool(self._generations) and self._within_share()

    def _within_share(self) -> bool:
        now = self._clock()
        while self._taken and self._taken[0][0] <= now - self._window_s:
            self._taken.popleft()
        return sum(seconds for _, seconds in self._taken) < self._generate_share * self._window_s
