"""Who is drawn: attributes that a caption can name, and the finer things that make one person."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

Rgb = tuple[int, int, int]

HAIR_COLOURS: dict[str, Rgb] = {
    "black": (28, 24, 32),
    "brown": (112, 66, 32),
    "blond": (242, 206, 92),
    "red": (206, 66, 26),
    "grey": (176, 180, 188),
    "blue": (44, 92, 214),
}
# No caption ever says these: only five photos can.
UNNAMED_HAIR: tuple[Rgb, ...] = ((146, 52, 196), (24, 160, 140), (240, 110, 170), (120, 190, 40))
HAIR_STYLES = ("short", "long", "curly", "spiky", "bun", "bald")
SKINS: dict[str, Rgb] = {"light": (250, 216, 190), "tan": (216, 160, 112), "dark": (120, 76, 50)}
MARKS = ("none", "freckles", "mole", "scar", "blush", "paint")
EYES: tuple[Rgb, ...] = ((40, 30, 26), (30, 90, 170), (30, 120, 60), (120, 70, 20))
BOLD: tuple[Rgb, ...] = (
    (214, 40, 50),
    (36, 80, 200),
    (30, 140, 70),
    (250, 200, 40),
    (240, 240, 240),
    (30, 30, 36),
)


@dataclass(frozen=True)
class Shape:
    """The fine shape of a face, in head heights; no caption names any of it."""

    face_width: float
    jaw: float
    eye_gap: float
    eye_size: float
    eye_rgb: Rgb
    brow_thickness: float
    brow_slope: float
    nose: int
    mouth_width: float
    hair_volume: float
    parting: float


@dataclass(frozen=True)
class Marks:
    """What a friend would mention first; no caption names any of it."""

    skin: str
    streak_rgb: Rgb | None
    earring_rgb: Rgb | None
    glasses_round: bool
    glasses_rgb: Rgb
    beard_full: bool
    hat_kind: int
    hat_rgb: Rgb


@dataclass(frozen=True)
class DrawnPerson:
    """One person who does not exist. `hair_word` is None where no word names the colour."""

    seed: int
    hair_word: str | None
    hair_rgb: Rgb
    hair_style: str
    skin_word: str
    skin_rgb: Rgb
    glasses: bool
    beard: bool
    hat: bool
    shape: Shape
    marks: Marks


def dice(*key: object) -> Random:
    """Return a generator that draws the same numbers for the same key on every machine."""
    return Random(" ".join(str(part) for part in key))  # noqa: S311 - drawings, not secrets


def identity(seed: int) -> DrawnPerson:
    """Return person number `seed`, the same one every time."""
    rng = dice("identity", seed)
    hair_word = rng.choice([*HAIR_COLOURS, *HAIR_COLOURS, None, None])
    hair = rng.choice(UNNAMED_HAIR) if hair_word is None else HAIR_COLOURS[hair_word]
    skin_word = rng.choice(list(SKINS))
    return DrawnPerson(
        seed=seed,
        hair_word=hair_word,
        hair_rgb=_near(hair, rng, 14),
        hair_style=rng.choices(HAIR_STYLES, weights=(5, 5, 5, 4, 4, 1))[0],
        skin_word=skin_word,
        skin_rgb=_near(SKINS[skin_word], rng, 8),
        glasses=rng.random() < 0.4,
        beard=rng.random() < 0.3,
        hat=rng.random() < 0.3,
        shape=_shape(rng),
        marks=_marks(rng),
    )


def _shape(rng: Random) -> Shape:
    return Shape(
        face_width=rng.uniform(0.72, 0.92),
        jaw=rng.uniform(0.02, 0.34),
        eye_gap=rng.uniform(0.31, 0.42),
        eye_size=rng.uniform(0.14, 0.2),
        eye_rgb=rng.choice(EYES),
        brow_thickness=rng.uniform(0.05, 0.13),
        brow_slope=rng.uniform(-0.08, 0.08),
        nose=rng.randrange(3),
        mouth_width=rng.uniform(0.22, 0.36),
        hair_volume=rng.uniform(0.1, 0.24),
        parting=rng.uniform(-0.5, 0.5),
    )


def _marks(rng: Random) -> Marks:
    return Marks(
        skin=rng.choice(MARKS),
        streak_rgb=rng.choice(BOLD) if rng.random() < 0.2 else None,
        earring_rgb=rng.choice(BOLD[:4]) if rng.random() < 0.3 else None,
        glasses_round=rng.random() < 0.5,
        glasses_rgb=rng.choice((BOLD[0], BOLD[1], BOLD[5])),
        beard_full=rng.random() < 0.5,
        hat_kind=rng.randrange(3),
        hat_rgb=rng.choice(BOLD),
    )


def _near(rgb: Rgb, rng: Random, spread: int) -> Rgb:
    red, green, blue = (max(0, min(255, part + rng.randint(-spread, spread))) for part in rgb)
    return red, green, blue
