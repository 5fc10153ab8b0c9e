"""What a JPEG says of its passes before it is decoded, and whether its end is there."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

JPEG_MAGIC = b"\xff\xd8\xff"
END_OF_IMAGE = b"\xff\xd9"
#: A sound file has some hundreds. More would only take time.
MAX_SEGMENTS = 5_000

#: In a scan, FF means something only before these.
_MARKER_PATTERN = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_START_OF_SCAN = 0xDA
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE_FRAMES = {0xC2, 0xC6, 0xCA, 0xCE}
_COMPONENT_COUNT_OFFSET = 5
_LAST_COEFFICIENT = 63


@dataclass(slots=True)
class JpegScans:
    """The scans of a JPEG. `has_end` is False where it breaks off."""

    count: int = 0
    has_end: bool = False
    is_progressive: bool = False
    component_count: int = 0
    #: Whether one pass does not bring all of it, so that the decoder must hold the whole picture.
    is_held_whole: bool = False
    #: Component and first coefficient of the scans that bring the last bit of the last one.
    final_scans: set[tuple[int, bool]] = field(default_factory=set)

    @property
    def may_lack_its_end(self) -> bool:
        """Whether what is there can be all but the last rows, or all but the last bit of them."""
        if self.is_progressive:
            return len(self.final_scans) == 2 * self.component_count > 0
        return not self.is_held_whole


def read_scans(jpeg: bytes) -> JpegScans:
    """Walk through the segments of a JPEG up to its end. Raise ValueError when there are too many."""
    scans, offset, segment_count = JpegScans(), 2, 0
    while (marker := _MARKER_PATTERN.search(jpeg, offset)) is not None:
        if marker[0] == END_OF_IMAGE:
            scans.has_end = True
            break
        segment_count += 1
        if segment_count > MAX_SEGMENTS:
            raise ValueError("too many segments")
        offset = marker.end() + int.from_bytes(jpeg[marker.end() : marker.end() + 2], "big")
        _note_segment(scans, marker[0][1], jpeg[marker.end() + 2 : offset])
    return scans


def _note_segment(scans: JpegScans, kind: int, body: bytes) -> None:
    if kind in _FRAMES and len(body) > _COMPONENT_COUNT_OFFSET:
        scans.component_count = body[_COMPONENT_COUNT_OFFSET]
        scans.is_progressive = scans.is_held_whole = kind in _PROGRESSIVE_FRAMES
    elif kind == _START_OF_SCAN and body:
        scans.count += 1
        scans.is_held_whole |= scans.count > 1 or body[0] < scans.component_count
        components, (first, last, bits) = body[1 : 1 + 2 * body[0] : 2], body[-3:].rjust(3, b"\xff")
        is_last_bit = bits & 0x0F == 0
        if is_last_bit and (first == 0 or last == _LAST_COEFFICIENT):
            scans.final_scans.update((component, first == 0) for component in components)
