"""Several workers as one backend: chooses the worker of a job and merges health."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from cachetools import LRUCache

from bot.core.errors import WorkerLost
from bot.core.jobs import MAX_CONCURRENT_GENERATIONS
from bot.jobs.backends.base import WorkerSlot
from gpu_worker.protocol import (
    GenerateRequest,
    JobRequest,
    PrefetchRequest,
    TrainRequest,
    WorkerEvent,
    WorkerHealth,
)

log = logging.getLogger(__name__)

#: A job waits so long for a worker with room; one that was free when it was claimed may have gone meanwhile.
SLOT_TIMEOUT_S = 60.0
#: Things remembered of each worker: LoRAs it drew with, photos it was sent ahead.
MAX_CACHED_HASHES = 256
#: What it costs to go to a worker that has to be given the LoRA first, in neighbours on the card.
CACHE_MISS_COST = 1.5
#: A training beside a generation, in neighbours: pictures go first, so it is little.
TRAINING_COST = 0.5


@dataclass(slots=True, eq=False)
class _SlotState:
    """A slot and what is known of its worker."""

    slot: WorkerSlot
    training_count: int = 0
    generation_count: int = 0
    #: SHA-256 of what its worker holds, the latest last.
    cached_hashes: LRUCache[str, None] = field(default_factory=lambda: LRUCache(MAX_CACHED_HASHES))

    def has_capacity(self, request: JobRequest) -> bool:
        if not self.slot.is_ready:
            return False
        if isinstance(request, TrainRequest):
            return self.training_count == 0
        return self.generation_count < MAX_CONCURRENT_GENERATIONS

    def cost(self, request: JobRequest, hashes: Sequence[str]) -> float:
        """Return how badly the worker suits a request, in units of one concurrent job."""
        missing_share = (
            sum(sha256 not in self.cached_hashes for sha256 in hashes) / len(hashes) if hashes else 0.0
        )
        if isinstance(request, TrainRequest):
            return self.generation_count + CACHE_MISS_COST * missing_share
        return self.generation_count + TRAINING_COST * self.training_count + CACHE_MISS_COST * missing_share

    def add_jobs(self, request: JobRequest, delta: int) -> None:
        if isinstance(request, TrainRequest):
            self.training_count += delta
        else:
            self.generation_count += delta

    def remember_hashes(self, hashes: Iterable[str]) -> None:
        for sha256 in hashes:
            self.cached_hashes[sha256] = None


class WorkerPool:
    """A backend of several slots, which may come and go while it runs.

    A job goes to the worker that suits it best: one that has its LoRA or its photos, and little else to do.
    """

    def __init__(self, slots: Iterable[WorkerSlot] = (), slot_timeout_s: float = SLOT_TIMEOUT_S) -> None:
        self._slot_states: list[_SlotState] = []
        self._slot_timeout_s = slot_timeout_s
        self._change_event = asyncio.Event()
        self._on_change: Callable[[], None] = lambda: None
        self._removed_crash_count = 0
        for slot in slots:
            self._register_slot(slot)

    async def start(self) -> None:
        """Begin starting the workers."""
        for state in self._slot_states:
            await state.slot.start()

    async def add_slot(self, slot: WorkerSlot) -> None:
        """Add a slot and begin starting its worker. It gets jobs once it is ready."""
        self._register_slot(slot)
        await slot.start()

    async def remove_slot(self, slot: WorkerSlot) -> None:
        """Remove a slot. Attempts that run there raise WorkerLost."""
        self._slot_states = [state for state in self._slot_states if state.slot is not slot]
        await slot.close()
        self._removed_crash_count += slot.crash_count()
        self._handle_change()

    def worker_count(self) -> int:
        """Return the number of workers that are ready."""
        return sum(state.slot.is_ready for state in self._slot_states)

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` when a worker becomes ready or goes away."""
        self._on_change = on_change

    def health(self) -> WorkerHealth | None:
        """Return the merged health of all workers."""
        return merge_health(
            [health for state in self._slot_states if (health := state.slot.health()) is not None]
        )

    def crash_count(self) -> int:
        """Return the number of workers that ended without being told to, in slots that are gone too."""
        return self._removed_crash_count + sum(state.slot.crash_count() for state in self._slot_states)

    async def run(self, request: JobRequest) -> AsyncGenerator[WorkerEvent, None]:
        """Run one attempt on the worker that suits it best."""
        hashes = _content_hashes(request)
        state = await self._select_slot(request, hashes)
        state.add_jobs(request, 1)
        state.remember_hashes(hashes)
        log.info("job %d goes to %s", request.job_id, state.slot.name)
        try:
            async with aclosing(state.slot.run(request)) as events:
                async for event in events:
                    yield event
        finally:
            state.add_jobs(request, -1)
            self._handle_change()

    async def prefetch(self, request: PrefetchRequest) -> None:
        """Send a photo ahead to the worker that a training would go to now."""
        ready_states = [state for state in self._slot_states if state.slot.is_ready]
        if ready_states:
            # Photos of a set come one by one: all go to the same worker, unless it gets busy meanwhile.
            best_state = min(ready_states, key=lambda state: (state.training_count, state.generation_count))
            best_state.remember_hashes([request.photo_hash])
            await best_state.slot.prefetch(request)

    async def forget(self, photo_hashes: Sequence[str]) -> None:
        """Drop prefetched photos on all workers."""
        for state in self._slot_states:
            for sha256 in photo_hashes:
                state.cached_hashes.pop(sha256, None)
            await state.slot.forget(photo_hashes)

    async def close(self) -> None:
        """Stop all workers. Running attempts raise WorkerLost."""
        await asyncio.gather(*(state.slot.close() for state in self._slot_states))

    def _register_slot(self, slot: WorkerSlot) -> None:
        self._slot_states.append(_SlotState(slot))
        slot.subscribe(self._handle_change)

    def _handle_change(self) -> None:
        for state in self._slot_states:
            if not state.slot.is_ready:
                state.cached_hashes.clear()  # its next life knows nothing
        self._change_event.set()
        self._change_event = asyncio.Event()
        self._on_change()

    async def _select_slot(self, request: JobRequest, hashes: Sequence[str]) -> _SlotState:
        try:
            async with asyncio.timeout(self._slot_timeout_s):
                while not (
                    candidates := [state for state in self._slot_states if state.has_capacity(request)]
                ):
                    await self._change_event.wait()
        except TimeoutError:
            raise WorkerLost("no worker became ready") from None
        return min(candidates, key=lambda state: state.cost(request, hashes))


def _content_hashes(request: JobRequest) -> list[str]:
    """Return the hashes of what a worker may already have of a request."""
    if isinstance(request, GenerateRequest):
        return [lora.sha256 for lora in request.loras]
    return list(request.photo_hashes)


def merge_health(healths: Sequence[WorkerHealth]) -> WorkerHealth | None:
    """Return the health of several workers as one: sums, and the hottest card; None for no worker."""
    if len(healths) < 2:
        return healths[0] if healths else None
    devices = [each.device for each in healths]
    device_labels = [f"{devices.count(name)} x {name}" for name in dict.fromkeys(devices)]
    load_percents = [each.device_load_percent for each in healths if each.device_load_percent is not None]
    return WorkerHealth(
        device=", ".join(device_labels),
        base_model=healths[0].base_model,
        base_model_loaded=all(each.base_model_loaded for each in healths),
        process_memory_bytes=sum(each.process_memory_bytes for each in healths),
        device_memory_used_bytes=_sum_known(each.device_memory_used_bytes for each in healths),
        device_memory_total_bytes=_sum_known(each.device_memory_total_bytes for each in healths),
        device_temperature_c=max(
            (each.device_temperature_c for each in healths if each.device_temperature_c is not None),
            default=None,
        ),
        device_load_percent=sum(load_percents) // len(load_percents) if load_percents else None,
        loading=next((each.loading for each in healths if each.loading), ""),
        family=next((each.family for each in healths if each.family), ""),
        native_px=max(each.native_px for each in healths),
        licence=next((each.licence for each in healths if each.licence), ""),
        memory_plan=next((each.memory_plan for each in healths if each.memory_plan), ""),
    )


def _sum_known(numbers: Iterable[int | None]) -> int | None:
    known_numbers = [number for number in numbers if number is not None]
    return sum(known_numbers) if known_numbers else None
