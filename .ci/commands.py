"""Write docs/commands.md from the code: `make docs`; with `--check` compare it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from discord import app_commands
from generated import write_or_check

from bot.chats.commands import COMMAND_NAMES, find_command
from bot.chats.discord import LoraCodeClient
from bot.services import Services
from bot.services.generation_options import MAX_GUIDANCE, MAX_SEED, MAX_STEPS, MAX_STRENGTH, OPTIONS
from bot.texts import ENGLISH, languages, translate_to
from bot.texts.admin.commands import ADMIN_COMMANDS
from bot.texts.commands import command_name
from gpu_worker.protocol import SAMPLERS, SHAPES

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "commands.md"
#: Adapters list what they listen to before they have anybody to ask.
NO_SERVICES = Services.__new__(Services)


def render_page() -> str:
    """Return the page as the code is now."""
    tree = LoraCodeClient(NO_SERVICES).tree
    parts = [
        "# Commands",
        "Made from the code by `make docs`; a test compares. Do not edit it.",
        "## For everybody",
        f"{_describe_platforms(tree)} Names in other languages are in brackets.",
        "\n".join(_list_commands()),
        "Photos in a private chat join the set that is being collected; in a Telegram group they must answer"
        " the bot or name it. A command under a photo is carried out. A plain message answers a question of"
        " the bot, also by yes or no; as an answer to a picture it draws that again. In a prompt the name of"
        " a LoraCode, or `me`, stands for its trigger. At the console a path is a photo, a"
        " number presses a button, and `/quit` ends it. Buttons are the same on all chats, and work after a"
        " restart.",
        "## For administrators",
        "\n".join(_list_admin_commands()),
        "## Options of `/generate`",
        "They stand behind the prompt, as people write them (`--ar 2:3`, `--negative`, a pasted recipe); on"
        " Discord they are the command's fields too.",
        "\n".join(f"- `--{each}`: {OPTION_VALUES[each]}" for each in OPTIONS),
        *_render_menus(tree),
    ]
    return "\n\n".join(parts) + "\n"


#: What each option that is written behind a prompt takes.
OPTION_VALUES = {
    "n": "how many pictures",
    "size": f"{', '.join(SHAPES)}, or pixels such as 512x768",
    "seed": f"0 to {MAX_SEED}",
    "no": "what not to draw: words up to the next option",
    "steps": f"1 to {MAX_STEPS}",
    "guidance": f"0 to {MAX_GUIDANCE:g}",
    "strength": f"0 to {MAX_STRENGTH:g}",
    "style": "a style of `bot/jobs/styles.toml`",
    "sampler": ", ".join(SAMPLERS),
    "best": "how many pictures to draw and send the best match of: 2 to 4",
}


#: What a blank is filled with, where a button is made for more than one owner.
PLACEHOLDER_VALUES: dict[str, Sequence[str]] = {"action_prefix": ("draft:<account>", "settings:<account>")}


def list_button_actions() -> list[str]:
    """Return what each button that the texts make does when it is pressed, sorted."""
    return sorted(
        {action for path in (ROOT / "bot" / "texts").rglob("*.py") for action in _find_actions(path)}
    )


def _find_actions(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in (each for each in tree.body if isinstance(each, ast.FunctionDef)):
        loop_values = _find_loop_values(function)
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Button":
                action = call.args[1]
                if not isinstance(action, ast.Name | ast.Attribute):  # else it was made elsewhere
                    yield from _expand_placeholders(
                        _render_expression(action), {**PLACEHOLDER_VALUES, **loop_values}
                    )


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


def _text_commands() -> set[str]:
    """Return the commands that a chat of plain text understands (`bot/chats/messages.py`)."""
    return {name for name in (*COMMAND_NAMES, *ADMIN_COMMANDS) if find_command(name) is not None}


def _list_commands() -> Iterator[str]:
    for name in COMMAND_NAMES:
        other_names = {language: command_name(name, language) for language in languages()}
        others = ", ".join(f"{language}: `/{each}`" for language, each in other_names.items() if each != name)
        description = _escape(translate_to(ENGLISH, f"telegram-{name}"))
        yield f"- `/{name}`{f' ({others})' if others else ''}: {description}"


def _list_admin_commands() -> Iterator[str]:
    for name, (description, argument) in ADMIN_COMMANDS.items():
        yield f"- `/{name}{f' <{argument}>' if argument else ''}`: {_escape(description)}"


def _describe_platforms(tree: app_commands.CommandTree[Any]) -> str:
    platforms = {
        "Telegram": _text_commands(),
        "Discord": {each.name for each in list_slash_commands(tree)},
        "the console": _text_commands(),
    }
    missing = [
        f"`/{name}` is not on {platform}."
        for platform, names in platforms.items()
        for name in (*COMMAND_NAMES, *ADMIN_COMMANDS)
        if name not in names
    ]
    return " ".join(missing) or "Every command is on Telegram, Discord and the console."


def list_slash_commands(tree: app_commands.CommandTree[Any]) -> list[app_commands.Command[Any, ..., Any]]:
    return [each for each in tree.get_commands() if isinstance(each, app_commands.Command)]


def _render_menus(tree: app_commands.CommandTree[Any]) -> list[str]:
    menus = [menu for menu in tree.get_commands() if isinstance(menu, app_commands.ContextMenu)]
    return [f"Discord's menu *Apps* of a {menu.type.name} has *{menu.name}*." for menu in menus]


def _escape(text: str) -> str:
    # Markdown would take pointed brackets for HTML.
    return text.replace("<", "&lt;").replace(">", "&gt;")


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with `--check` compare it; return 1 when it is out of date."""
    return write_or_check(PAGE, render_page(), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
