"""When a mode that was given up for lack of memory is tried again: a game that was on is over some day."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from gpu_worker.device import memory_modes, placement
from gpu_worker.device.memory_modes import ComputeError, MemoryMode
from gpu_worker.device.memory_profile import MemoryProfile, WeightStorage
from gpu_worker.device.placement import DeviceConfig

log = logging.getLogger(__name__)

#: The upper mode is tried again after so long ...
RETRY_AFTER_S = 3600.0
#: ... or when so many times what it needs is free.
FREE_FACTOR = 1.3


class ModeRetry:
    """Remembers since when a lower mode is used."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lowered_at: float | None = None
        self.upper_mode: MemoryMode | None = None  #: that of a base model before its first fallback

    def note_fallback(self, upper_mode: MemoryMode | None = None) -> None:
        """Note that the mode was lowered just now, and from which one."""
        self._lowered_at = self._clock()
        self.upper_mode = self.upper_mode or upper_mode

    def take(self, free_bytes: int | None, required_bytes: float) -> bool:
        """Return True, once, if the upper mode should be tried again.

        `free_bytes` is what torch could have on the GPU; None where that is not the limit.
        """
        if self._lowered_at is None:
            return False
        is_free = free_bytes is not None and free_bytes >= FREE_FACTOR * required_bytes
        if not is_free and self._clock() - self._lowered_at < RETRY_AFTER_S:
            return False
        self._lowered_at = None
        return True


class Lowerable(Protocol):
    """A base model, as far as its memory modes go."""

    device_config: DeviceConfig
    memory_mode: MemoryMode
    mode_retry: ModeRetry

    def set_memory_mode(self, memory_mode: MemoryMode) -> None:
        """Set precision and memory savings."""


def find_lower_mode(base: Lowerable, profile: MemoryProfile, error: ComputeError) -> MemoryMode | None:
    """Return the memory mode for a base model after an error; None if there is none."""
    config = base.device_config
    block_count = profile.block_count if config.device.type == "cuda" else 0
    return memory_modes.fall_back(
        base.memory_mode, error, config.fallback_dtype, config.storages, block_count
    )


def resume_storage(base: Lowerable, storage: WeightStorage) -> None:
    """Store the weights as those were on which a training began, unless they are stored smaller already."""
    order = list(WeightStorage)
    if order.index(storage) <= order.index(base.memory_mode.storage):
        return
    if storage not in base.device_config.storages:
        log.warning(
            "weights were in %s before, which MEMORY forbids: now %s", storage, base.memory_mode.storage
        )
        return
    log.info("weights are stored in %s, as before, until the base model is loaded again", storage)
    base.set_memory_mode(replace(base.memory_mode, storage=storage))


def restore_memory_mode(base: Lowerable, profile: MemoryProfile) -> None:
    """Set the memory mode from before the first fallback, if the last one is over."""
    lowered_mode, upper_mode = base.memory_mode, base.mode_retry.upper_mode
    if upper_mode is None:
        return
    required_bytes = profile.working_bytes(upper_mode.dtype.itemsize)
    if not base.mode_retry.take(placement.read_usable_memory(base.device_config.device), required_bytes):
        return
    # Weights that were rounded stay so.
    upper_mode = replace(
        upper_mode, storage=lowered_mode.storage, streamed_blocks=lowered_mode.streamed_blocks
    )
    log.info("trying %s again, after %s", upper_mode, lowered_mode)
    try:
        base.set_memory_mode(upper_mode)
        base.mode_retry.upper_mode = None
    except Exception as error:
        if memory_modes.as_compute_error(error) is None:
            raise
        base.set_memory_mode(lowered_mode)
        base.mode_retry.note_fallback()
