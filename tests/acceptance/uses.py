"""What can be done on each chat, from the code; and what a test really did of it.

A test claims what it shows by `@pytest.mark.covers("telegram", "/train", "[cancel:*]", "restart")`: commands,
options, buttons in brackets with numbers and values as `*`, other ways in, and situations. The stages note
what people did, and a claim of what was not done fails. `tests/project/test_acceptance_coverage.py` asks that
everything be claimed.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from bot.chats.commands import COMMAND_NAMES
from bot.core.accounts import Platform
from bot.services.generation_options import FLAGS, OPTIONS
from bot.texts.admin.commands import ADMIN_COMMANDS
from bot.texts.commands import command_names
from tests.support.programs import loaded

_PAGE = Path(__file__).parents[2] / ".ci" / "commands.py"
#: What people do besides commands, options and buttons.
_WAYS = {
    Platform.TELEGRAM: {"photo", "album", "file", "words", "/start with a word"},
    Platform.DISCORD: {"photo", "words", "form"},
    Platform.CONSOLE: {"path", "words"},
}
#: What may happen meanwhile, on each chat where it can.
SITUATIONS = {
    Platform.TELEGRAM: {
        "restart",
        "by somebody else",
        "pressed twice",
        "message deleted",
        "blocked",
        "expired press",
        "rate limit",
        "two albums at once",
        "album of ten",
        "forwarded",
        "edited",
        "caption",
        "group",
        "thread",
        "years later",
    },
    Platform.DISCORD: {
        "restart",
        "by somebody else",
        "pressed twice",
        "message deleted",
        "blocked",
        "DMs closed",
        "expired press",
        "rate limit",
        "two sets at once",
        "more than five",
        "forwarded",
        "edited",
    },
    Platform.CONSOLE: {"restart", "pressed twice"},
}

#: Buttons that some chats do not make: forms are Discord's; who sits at the console is not asked to agree.
_ELSEWHERE = {
    Platform.TELEGRAM: {"[draft:*:write]", "[draft:*:code=*]"},
    Platform.DISCORD: set[str](),
    Platform.CONSOLE: {"[draft:*:write]", "[draft:*:code=*]", "[consent]"},
}

_noted: set[tuple[Platform, str]] = set()


def note(platform: Platform, *uses: str) -> None:
    """Keep what was done or happened in the test that runs."""
    _noted.update((platform, use) for use in uses)


def noted(platform: Platform) -> set[str]:
    """Give what was done since the test began."""
    return {use for where, use in _noted if where is platform}


def forget() -> None:
    """Begin a test."""
    _noted.clear()


def of_words(text: str) -> set[str]:
    """Tell what typed words use: a command, whatever it is called, and options behind it."""
    if not text.startswith("/"):
        return {"words"}
    word, _, rest = text.partition(" ")
    name = _plain_name(re.split(r"[@\s]", word[1:])[0])
    used = {f"/{name}"}
    if name == "start" and rest:
        used.add("/start with a word")
    if name == "generate":
        used |= {f"--{each}" for each in (*OPTIONS, *FLAGS) if re.search(rf"(?:--|\u2014){each}\b", rest)}
    return used


def of_button(action: str) -> str:
    """Tell which button an action is of, whatever it is about: `vary:12:3` is `[vary:*:*]`."""
    kind = re.sub(r"=.+$", "=*", re.sub(r"(?<=:)[0-9]+(?=[:=]|$)", "*", action))
    return f"[{kind}]"


@cache
def everything(platform: Platform) -> frozenset[str]:
    """Give all that can be done on a platform."""
    page = _page()
    buttons = {of_button(re.sub(r"<[^>]*>", "0", action)) for action in page.list_button_actions()}
    buttons -= _ELSEWHERE[platform]
    commands = {f"/{name}" for name in (*COMMAND_NAMES, *ADMIN_COMMANDS)}
    return frozenset(commands | buttons | _options(platform, page) | _WAYS[platform])


def _options(platform: Platform, page: ModuleType) -> set[str]:
    if platform is not Platform.DISCORD:
        return {f"--{each}" for each in (*OPTIONS, *FLAGS)}
    tree: Any = page.LoraCodeClient(page.NO_SERVICES).tree
    menus = {
        f"Apps: {each.name}" for each in tree.get_commands() if each not in page.list_slash_commands(tree)
    }
    return menus | {
        f"/{command.name} {each.display_name}"
        for command in page.list_slash_commands(tree)
        for each in command.parameters
    }


def _plain_name(called: str) -> str:
    return next((name for name in COMMAND_NAMES if called in command_names(name)), called)


def _page() -> ModuleType:
    """Load the program that knows what the code offers, and is in no package."""
    return loaded(_PAGE)
