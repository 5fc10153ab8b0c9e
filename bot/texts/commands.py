"""The commands: what they are called and what is said of them, in each language."""

from __future__ import annotations

from bot.texts.language import languages, translate, translate_to

#: In the order in which they are listed.
COMMANDS = (
    "start",
    "train",
    "generate",
    "show",
    "codes",
    "more",
    "replace",
    "ask",
    "export",
    "queue",
    "cancel",
    "link",
    "settings",
    "report",
    "privacy",
    "forgetme",
    "help",
)


def command_name(command: str, language: str) -> str:
    """Give what a command is called in a language."""
    return translate_to(language, f"command-{command}")


def command_names(command: str) -> tuple[str, ...]:
    """Give all that a command is called: its own name first, then in other languages."""
    return tuple(dict.fromkeys((command, *(command_name(command, language) for language in languages()))))


def help_line(command: str, options: str) -> str:
    """Say in a line what a command does."""
    name = translate(f"command-{command}")
    description = (
        translate("help-generate", options=options) if command == "generate" else translate(f"help-{command}")
    )
    return f"/{name} - {description}"
