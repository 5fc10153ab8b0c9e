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

from bot.chats.console import ConsoleAdapter
from bot.chats.discord import LoraCodeClient
from bot.chats.telegram.handlers import MessageHandlers
from bot.chats.telegram.replies import TelegramReplies
from bot.services import Services
from bot.services.generation_options import MAX_GUIDANCE, MAX_SEED, MAX_STEPS, MAX_STRENGTH, OPTIONS
from bot.texts import ENGLISH, languages, translate_to
from bot.texts.admin import ADMIN_COMMANDS
from bot.texts.commands import COMMANDS, command_name
from gpu_worker.protocol import SAMPLERS, SHAPES

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "commands.md"
#: Adapters say what they listen to before they have anybody to ask.
NO_SERVICES = Services.__new__(Services)
YES, NO = "yes", "-"


@dataclass(frozen=True, slots=True)
class ButtonEntry:
    """A button as the code makes it: its label, what it does when it is pressed, and what it is made for."""

    label: str
    action: str
    purpose: str


def render_page() -> str:
    """Give the page as the code is now."""
    tree = LoraCodeClient(NO_SERVICES).tree
    parts = [
        "# Commands",
        "Made from the code by `make docs`; a test compares. Do not edit it.",
        "## What everybody can say",
        "Each command is understood by every name it has; a platform lists those of a person's language.",
        _render_table(
            (
                "command",
                "it is for",
                "Telegram",
                "Discord",
                "console",
                *(f"in {each}" for each in _list_other_languages()),
            ),
            _command_rows(tree),
        ),
        "What administrators alone can say; to others there is no such command:",
        _render_table(("command", "it is for", "Telegram", "Discord", "console"), _admin_command_rows(tree)),
        "Besides: photos, albums and files in a chat with the bot, or in a Telegram group as an answer to it"
        " or with its name in the caption, join the set that is being collected; a"
        " plain message is a name, a prompt or a word where one is waited for. At the console a path is a"
        " photo, a number presses the button that has it, and `/quit` ends it.",
        "## Options of `/generate`, written behind the prompt",
        _render_table(("option", "it takes"), [(f"`--{each}`", OPTION_VALUES[each]) for each in OPTIONS]),
        "## Options on Discord",
        _render_table(("command", "option", "it takes", "it is for"), _discord_option_rows(tree)),
        *_render_menus(tree),
        "## Buttons",
        "The same on all chats. An action is all that a button holds, so it works after a restart and years"
        " later; whoever presses what is not theirs is told so, alone.",
        _render_table(
            ("button", "action", "made to"), [(k.label, f"`{k.action}`", k.purpose) for k in list_buttons()]
        ),
    ]
    return "\n\n".join(parts) + "\n"


#: What each option that is written behind a prompt takes.
OPTION_VALUES = {
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
PLACEHOLDER_VALUES: dict[str, Sequence[str]] = {"action_prefix": ("draft", "settings:<account>")}


def list_buttons() -> list[ButtonEntry]:
    """Find every button that the texts make, by what they do."""
    entries = {
        entry for path in sorted((ROOT / "bot" / "texts").glob("*.py")) for entry in _find_buttons(path)
    }
    return sorted(entries, key=lambda each: (each.action, each.label, each.purpose))


def _find_buttons(path: Path) -> Iterator[ButtonEntry]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in (each for each in tree.body if isinstance(each, ast.FunctionDef)):
        purpose = (ast.get_docstring(function) or ast.get_docstring(tree) or "").splitlines()[0].rstrip(".")
        loop_values = _find_loop_values(function)
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Button":
                label, action = call.args[0], call.args[1]
                if not isinstance(action, ast.Name | ast.Attribute):  # else it was made elsewhere
                    for action_text in _expand_placeholders(
                        _render_expression(action), {**PLACEHOLDER_VALUES, **loop_values}
                    ):
                        yield ButtonEntry(_render_label(label), action_text, purpose)


def _find_loop_values(function: ast.FunctionDef) -> dict[str, Sequence[str]]:
    """Find the names that go through words which stand in the code."""
    comprehensions = [
        comprehension for comprehension in ast.walk(function) if isinstance(comprehension, ast.comprehension)
    ]
    return {
        comprehension.target.id: [
            str(word.value) for word in comprehension.iter.elts if isinstance(word, ast.Constant)
        ]
        for comprehension in comprehensions
        if isinstance(comprehension.target, ast.Name) and isinstance(comprehension.iter, ast.Tuple)
    }


def _expand_placeholders(action: str, values: Mapping[str, Sequence[str]]) -> Iterator[str]:
    placeholder = next((name for name in values if f"<{name}>" in action), None)
    if placeholder is None:
        yield action
        return
    for value in values[placeholder]:
        yield from _expand_placeholders(action.replace(f"<{placeholder}>", value), values)


def _render_label(node: ast.expr) -> str:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "translate":
            key, placeholders = (
                call.args[0],
                {keyword.arg: f"<{keyword.arg}>" for keyword in call.keywords if keyword.arg},
            )
            if isinstance(key, ast.Constant):
                return translate_to(ENGLISH, str(key.value), **placeholders)
    return _render_expression(node) if isinstance(node, ast.JoinedStr) else "(what it stands for)"


def _render_expression(node: ast.expr) -> str:
    # What stands in pointed brackets is filled in when the button is made.
    if isinstance(node, ast.JoinedStr):
        return "".join(_render_expression(each) for each in node.values)
    if isinstance(node, ast.Constant):
        return str(node.value)
    names = [
        each.attr if isinstance(each, ast.Attribute) else each.id
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute | ast.Name)
    ]
    return f"<{names[0]}>" if names else "<>"


def _telegram_commands() -> set[str]:
    message_handlers = MessageHandlers(NO_SERVICES, cast(TelegramReplies, None), 0.0)
    return {
        name
        for handler in message_handlers.handlers()
        if isinstance(handler, CommandHandler)
        for name in handler.commands
    }


def _console_commands() -> set[str]:
    chat = ConsoleAdapter(NO_SERVICES, io.StringIO(), io.StringIO())
    return {name.removeprefix("/") for name in chat.commands()}


def _command_rows(tree: app_commands.CommandTree[Any]) -> list[tuple[str, ...]]:
    return [
        (
            f"`/{name}`",
            translate_to(ENGLISH, f"telegram-{name}"),
            *_list_platforms(name, tree),
            *(f"`/{command_name(name, language)}`" for language in _list_other_languages()),
        )
        for name in COMMANDS
    ]


def _admin_command_rows(tree: app_commands.CommandTree[Any]) -> list[tuple[str, ...]]:
    return [
        (f"`/{name}{f' <{argument}>' if argument else ''}`", description, *_list_platforms(name, tree))
        for name, (description, argument) in ADMIN_COMMANDS.items()
    ]


def _list_platforms(name: str, tree: app_commands.CommandTree[Any]) -> tuple[str, str, str]:
    chats = (_telegram_commands(), {each.name for each in list_slash_commands(tree)}, _console_commands())
    telegram, discord, console = (YES if name in names else NO for names in chats)
    return telegram, discord, console


def list_slash_commands(tree: app_commands.CommandTree[Any]) -> list[app_commands.Command[Any, ..., Any]]:
    return [each for each in tree.get_commands() if isinstance(each, app_commands.Command)]


def _discord_option_rows(tree: app_commands.CommandTree[Any]) -> list[tuple[str, ...]]:
    return [
        (
            f"`/{command.name}`",
            f"`{parameter.display_name}`",
            _describe_option(parameter),
            str(parameter.description),
        )
        for command in list_slash_commands(tree)
        for parameter in command.parameters
    ]


def _describe_option(option: app_commands.Parameter) -> str:
    parts = [option.type.name, "" if option.required else "optional"]
    if option.min_value is not None or option.max_value is not None:
        parts.append(f"{option.min_value} to {option.max_value}")
    parts += ["offered while typing" if option.autocomplete else "", f"{len(option.choices)} choices"]
    return ", ".join(part for part in parts if part and part != "0 choices")


def _render_menus(tree: app_commands.CommandTree[Any]) -> list[str]:
    menus = [menu for menu in tree.get_commands() if isinstance(menu, app_commands.ContextMenu)]
    if not menus:
        return []
    rows = [(menu.name, f"a {menu.type.name}") for menu in menus]
    return ["## In Discord's menu *Apps*", _render_table(("entry", "of"), rows)]


def _list_other_languages() -> list[str]:
    return [each for each in languages() if each != ENGLISH]


def _render_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *(row for row, _ in groupby(rows))]
    return "\n".join("| " + " | ".join(_escape_cell(cell) for cell in line) + " |" for line in lines)


def _escape_cell(text: str) -> str:
    # Markdown would take pointed brackets for HTML, outside of code.
    text = text.replace("|", "\\|")
    return text if text.startswith("`") else text.replace("<", "&lt;").replace(">", "&gt;")


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with `--check` compare it; 1 when it is not as the code is."""
    if "--check" not in arguments:
        PAGE.write_text(render_page(), encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == render_page():
        return 0
    sys.stderr.write("docs/commands.md is not as the code is: make docs\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
