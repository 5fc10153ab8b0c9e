"""Pictures that the project draws itself: people who do not exist. Pillow only, imports nothing of ours.

`identity(seed)` is a person, `scene(seed)` a moment, `draw` puts one into the other and `caption` says it
in words. Everything is settled by seeds, so a test, the demo and the training of the small base model see
the same people. What makes an identity (shape of the face, marks, shades) has no caption word: a model can
only learn it from photos.
"""

from drawn.examples import good_set
from drawn.people import HAIR_COLOURS, DrawnPerson, identity
from drawn.portrait import draw
from drawn.samples import sample_photos, sample_places
from drawn.scenes import PLACES, SHIRTS, Scene, caption, scene, varied_caption

#: The small base model never saw people and scenes from this seed on; measurements and tests use them.
UNSEEN_SEED = 1_000_000

__all__ = [
    "HAIR_COLOURS",
    "PLACES",
    "SHIRTS",
    "UNSEEN_SEED",
    "DrawnPerson",
    "Scene",
    "caption",
    "draw",
    "good_set",
    "identity",
    "sample_photos",
    "sample_places",
    "scene",
    "varied_caption",
]
