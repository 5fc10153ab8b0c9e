"""Several workers behind one door: which of them takes a job, and what is said of all together."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from bot.core.errors import WorkerLost
from bot.core.jobs import MAX_GENERATIONS_AT_ONCE
from bot.jobs.backends.base import Seat
from gpu_worker.protocol import Crop, Event, Generate, Health, JobRequest, Train

log = logging.getLogger(__name__)

#: A job waits so long for a worker with room; one that was free when it was claimed may have gone meanwhile.
ROOM_GRACE_S = 60.0
#: Things remembered of each worker: LoRAs it drew with, photos it was sent ahead.
MAX_KNOWN = 256
#: What it costs to go to a worker that has to be given the LoRA first, in neighbours on the card.
STRANGER = 1.5
#: A training beside a generation, in neighbours: pictures go first, so it is little.
BESIDE_TRAINING = 0.5


@dataclass(slots=True, eq=False)
class _Place:
    """A seat, and what is known of it."""

    seat: Seat
    trainings: int = 0
    generations: int = 0
    #: SHA-256 of what its worker holds, the latest last.
    holds: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def has_room(self, request: JobRequest) -> bool:
        if not self.seat.is_ready:
            return False
        if isinstance(request, Train):
            return self.trainings == 0
        return self.generations < MAX_GENERATIONS_AT_ONCE

    def cost(self, request: JobRequest, names: Sequence[str]) -> float:
        """Tell how badly it suits a request, in neighbours on the card."""
        missing = sum(name not in self.holds for name in names) / len(names) if names else 0.0
        if isinstance(request, Train):
            return self.generations + STRANGER * missing
        return self.generations + BESIDE_TRAINING * self.trainings + STRANGER * missing

    def count(self, request: JobRequest, by: int) -> None:
        if isinstance(request, Train):
            self.trainings += by
        else:
            self.generations += by

    def learn(self, names: Iterable[str]) -> None:
        for name in names:
            self.holds[name] = None
            self.holds.move_to_end(name)
        while len(self.holds) > MAX_KNOWN:
            self.holds.popitem(last=False)


class Fleet:
    """A backend of several seats, which may come and go while it runs.

    A job goes to the worker that suits it best: one that has its LoRA or its photos, and little else to do.
    """

    def __init__(self, seats: Iterable[Seat] = (), room_grace_s: float = ROOM_GRACE_S) -> None:
        self._places: list[_Place] = []
        self._room_grace_s = room_grace_s
        self._changed = asyncio.Event()
        self._tell: Callable[[], None] = lambda: None
        self._deaths_of_left = 0
        for seat in seats:
            self._place(seat)

    async def start(self) -> None:
        """Begin bringing the workers up."""
        for place in self._places:
            await place.seat.start()

    async def join(self, seat: Seat) -> None:
        """Take a seat in and begin bringing its worker up; it gets jobs once it is ready."""
        self._place(seat)
        await seat.start()

    async def leave(self, seat: Seat) -> None:
        """Let a seat go; attempts that run there raise WorkerLost."""
        self._places = [place for place in self._places if place.seat is not seat]
        await seat.close()
        self._deaths_of_left += seat.deaths()
        self._changes()

    def seats(self) -> int:
        """Give the number of workers that are ready."""
        return sum(place.seat.is_ready for place in self._places)

    def tell_changes(self, tell: Callable[[], None]) -> None:
        """Have `tell` called when a worker becomes ready or is gone."""
        self._tell = tell

    def health(self) -> Health | None:
        """Put together what the workers said of themselves."""
        return together([found for place in self._places if (found := place.seat.health()) is not None])

    def deaths(self) -> int:
        """Count the ends of workers that nobody ordered, also of those that have left since."""
        return self._deaths_of_left + sum(place.seat.deaths() for place in self._places)

    async def run(self, request: JobRequest) -> AsyncGenerator[Event, None]:
        """Carry out one attempt on the worker that suits it best."""
        names = _names(request)
        place = await self._best(request, names)
        place.count(request, 1)
        place.learn(names)
        log.info("job %d goes to %s", request.job_id, place.seat.name)
        try:
            async with aclosing(place.seat.run(request)) as events:
                async for event in events:
                    yield event
        finally:
            place.count(request, -1)
            self._changes()

    async def prepare(self, photo: bytes, crop: Crop | None = None) -> None:
        """Send a photo ahead to the worker that a training would go to now."""
        ready = [place for place in self._places if place.seat.is_ready]
        if ready:
            # Photos of a set come one by one: all go to the same worker, unless it gets busy meanwhile.
            best = min(ready, key=lambda place: (place.trainings, place.generations))
            best.learn([hashlib.sha256(photo).hexdigest()])
            await best.seat.prepare(photo, crop)

    async def forget(self, photos: Sequence[str]) -> None:
        """Let all workers forget photos."""
        for place in self._places:
            for name in photos:
                place.holds.pop(name, None)
            await place.seat.forget(photos)

    async def close(self) -> None:
        """Stop all workers; running attempts raise WorkerLost."""
        await asyncio.gather(*(place.seat.close() for place in self._places))

    def _place(self, seat: Seat) -> None:
        self._places.append(_Place(seat))
        seat.tell_changes(self._changes)

    def _changes(self) -> None:
        for place in self._places:
            if not place.seat.is_ready:
                place.holds.clear()  # its next life knows nothing
        self._changed.set()
        self._changed = asyncio.Event()
        self._tell()

    async def _best(self, request: JobRequest, names: Sequence[str]) -> _Place:
        try:
            async with asyncio.timeout(self._room_grace_s):
                while not (fit := [place for place in self._places if place.has_room(request)]):
                    await self._changed.wait()
        except TimeoutError:
            raise WorkerLost("no worker became ready") from None
        return min(fit, key=lambda place: place.cost(request, names))


def _names(request: JobRequest) -> list[str]:
    """Name what a worker may hold already of a request."""
    if isinstance(request, Generate):
        return [lora.sha256 for lora in request.loras]
    return [hashlib.sha256(photo).hexdigest() for photo in request.photos]


def together(healths: Sequence[Health]) -> Health | None:
    """Put what several workers say of themselves into one: sums, and the hottest card; None of none."""
    if len(healths) < 2:
        return healths[0] if healths else None
    devices = [each.device for each in healths]
    kinds = [f"{devices.count(name)} x {name}" for name in dict.fromkeys(devices)]
    loads = [each.device_load_percent for each in healths if each.device_load_percent is not None]
    return Health(
        device=", ".join(kinds),
        base_model=healths[0].base_model,
        base_model_loaded=all(each.base_model_loaded for each in healths),
        process_memory_bytes=sum(each.process_memory_bytes for each in healths),
        device_memory_used_bytes=_sum(each.device_memory_used_bytes for each in healths),
        device_memory_total_bytes=_sum(each.device_memory_total_bytes for each in healths),
        device_temperature_c=max(
            (each.device_temperature_c for each in healths if each.device_temperature_c is not None),
            default=None,
        ),
        device_load_percent=sum(loads) // len(loads) if loads else None,
        loading=next((each.loading for each in healths if each.loading), ""),
    )


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None
