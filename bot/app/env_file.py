"""Read `.env`. Without pydantic, because health checks ask for `DATA_DIR` twice a minute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from bot.core.errors import SettingsError


def read_environ(environ: Mapping[str, str], env_file: Path) -> dict[str, str]:
    """Return the variables of a `.env` file and of an environment, which wins. Raise SettingsError."""
    try:
        # What Windows' editors call UTF-8 begins with a byte order mark.
        file_values = dotenv_values(env_file, encoding="utf-8-sig") if env_file.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{env_file.absolute()} cannot be read ({describe_read_error(error)}).") from None
    return {**{name: value for name, value in file_values.items() if value is not None}, **environ}


def describe_read_error(error: OSError | UnicodeDecodeError) -> str:
    """Return why a file could not be read."""
    return error.strerror or "no reason given" if isinstance(error, OSError) else "it is no text in UTF-8"
