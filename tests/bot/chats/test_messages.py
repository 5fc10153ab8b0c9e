"""Commands and small talk as people type them."""

from __future__ import annotations

import pytest

from bot.chats.messages import RefusedMessages, parse_command
from bot.core.accounts import ChatAddress, Platform
from bot.core.messages import Reply
from bot.texts.words import SmallTalk, read_small_talk, reads_like_talk


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("/generate 40713386 a boat", "generate", "40713386 a boat"),
        ("/GENERATE@loracode_bot 40713386 a boat", "generate", "40713386 a boat"),
        ("  /genera\n40713386\na boat", "generate", "40713386\na boat"),
        ("\uff0fcodes", "codes", ""),
        ("/codes.", "codes", ""),
        ("/generate40713386 a boat", "generate", "40713386 a boat"),
        ("`/show id:12`", "show", "12"),
        ("/ codes", "codes", ""),
        ("!help", "help", ""),
        (".generate 40713386 a boat", "generate", "40713386 a boat"),
        ("\\genera 40713386 a boat", "generate", "40713386 a boat"),
        ("generate: 40713386 a boat", "generate", "40713386 a boat"),
        ("```\n/generate 40713386 a boat\n```", "generate", "40713386 a boat"),
        ("/generate 40713386 a *red* boat `x`", "generate", "40713386 a *red* boat `x`"),
        ("<@123> /codes", "codes", ""),
        ("/more code: 40713386 steps:300", "more", "40713386 300"),
        ("40713386 a boat", "generate", "40713386 a boat"),
        ("4071 3386, a boat", "generate", "4071 3386, a boat"),
        ("generate 40713386 a boat", "generate", "40713386 a boat"),
    ],
)
def test_a_command_is_read_however_it_is_typed(text: str, name: str, arguments: str) -> None:
    typed = parse_command(text)
    assert typed is not None
    assert typed.command is not None
    assert (typed.command.name, typed.arguments) == (name, arguments)


@pytest.mark.parametrize(
    "text", ["/", "//", "/generate_me", "/imagine a boat", "/40713386", "/home/anna/1.jpg"]
)
def test_a_slash_that_begins_no_command_of_ours_is_no_words(text: str) -> None:
    typed = parse_command(text)
    assert typed is not None
    assert typed.command is None


@pytest.mark.parametrize(
    "text",
    [
        "a boat",
        "40713386",
        "40713386?",
        "!nonsense",
        "...",
        "generate a boat",
        "2 boats",
        "and/or a boat",
        "",
    ],
)
def test_plain_words_are_no_command(text: str) -> None:
    assert parse_command(text) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Hiii!", SmallTalk.GREETING),
        ("hello there", SmallTalk.GREETING),
        ("Buongiorno", SmallTalk.GREETING),
        ("Thank you \U0001f64f", SmallTalk.THANKS),
        ("Sì!", SmallTalk.YES),
        ("\U0001f44d\U0001f3fd", SmallTalk.YES),
        ("I agree", SmallTalk.YES),
        ("Delete for good", SmallTalk.YES),
        ("ok thanks, never mind", SmallTalk.NO),
        ("don\u2019t", SmallTalk.NO),
        ("hello kitty on a boat", None),
        ("no people, a boat", None),
        ("yes, a boat", None),
        ("", None),
    ],
)
def test_small_talk_is_known_in_any_language_and_prompts_are_none(text: str, kind: SmallTalk | None) -> None:
    assert read_small_talk(text) is kind


def test_a_greeting_may_say_a_little_more_where_nothing_is_waited_for() -> None:
    assert read_small_talk("hi, how are you?", is_whole=False) is SmallTalk.GREETING
    assert read_small_talk("hi, how are you?") is None
    assert read_small_talk("hi, how do I make a LoraCode of my dog?", is_whole=False) is None


@pytest.mark.parametrize(
    "text",
    [
        "thanks, I will do that later",
        "ok cool",
        "Haha look at this one",
        "wait, what is this for?",
        "how long does it take",
        "grazie, lo faccio dopo",
        "quanto costa?",
        "scusa",
    ],
)
def test_what_is_said_to_the_bot_reads_like_talk(text: str) -> None:
    assert reads_like_talk(text)


@pytest.mark.parametrize(
    "text",
    [
        "a boat",
        "me as a pirate",
        "Hi-res photo of a boat",
        "a woman who says thanks",
        "thanks giving dinner --seed 7",
        "come un pirata",
        "",
    ],
)
def test_a_prompt_reads_like_none(text: str) -> None:
    assert not reads_like_talk(text)


def test_a_refused_message_is_known_until_it_is_taken_or_carried_out() -> None:
    refused, address = RefusedMessages(), ChatAddress(Platform.TELEGRAM, "7", "7")
    refused.note(address, "1", Reply("no", is_refusal=True))
    refused.note(address, "2", Reply("yes"))
    assert [refused.take(address, each) for each in ("1", "1", "2", "3")] == [True, False, False, False]
    refused.note(address, "1", Reply("no", is_refusal=True))
    refused.note(address, "1", Reply("yes"))
    assert not refused.take(address, "1")
