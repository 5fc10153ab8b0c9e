"""A person from the shoulders up, drawn back to front."""

from __future__ import annotations

from PIL import Image

from drawn.canvas import DrawingCanvas, Point, arc, shade
from drawn.hair import draw_back_hair, draw_beard, draw_front_hair, draw_hat
from drawn.people import DrawnPerson, Rgb, dice
from drawn.places import draw_place
from drawn.scenes import LIGHTS, SHIRTS, Pose, Scene

DARK: Rgb = (40, 26, 26)
MOUTH: Rgb = (170, 40, 50)


def draw(person: DrawnPerson, scene: Scene, side_px: int) -> Image.Image:
    """Return a square RGB picture of the person in the scene, the same one every time."""
    canvas = DrawingCanvas(side_px)
    draw_place(canvas, scene.place, dice("place", scene.seed))
    canvas.pose(scene.pose)
    draw_back_hair(canvas, person)
    canvas.pose(
        Pose(scene.pose.x, scene.pose.y, scene.pose.size, 0.0)
    )  # shoulders stay level under a tilted head
    _draw_shoulders(canvas, person, SHIRTS[scene.shirt])
    canvas.pose(scene.pose)
    _draw_head(canvas, person)
    _draw_skin_mark(canvas, person)
    if person.beard:
        draw_beard(canvas, person)
    _draw_features(canvas, person, scene.expression)
    draw_front_hair(canvas, person)
    if person.hat:
        draw_hat(canvas, person)
    if person.glasses:
        _draw_glasses(canvas, person)
    return canvas.finish(LIGHTS[scene.light])


def face_outline(person: DrawnPerson) -> list[Point]:
    """Return the outline of the face: an ellipse, narrowed below by the jaw."""
    width = person.shape.face_width
    outline = arc((0, 0), (width, 1.0), 0, 360)
    return [(x * (1 - person.shape.jaw * max(0.0, y) ** 2), y) for x, y in outline]


def _draw_shoulders(canvas: DrawingCanvas, person: DrawnPerson, shirt: Rgb) -> None:
    neck = shade(person.skin_rgb, 0.8)
    canvas.polygon([(-0.34, 0.6), (0.34, 0.6), (0.38, 1.4), (-0.38, 1.4)], neck)
    canvas.polygon(
        [
            (-1.6, 5),
            (-1.5, 1.75),
            (-1.15, 1.35),
            (-0.4, 1.15),
            (0.4, 1.15),
            (1.15, 1.35),
            (1.5, 1.75),
            (1.6, 5),
        ],
        shirt,
    )
    canvas.polygon(arc((0, 1.14), (0.42, 0.26), 0, 180), neck)
    canvas.line([(-1.08, 2.1), (-1.12, 5)], 0.06, shade(shirt, 0.75))
    canvas.line([(1.08, 2.1), (1.12, 5)], 0.06, shade(shirt, 0.75))


def _draw_head(canvas: DrawingCanvas, person: DrawnPerson) -> None:
    width = person.shape.face_width
    ear = shade(person.skin_rgb, 0.9)
    for side in (-1, 1):
        canvas.ellipse((side * width, 0.08), (0.16, 0.22), ear)
        if person.marks.earring_rgb:
            canvas.ellipse((side * (width + 0.06), 0.36), (0.12, 0.12), person.marks.earring_rgb)
    canvas.polygon(face_outline(person), person.skin_rgb)


def _draw_features(canvas: DrawingCanvas, person: DrawnPerson, expression: str) -> None:
    shape = person.shape
    brow_rgb = DARK if person.hair_style == "bald" else shade(person.hair_rgb, 0.7)
    for side in (-1, 1):
        x, size = side * shape.eye_gap, shape.eye_size
        canvas.ellipse((x, 0.02), (size * 1.1, size), (255, 255, 255))
        canvas.ellipse((x, 0.04), (size * 0.72, size * 0.8), shape.eye_rgb)
        canvas.ellipse((x, 0.04), (size * 0.36, size * 0.4), (10, 10, 12))
        canvas.ellipse((x + size * 0.25, -0.02), (size * 0.2, size * 0.2), (255, 255, 255))
        lift = 0.1 if expression == "surprised" else 0.0
        inner, outer = -0.28 - lift + shape.brow_slope, -0.28 - lift - shape.brow_slope
        canvas.line([(x - side * 0.2, inner), (x + side * 0.2, outer)], shape.brow_thickness, brow_rgb)
    _draw_nose(canvas, person)
    _draw_mouth(canvas, shape.mouth_width, expression)


def _draw_nose(canvas: DrawingCanvas, person: DrawnPerson) -> None:
    rgb = shade(person.skin_rgb, 0.78)
    if person.shape.nose == 0:
        canvas.ellipse((0, 0.3), (0.1, 0.08), rgb)
    elif person.shape.nose == 1:
        canvas.polygon([(0, 0.04), (0.12, 0.36), (-0.12, 0.36)], rgb)
    else:
        canvas.ellipse((0, 0.3), (0.17, 0.12), rgb)


def _draw_mouth(canvas: DrawingCanvas, width: float, expression: str) -> None:
    if expression == "smiling":
        canvas.line(arc((0, 0.5), (width, 0.18), 10, 170), 0.08, MOUTH)
    elif expression == "laughing":
        canvas.polygon(arc((0, 0.5), (width, 0.3), 0, 180), MOUTH)
        canvas.polygon(arc((0, 0.5), (width * 0.8, 0.1), 0, 180), (255, 255, 255))
    elif expression == "sad":
        canvas.line(arc((0, 0.74), (width, 0.18), 190, 350), 0.08, MOUTH)
    else:
        canvas.ellipse((0, 0.62), (0.14, 0.18), MOUTH)


def _draw_glasses(canvas: DrawingCanvas, person: DrawnPerson) -> None:
    rgb, gap = person.marks.glasses_rgb, person.shape.eye_gap
    size = 0.28
    for side in (-1, 1):
        x = side * gap
        if person.marks.glasses_round:
            canvas.line(arc((x, 0.03), (size, size), 0, 360), 0.08, rgb)
        else:
            corners = [
                (x - size, -0.17),
                (x + size, -0.17),
                (x + size, 0.25),
                (x - size, 0.25),
                (x - size, -0.17),
            ]
            canvas.line(corners, 0.09, rgb)
        canvas.line([(side * (gap + size), -0.02), (side * person.shape.face_width, -0.06)], 0.07, rgb)
    canvas.line([(-gap + size, 0.0), (gap - size, 0.0)], 0.07, rgb)


def _draw_skin_mark(canvas: DrawingCanvas, person: DrawnPerson) -> None:
    skin, darker = person.marks.skin, shade(person.skin_rgb, 0.55)
    if skin == "freckles":
        for x, y in ((-0.5, 0.26), (-0.36, 0.34), (-0.5, 0.42), (0.5, 0.26), (0.36, 0.34), (0.5, 0.42)):
            canvas.ellipse((x, y), (0.055, 0.055), darker)
    elif skin == "mole":
        canvas.ellipse((0.42, 0.48), (0.09, 0.09), DARK)
    elif skin == "scar":
        canvas.line([(-0.58, -0.1), (-0.3, 0.6)], 0.09, (226, 100, 96))
    elif skin == "blush":
        for side in (-1, 1):
            canvas.ellipse((side * 0.5, 0.36), (0.17, 0.12), (238, 116, 110))
    elif skin == "paint":
        for side in (-1, 1):
            canvas.line([(side * 0.3, 0.32), (side * 0.64, 0.26)], 0.11, (40, 70, 220))
