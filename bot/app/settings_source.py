"""Where pydantic-settings takes the settings from: an environment, and files that hold secrets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource

from bot.app.env_file import describe_read_error
from bot.core.errors import SettingsError


class EnvironSource(EnvSettingsSource):
    """The variables of an environment, in capitals; an empty one is not set.

    A secret may be in a file that another variable names: `TELEGRAM_BOT_TOKEN_FILE`. Raises SettingsError
    when that file cannot be read.
    """

    def __init__(self, settings_cls: type[BaseSettings], environ: Mapping[str, str]) -> None:
        super().__init__(settings_cls)
        values = {name: value.strip() for name, value in environ.items() if value.strip()}
        for field_name, field in settings_cls.model_fields.items():
            name = field_name.upper()
            if is_secret(field) and f"{name}_FILE" in values:
                if name in values:
                    raise SettingsError(f"{name}_FILE: {name} is set too; leave one of them out.")
                values[name] = _read_secret(f"{name}_FILE", values[f"{name}_FILE"])
        # pydantic-settings compares names in lower case.
        self.env_vars = {name.lower(): value for name, value in values.items() if name == name.upper()}


def is_secret(field: FieldInfo) -> bool:
    """Check whether a setting is a secret, which may be in a file."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


def _read_secret(name: str, path: str) -> str:
    try:
        secret = Path(path).expanduser().read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}: {path} cannot be read ({describe_read_error(error)}).") from None
    if not secret:
        raise SettingsError(f"{name}: {path} is empty.")
    return secret
