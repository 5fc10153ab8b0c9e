"""torch's CUDACachingAllocator for one stream with its default settings: what is reserved, not what lives."""

from __future__ import annotations

import bisect
import itertools
import math

import torch

MIB = 2**20
_MIN_BLOCK_BYTES = 512
_SMALL_BYTES = MIB
_SMALL_SEGMENT_BYTES, _LARGE_SEGMENT_BYTES, _SEGMENT_UNIT_BYTES = 2 * MIB, 20 * MIB, 2 * MIB
#: Larger requests have a segment of their own.
_SHARED_SEGMENT_BYTES = 10 * MIB

#: Free blocks by size; the number makes an order of blocks of one size.
FreeBlocks = list[tuple[int, int, "Block"]]


class Block:
    """A piece of a segment, between its neighbours."""

    __slots__ = ("is_free", "is_small", "next", "number", "previous", "segment_bytes", "size_bytes")
    _numbers = itertools.count()

    def __init__(self, size_bytes: int, segment_bytes: int, is_small: bool) -> None:
        self.size_bytes, self.segment_bytes, self.is_small = size_bytes, segment_bytes, is_small
        self.is_free = True
        self.previous: Block | None = None
        self.next: Block | None = None
        self.number = next(Block._numbers)

    @property
    def entry(self) -> tuple[int, int, Block]:
        """Return its place among free blocks."""
        return self.size_bytes, self.number, self


class CachingAllocator:
    """Best fit, split and merge in segments of 2 MiB, 20 MiB or their own size."""

    def __init__(self, capacity_bytes: float = math.inf) -> None:
        self.capacity_bytes = capacity_bytes
        self.reserved_bytes = self.peak_reserved_bytes = 0
        self._small: FreeBlocks = []
        self._large: FreeBlocks = []

    def _pool(self, is_small: bool) -> FreeBlocks:
        return self._small if is_small else self._large

    def allocate(self, num_bytes: int) -> Block:
        """Return a block; torch.OutOfMemoryError if there is none even with the cache emptied."""
        size_bytes = round_up(num_bytes)
        is_small = size_bytes <= _SMALL_BYTES
        pool = self._pool(is_small)
        place = bisect.bisect_left(pool, (size_bytes, -1))
        block = pool.pop(place)[2] if place < len(pool) else self._add_segment(size_bytes, is_small)
        rest_bytes = block.size_bytes - size_bytes
        if rest_bytes >= _MIN_BLOCK_BYTES if is_small else rest_bytes > _SMALL_BYTES:
            rest = Block(rest_bytes, block.segment_bytes, is_small)
            rest.previous, rest.next = block, block.next
            if block.next is not None:
                block.next.previous = rest
            block.next, block.size_bytes = rest, size_bytes
            bisect.insort(pool, rest.entry)
        block.is_free = False
        return block

    def _add_segment(self, size_bytes: int, is_small: bool) -> Block:
        segment_bytes = _segment_bytes(size_bytes, is_small)
        if self.reserved_bytes + segment_bytes > self.capacity_bytes:
            self.empty_cache()
        if self.reserved_bytes + segment_bytes > self.capacity_bytes:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size_bytes / MIB:.0f} MiB")
        self.reserved_bytes += segment_bytes
        self.peak_reserved_bytes = max(self.peak_reserved_bytes, self.reserved_bytes)
        return Block(segment_bytes, segment_bytes, is_small)

    def free(self, block: Block) -> None:
        """Take a block back, merged with its free neighbours."""
        pool = self._pool(block.is_small)
        block.is_free = True
        previous, following = block.previous, block.next
        if previous is not None and previous.is_free:
            pool.pop(bisect.bisect_left(pool, previous.entry[:2]))
            block.size_bytes += previous.size_bytes
            block.previous = previous.previous
            if previous.previous is not None:
                previous.previous.next = block
        if following is not None and following.is_free:
            pool.pop(bisect.bisect_left(pool, following.entry[:2]))
            block.size_bytes += following.size_bytes
            block.next = following.next
            if following.next is not None:
                following.next.previous = block
        bisect.insort(pool, block.entry)

    def empty_cache(self) -> None:
        """Give segments without a used block back."""
        for pool in (self._small, self._large):
            self.reserved_bytes -= sum(size for size, _, block in pool if size == block.segment_bytes)
            pool[:] = [entry for entry in pool if entry[0] != entry[2].segment_bytes]


def round_up(num_bytes: int) -> int:
    """Return what an allocation of so many bytes takes."""
    return max(_MIN_BLOCK_BYTES, -(-num_bytes // _MIN_BLOCK_BYTES) * _MIN_BLOCK_BYTES)


def _segment_bytes(size_bytes: int, is_small: bool) -> int:
    if is_small:
        return _SMALL_SEGMENT_BYTES
    if size_bytes < _SHARED_SEGMENT_BYTES:
        return _LARGE_SEGMENT_BYTES
    return -(-size_bytes // _SEGMENT_UNIT_BYTES) * _SEGMENT_UNIT_BYTES
