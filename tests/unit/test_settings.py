"""A wrong setting is one readable line; a token is never shown; the README tells them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.domain import Identity, Platform
from bot.errors import SettingsError
from bot.settings import Settings

TELEGRAM = "123456:canary-token-of-telegram-1234567890"
DISCORD = "canaryMTIzNDU2Nzg5MDEyMzQ1Njc4.GabcdE.canary-secret-of-discord"


def test_nothing_has_to_be_set() -> None:
    settings = Settings.from_environ({})
    assert settings.telegram_bot_token is None
    assert settings.train_steps is None
    assert settings.data_dir == Path("data")


def test_an_empty_setting_is_an_unset_one() -> None:
    assert Settings.from_environ({"TELEGRAM_BOT_TOKEN": " ", "TRAIN_STEPS": ""}) == Settings()


def test_everything_can_be_set() -> None:
    settings = Settings.from_environ(
        {
            "TELEGRAM_BOT_TOKEN": TELEGRAM,
            "DISCORD_BOT_TOKEN": DISCORD,
            "ADMINS": "telegram:123, discord:456",
            "DATA_DIR": "~/loracode",
            "BASE_MODEL": "tiny",
            "TRAIN_STEPS": "12",
            "TELEGRAM_API_URL": "http://localhost:8081/",
            "LOG_LEVEL": "debug",
            "PATH": "ignored",
        }
    )
    assert settings.admins == {Identity(Platform.TELEGRAM, "123"), Identity(Platform.DISCORD, "456")}
    assert settings.data_dir == Path.home() / "loracode"
    assert settings.train_steps == 12
    assert settings.telegram_api_url == "http://localhost:8081"
    assert settings.log_level == "DEBUG"


def test_tokens_are_never_shown() -> None:
    settings = Settings.from_environ({"TELEGRAM_BOT_TOKEN": TELEGRAM, "DISCORD_BOT_TOKEN": DISCORD})
    shown = f"{settings!r} {settings} {settings.model_dump()}"
    assert "canary" not in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TELEGRAM_BOT_TOKEN", "canary"),
        ("DISCORD_BOT_TOKEN", "canary"),
        ("ADMINS", "canary:1"),
        ("ADMINS", "telegram:"),
        ("BASE_MODEL", "model.ckpt"),
        ("TRAIN_STEPS", "0"),
        ("TRAIN_STEPS", "many"),
        ("TELEGRAM_API_URL", "ftp://x"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ({name: value})
    line = str(caught.value)
    assert line.startswith(f"{name}: ")
    assert "\n" not in line
    if name.endswith("TOKEN"):
        assert "canary" not in line
        assert "canary" not in repr(caught.value.__cause__)


def test_the_readme_tells_every_setting_as_the_code_does() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        assert f"| `{name.upper()}` | {field.description} |" in readme
