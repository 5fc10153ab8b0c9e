"""Write docs/configuration.md from the settings: `make docs`. With `--check`, compare it."""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from generated import write_or_check
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from bot.app.settings import Settings
from bot.app.settings_source import is_secret
from bot.core.addresses import ListenAddress
from bot.media.moderation.policy import ContentPolicy

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "configuration.md"
#: The first setting of each section, in the order of the class.
SECTIONS = {
    "telegram_bot_token": "Chats",
    "admins": "People",
    "data_dir": "Storage",
    "base_model": "Base model and training",
    "generate_share": "Workers",
    "telegram_api_url": "Telegram's server and webhook",
    "queue_limit": "Limits",
    "content_check": "Content check",
    "log_level": "Logs and monitoring",
}
INTRODUCTION = """\
# Configuration

Made from the code by `make docs`; a test compares. Do not edit it.

Settings are environment variables, or lines of a file `.env` in the folder where LoraCode starts. The
environment wins. An empty value counts as not set. They are read once, at the start: a wrong one stops it
with one line that names it. `loracode doctor` checks them without starting the bot. Defaults are in brackets.

A secret can be in a file that `NAME_FILE` names, such as
`TELEGRAM_BOT_TOKEN_FILE=/run/secrets/telegram`. This works for {secrets}.
[install.md](install.md) says where tokens come from."""


def render_page() -> str:
    """Return the page as the code is now."""
    secrets = [f"`{name.upper()}`" for name, field in Settings.model_fields.items() if is_secret(field)]
    named = f"{', '.join(secrets[:-1])} and {secrets[-1]}"
    return "\n\n".join([INTRODUCTION.format(secrets=named), *_render_sections()]) + "\n"


def _render_sections() -> Iterator[str]:
    if unknown := SECTIONS.keys() - Settings.model_fields.keys():
        raise SystemExit(f"sections begin with settings that do not exist: {', '.join(sorted(unknown))}")
    rows: list[str] = []
    for name, field in Settings.model_fields.items():
        if name in SECTIONS:
            if rows:
                yield "\n".join(rows)
            yield f"## {SECTIONS[name]}"
            rows = []
        default = format_default(field)
        rows.append(f"- `{name.upper()}`{f' ({default})' if default else ''}: {field.description}")
    yield "\n".join(rows)


def format_default(field: FieldInfo) -> str:
    """Return a setting's default as it is written in `.env`, or nothing where it is empty."""
    value = field.get_default(call_default_factory=True)
    text = _write(value)
    return f"`{text}`" if text else ""


def _write(value: object) -> str:
    match value:
        case None | SecretStr():
            return ""
        case bool():
            return "on" if value else "off"
        case ListenAddress():
            return str(value)
        case enum.Enum():
            return str(value.value)
        case str() | int() | float() | Path():
            return str(value)
        case frozenset() | Mapping() if not value:
            return ""
        case ContentPolicy() if not value.is_active:
            return ""
    raise SystemExit(f"there is no way to write the default {value!r}")


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with `--check` compare it. Return 1 when it differs."""
    return write_or_check(PAGE, render_page(), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
