"""Prompts with weights and of any length, as AUTOMATIC1111 reads them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gpu_worker.models.base import BaseModel
from gpu_worker.models.text.clip.encoder import apply_weights
from gpu_worker.models.text.clip.prompts import MAX_WEIGHT, PromptPart, parse_prompt, split_chunks
from gpu_worker.models.text.clip.tokenizer import CHUNK_TOKENS


def encode(base: BaseModel, texts: list[str]) -> Tensor:
    return base.encode_weighted_prompts(texts).tensors["prompt_embeds"]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a house", [("a house", 1.0)]),
        ("a (red:1.3) house", [("a ", 1.0), ("red", 1.3), (" house", 1.0)]),
        ("a (red) house", [("a ", 1.0), ("red", 1.1), (" house", 1.0)]),
        ("a [red] house", [("a ", 1.0), ("red", 1 / 1.1), (" house", 1.0)]),
        ("((red))", [("red", 1.21)]),
        ("(a (red:2) house:0.5)", [("a ", 0.5), ("red", 1.0), (" house", 0.5)]),
        (r"sks \(person\)", [("sks (person)", 1.0)]),
        ("open (red", [("open ", 1.0), ("red", 1.1)]),
        ("shut red) :)", [("shut red) :)", 1.0)]),
        ("(time: 12:30)", [("time: 12", 30.0)]),
        ("(red:1.2.3)", [("red", 1.2)]),
        ("(red:.)", [("red", 1.0)]),
        ("(red: -.5 )", [("red", -0.5)]),
        ("(red:12)", [("red", 12.0)]),
        (r"a\b \(c\) \\ \[d\]", [(r"ab (c) \ [d]", 1.0)]),
        ("a house: red", [("a house: red", 1.0)]),
        ("", []),
    ],
)  # fmt: skip
def test_brackets_are_read_by_the_rules(prompt: str, expected: list[tuple[str, float]]) -> None:
    found = [(part.text, round(part.weight, 6)) for part in parse_prompt(prompt)]
    assert found == [(text, round(weight, 6)) for text, weight in expected]


@given(st.text(alphabet="ab ,()[]:\\1.5", max_size=40))
def test_any_text_can_be_read(prompt: str) -> None:
    parts = parse_prompt(prompt)
    assert all(abs(part.weight) <= MAX_WEIGHT for part in parts)
    assert len("".join(part.text for part in parts)) <= len(prompt)


def test_prompt_without_weights_equals_the_encoder_output(tiny: BaseModel) -> None:
    found = encode(tiny, ["sks person on the moon", ""])
    assert torch.equal(found, tiny.encode_prompts(["sks person on the moon", ""]).tensors["prompt_embeds"])


def test_a_weight_moves_the_words_it_is_about_and_keeps_the_mean(tiny: BaseModel) -> None:
    plain = encode(tiny, ["a red house"])[0]
    heavy = encode(tiny, ["a (red:1.5) house"])[0]
    assert torch.allclose(heavy.mean(), plain.mean(), atol=1e-4)
    ratio = heavy / plain
    usual = ratio[0].median()  # how much the mean's keeping scales everything
    assert torch.allclose(ratio[2].median() / usual, torch.tensor(1.5), atol=1e-3)
    assert torch.allclose(ratio[3].median() / usual, torch.tensor(1.0), atol=1e-3)


def test_a_large_weight_leaves_finite_numbers_in_half_precision(tiny: BaseModel) -> None:
    chunk = split_chunks(tiny.tokenizer, parse_prompt("a ((red:9999):9999) house"))[0]
    assert max(chunk.weights) == MAX_WEIGHT
    prompt_embeds = apply_weights(torch.full((77, 8), 3.0, dtype=torch.float16), chunk)
    assert prompt_embeds.dtype is torch.float16
    assert bool(prompt_embeds.isfinite().all())


@pytest.mark.parametrize(
    ("prompt", "chunk_texts"),
    [
        ("a house BREAK a red boat", ["a house", "a red boat"]),
        ("BREAK a house", ["", "a house"]),
        ("a house BREAK", ["a house"]),
        ("a house BREAK BREAK a boat", ["a house", "", "a boat"]),
        ("(a house\nBREAK a boat:1.3)", ["a house", "a boat"]),
        ("BREAKFAST break", ["BREAKFAST break"]),
    ],
)
def test_a_break_begins_a_chunk(tiny: BaseModel, prompt: str, chunk_texts: list[str]) -> None:
    chunks = split_chunks(tiny.tokenizer, parse_prompt(prompt))
    expected = [tiny.tokenizer(text, add_special_tokens=False).input_ids for text in chunk_texts]
    assert [list(chunk.tokens) for chunk in chunks] == expected


def test_a_weight_ends_at_a_break_with_its_bracket(tiny: BaseModel) -> None:
    first, second = split_chunks(tiny.tokenizer, parse_prompt("(a BREAK b:1.3), c"))
    assert set(first.weights) == {1.3}
    assert second.weights[0] == 1.3
    assert second.weights[-1] == 1.0


def test_a_long_prompt_is_read_to_its_end(tiny: BaseModel) -> None:
    begin = "word " * 80
    one = encode(tiny, [begin + "red", "blurry"])
    other = encode(tiny, [begin + "blue", "blurry"])
    assert one.shape[:2] == (2, 2 * 77)
    assert torch.equal(one[0, :77], other[0, :77])
    assert not torch.equal(one[0, 77:], other[0, 77:])
    assert torch.equal(one[1, 77:], encode(tiny, [""])[0])  # filled up with nothing


def test_a_long_prompt_is_cut_at_a_comma_where_one_is_near(tiny: BaseModel) -> None:
    words = ["word"] * 70 + [",", *["more"] * 30]
    pieces = split_chunks(tiny.tokenizer, [PromptPart(" ".join(words))])
    assert [len(piece.tokens) for piece in pieces] == [71, 30]
    at_the_limit = ["word"] * 70 + [",", *["more"] * 4, ",", "end"]
    pieces = split_chunks(tiny.tokenizer, [PromptPart(" ".join(at_the_limit))])
    assert [len(piece.tokens) for piece in pieces] == [75, 2]  # the next chunk may begin with a comma
    without = split_chunks(tiny.tokenizer, [PromptPart("word " * 100)])
    assert [len(piece.tokens) for piece in without] == [CHUNK_TOKENS, 25]
