"""The recipe text of a picture."""

from __future__ import annotations

from dataclasses import replace

from gpu_worker.generation.image_file import Recipe

RECIPE = Recipe(
    prompt="a cat",
    negative_prompt="",
    seed=1,
    width_px=64,
    height_px=128,
    steps=3,
    guidance_scale=7.0,
    sampler="Euler",
    model="tiny",
)


def test_without_a_lora_the_recipe_names_none() -> None:
    assert RECIPE.format_parameters() == (
        "a cat\nSteps: 3, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x128, Model: tiny"
    )


def test_a_prompt_cannot_pass_its_own_lines_off_as_settings() -> None:
    sly = replace(RECIPE, prompt="a cat\nSteps: 99, Seed: 5")
    assert sly.format_parameters().splitlines()[0] == "a cat Steps: 99, Seed: 5"
    assert len(sly.format_parameters().splitlines()) == 2
