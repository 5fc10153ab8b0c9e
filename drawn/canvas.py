"""A canvas in unit coordinates: shapes are polygons, so every pose is one transform."""

from __future__ import annotations

import math
from collections.abc import Iterable

from PIL import Image, ImageDraw

from drawn.people import Rgb
from drawn.scenes import Pose

Point = tuple[float, float]


class DrawingCanvas:
    """Draws larger than asked and shrinks at the end: smooth edges at every size."""

    def __init__(self, side_px: int) -> None:
        self._factor = 4 if side_px <= 128 else 2
        self._side_px = side_px * self._factor
        self._image = Image.new("RGB", (self._side_px, self._side_px))
        self._draw = ImageDraw.Draw(self._image)
        self._pose = Pose(0.0, 0.0, 1.0, 0.0)
        self._cos, self._sin = 1.0, 0.0

    def pose(self, pose: Pose) -> None:
        """From now on, (0, 0) is the head's centre and 1 is half its height."""
        self._pose = pose
        self._cos = math.cos(math.radians(pose.tilt_deg))
        self._sin = math.sin(math.radians(pose.tilt_deg))

    def polygon(self, points: Iterable[Point], rgb: Rgb) -> None:
        """Fill a polygon."""
        self._draw.polygon([self._at(x, y) for x, y in points], fill=rgb)

    def ellipse(self, centre: Point, radii: Point, rgb: Rgb) -> None:
        """Fill an ellipse."""
        self.polygon(arc(centre, radii, 0, 360), rgb)

    def line(self, points: Iterable[Point], width: float, rgb: Rgb) -> None:
        """Draw a line of a width in the current unit."""
        width_px = max(1, round(width * self._pose.size * self._side_px))
        self._draw.line([self._at(x, y) for x, y in points], fill=rgb, width=width_px, joint="curve")

    def finish(self, light: tuple[float, float, float]) -> Image.Image:
        """Return the picture at the asked size under a light given as red, green and blue factors."""
        picture = self._image.reduce(self._factor)
        if light == (1.0, 1.0, 1.0):
            return picture
        return picture.point([round(value * factor) for factor in light for value in range(256)])

    def _at(self, x: float, y: float) -> Point:
        size = self._pose.size * self._side_px
        return (
            self._pose.x * self._side_px + size * (x * self._cos - y * self._sin),
            self._pose.y * self._side_px + size * (x * self._sin + y * self._cos),
        )


def arc(centre: Point, radii: Point, from_deg: float, to_deg: float) -> list[Point]:
    """Return points of an ellipse's arc; 0 degrees is right, 90 is down."""
    steps = max(6, round(abs(to_deg - from_deg) / 8))
    angles = [math.radians(from_deg + (to_deg - from_deg) * i / steps) for i in range(steps + 1)]
    return [(centre[0] + radii[0] * math.cos(a), centre[1] + radii[1] * math.sin(a)) for a in angles]


def shade(rgb: Rgb, factor: float) -> Rgb:
    """Return the colour made darker (factor below 1) or lighter."""
    red, green, blue = (max(0, min(255, round(part * factor))) for part in rgb)
    return red, green, blue
