from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.errors import UserError
from bot.core.jobs import MAX_PROMPT_CHARS, GenerationParams
from bot.core.loras import LoraCode
from bot.services.generation_options import (
    GenerateCommand,
    clean_text,
    parse,
    parse_prompt,
    read_code,
    validate,
    with_size,
)
from tests.support.wishes import typed_params


def refusal(text: str) -> str:
    with pytest.raises(UserError) as caught:
        parse(text)
    return caught.value.message


def wish(text: str) -> GenerationParams:
    return parse(f"40713386 {text}").params


def test_a_code_and_a_prompt_are_enough() -> None:
    assert parse("40713386 sks person on a boat") == GenerateCommand(
        "40713386", typed_params("sks person on a boat")
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "code", ["40713386", "4071 3386", "<40713386>", " 4071\u20133386,", "٤٠٧١٣٣٨٦", "40713386\n"]
)
def test_a_code_is_read_as_written_and_the_prompt_follows(code: str) -> None:
    assert parse(f"{code} a cat") == GenerateCommand(LoraCode("40713386"), typed_params("a cat"))


def test_leading_zeros_of_a_code_stay() -> None:
    assert parse("0000 0007 a cat").code == "00000007"


def test_a_prompt_may_begin_with_a_number() -> None:
    assert parse("4071 3386 2024 was fine").params.prompt == "2024 was fine"


@pytest.mark.parametrize("code", ["4071338", "407133861", "4071 338", "abcd1234", "", "4O713386"])
def test_a_wrong_code_is_explained_with_an_example(code: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(f"{code} a cat", usage="/generate 40713386 a boat")
    assert "eight digits" in caught.value.message
    assert "/generate 40713386" in caught.value.message


def test_an_empty_text_is_explained_like_a_wrong_code() -> None:
    assert refusal("") == refusal("   ") == refusal("a cat")
    with pytest.raises(UserError, match="eight digits"):
        read_code("4071 338")


def test_every_option_is_read() -> None:
    asked = wish(
        "a boat --seed 7 --no blurry, dark hands --size 512x768 --n 2 --steps 20 --guidance 7.5"
        " --strength 0.8 --style oil --sampler unipc"
    )
    assert asked == typed_params(
        prompt="a boat",
        negative="blurry, dark hands",
        seed=7,
        width_px=512,
        height_px=768,
        count=2,
        steps=20,
        guidance=7.5,
        strength=0.8,
        style="oil",
        sampler="unipc",
    )


@pytest.mark.parametrize("value", ["4", "1-of-4", "1of4"])
def test_the_best_of_four_draws_four(value: str) -> None:
    assert wish(f"a boat --best {value}") == typed_params("a boat", count=4, best=True)


def test_how_many_are_drawn_is_said_once_and_the_last_word_counts() -> None:
    assert "leave --n out" in refusal("40713386 a boat --best 4 --n 2")
    assert parse_prompt("a boat --n 2", wish("a boat --best 4")) == typed_params("a boat", count=2)


@pytest.mark.parametrize("value", ["1", "5", "2-of-4", "all"])
def test_best_with_an_impossible_number_is_explained(value: str) -> None:
    assert "1-of-4" in refusal(f"40713386 a boat --best {value}")


@pytest.mark.parametrize("shape", ["square", "Portrait", "LANDSCAPE"])
def test_a_named_size_is_a_shape_whose_sides_the_worker_knows(shape: str) -> None:
    assert wish(f"a boat --size {shape}") == typed_params("a boat", shape=shape.lower())


@pytest.mark.parametrize("size", ["640\u00d764", "640x64", "640X64", "640*64"])
def test_a_size_may_be_written_out(size: str) -> None:
    assert wish(f"a boat --size {size}") == typed_params("a boat", width_px=640, height_px=64)


def test_a_size_stands_above_the_earlier_one() -> None:
    exact, named = (
        GenerationParams("a boat", width_px=64, height_px=64),
        GenerationParams("a boat", shape="portrait"),
    )
    assert with_size(exact, "portrait") == named
    assert with_size(named, "64x64") == exact


@pytest.mark.parametrize(
    ("written", "sampler"),
    [
        ("unipc", "unipc"),
        ("LCM", "lcm"),
        ("euler a", "euler a"),
        ("euler-a", "euler a"),
        ("euler", "euler a"),
        ("DPM++ 2M Karras", "dpm++ 2m karras"),
        ("dpm++", "dpm++ 2m karras"),
        ("dpm++_2m", "dpm++ 2m karras"),
    ],
)
@pytest.mark.parametrize("form", ["--sampler {} at sea", "--sampler={} at sea", "at sea --sampler {}"])
def test_a_sampler_is_known_by_its_name_however_it_is_written(form: str, written: str, sampler: str) -> None:
    assert wish("a boat " + form.format(written)) == typed_params("a boat at sea", sampler=sampler)


def test_an_unknown_sampler_is_answered_with_the_known_ones() -> None:
    assert "--sampler is one of: dpm++ 2m karras, euler a, unipc, lcm." in refusal(
        "40713386 a boat --sampler ddim"
    )


def test_options_of_a_later_prompt_stand_above_the_earlier_ones() -> None:
    base = GenerationParams("a boat", "dark", 7, shape="portrait", count=4, style="oil")
    assert parse_prompt("a cat", base) == replace(base, prompt="a cat")
    assert parse_prompt("a cat --n 1 --size 64x64 --no rain", base) == replace(
        base, prompt="a cat", negative="rain", count=1, shape="", width_px=64, height_px=64
    )


def test_the_prompt_goes_on_after_the_value_of_an_option() -> None:
    assert wish("a boat --seed 7 at sea").prompt == "a boat at sea"


def test_values_may_follow_an_equals_sign_or_a_comma() -> None:
    asked = wish("a boat --seed=7 --guidance=7,5 --no=blurry and dark")
    assert (asked.seed, asked.guidance, asked.negative) == (7, 7.5, "blurry and dark")


@pytest.mark.parametrize("dash", ["--", "\u2014", "\u2013", "---"])
def test_dashes_of_phones_count_as_two_hyphens(dash: str) -> None:
    assert wish(f"a boat {dash}seed 7") == typed_params("a boat", seed=7)


def test_a_dash_between_words_is_punctuation() -> None:
    assert wish("a boat — at sea - alone").prompt == "a boat — at sea - alone"
    assert wish("a well--known boat").prompt == "a well--known boat"


@pytest.mark.parametrize("name", ["sede", "lora", "hires"])
def test_an_unknown_option_is_named(name: str) -> None:
    sentence = refusal(f"40713386 a boat --{name} 7")
    assert f"--{name}" in sentence
    assert "--seed" in sentence


def test_a_long_unknown_option_is_named_in_part() -> None:
    assert len(refusal(f"40713386 a boat --{'x' * 4000}")) < 200


def test_an_option_given_twice_or_without_value_is_refused() -> None:
    assert "--seed appears twice" in refusal("40713386 a boat --seed 7 --seed 8")
    assert "--seed needs a value" in refusal("40713386 a boat --seed")
    assert "--no needs a value" in refusal("40713386 a boat --no --n 2")


@pytest.mark.parametrize(
    "option",
    [
        "--seed -2",
        "--seed 4294967296",
        "--seed 1.5",
        "--seed seven",
        "--seed \u0667",
        "--seed 99999999999999999999",
        "--n 0",
        "--n 5",
        "--n -1",
        "--steps 0",
        "--steps 101",
        "--guidance nan",
        "--guidance inf",
        "--guidance -1",
        "--guidance 31",
        "--guidance 1e9",
        "--strength -0.1",
        "--strength 2.1",
        "--strength nan",
        "--size 7x7",
        "--size 99999x8",
        "--size 513x512",
        "--size 512x",
        "--size huge",
        "--size -512x512",
        "--size 512",
    ],
)
def test_a_value_out_of_range_is_refused_by_its_option(option: str) -> None:
    assert option.split()[0] in refusal(f"40713386 a boat {option}")


@pytest.mark.parametrize(
    "wrong",
    [
        {"guidance": float("nan")},
        {"guidance": float("inf")},
        {"count": 0},
        {"seed": -1},
        {"steps": 0},
        {"strength": float("nan")},
        {"strength": 3},
        {"shape": "round"},
        {"sampler": "ddim"},
        {"width_px": 512},
        {"width_px": 512, "height_px": 20},
    ],
)
def test_parameters_that_were_not_typed_are_held_to_the_same_ranges(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError):
        validate(replace(GenerationParams("a boat"), **wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize("prompt", ["", "   ", "\u200b\u200d\ufeff", "\x00\x07", "\u2800\u3164", "--seed 7"])
def test_a_prompt_without_anything_to_see_is_refused(prompt: str) -> None:
    assert "What should I draw" in refusal(f"40713386 {prompt}")


def test_invisible_characters_are_taken_out() -> None:
    assert wish("a\u200b bo\x00at\u202e\n\tat  sea\ud800").prompt == "a boat at sea"
    assert wish("a boat --se\u200bed 7").seed == 7


def test_emoji_are_words_too() -> None:
    assert wish("🚀🌕").prompt == "🚀🌕"
    assert wish("\U0001fae9").prompt == "\U0001fae9", "also those younger than this Python"


def test_the_prompt_s_limit_is_exact() -> None:
    assert len(wish("x" * MAX_PROMPT_CHARS).prompt) == MAX_PROMPT_CHARS
    assert "5000 characters" in refusal(f"40713386 {'x' * 5000}")
    assert "1001 characters" in refusal(f"40713386 a boat --no {'x' * (MAX_PROMPT_CHARS + 1)}")


@given(st.text())
def test_any_typed_text_gives_valid_parameters_or_a_sentence(text: str) -> None:
    try:
        asked = parse(f"40713386 {text}")
    except UserError as refused:
        assert 0 < len(refused.message) < 400
    else:
        assert asked.params.prompt == clean_text(asked.params.prompt) != ""
        asked.params.prompt.encode()
