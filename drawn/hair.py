"""Hair, beards and hats: what makes a person recognisable from afar."""

from __future__ import annotations

import math

from drawn.canvas import DrawingCanvas, Point, arc, shade
from drawn.people import DrawnPerson


def draw_back_hair(canvas: DrawingCanvas, person: DrawnPerson) -> None:
    """Draw what hangs behind the head."""
    rgb, width, volume = shade(person.hair_rgb, 0.82), person.shape.face_width, person.shape.hair_volume
    if person.hair_style == "long":
        outer = width + 0.14 + volume
        canvas.polygon(
            [*arc((0, -0.2), (outer, 0.98 + volume), 180, 360), (outer + 0.06, 1.7), (-outer - 0.06, 1.7)],
            rgb,
        )
    elif person.hair_style == "curly":
        for angle in range(150, 391, 24):
            canvas.ellipse(_on_head(angle, width + 0.12, 1.0), (0.26 + volume, 0.26 + volume), rgb)
    elif person.hair_style == "bun" and not person.hat:
        canvas.ellipse((0, -1.2 - volume), (0.42, 0.38), rgb)


def draw_front_hair(canvas: DrawingCanvas, person: DrawnPerson) -> None:
    """Draw the hair on top of the head and over the forehead."""
    if person.hair_style == "bald":
        return
    rgb, width, volume = person.hair_rgb, person.shape.face_width, person.shape.hair_volume
    if person.hair_style == "spiky":
        for angle in range(195, 346, 25):
            tip, left, right = (
                _on_head(angle + turn, width * size, size) for turn, size in ((0, 1.5), (-13, 1), (13, 1))
            )
            canvas.polygon([tip, left, right], rgb)
    if person.hair_style == "curly":
        for angle in range(195, 346, 25):
            canvas.ellipse(_on_head(angle, width * 0.95, 0.92), (0.2 + volume / 2, 0.2 + volume / 2), rgb)
    canvas.polygon([*arc((0, -0.12), (width + 0.06, 0.9 + volume), 180, 360), *_fringe(person)], rgb)
    if person.marks.streak_rgb and not person.hat:
        x = person.shape.parting * 0.8
        top = -0.98 - volume
        canvas.polygon(
            [(x - 0.14, top), (x + 0.14, top), (x + 0.2, -0.44), (x - 0.06, -0.44)], person.marks.streak_rgb
        )


def _fringe(person: DrawnPerson) -> list[Point]:
    width, parting = person.shape.face_width, person.shape.parting
    side = 0.3 if person.hair_style in ("long", "bun") else 0.02
    return [
        (width + 0.06, side),
        (width - 0.12, -0.3),
        (parting, -0.62),
        (-width + 0.12, -0.3),
        (-width - 0.06, side),
    ]


def draw_beard(canvas: DrawingCanvas, person: DrawnPerson) -> None:
    """Draw a full beard or a goatee with a moustache; the mouth is drawn over it."""
    rgb = shade(person.hair_rgb, 0.75)
    width, jaw = person.shape.face_width, person.shape.jaw
    if person.marks.beard_full:
        outline = [
            (x * (1 - jaw * max(0.0, y) ** 2), y) for x, y in arc((0, 0), (width + 0.02, 1.12), 10, 170)
        ]
        canvas.polygon([*outline, (-width * 0.62, 0.4), (0, 0.34), (width * 0.62, 0.4)], rgb)
    else:
        canvas.ellipse((0, 0.7), (0.42, 0.44), rgb)


def draw_hat(canvas: DrawingCanvas, person: DrawnPerson) -> None:
    """Draw a cap, a woolly hat or a top hat."""
    rgb, width = person.marks.hat_rgb, person.shape.face_width + 0.12
    band = shade(rgb, 0.62)
    if person.marks.hat_kind == 0:
        canvas.polygon(arc((0, -0.5), (width, 0.78), 180, 360), rgb)
        canvas.polygon([(-width, -0.52), (width + 0.42, -0.52), (width + 0.42, -0.36), (-width, -0.36)], band)
    elif person.marks.hat_kind == 1:
        canvas.polygon(arc((0, -0.5), (width, 0.9), 180, 360), rgb)
        canvas.polygon([(-width, -0.66), (width, -0.66), (width, -0.36), (-width, -0.36)], band)
        canvas.ellipse((0, -1.44), (0.2, 0.2), band)
    else:
        canvas.polygon([(-0.62, -0.5), (-0.68, -1.6), (0.68, -1.6), (0.62, -0.5)], rgb)
        canvas.polygon(
            [(-width - 0.22, -0.58), (width + 0.22, -0.58), (width + 0.22, -0.42), (-width - 0.22, -0.42)],
            band,
        )


def _on_head(angle_deg: float, width: float, height: float) -> Point:
    angle = math.radians(angle_deg)
    return width * math.cos(angle), height * math.sin(angle)
