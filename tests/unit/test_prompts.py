"""Trigger words in prompts, and the recipe text of a picture."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpu_worker.generation import with_trigger
from gpu_worker.picture_file import Recipe


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("on the moon", "sks person, on the moon"),
        ("sks person on the moon", "sks person on the moon"),
        ("a photo of SKS  Person", "a photo of SKS  Person"),
        ("sks as a knight", "sks person as a knight"),
        ("a person with disks", "sks person, a person with disks"),
        ("sks personality", "sks person personality"),
        ("", "sks person"),
        ("  ", "sks person"),
    ],
)
def test_the_trigger_is_added_where_it_lacks_and_never_twice(prompt: str, expected: str) -> None:
    assert with_trigger(prompt, "sks person") == expected


def test_without_a_trigger_the_prompt_stays_as_it_is() -> None:
    assert with_trigger("on the moon", "") == "on the moon"


def test_a_trigger_is_no_pattern() -> None:
    assert with_trigger("abc", r"a.c \1") == r"a.c \1, abc"


RECIPE = Recipe(
    prompt="a cat", negative="", seed=1, width_px=64, height_px=128, steps=3, guidance=7.0, sampler="Euler",
    model="tiny",
)  # fmt: skip


def test_without_a_lora_the_recipe_names_none() -> None:
    assert RECIPE.parameters() == (
        "a cat\nSteps: 3, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x128, Model: tiny"
    )


def test_a_prompt_cannot_pass_its_own_lines_off_as_settings() -> None:
    sly = replace(RECIPE, prompt="a cat\nSteps: 99, Seed: 5")
    assert sly.parameters().splitlines()[0] == "a cat Steps: 99, Seed: 5"
    assert len(sly.parameters().splitlines()) == 2
