"""Writes docs/commands.md from the code: `make docs`; with `--check` says whether it is as the code is."""

from __future__ import annotations

import ast
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from discord import app_commands
from telegram.ext import CommandHandler

from bot import texts
from bot.chats.console import ConsoleChat
from bot.chats.discord import LoraCodeClient
from bot.chats.telegram.handlers import Inbox
from bot.chats.telegram.replies import Answers
from bot.services.generation_options import MAX_GUIDANCE, MAX_SEED, MAX_STEPS, MAX_STRENGTH, OPTIONS
from bot.services.studio import Studio
from gpu_worker.protocol import SAMPLERS, SHAPES

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "commands.md"
#: Adapters say what they listen to before they have anybody to ask.
NOBODY = Studio.__new__(Studio)
YES, NO = "yes", "-"


@dataclass(frozen=True, slots=True)
class Key:
    """A button as the code makes it: its label, what it does when it is pressed, and what it is made for."""

    label: str
    action: str
    made_to: str


def page() -> str:
    """Give the page as the code is now."""
    tree = LoraCodeClient(NOBODY).tree
    parts = [
        "# Commands",
        "Made from the code by `make docs`; a test compares. Do not edit it.",
        "## What everybody can say",
        "Each command is understood by every name it has; a platform lists those of a person's language.",
        _table(
            (
                "command",
                "it is for",
                "Telegram",
                "Discord",
                "console",
                *(f"in {each}" for each in _other_languages()),
            ),
            _commands(tree),
        ),
        "What administrators alone can say; to others there is no such command:",
        _table(("command", "it is for", "Telegram", "Discord", "console"), _admin_commands(tree)),
        "Besides: photos, albums and files in a chat with the bot, or in a Telegram group as an answer to it"
        " or with its name in the caption, join the set that is being collected; a"
        " plain message is a name, a prompt or a word where one is waited for. At the console a path is a"
        " photo, a number presses the button that has it, and `/quit` ends it.",
        "## Options of `/generate`, written behind the prompt",
        _table(("option", "it takes"), [(f"`--{each}`", TAKES[each]) for each in OPTIONS]),
        "## Options on Discord",
        _table(("command", "option", "it takes", "it is for"), _discord_options(tree)),
        *_menus(tree),
        "## Buttons",
        "The same on all chats. An action is all that a button holds, so it works after a restart and years"
        " later; whoever presses what is not theirs is told so, alone.",
        _table(("button", "action", "made to"), [(k.label, f"`{k.action}`", k.made_to) for k in buttons()]),
    ]
    return "\n\n".join(parts) + "\n"


#: What each option that is written behind a prompt takes.
TAKES = {
    "n": "how many pictures",
    "size": f"{', '.join(SHAPES)}, or width x height such as 512x768",
    "seed": f"0 to {MAX_SEED}",
    "no": "words, up to the next option: what not to draw",
    "steps": f"1 to {MAX_STEPS}",
    "guidance": f"0 to {MAX_GUIDANCE:g}",
    "strength": f"0 to {MAX_STRENGTH:g}",
    "style": "a style of `bot/jobs/styles.toml`",
    "sampler": ", ".join(SAMPLERS),
    "best": "of how many pictures you get the most alike: 1-of-4, or 2 to 4",
}


#: What a blank is filled with, where a button is made for more than one owner.
STANDS_FOR: dict[str, Sequence[str]] = {"of": ("draft", "settings:<account>")}


def buttons() -> list[Key]:
    """Find every button that the texts make, by what they do."""
    found = {key for path in sorted((ROOT / "bot" / "texts").glob("*.py")) for key in _keys_in(path)}
    return sorted(found, key=lambda each: (each.action, each.label, each.made_to))


def _keys_in(path: Path) -> Iterator[Key]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in (each for each in tree.body if isinstance(each, ast.FunctionDef)):
        about = (ast.get_docstring(function) or ast.get_docstring(tree) or "").splitlines()[0].rstrip(".")
        loops = _loops_in(function)
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Button":
                label, action = call.args[0], call.args[1]
                if not isinstance(action, ast.Name | ast.Attribute):  # else it was made elsewhere
                    for written in _each_of(_written(action), {**STANDS_FOR, **loops}):
                        yield Key(_label(label), written, about)


def _loops_in(function: ast.FunctionDef) -> dict[str, Sequence[str]]:
    """Find the names that go through words which stand in the code."""
    loops = [each for each in ast.walk(function) if isinstance(each, ast.comprehension)]
    return {
        each.target.id: [str(word.value) for word in each.iter.elts if isinstance(word, ast.Constant)]
        for each in loops
        if isinstance(each.target, ast.Name) and isinstance(each.iter, ast.Tuple)
    }


def _each_of(action: str, values: Mapping[str, Sequence[str]]) -> Iterator[str]:
    blank = next((each for each in values if f"<{each}>" in action), None)
    if blank is None:
        yield action
        return
    for value in values[blank]:
        yield from _each_of(action.replace(f"<{blank}>", value), values)


def _label(node: ast.expr) -> str:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "say":
            key, blanks = call.args[0], {each.arg: f"<{each.arg}>" for each in call.keywords if each.arg}
            if isinstance(key, ast.Constant):
                return texts.said_in(texts.ENGLISH, str(key.value), **blanks)
    return _written(node) if isinstance(node, ast.JoinedStr) else "(what it stands for)"


def _written(node: ast.expr) -> str:
    # What stands in pointed brackets is filled in when the button is made.
    if isinstance(node, ast.JoinedStr):
        return "".join(_written(each) for each in node.values)
    if isinstance(node, ast.Constant):
        return str(node.value)
    names = [
        each.attr if isinstance(each, ast.Attribute) else each.id
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute | ast.Name)
    ]
    return f"<{names[0]}>" if names else "<>"


def _telegram() -> set[str]:
    inbox = Inbox(NOBODY, cast(Answers, None), 0.0)
    return {name for each in inbox.handlers() if isinstance(each, CommandHandler) for name in each.commands}


def _console() -> set[str]:
    chat = ConsoleChat(NOBODY, io.StringIO(), io.StringIO())
    return {name.removeprefix("/") for name in chat.commands()}


def _commands(tree: app_commands.CommandTree[Any]) -> list[tuple[str, ...]]:
    return [
        (
            f"`/{name}`",
            texts.said_in(texts.ENGLISH, f"telegram-{name}"),
            *_where(name, tree),
            *(f"`/{texts.command_name(name, language)}`" for language in _other_languages()),
        )
        for name in texts.COMMANDS
    ]


def _admin_commands(tree: app_commands.CommandTree[Any]) -> list[tuple[str, ...]]:
    return [
        (f"`/{name}{f' <{argument}>' if argument else ''}`", what, *_where(name, tree))
        for name, (what, argument) in texts.ADMIN_COMMANDS.items()
    ]


def _where(name: str, tree: app_commands.CommandTree[Any]) -> tuple[str, str, str]:
    chats = (_telegram(), {each.name for each in slash_commands(tree)}, _console())
    telegram, discord, console = (YES if name in names else NO for names in chats)
    return telegram, discord, console


def slash_commands(tree: app_commands.CommandTree[Any]) -> list[app_commands.Command[Any, ..., Any]]:
    return [each for each in tree.get_commands() if isinstance(each, app_commands.Command)]


def _discord_options(tree: app_commands.CommandTree[Any]) -> list[tuple[str, ...]]:
    return [
        (f"`/{command.name}`", f"`{each.display_name}`", _takes(each), str(each.description))
        for command in slash_commands(tree)
        for each in command.parameters
    ]


def _takes(option: app_commands.Parameter) -> str:
    said = [option.type.name, "" if option.required else "optional"]
    if option.min_value is not None or option.max_value is not None:
        said.append(f"{option.min_value} to {option.max_value}")
    said += ["offered while typing" if option.autocomplete else "", f"{len(option.choices)} choices"]
    return ", ".join(each for each in said if each and each != "0 choices")


def _menus(tree: app_commands.CommandTree[Any]) -> list[str]:
    menus = [each for each in tree.get_commands() if isinstance(each, app_commands.ContextMenu)]
    if not menus:
        return []
    rows = [(each.name, f"a {each.type.name}") for each in menus]
    return ["## In Discord's menu *Apps*", _table(("entry", "of"), rows)]


def _other_languages() -> list[str]:
    return [each for each in texts.languages() if each != texts.ENGLISH]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *(row for row, _ in groupby(rows))]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    # Markdown would take pointed brackets for HTML, outside of code.
    text = text.replace("|", "\\|")
    return text if text.startswith("`") else text.replace("<", "&lt;").replace(">", "&gt;")


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with `--check` compare it; 1 when it is not as the code is."""
    if "--check" not in arguments:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    sys.stderr.write("docs/commands.md is not as the code is: make docs\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
