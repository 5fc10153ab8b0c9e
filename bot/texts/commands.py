"""Names and descriptions of commands, in each language."""

from __future__ import annotations

from collections.abc import Sequence

from bot.core.accounts import PLATFORM_TRAITS, Platform
from bot.core.messages import Reply
from bot.texts.admin.commands import ADMIN_COMMANDS
from bot.texts.language import current_language, languages, translate, translate_to
from bot.texts.words import example_command


def command_name(command: str, language: str) -> str:
    """Return the name of a command in a language."""
    return translate_to(language, f"command-{command}")


def command_names(command: str) -> tuple[str, ...]:
    """Return every name of a command: its own first, then those of other languages."""
    return tuple(dict.fromkeys((command, *(command_name(command, language) for language in languages()))))


#: Commands that other bots name otherwise.
_COMMANDS_WITH_SYNONYMS = ("generate", "codes", "queue", "cancel")


def list_command_synonyms() -> dict[str, str]:
    """Return the command that each name of another bot means."""
    return {
        name.strip(): command
        for command in _COMMANDS_WITH_SYNONYMS
        for language in languages()
        for name in translate_to(language, f"synonyms-{command}").split(",")
    }


#: What an example writes behind a command, by the names of its options.
_EXAMPLE_ARGUMENTS = {
    "compare": {"code": "40713386"},
    "show": {"id": "12"},
    "more": {"code": "40713386", "steps": "300"},
    "replace": {"code": "40713386", "photo": "4"},
    "ask": {"code": "40713386"},
    "export": {"code": "40713386"},
    "cancel": {"code": "40713386"},
    "report": {"code": "40713386"},
}


def usage_example(platform: Platform, command: str, **arguments: str) -> str:
    """Return an example of a command as a platform takes it. `arguments` replace those of the example."""
    has_names = PLATFORM_TRAITS[platform].has_forms
    arguments = {**_EXAMPLE_ARGUMENTS[command], **arguments}
    words = [f"{name}:{value}" if has_names else value for name, value in arguments.items()]
    return " ".join([f"/{command_name(command, current_language())}", *words])


def help_line(command: str, options: str) -> str:
    """Return one line that says what a command does."""
    name = translate(f"command-{command}")
    description = (
        translate("help-generate", options=options) if command == "generate" else translate(f"help-{command}")
    )
    return f"/{name} - {description}"


def help_text(platform: Platform, commands: Sequence[str], *, is_admin: bool) -> Reply:
    """Return the list of commands and an example. Administrators also see their own."""
    options = (
        "--n 2, --best 4, --size portrait, --style oil, --no blurry, --seed 7, --strength 0.8, --steps 25, "
        "--guidance 7.5, --sampler lcm, --fast, --fine"
    )
    if PLATFORM_TRAITS[platform].has_forms:
        options = "count, best, size, style, negative, seed, strength, steps, guidance, sampler, speed"
    lines = [help_line(name, options) for name in commands]
    if is_admin:
        lines.append("For administrators:")
        lines += [f"/{name} - {description}" for name, (description, _) in ADMIN_COMMANDS.items()]
    lines.append(translate("help-example", example=example_command(platform)))
    return Reply("\n".join(lines))
