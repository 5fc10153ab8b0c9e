"""The recipe text of a picture, and what AUTOMATIC1111 reads from it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from random import Random

import pytest

from gpu_worker.generation.image_file import Recipe, RecipeLora
from gpu_worker.models.noise.samplers import DISPLAY_NAMES
from gpu_worker.models.text.clip.prompts import parse_prompt

RECIPE = Recipe(
    prompt="a cat",
    negative_prompt="",
    seed=1,
    width_px=64,
    height_px=128,
    steps=3,
    guidance_scale=7.0,
    sampler="Euler a",
    model="tiny",
)
#: A setting as AUTOMATIC1111 finds it: a name, a colon, and a JSON text or all up to the next comma.
SETTING = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def read_parameters(text: str) -> dict[str, str]:
    """Return the fields of a recipe text, as AUTOMATIC1111 documents and reads them."""
    *lines, last_line = text.strip().split("\n")
    fields = {"Prompt": "", "Negative prompt": ""}
    target = "Prompt"
    for line in map(str.strip, lines):
        if line.startswith("Negative prompt:"):
            target, line = "Negative prompt", line.removeprefix("Negative prompt:").strip()
        fields[target] = f"{fields[target]}\n{line}".strip()
    for name, value in SETTING.findall(last_line):
        fields[name] = json.loads(value) if value.startswith('"') else value
    return fields


def test_a_recipe_without_a_lora_names_none() -> None:
    assert RECIPE.format_parameters() == (
        "a cat\nSteps: 3, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 64x128, Model: tiny, RNG: CPU"
    )


def test_karras_sigmas_are_a_schedule_type_beside_their_sampler() -> None:
    fields = read_parameters(replace(RECIPE, sampler="DPM++ 2M Karras").format_parameters())
    assert (fields["Sampler"], fields["Schedule type"]) == ("DPM++ 2M", "Karras")
    assert "Schedule type" not in read_parameters(RECIPE.format_parameters())


def test_lines_of_a_prompt_cannot_pass_as_settings() -> None:
    sly = replace(RECIPE, prompt="a cat\nSteps: 99, Seed: 5")
    assert sly.format_parameters().splitlines()[0] == "a cat Steps: 99, Seed: 5"
    assert len(sly.format_parameters().splitlines()) == 2


@pytest.mark.parametrize("prompt", ["Negative prompt: a dog", "Steps: 99, Seed: 5, Size: 1x1", " Steps: 9"])
def test_a_prompt_that_begins_like_a_field_stays_the_prompt(prompt: str) -> None:
    text = replace(RECIPE, prompt=prompt).format_parameters()
    assert not text.startswith(("Negative prompt:", "Steps:"))
    fields = read_parameters(text)
    assert parse_prompt(fields["Prompt"]) == parse_prompt(prompt.strip())
    assert (fields["Negative prompt"], fields["Steps"]) == ("", "3")


@pytest.mark.parametrize(
    "model", ["my, model: v1", '"quoted"', 'a "b" c', "a: b", "back\\slash", "\\", "line\nbreak", "Größe, 人"]
)
def test_the_name_of_a_model_comes_back_as_it_was(model: str) -> None:
    fields = read_parameters(replace(RECIPE, model=model).format_parameters())
    assert fields["Model"] == model
    assert fields["RNG"] == "CPU"


def test_random_recipes_come_back_from_their_text() -> None:
    rng = Random(7)
    pieces = [
        "a cat",
        ", ",
        ": ",
        "(red:1.2)",
        "\n",
        '"',
        "\\(",
        "Steps: 5",
        "Negative prompt: ",
        "é",
        "<x>",
        "  ",
    ]
    for _ in range(500):
        prompt, negative_prompt, model = ("".join(rng.choices(pieces, k=rng.randint(1, 6))) for _ in range(3))
        recipe = Recipe(
            prompt=prompt,
            negative_prompt=negative_prompt,
            seed=rng.randrange(2**40),
            width_px=8 * rng.randint(8, 256),
            height_px=8 * rng.randint(8, 256),
            steps=rng.randint(1, 150),
            guidance_scale=rng.randint(0, 100) / 2,
            sampler=rng.choice(list(DISPLAY_NAMES.values())),
            model=model.strip() or "base",
            loras=(RecipeLora("40713386", "0a1b2c3d", rng.randint(-20, 20) / 10),) * rng.randint(0, 2),
            variation_strength=rng.choice((0.0, 0.25)),
            variation_seed=rng.randrange(2**32),
            denoising_strength=rng.choice((None, 0.5)),
        )
        fields = read_parameters(recipe.format_parameters())
        lora_text = " ".join(f"<lora:{lora.name}:{lora.strength:g}>" for lora in recipe.loras)
        drawn_prompt = fields["Prompt"].removesuffix(lora_text).strip()
        assert parse_prompt(drawn_prompt) == parse_prompt(" ".join(prompt.split())), recipe
        assert fields["Negative prompt"] == " ".join(negative_prompt.split())
        assert fields["Model"] == recipe.model
        assert (int(fields["Seed"]), int(fields["Steps"])) == (recipe.seed, recipe.steps)
        assert fields["Size"] == f"{recipe.width_px}x{recipe.height_px}"
        assert float(fields["CFG scale"]) == recipe.guidance_scale
        assert " ".join((fields["Sampler"], fields.get("Schedule type", ""))).strip() == recipe.sampler
        assert fields.get("LoraCode", "").split() == [lora.name for lora in recipe.loras]
        assert float(fields.get("Denoising strength", -1)) == (recipe.denoising_strength or -1)
        assert float(fields.get("Variation seed strength", 0)) == recipe.variation_strength
