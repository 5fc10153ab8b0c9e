"""Bucket sizes as in sd-scripts: aspect ratios are kept, areas are at most the resolution's."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from gpu_worker.errors import BadInput
from gpu_worker.models.inputs.pixels import Size

_LATENT_PX = 8


@dataclass(frozen=True)
class BucketConfig:
    """The bucket settings; sides in pixels."""

    resolution_px: Size
    min_side_px: int = 256
    max_side_px: int = 1024
    step_px: int = 64
    no_upscale: bool = False

    def resolve_limits(self) -> BucketConfig:
        """Return the settings with limits rounded to the step; BadInput if they contradict each other."""
        step_px = self.step_px
        if step_px < _LATENT_PX or step_px % _LATENT_PX:
            raise BadInput(f"bucket_reso_steps must be a multiple of {_LATENT_PX} pixels, not {step_px}.")
        if min(self.resolution_px) < step_px:
            raise BadInput(f"The resolution is below bucket_reso_steps, {step_px} pixels.")
        if self.no_upscale:  # the limits are not used
            return self
        min_side_px, max_side_px = (
            self.min_side_px // step_px * step_px,
            -(-self.max_side_px // step_px) * step_px,
        )
        if min_side_px > min(self.resolution_px):
            raise BadInput(f"min_bucket_reso, {min_side_px} pixels, is above the resolution.")
        if max_side_px < max(self.resolution_px):
            raise BadInput(f"max_bucket_reso, {max_side_px} pixels, is below the resolution.")
        return replace(self, min_side_px=max(step_px, min_side_px), max_side_px=max_side_px)

    def list_sizes(self) -> list[Size]:
        """Return all bucket sizes, sorted: the square, and each width with its largest height."""
        area = self.resolution_px[0] * self.resolution_px[1]
        square = int(math.sqrt(area)) // self.step_px * self.step_px
        sizes = {(square, square)}
        for width in range(self.min_side_px, self.max_side_px + 1, self.step_px):
            height = min(self.max_side_px, area // width // self.step_px * self.step_px)
            if height >= self.min_side_px:
                sizes |= {(width, height), (height, width)}
        return sorted(sizes)

    def choose_size(self, picture_size: Size) -> Size | None:
        """Return the size that an image is cropped to: the nearest bucket, or its own if not enlarged.

        None if an image that must not be enlarged is too narrow for the resolution.
        """
        if self.no_upscale:
            return self._size_without_upscale(picture_size)
        sizes = self.list_sizes()
        if picture_size in sizes:
            return picture_size
        aspect_ratio = picture_size[0] / picture_size[1]
        return min(sizes, key=lambda size: abs(size[0] / size[1] - aspect_ratio))

    def _size_without_upscale(self, picture_size: Size) -> Size | None:
        width, height = picture_size
        area = self.resolution_px[0] * self.resolution_px[1]
        if width * height > area:
            aspect_ratio = width / height
            if area * min(aspect_ratio, 1 / aspect_ratio) < self.step_px**2:
                return None  # shrunk to the area, its short side is below one step
            # Shrunk to the area; then the side whose rounding bends the ratio less is rounded.
            rounded_width = self._round_side(math.sqrt(area * aspect_ratio))
            rounded_height = self._round_side(math.sqrt(area / aspect_ratio))
            width_error = self._aspect_error(
                rounded_width, self._round_side(rounded_width / aspect_ratio), aspect_ratio
            )
            height_error = self._aspect_error(
                self._round_side(rounded_height * aspect_ratio), rounded_height, aspect_ratio
            )
            if width_error < height_error:
                width, height = rounded_width, int(rounded_width / aspect_ratio + 0.5)
            else:
                width, height = int(rounded_height * aspect_ratio + 0.5), rounded_height
        step_px = self.step_px
        size = max(step_px, width // step_px * step_px), max(step_px, height // step_px * step_px)
        return size if size[0] * size[1] <= max(area, step_px**2) else None

    def _round_side(self, side: float) -> int:
        return int(side + 0.5) // self.step_px * self.step_px

    @staticmethod
    def _aspect_error(width: int, height: int, aspect_ratio: float) -> float:
        return abs(width / height - aspect_ratio) if height else math.inf
