"""Bucket sizes as sd-scripts picks them: aspect ratios kept, areas never above the resolution's."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from gpu_worker.errors import BadInput
from gpu_worker.models.pixels import Size

_LATENT_PX = 8


@dataclass(frozen=True)
class Buckets:
    """The rules; sides in pixels."""

    resolution_px: Size
    min_side_px: int = 256
    max_side_px: int = 1024
    step_px: int = 64
    no_upscale: bool = False

    def settled(self) -> Buckets:
        """Return the rules with their limits on multiples of the step; BadInput when they cannot be."""
        step = self.step_px
        if step < _LATENT_PX or step % _LATENT_PX:
            raise BadInput(f"bucket_reso_steps must be a multiple of {_LATENT_PX} pixels, not {step}.")
        if min(self.resolution_px) < step:
            raise BadInput(f"The resolution is below bucket_reso_steps, {step} pixels.")
        if self.no_upscale:  # the limits are not used
            return self
        shortest, longest = self.min_side_px // step * step, -(-self.max_side_px // step) * step
        if shortest > min(self.resolution_px):
            raise BadInput(f"min_bucket_reso, {shortest} pixels, is above the resolution.")
        if longest < max(self.resolution_px):
            raise BadInput(f"max_bucket_reso, {longest} pixels, is below the resolution.")
        return replace(self, min_side_px=max(step, shortest), max_side_px=longest)

    def sizes(self) -> list[Size]:
        """Return all sizes, sorted: the square, and every width with the tallest height the area allows."""
        area = self.resolution_px[0] * self.resolution_px[1]
        square = int(math.sqrt(area)) // self.step_px * self.step_px
        found = {(square, square)}
        for width in range(self.min_side_px, self.max_side_px + 1, self.step_px):
            height = min(self.max_side_px, area // width // self.step_px * self.step_px)
            if height >= self.min_side_px:
                found |= {(width, height), (height, width)}
        return sorted(found)

    def pick(self, picture_px: Size) -> Size:
        """Return the size a picture is cut to: the nearest aspect ratio, or its own if not enlarged."""
        if self.no_upscale:
            return self._own(picture_px)
        sizes = self.sizes()
        if picture_px in sizes:
            return picture_px
        ratio = picture_px[0] / picture_px[1]
        return min(sizes, key=lambda size: abs(size[0] / size[1] - ratio))

    def _own(self, picture_px: Size) -> Size:
        width, height = picture_px
        area = self.resolution_px[0] * self.resolution_px[1]
        if width * height > area:
            ratio = width / height
            # Shrunk to the area; then the side whose rounding bends the ratio less is rounded.
            wide = self._rounded(math.sqrt(area * ratio))
            tall = self._rounded(math.sqrt(area / ratio))
            by_width = self._error(wide, self._rounded(wide / ratio), ratio)
            by_height = self._error(self._rounded(tall * ratio), tall, ratio)
            if by_width < by_height:
                width, height = wide, int(wide / ratio + 0.5)
            else:
                width, height = int(tall * ratio + 0.5), tall
        step = self.step_px
        return max(step, width // step * step), max(step, height // step * step)

    def _rounded(self, side: float) -> int:
        return int(side + 0.5) // self.step_px * self.step_px

    @staticmethod
    def _error(width: int, height: int, ratio: float) -> float:
        return abs(width / height - ratio) if height else math.inf
