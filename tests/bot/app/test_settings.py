"""A wrong setting is one readable line; a token is never shown."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bot.app.env_file import read_environ
from bot.app.settings import Settings
from bot.core.accounts import AccessMode, Identity, Platform, Quota, Role
from bot.core.addresses import ListenAddress
from bot.core.errors import SettingsError

TELEGRAM = "123456:canary-token-of-telegram-1234567890"
DISCORD = "canaryMTIzNDU2Nzg5MDEyMzQ1Njc4.GabcdE.canary-secret-of-discord"


def test_settings_may_all_be_unset() -> None:
    settings = Settings.from_environ({})
    assert settings.telegram_bot_token is None
    assert settings.train_steps is None
    assert settings.trainer == "own"
    assert settings.data_dir == Path("data")


def test_an_empty_setting_is_an_unset_one() -> None:
    assert Settings.from_environ({"TELEGRAM_BOT_TOKEN": " ", "TRAIN_STEPS": ""}) == Settings()


def test_settings_may_all_be_set() -> None:
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


def test_access_and_quotas_can_be_set() -> None:
    environ = {
        "ACCESS": "allow-list",
        "ALLOWED": "telegram:1, discord:2",
        "QUOTAS": "guest:2/20, member:5/-",
    }
    settings = Settings.from_environ(environ)
    assert settings.access is AccessMode.ALLOW_LIST
    assert settings.allowed == {Identity(Platform.TELEGRAM, "1"), Identity(Platform.DISCORD, "2")}
    assert settings.quotas == {Role.GUEST: Quota(2, 20), Role.MEMBER: Quota(5, None)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCESS", "closed"),
        ("ALLOWED", "anna"),
        ("QUOTAS", "guest"),
        ("QUOTAS", "king:1/2"),
        ("QUOTAS", "guest:1"),
        ("QUOTAS", "guest:-1/2"),
    ],
)
def test_access_that_cannot_be_read_is_one_line_that_names_it(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ({name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


def test_an_address_is_a_host_and_a_port() -> None:
    settings = Settings.from_environ({"METRICS_LISTEN": "127.0.0.1:9464"})
    assert settings.metrics_listen == ListenAddress("127.0.0.1", 9464)
    assert Settings.from_environ({"METRICS_LISTEN": "[::1]:80"}).metrics_listen == ListenAddress("::1", 80)
    assert Settings.from_environ({}).metrics_listen is None


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
        ("ADMINS", "telegram:@anna"),
        ("ADMINS", "discord:anna#1234"),
        ("ADMINS", "telegram:1;discord:2"),
        ("ALLOWED", "telegram:1 # me"),
        ("BASE_MODEL", "model.ckpt"),
        ("TRAIN_STEPS", "0"),
        ("TRAIN_STEPS", "many"),
        ("TELEGRAM_API_URL", "ftp://x"),
        ("TELEGRAM_WEBHOOK_URL", "http://bot.example.org"),
        ("TELEGRAM_WEBHOOK_URL", "https://bot.example.org:9000/hook"),
        ("TELEGRAM_WEBHOOK_LISTEN", "8443"),
        ("TELEGRAM_WEBHOOK_SECRET", "short"),
        ("TELEGRAM_WEBHOOK_SECRET", "with spaces in it, and a comma"),
        ("LOG_LEVEL", "loud"),
        ("METRICS_LISTEN", "9464"),
        ("LOG_FORMAT", "xml"),
        ("QUEUE_LIMIT", "0"),
        ("CHAT_LIMIT", "many"),
        ("METRICS_LISTEN", "127.0.0.1:70000"),
        ("TRAINER", "theirs"),
        ("SD_SCRIPTS_DIR", "/nowhere/at/all"),
        ("SD_SCRIPTS_PYTHON", "/nowhere/at/all"),
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


@pytest.mark.parametrize(
    "environ", [{"BACKEND": "ray"}, {"BACKEND": "ray", "RAY_ADDRESS": "head"}, {"RAY_ADDRESS": ":6379"}]
)
def test_a_cluster_without_a_heads_address_is_one_line(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"^RAY_ADDRESS: .*host:port"):
        Settings.from_environ(environ)


def test_sd_scripts_is_asked_for_with_a_checkout_and_a_python(tmp_path: Path) -> None:
    (tmp_path / "train_network.py").touch()
    asked = {"TRAINER": "sd-scripts", "SD_SCRIPTS_DIR": str(tmp_path), "BASE_MODEL": "owner/name"}
    settings = Settings.from_environ({**asked, "SD_SCRIPTS_PYTHON": sys.executable})
    assert settings.sd_scripts_dir == tmp_path
    # A link into a virtual environment stays one: resolved, it would be another Python's.
    assert settings.sd_scripts_python == Path(sys.executable)
    assert Settings.from_environ(asked).sd_scripts_python is None


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({}, "SD_SCRIPTS_DIR: TRAINER=sd-scripts needs the folder of a checkout of sd-scripts here"),
        (
            {"BASE_MODEL": "tiny"},
            "TRAINER: sd-scripts needs a real Stable Diffusion 1.5; set BASE_MODEL to one",
        ),
        (
            {"BASE_MODEL": "drawn"},
            "TRAINER: sd-scripts needs a real Stable Diffusion 1.5; set BASE_MODEL to one",
        ),
    ],
)
def test_sd_scripts_without_what_it_needs_is_one_line(environ: dict[str, str], line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ({"TRAINER": "sd-scripts", **environ})
    assert str(caught.value) == line


def test_settings_made_by_hand_read_no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BASE_MODEL", "owner/name")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("TRAIN_STEPS=7\n", encoding="utf-8")
    settings = Settings(data_dir=tmp_path)
    assert (settings.base_model, settings.train_steps, settings.data_dir) == ("", None, tmp_path)
    assert Settings.from_environ({"TRAIN_STEPS": "8"}) == Settings(train_steps=8)


def test_variables_in_lower_case_are_none_of_ours() -> None:
    assert Settings.from_environ({"base_model": "owner/name", "Coach": "on"}) == Settings()


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TELEGRAM}\n", encoding="utf-8")
    settings = Settings.from_environ({"TELEGRAM_BOT_TOKEN_FILE": str(file)})
    assert settings.telegram_bot_token is not None
    assert settings.telegram_bot_token.get_secret_value() == TELEGRAM
    with pytest.raises(SettingsError, match=r"^TELEGRAM_BOT_TOKEN_FILE: TELEGRAM_BOT_TOKEN is set too"):
        Settings.from_environ({"TELEGRAM_BOT_TOKEN_FILE": str(file), "TELEGRAM_BOT_TOKEN": TELEGRAM})


@pytest.mark.parametrize("content", [None, b"", b"canary", b"\xff\xfe\xff"])
def test_a_secret_that_cannot_be_read_is_one_line_without_it(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"^TELEGRAM_BOT_TOKEN(_FILE)?: ") as caught:
        Settings.from_environ({"TELEGRAM_BOT_TOKEN_FILE": str(file)})
    assert "canary" not in str(caught.value)


def test_a_secret_that_an_editor_of_windows_wrote_is_read(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TELEGRAM, encoding="utf-8-sig")
    settings = Settings.from_environ({"TELEGRAM_BOT_TOKEN_FILE": str(file)})
    assert settings.telegram_bot_token is not None
    assert settings.telegram_bot_token.get_secret_value() == TELEGRAM


def test_a_dotenv_that_an_editor_of_windows_wrote_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_LEVEL=DEBUG\r\nADMINS=telegram:1\r\n", encoding="utf-8-sig")
    assert read_environ({"ADMINS": "discord:2"}, tmp_path / ".env") == {
        "LOG_LEVEL": "DEBUG",
        "ADMINS": "discord:2",
    }


@pytest.mark.parametrize("name", [".env", "x" * 300])
def test_a_dotenv_that_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / ".env").write_bytes("# für Anna".encode("utf-16"))
    with pytest.raises(SettingsError) as caught:
        read_environ({}, tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name} cannot be read (")
    assert "\n" not in str(caught.value)


def test_files_are_read_for_secrets_only(tmp_path: Path) -> None:
    file = tmp_path / "level"
    file.write_text("DEBUG", encoding="utf-8")
    assert Settings.from_environ({"LOG_LEVEL_FILE": str(file)}).log_level == "INFO"
