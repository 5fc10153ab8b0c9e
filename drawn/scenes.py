"""Where and how a person is drawn, and the words for it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from drawn.people import DrawnPerson, Rgb, dice

PLACES: dict[str, str] = {
    "beach": "on the beach",
    "forest": "in a forest",
    "city": "in a city",
    "mars": "on mars",
    "snow": "in the snow",
    "space": "in space",
}
SHIRTS: dict[str, Rgb] = {
    "red": (214, 36, 44),
    "blue": (34, 74, 204),
    "green": (28, 140, 64),
    "yellow": (250, 206, 36),
    "white": (246, 246, 246),
    "black": (26, 26, 30),
}
EXPRESSIONS = ("smiling", "laughing", "sad", "surprised")
LIGHTS: dict[str, tuple[float, float, float]] = {
    "day": (1.0, 1.0, 1.0),
    "evening": (1.0, 0.94, 0.86),
    "shade": (0.9, 0.93, 0.98),
}


@dataclass(frozen=True)
class Pose:
    """Head centre and half height as shares of the picture's side; tilt in degrees."""

    x: float
    y: float
    size: float
    tilt_deg: float


@dataclass(frozen=True)
class Scene:
    """One picture's circumstances. `seed` settles the background's small things."""

    seed: int
    place: str
    shirt: str
    expression: str
    light: str
    pose: Pose


def scene(seed: int, place: str | None = None) -> Scene:
    """Return scene number `seed`, the same one every time; `place` overrides where it is."""
    rng = dice("scene", seed)
    drawn_place = rng.choice(list(PLACES))
    return Scene(
        seed=seed,
        place=place or drawn_place,
        shirt=rng.choice(list(SHIRTS)),
        expression=rng.choice(EXPRESSIONS),
        light=rng.choices(list(LIGHTS), weights=(4, 1, 1))[0],
        pose=Pose(
            rng.uniform(0.42, 0.58), rng.uniform(0.42, 0.48), rng.uniform(0.22, 0.28), rng.uniform(-9, 9)
        ),
    )


def caption(person: DrawnPerson, picture_scene: Scene) -> str:
    """Return the caption that names everything that has a word."""
    return sentence(person_words(person) + scene_words(picture_scene), picture_scene.place)


def varied_caption(person: DrawnPerson, picture_scene: Scene, rng: Random) -> str:
    """Return a caption that leaves things out, as people do: what is not named is free to vary."""
    phrases = [word for word in person_words(person) + scene_words(picture_scene) if rng.random() < 0.7]
    rng.shuffle(phrases)
    text = sentence(phrases, picture_scene.place if rng.random() < 0.9 else None)
    beginning = rng.choice(("a photo of a ", "a photo of a ", "a ", ""))
    return text.replace("a photo of a ", beginning, 1)


def sentence(phrases: list[str], place: str | None, subject: str = "person") -> str:
    """Return `a photo of a person with …, on mars`."""
    parts = [
        f"a photo of a {subject} with {phrases[0]}" if phrases else f"a photo of a {subject}",
        *phrases[1:],
    ]
    return ", ".join(parts) + (f" {PLACES[place]}" if place else "")


def person_words(person: DrawnPerson) -> list[str]:
    """Return the words that a caption has for this person."""
    if person.hair_style == "bald":
        hair = ["a bald head"]
    else:
        hair = [" ".join(filter(None, (person.hair_style, person.hair_word, "hair")))]
    extras = [("glasses", person.glasses), ("a beard", person.beard), ("a hat", person.hat)]
    return [*hair, f"{person.skin_word} skin", *(word for word, worn in extras if worn)]


def scene_words(picture_scene: Scene) -> list[str]:
    """Return the words that a caption has for clothes and mood."""
    return [f"a {picture_scene.shirt} shirt", f"a {picture_scene.expression} face"]
