"""The judge sees what is in a drawing, and who."""

from __future__ import annotations

import io

import pytest
import torch

import drawn
from gpu_worker.errors import BadInput
from gpu_worker.models.sd15.drawn.judge import WEIGHTS, DrawingAttributes, IdentityModel

UNSEEN = drawn.UNSEEN_SEED + 7_000


@pytest.fixture(scope="module")
def judge() -> IdentityModel:
    return IdentityModel.load()


def png(person: int, scene: int, side_px: int = 64) -> bytes:
    file = io.BytesIO()
    drawn.draw(drawn.identity(person), drawn.scene(scene), side_px).save(file, "PNG")
    return file.getvalue()


def test_identity_model_reads_place_shirt_and_hair_of_unseen_people(judge: IdentityModel) -> None:
    seeds = range(UNSEEN, UNSEEN + 40)
    seen = judge.predict_attributes([png(seed, seed) for seed in seeds])
    told = [DrawingAttributes.from_drawing(drawn.identity(seed), drawn.scene(seed)) for seed in seeds]
    pairs = list(zip(seen, told, strict=True))
    assert sum(found.place == said.place for found, said in pairs) >= 39
    assert sum(found.shirt == said.shirt for found, said in pairs) >= 39
    assert sum(found.hair == said.hair for found, said in pairs) >= 35


def test_two_pictures_of_one_person_are_closer_than_two_people(judge: IdentityModel) -> None:
    people = range(UNSEEN, UNSEEN + 30)
    here = judge.embed([png(person, 3 * person) for person in people])
    there = judge.embed([png(person, 3 * person + 1) for person in people])
    same, other = (here * there).sum(1), (here * there.roll(1, 0)).sum(1)
    assert int((same > other).sum()) >= 29


def test_identity_model_reads_larger_pictures_too(judge: IdentityModel) -> None:
    small, large = judge.embed([png(UNSEEN, 1), png(UNSEEN, 1, side_px=256)])
    assert float(small @ large) > 0.9


def test_the_same_picture_is_judged_the_same(judge: IdentityModel) -> None:
    picture = png(UNSEEN, 2)
    assert torch.equal(judge.embed([picture]), judge.embed([picture]))


def test_file_that_is_not_an_image_is_refused(judge: IdentityModel) -> None:
    with pytest.raises(BadInput):
        judge.embed([b"no picture"])


def test_the_judge_weights_are_small() -> None:
    assert WEIGHTS.stat().st_size < 1.5 * 2**20
