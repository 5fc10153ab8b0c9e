"""Each command and option refuses with its own range and an example as that platform takes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.chats.base import handle_command
from bot.chats.commands import find_command
from bot.core.accounts import Identity
from bot.core.errors import UserError
from bot.core.messages import Request
from bot.services.generation_options import parse_prompt
from tests.support.services import ANNA, BERT, Desk, open_desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as each:
        yield each


async def said(desk: Desk, who: Identity, name: str, text: str) -> str:
    """Return what a command is answered with, typed in a private chat."""
    command = find_command(name)
    assert command is not None
    request = Request(who, who.private_address, text=text)
    return (await handle_command(desk.studio.services, command, request)).text


USAGES = {
    "export": ("/export 40713386", "/export code:40713386"),
    "more": ("/more 40713386 300", "/more code:40713386 steps:300"),
    "replace": ("/replace 40713386 4", "/replace code:40713386 photo:4"),
    "show": ("/show 12", "/show id:12"),
    "ask": ("/ask 40713386", "/ask code:40713386"),
    "report": (
        "/report 40713386 these are my photos",
        "/report code:40713386 words:these are my photos",
    ),
}


@pytest.mark.parametrize("name", USAGES)
async def test_a_bare_command_asks_for_what_it_lacks_with_its_own_example(desk: Desk, name: str) -> None:
    telegram, discord = USAGES[name]
    assert (await said(desk, ANNA, name, "")).endswith(telegram)
    assert (await said(desk, BERT, name, " ")).endswith(discord)


@pytest.mark.parametrize("name", ["export", "more", "replace", "ask", "cancel"])
async def test_a_wrong_code_is_refused_with_the_example_of_its_command(desk: Desk, name: str) -> None:
    for who, code in ((ANNA, " 40713386"), (BERT, " code:40713386")):
        sentence = await said(desk, who, name, "4071")
        assert "eight digits" in sentence
        assert f"/{name}{code}" in sentence
        assert "/generate" not in sentence


async def test_steps_and_photos_out_of_range_are_refused_with_their_range(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    assert await said(desk, ANNA, "more", f"{code} 9") == (
        "How many more steps? From 50 to 3000, for example: /more 40713386 300"
    )
    assert (await said(desk, ANNA, "replace", code)).endswith("1 to 5, for example: /replace 40713386 4")


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--strength high", "--strength takes a number from 0 to 2, such as --strength 0.8."),
        ("--seed 12345678901234", "--seed takes a number from 0 to 4294967295, such as --seed 7."),
        ("--n 20", "--n takes a number from 1 to 4, such as --n 2."),
        ("--steps 1e3", "--steps takes a number from 1 to 100, such as --steps 25."),
        ("--guidance -1", "--guidance takes a number from 0 to 30, such as --guidance 7.5."),
    ],
)
def test_a_number_that_an_option_does_not_take_is_refused_with_its_range(option: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_prompt(f"a boat {option}")
    assert caught.value.message == sentence
