"""Options as people write them, and what they paste: done as it is meant, or named; never drawn as words."""

from __future__ import annotations

import pytest

from bot.core.errors import UserError
from bot.core.jobs import GenerationParams
from bot.core.loras import LoraCode
from bot.jobs.styles import load_styles
from bot.services.generation_options import clean_text, parse, parse_prompt, read_code
from bot.texts import translate
from tests.support.wishes import typed_params

LABELS = load_styles().labels
#: What stands in our own pictures, and in those of AUTOMATIC1111.
RECIPE = (
    "sks person on a boat <lora:40713386:1>\nNegative prompt: blurry, dark\n"
    "Steps: 25, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 5, Size: 512x768, Model: drawn, "
    'Lora hashes: "40713386: 0a1b2c", LoraCode: 40713386'
)


def params_of(text: str) -> GenerationParams:
    return parse_prompt(text, style_labels=LABELS)


def refusal(text: str) -> str:
    with pytest.raises(UserError) as caught:
        params_of(text)
    return caught.value.message


def boat(**options: object) -> GenerationParams:
    return typed_params("a boat", **options)


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("a boat --ar 2:3", boat(shape="portrait")),
        ("a boat \u2014ar 2:3", boat(shape="portrait")),
        ("a boat -ar 3/2", boat(shape="landscape")),
        ("a boat --aspect 16:9", boat(shape="16:9")),
        ("a boat --ar 9:21", boat(shape="9:21")),
        ("a boat --w 512 --h 768", boat(width_px=512, height_px=768)),
        ("a boat --size 512 x 768", boat(width_px=512, height_px=768)),
        ("a boat --size 512\u00d7768px,", boat(width_px=512, height_px=768)),
        ("a boat --size 2:3", boat(shape="portrait")),
        ("a boat --size verticale", boat(shape="portrait")),
        ("a boat --size Horizontal.", boat(shape="landscape")),
        ("a boat --portrait", boat(shape="portrait")),
        ("a boat --n4", boat(count=4)),
        ("a boat --N = 4", boat(count=4)),
        ("a boat --n 2 pictures", boat(count=2)),
        ("a boat --n 2 immagini", boat(count=2)),
        ("a boat --best 1 of 4", boat(count=4, best=True)),
        ("a boat --seed: 7", boat(seed=7)),
        ("a boat -- seed 7,", boat(seed=7)),
        ("a boat --seed -1", boat()),
        ("a boat --seed random", boat()),
        ("a boat --cfg 7", boat(guidance=7.0)),
        ("a boat --cfg_scale7.5 --steps30", boat(guidance=7.5, steps=30)),
        ("a boat --strength 80%", boat(strength=0.8)),
        ("a boat --style oil painting", boat(style="oil painting")),
        ("a boat --style \u201cPittura a olio\u201d", boat(style="Pittura a olio")),
        ("a boat --style No style", boat(style="none")),
        ("a boat --sampler Euler ancestral", boat(sampler="euler a")),
    ],
)
def test_an_option_is_read_as_it_is_meant(text: str, params: GenerationParams) -> None:
    assert params_of(text) == params
    at_the_front = text.removeprefix("a boat ")
    assert params_of(f"{at_the_front} a boat") == params, "what follows is the prompt"


@pytest.mark.parametrize(
    ("text", "is_fast", "steps"),
    [
        ("a boat", True, None),
        ("a boat --fast", True, None),
        ("--fast a boat", True, None),
        ("a boat --veloce,", True, None),
        ("a boat \u2014fine", None, None),
        ("a boat --fine", False, None),
        ("a boat --finer", False, None),
        ("a boat --steps 40", False, 40),
        ("a boat --steps 12 --fast", True, 12),
        ("a boat --sampler unipc", False, None),
        ("a boat --sampler unipc --fast", True, None),
        ("prompt: a boat speed: fine", False, None),
        ("a boat Steps: 10, Sampler: DPM++ 2M, Schedule type: Align Your Steps, CFG scale: 7", True, 10),
        ("a boat Steps: 8, Sampler: LCM, CFG scale: 1, Seed: 3, Acceleration: lcm-lora", True, None),
        ("a boat Steps: 8, Sampler: DDIM, Schedule type: Trailing, Acceleration: Hyper-SD", True, None),
        ("a boat Steps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7", False, 25),
    ],
)
def test_pictures_are_fast_unless_steps_or_a_sampler_are_said(
    text: str, is_fast: bool | None, steps: int | None
) -> None:
    params = params_of(text)
    if is_fast is None:  # a dash of prose
        assert (params.prompt, params.is_fast) == (text, True)
    else:
        assert (params.prompt, params.is_fast, params.steps) == ("a boat", is_fast, steps)


def test_a_later_fast_takes_the_steps_back() -> None:
    earlier = params_of("a boat --steps 40")
    later = parse_prompt("a cat --fast", earlier)
    assert (later.is_fast, later.steps) == (True, None)
    assert parse_prompt("a cat", earlier).steps == 40


def test_fast_and_fine_together_are_refused() -> None:
    assert refusal("a boat --fast --fine") == translate("wish-fast-and-fine")


@pytest.mark.parametrize(
    "text",
    [
        "a boat --negative clouds",
        "a boat --negative-prompt clouds",
        "a boat -no clouds",
        "a boat \u2013no clouds",
        "a boat \u2013 no clouds",
        "a boat --senza clouds",
        'a boat --no "clouds"',
        "a boat Negative prompt: clouds",
        "prompt: a boat negative: clouds",
    ],
)
def test_negative_words_are_never_in_the_prompt(text: str) -> None:
    assert params_of(text) == boat(negative="clouds")


def test_a_negative_prompt_ends_with_its_clause() -> None:
    assert params_of("a boat - no clouds, at sea") == typed_params("a boat at sea", "clouds")


@pytest.mark.parametrize(
    "prompt",
    [
        "he said \u2014Hello\u2014 to the boat",
        "a boat \u2014sunset",
        "a boat \u2014 at sea - alone",
        "a well--lit boat",
        "a boat -- sunset",
        "the boat \u2014 size matters",
        "\u2014no\u2014 said the man",
        "a man -tall- on a boat",
        "model - scale 1:72",
        "a boat :) <3 (sun:1.3) [clouds]",
    ],
)
def test_a_dash_of_prose_is_no_option(prompt: str) -> None:
    assert params_of(prompt) == typed_params(prompt)


@pytest.mark.parametrize("option", ["v 6", "niji 6", "chaos 30", "tile", "q 2", "stylize 250", "noclouds"])
def test_an_option_of_another_program_is_named(option: str) -> None:
    assert f"--{option.split()[0]}" in refusal(f"a boat --{option}")


@pytest.mark.parametrize(("option", "near"), [("strenght 1", "strength"), ("seeds 4", "seed")])
def test_an_option_that_is_nearly_ours_is_answered_with_ours(option: str, near: str) -> None:
    assert f"Did you mean --{near}?" in refusal(f"a boat --{option}")


@pytest.mark.parametrize("sampler", ["DPM++ SDE", "DPM++ 2M SDE Karras", "Euler Karras"])
def test_a_sampler_that_is_ours_in_part_is_refused_whole(sampler: str) -> None:
    assert "--sampler is one of" in refusal(f"a boat --sampler {sampler}")


def test_a_pasted_recipe_is_drawn_again() -> None:
    expected = typed_params(
        "sks person on a boat 40713386",
        "blurry, dark",
        5,
        512,
        768,
        steps=25,
        guidance=7.0,
        style="none",
        sampler="dpm++ 2m karras",
    )
    assert params_of(RECIPE) == expected
    assert params_of(RECIPE.replace("\n", " ")) == expected, "a field of one line makes spaces of line ends"
    command = parse(RECIPE)
    assert (command.code, command.params) == ("40713386", expected), "its code is the one that draws"


def test_options_that_are_typed_behind_a_pasted_recipe_stand_above_it() -> None:
    params = params_of(f"{RECIPE} --n 2 --seed 8")
    assert (params.count, params.seed, params.steps, params.height_px) == (2, 8, 25, 768)


def test_a_pasted_sampler_that_is_not_ours_is_named() -> None:
    text = "a boat Steps: 20, Sampler: DPM++ SDE, Schedule type: Karras, CFG scale: 7, Seed: 1, Size: 512x512"
    assert "--sampler" in refusal(text)


@pytest.mark.parametrize("name", ["40713386", "loracode-40713386", "loracode-40713386-1of2"])
def test_a_lora_in_angle_brackets_is_its_code_and_its_strength(name: str) -> None:
    assert params_of(f"a boat <lora:{name}:0.8>") == typed_params("a boat 40713386", strength=0.8)
    assert parse(f"<lora:{name}:1> a boat").code == "40713386"


def test_a_lora_that_is_none_of_ours_and_two_strengths_are_named() -> None:
    assert "<lora:me:0.8>" in refusal("<lora:me:0.8> a boat")
    assert "--strength" in refusal("<lora:40713386:0.8> and <lora:00000007:0.5>")


@pytest.mark.parametrize(
    "text", ["a boat 40713386", "a boat, code 4071 3386", "code:4071 3386 prompt:a boat", "40713386 - a boat"]
)
def test_a_code_may_stand_behind_what_to_draw_or_in_a_field(text: str) -> None:
    command = parse(text)
    assert command.code == LoraCode("40713386")
    assert "boat" in command.params.prompt


def test_the_fields_of_a_copied_command_are_options() -> None:
    text = "code:40713386 prompt:a boat style:oil painting count:2 negative:fog and rain seed:7"
    assert parse(text, LABELS).params == boat(negative="fog and rain", seed=7, count=2, style="oil painting")


@pytest.mark.parametrize(
    "text",
    [
        "\U0001f469\u200d\U0001f680",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    ],
)
def test_joiners_of_emoji_and_of_persian_stay(text: str) -> None:
    assert clean_text(f"a {text} boat") == f"a {text} boat"
    assert clean_text(f"bo\u200dat\u200c {text}\U000e0067") == f"boat {text}"


@pytest.mark.parametrize("style", ["oil pastel", "dark fantasy"])
def test_a_style_of_two_words_at_the_end_is_both_of_them(style: str) -> None:
    assert params_of(f"a boat --style {style}") == boat(style=style)
    with pytest.raises(UserError, match=style):
        load_styles().resolve(style)


def test_a_style_of_two_words_is_known_without_the_list_of_styles() -> None:
    params = parse_prompt("a boat --style oil painting")
    assert params == boat(style="oil painting")
    assert load_styles().resolve(params.style).name == "oil"


def test_words_behind_a_style_that_ends_are_the_prompt() -> None:
    assert params_of("a boat --style oil, sunset").prompt == "a boat sunset"
    assert params_of("--style oil boat") == typed_params("boat", style="oil")


def test_a_prompt_behind_no_is_told_where_it_goes() -> None:
    assert refusal("--no blurry a boat") == translate("wish-only-no")


def test_words_behind_a_code_leave_it_a_code() -> None:
    assert read_code("4071 3386 please", "/export 40713386") == "40713386"


@pytest.mark.parametrize(
    "text",
    [
        "code=40713386 prompt=a boat",
        "prompt: a boat code: 40713386",
        "prompt:a boat code:4071-3386",
        "<code> 40713386 a boat",
        "a boat, code: 40713386",
    ],
)
def test_fields_of_a_form_are_no_words_of_a_prompt(text: str) -> None:
    assert (parse(text, LABELS).code, parse(text, LABELS).params.prompt.rstrip(",")) == ("40713386", "a boat")


def test_a_comma_before_a_pasted_negative_prompt_goes_with_it() -> None:
    assert params_of("a boat, Negative prompt: rain") == boat(negative="rain")


def test_a_style_in_another_spelling_is_the_same() -> None:
    assert load_styles().resolve("watercolor").name == "watercolour"
