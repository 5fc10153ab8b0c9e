"""From what a person wrote to what the model reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.loras import INSTANCE_TOKENS, LoraCode
from bot.core.prompts import (
    apply_style,
    find_codes,
    find_places,
    insert_trigger,
    insert_triggers,
    replace_names,
)

ANNA, BERT = LoraCode("40713386"), LoraCode("00000007")
TWO = {ANNA: "sks person", BERT: "ohwx person"}


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("on the moon", "sks person, on the moon"),
        ("sks person on the moon", "sks person on the moon"),
        ("a photo of SKS  Person", "a photo of SKS  Person"),
        ("sks as a knight", "sks person as a knight"),
        ("a person with disks", "sks person, a person with disks"),
        ("sks personality", "sks person personality"),
        ("(sks person:1.2) on the moon", "(sks person:1.2) on the moon"),
        ("", "sks person"),
        ("  ", "sks person"),
    ],
)
def test_the_trigger_is_added_where_it_lacks_and_never_twice(prompt: str, expected: str) -> None:
    assert insert_trigger(prompt, "sks person") == expected
    assert insert_triggers(prompt, {ANNA: "sks person"}) == expected


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Anna Maria on the moon", "sks person on the moon"),
        ("portrait of ANNA  MARIA, oil", "portrait of sks person, oil"),
        ("anna maria's boat", "sks person's boat"),
        ("me as a pirate", "sks person as a pirate"),
        ("photo of Me", "photo of sks person"),
        ("io sulla luna", "sks person sulla luna"),
        ("ritratto di me, sorridente", "ritratto di sks person, sorridente"),
        ("(me:1.3) at sea", "(sks person:1.3) at sea"),
        ("me and my shadow, me again", "sks person and my shadow, sks person again"),
        ("time with some iodine", "time with some iodine"),
        ("some me-time", "some me-time"),
        ("https://t.me/x a boat", "https://t.me/x a boat"),
        ("t.me/x a boat", "t.me/x a boat"),
        ("write to me@example.org", "write to me@example.org"),
        ("a boat for me.", "a boat for sks person."),
        ("a boat for me/us", "a boat for me/us"),
        ("Annamaria on the moon", "Annamaria on the moon"),
        ('a sign that says "kiss me"', 'a sign that says "kiss me"'),
        ("sks person beside me", "sks person beside me"),
        ("", ""),
    ],
)
def test_a_name_and_me_are_the_trigger_where_the_prompt_has_none(prompt: str, expected: str) -> None:
    assert replace_names(prompt, "sks person", "Anna Maria", is_self=True) == expected


def test_me_is_nobody_where_the_lora_is_not_the_person_s_own() -> None:
    assert replace_names("me and Rex", "sks dog", "Rex", is_self=False) == "me and sks dog"
    assert replace_names("me and a dog", "sks dog", "", is_self=False) == "me and a dog"
    assert replace_names("a (big) dog", "sks dog", "(big)", is_self=False) == "a sks dog dog"


def test_a_prompt_without_a_trigger_stays_as_it_is() -> None:
    assert insert_trigger("on the moon", "") == "on the moon"


def test_a_trigger_is_no_pattern() -> None:
    assert insert_trigger("abc", r"a.c \1") == r"a.c \1, abc"


@pytest.mark.parametrize(
    ("prompt", "codes"),
    [
        ("a boat", ()),
        ("with 00000007 at sea", (BERT,)),
        ("with 0000 0007 and 4071-3386", (BERT, ANNA)),
        ("(00000007:1.2), 0000 0007", (BERT,)),
        ("with <00000007>, `0000 0007` and #4071\u20133386", (BERT, ANNA)),
        ("with \uff10\uff10\uff10\uff10\uff10\uff10\uff10\uff17", (BERT,)),
        ("in 1990\u20131995 or 2024\u20142025", ()),
        ("in 2024, pi is 3.14159265358, x40713386, 407133860, 1234", ()),
    ],
)
def test_codes_in_a_prompt_are_eight_digits_or_four_and_four(prompt: str, codes: tuple[str, ...]) -> None:
    assert find_codes(prompt) == codes


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("dancing with <0000 0007> at sea", "sks person, dancing with ohwx person at sea"),
        ("dancing with 0000 0007", "sks person, dancing with ohwx person"),
        ("40713386 and 00000007, at sea", "sks person and ohwx person, at sea"),
        ("sks person beside (00000007:1.2)", "sks person beside (ohwx person:1.2)"),
        ("sks person and ohwx person 00000007 at sea", "sks person and ohwx person at sea"),
        ("00000007 waves, 00000007 smiles, sks person", "ohwx person waves, smiles, sks person"),
        ("at sea", "sks person, ohwx person, at sea"),
        ("40713386 sks 40713386 person", "ohwx person, sks person"),
    ],
)
def test_each_code_gets_its_own_trigger_once(prompt: str, expected: str) -> None:
    assert insert_triggers(prompt, TWO) == expected


def test_two_codes_with_the_same_trigger_are_still_two() -> None:
    same = {ANNA: "sks person", BERT: "sks person"}
    assert insert_triggers("40713386 and 00000007", same) == "sks person and sks person"


def test_two_codes_whose_triggers_begin_with_one_token_are_not_mixed() -> None:
    mixed = {ANNA: "sks woman", BERT: "sks man"}  # Bert shares his, and each one's first Lora has that token
    assert insert_triggers("dancing with 00000007", mixed) == "sks woman, dancing with sks man"
    assert insert_triggers("40713386 and 00000007", mixed) == "sks woman and sks man"
    assert insert_triggers("at sea", mixed) == "sks woman, sks man, at sea"


def test_a_number_that_is_nobody_s_code_stays() -> None:
    assert insert_triggers("the year 20242025", {ANNA: "sks person"}) == "sks person, the year 20242025"


@given(
    st.lists(st.sampled_from(["sks", "person", "ohwx", "00000007", "40713386", "a", ",", "boat", "(x:1.2)"]))
)
def test_a_trigger_that_was_put_in_is_there_exactly_once(words: list[str]) -> None:
    prompt = " ".join(words)
    own_words = " ".join(word for word in words if word not in TWO)  # a code that is taken out joins them
    for trigger in TWO.values():
        if own_words.count(trigger) <= 1:
            assert insert_triggers(prompt, TWO).count(trigger) == 1


def test_a_style_goes_around_the_prompt_and_none_leaves_it() -> None:
    assert (
        apply_style("a {boat}", "oil painting of {prompt}, thick paint")
        == "oil painting of a {boat}, thick paint"
    )
    assert apply_style("a boat", "") == "a boat"


def test_instance_tokens_are_different_words_of_letters_which_every_family_takes() -> None:
    assert len(set(INSTANCE_TOKENS)) == len(INSTANCE_TOKENS) >= 5
    assert all(token.isalpha() for token in INSTANCE_TOKENS)


@pytest.mark.parametrize(
    ("prompt", "places"),
    [
        ("and 00000007 on a tandem", ("found", "found")),
        ("left and 00000007 right on a tandem", ("left", "right")),
        ("(on the right) and 0000 0007, left", ("right", "left")),
        ("40713386 a sinistra e 00000007 al centro", ("left", "middle")),
        ("left and 00000007 on a tandem", ("found", "found")),
        ("40713386 left the room with 00000007 on the left", ("found", "found")),
        ("lefty and 00000007 righteous", ("found", "found")),
    ],
)
def test_a_layout_is_what_stands_behind_every_code(prompt: str, places: tuple[str, str]) -> None:
    assert tuple(find_places(prompt, (ANNA, LoraCode("00000007"))).values()) == places
