"""LoraCodes as people write them."""

from __future__ import annotations

import pytest

from bot.core.loras import parse_code, split_code

FULL_WIDTH, ARABIC, PERSIAN, DEVANAGARI = (
    str.maketrans("0123456789", "".join(chr(zero + digit) for digit in range(10)))
    for zero in (0xFF10, 0x0660, 0x06F0, 0x0966)
)
WRITTEN = (
    "40713386",
    "4071 3386",
    "4071  3386",
    "4071\u00a03386",
    "4071\u20093386",
    "4071\n3386",
    "40 71 33 86",
    "407 133 86",
    "4071-3386",
    *(f"4071{dash}3386" for dash in "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\uff0d"),
    "4071.3386",
    "4071_3386",
    "4071/3386",
    "<40713386>",
    "<4071 3386>",
    "[40713386]",
    "(40713386)",
    '"40713386"',
    "\u201c40713386\u201d",
    "\u00ab40713386\u00bb",
    "`40713386`",
    "**4071 3386**",
    "#40713386",
    "# 4071 3386",
    "code 40713386",
    "code 4071 3386",
    "code:40713386",
    "Code: <40713386>",
    "codice 40713386",
    "LoraCode #4071-3386",
    "40713386".translate(FULL_WIDTH),
    "4071\u30003386".translate(FULL_WIDTH),
    "40713386".translate(ARABIC),
    "40713386".translate(PERSIAN),
    "4071 3386".translate(DEVANAGARI),
)


@pytest.mark.parametrize("written", WRITTEN)
def test_a_code_is_read_however_people_write_it(written: str) -> None:
    assert parse_code(written) == "40713386"
    for comma in ("", ",", ":", ";", ".", " ,", " :"):
        assert split_code(f"{written}{comma} a boat") == ("40713386", "a boat")


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("40713386,a boat", "a boat"),
        ("40713386sks on a boat", "sks on a boat"),
        ("4071 3386 2024 was fine", "2024 was fine"),
        ("40713386, (boat:1.2)", "(boat:1.2)"),
        ("40713386 :) a boat", ":) a boat"),
        ('40713386 "a boat"', '"a boat"'),
        ("40713386 --seed 7", "--seed 7"),
    ],
)
def test_text_after_a_code_stays_as_it_is(text: str, rest: str) -> None:
    assert split_code(text) == ("40713386", rest)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("4071338 6 boats", ("4071338", "6 boats")),
        ("407133861 boats", ("407133861", "boats")),
        ("4071 33861 boats", ("4071", "33861 boats")),
        ("5 people", ("5", "people")),
        ("code of honour", ("", "code of honour")),
        ("", ("", "")),
    ],
)
def test_digits_that_are_no_code_stay_text(text: str, parts: tuple[str, str]) -> None:
    assert split_code(text) == parts
    assert parse_code(text) is None
