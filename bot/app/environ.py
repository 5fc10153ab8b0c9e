"""Where settings come from: the environment, `.env` under it, and files that hold secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from dotenv import dotenv_values

from bot.core.errors import SettingsError


def read_environ(environ: Mapping[str, str], dotenv: Path) -> dict[str, str]:
    """Put a `.env` file under an environment; the environment wins. SettingsError where it cannot be read."""
    try:
        # What Windows' editors call UTF-8 begins with a mark.
        file_values = dotenv_values(dotenv, encoding="utf-8-sig") if dotenv.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{dotenv.absolute()} cannot be read ({_describe_error(error)}).") from None
    return {**{name: value for name, value in file_values.items() if value is not None}, **environ}


def read_secret_files(secret_names: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Read the secrets whose settings name a file instead, `TELEGRAM_BOT_TOKEN_FILE` and the like."""
    values = {}
    for name in secret_names:
        path = environ.get(f"{name}_FILE", "").strip()
        if not path:
            continue
        if environ.get(name, "").strip():
            raise SettingsError(f"{name}_FILE: {name} is set too; leave one of them out.")
        try:
            values[name] = Path(path).expanduser().read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{name}_FILE: {path} cannot be read ({_describe_error(error)}).") from None
        if not values[name].strip():
            raise SettingsError(f"{name}_FILE: {path} is empty.")
    return values


def _describe_error(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or "no reason given" if isinstance(error, OSError) else "it is no text in UTF-8"
