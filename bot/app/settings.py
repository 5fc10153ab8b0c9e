"""The settings, with their rules."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from bot.app.environ import read_secret_files
from bot.app.settings_values import parse_address, parse_identity, parse_quota
from bot.core.accounts import AccessMode, Identity, Quota, Role
from bot.core.addresses import ListenAddress
from bot.core.errors import SettingsError
from bot.media.moderation.policy import ContentPolicy, parse_policy

#: Base models that come with LoraCode; sd-scripts cannot take their widths.
SHIPPED_MODELS = ("tiny", "drawn")
_WEBHOOK_URL = re.compile(r"https://[^/:@\s]+(:(443|80|88|8443))?(/\S*)?")
_WEBHOOK_SECRET = re.compile(r"[A-Za-z0-9_-]{16,256}")
_TELEGRAM_TOKEN = re.compile(r"[0-9]+:[A-Za-z0-9_-]{20,}")


class Settings(BaseModel):
    """The settings. Each field's environment variable is its name in capitals; empty means unset."""

    model_config = ConfigDict(frozen=True)

    telegram_bot_token: SecretStr | None = Field(
        default=None, description="the token BotFather gave you; switches the Telegram bot on"
    )
    discord_bot_token: SecretStr | None = Field(
        default=None, description="the token of your Discord application's bot; switches the Discord bot on"
    )
    admins: frozenset[Identity] = Field(
        default=frozenset(), description="who runs the bot (`/status`, `/pause`, …): `telegram:1,discord:2`"
    )
    access: AccessMode = Field(
        default=AccessMode.OPEN,
        description="whom it serves: `open` (everybody), `invitation` (who has a word of `/invite`)"
        " or `allow-list` (whom `ALLOWED` names)",
    )
    allowed: frozenset[Identity] = Field(
        default=frozenset(), description="who is a member without a word: `telegram:123,discord:456`"
    )
    quotas: Mapping[Role, Quota] = Field(
        default={},
        description="trainings a day and pictures an hour, by role (`guest`, `member`, `trusted`):"
        " `guest:2/20,member:5/60`; a role that is missing, or `-`, has no limit",
    )
    data_dir: Path = Field(
        default=Path("data"),
        description="the folder for the ledger, LoRAs and pictures; created when missing",
    )
    base_model: str = Field(
        default="",
        description="what LoRAs are trained on: a hub id, a diffusers folder, a `.safetensors` file"
        ", `drawn` or `tiny`; empty: Stable Diffusion 1.5 with a CUDA card, else `drawn`",
    )
    backup_dir: Path | None = Field(
        default=None,
        description="where the daily backups go; empty: `backups` in `DATA_DIR`. Better on another disk",
    )
    backup_days: int = Field(
        default=30,
        ge=0,
        le=30,
        description="how many days a backup is kept, 30 at most as photos are in it; 0: none are made daily",
    )
    coach: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="whether photos are looked at before they train: `on`, `off`, or `auto`: on, but with the"
        " models that come with LoraCode, which draw toys",
    )
    face_mask: bool = Field(
        default=False,
        description="`on`: trainings on people learn the head alone and not what is behind it",
    )
    stop_early: bool = Field(
        default=False,
        description="`on`: a training ends before its last step when its likeness is clearly past its best",
    )
    train_steps: PositiveInt | None = Field(
        default=None,
        description="steps of a training; empty: 1500 (300 a photo), fewer for `drawn` and `tiny`",
    )
    generate_share: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="most of the card's time over a minute that pictures may take from a training that waits",
    )
    workers: PositiveInt = Field(
        default=1,
        le=64,
        description="worker processes on this machine, one for each graphics card it has",
    )
    backend: Literal["local", "ray"] = Field(
        default="local", description="where workers run: `local`, or `ray` for the cards of a Ray cluster"
    )
    ray_address: str | None = Field(
        default=None,
        validate_default=True,
        description="for `BACKEND=ray`: the cluster's head, as `host:port`",
    )
    trainer: Literal["own", "sd-scripts"] = Field(
        default="own",
        description="what trains: `own`, or `sd-scripts` for a checkout of kohya's (needs a real SD 1.5)",
    )
    sd_scripts_dir: Path | None = Field(
        default=None,
        validate_default=True,
        description="for `TRAINER=sd-scripts`: the checkout, the folder that has `train_network.py`",
    )
    sd_scripts_python: Path | None = Field(
        default=None,
        description="the Python that has sd-scripts' requirements; empty: the one LoraCode runs with",
    )
    telegram_api_url: str = Field(
        default="https://api.telegram.org", description="Telegram's Bot API, or your own Bot API server"
    )
    telegram_webhook_url: str = Field(
        default="",
        description="where Telegram brings updates, `https://…` on port 443, 80, 88 or 8443; empty: they are"
        " asked for, which needs no address",
    )
    telegram_webhook_listen: ListenAddress = Field(
        default=ListenAddress("127.0.0.1", 8443),
        description="where the bot listens for them, in plain HTTP: what stands in front speaks TLS",
    )
    telegram_webhook_secret: SecretStr | None = Field(
        default=None,
        description="what proves that it is Telegram: letters, digits, `_`, `-`; empty: new at each start",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="how much is logged: `DEBUG`, `INFO`, `WARNING` or `ERROR`"
    )

    log_format: Literal["text", "json"] = Field(
        default="text",
        description="`text`, or `json`: an object a line, with job and account numbers and nobody's words",
    )
    queue_limit: PositiveInt = Field(
        default=10_000, description="jobs that may wait in all; who comes then is told when to ask again"
    )
    chat_limit: PositiveInt = Field(
        default=50, description="open jobs that may be of one group or channel; likewise"
    )
    block_list: Path | None = Field(
        default=None,
        description="a text file of words and phrases that are not drawn, one a line; read anew when changed",
    )
    content_check: ContentPolicy = Field(
        default=ContentPolicy(),
        description="what becomes of nudity (extra `safety`): `photos:refuse,pictures:spoiler,discord:allow`,"
        " by platform or chat; empty: nothing is looked at",
    )
    content_check_threshold: float = Field(
        default=0.5, gt=0, le=1, description="from which score on, 0 to 1, a picture counts as nudity"
    )
    content_check_fail_closed: bool = Field(
        default=True, description="whether a picture that could not be looked at counts as nudity too"
    )
    metrics_listen: ListenAddress | None = Field(
        default=None,
        description="where `/healthz` and Prometheus' `/metrics` are, like `127.0.0.1:9464`; empty: nowhere",
    )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings; SettingsError names the first wrong one and says what is expected."""
        secret_names = (
            name.upper()
            for name, field in cls.model_fields.items()
            if SecretStr in (field.annotation, *get_args(field.annotation))
        )
        environ = {**environ, **read_secret_files(secret_names, environ)}
        values = {name: environ[name.upper()].strip() for name in cls.model_fields if name.upper() in environ}
        try:
            return cls.model_validate({name: value for name, value in values.items() if value})
        except ValidationError as error:
            first_error = error.errors(include_input=False, include_url=False)[0]
            name = str(first_error["loc"][0]).upper()
            reason = first_error["msg"].removeprefix("Value error, ")
            raise SettingsError(f"{name}: {reason}") from None  # the cause would quote the value

    @field_validator("telegram_bot_token")
    @classmethod
    def _check_telegram_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not _TELEGRAM_TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError("this does not look like a bot token; BotFather's look like 123456:ABC-DEF…")
        return token

    @field_validator("discord_bot_token")
    @classmethod
    def _check_discord_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and token.get_secret_value().count(".") != 2:
            raise ValueError("this does not look like a bot token; Discord's have three parts with dots")
        return token

    @field_validator("admins", "allowed", mode="before")
    @classmethod
    def _parse_identities(cls, text: Any) -> Any:
        if not isinstance(text, str):
            return text
        return frozenset(parse_identity(part.strip()) for part in text.split(",") if part.strip())

    @field_validator("content_check", mode="before")
    @classmethod
    def _parse_content_policy(cls, text: Any) -> Any:
        return parse_policy(text) if isinstance(text, str) else text

    @field_validator("quotas", mode="before")
    @classmethod
    def _parse_quotas(cls, text: Any) -> Any:
        if not isinstance(text, str):
            return text
        return dict(parse_quota(part.strip()) for part in text.split(",") if part.strip())

    @field_validator("data_dir", "backup_dir", "block_list")
    @classmethod
    def _expand_home(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser()

    @field_validator("base_model")
    @classmethod
    def _reject_pickles(cls, name: str) -> str:
        if name.lower().endswith((".ckpt", ".pt", ".pth", ".bin", ".pkl")):
            raise ValueError("pickled weights can run code, so they are refused; use a .safetensors file")
        return name

    @field_validator("ray_address")
    @classmethod
    def _check_ray_address(cls, address: str | None, info: ValidationInfo) -> str | None:
        if address is None:
            if info.data.get("backend") == "ray":
                raise ValueError("BACKEND=ray needs the head's host:port here, such as 10.0.0.1:6379")
            return None
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ValueError("expected the head's host:port, such as 10.0.0.1:6379")
        return address

    @field_validator("trainer")
    @classmethod
    def _check_trainer(cls, trainer: str, info: ValidationInfo) -> str:
        if trainer == "sd-scripts" and info.data.get("base_model") in SHIPPED_MODELS:
            raise ValueError("sd-scripts needs a real Stable Diffusion 1.5; set BASE_MODEL to one")
        return trainer

    @field_validator("sd_scripts_dir")
    @classmethod
    def _check_sd_scripts_dir(cls, folder: Path | None, info: ValidationInfo) -> Path | None:
        if folder is None:
            if info.data.get("trainer") == "sd-scripts":
                raise ValueError("TRAINER=sd-scripts needs the folder of a checkout of sd-scripts here")
            return None
        if not (folder.expanduser() / "train_network.py").is_file():
            raise ValueError("expected the folder of a checkout of sd-scripts; this has no train_network.py")
        return folder.expanduser().absolute()

    @field_validator("sd_scripts_python")
    @classmethod
    def _check_python(cls, python: Path | None) -> Path | None:
        if python is None:
            return None
        executable = shutil.which(python.expanduser())
        if executable is None:
            raise ValueError("expected a Python interpreter, such as <its virtual environment>/bin/python")
        return Path(executable).absolute()  # not resolved: the link tells Python its virtual environment

    @field_validator("telegram_webhook_url")
    @classmethod
    def _check_webhook_url(cls, url: str) -> str:
        if url and not _WEBHOOK_URL.fullmatch(url):
            raise ValueError("expected a URL that begins with https://, on port 443, 80, 88 or 8443")
        return url

    @field_validator("telegram_webhook_secret")
    @classmethod
    def _check_webhook_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not _WEBHOOK_SECRET.fullmatch(secret.get_secret_value()):
            raise ValueError("expected 16 to 256 letters, digits, _ and -")
        return secret

    @field_validator("metrics_listen", "telegram_webhook_listen", mode="before")
    @classmethod
    def _parse_address(cls, text: Any) -> Any:
        return parse_address(text) if isinstance(text, str) else text

    @field_validator("telegram_api_url")
    @classmethod
    def _check_api_url(cls, url: str) -> str:
        if not re.match(r"https?://[^/\s]+", url):
            raise ValueError("expected a URL that begins with http:// or https://")
        return url.rstrip("/")

    @field_validator("log_level", mode="before")
    @classmethod
    def _uppercase_level(cls, level: Any) -> Any:
        return level.upper() if isinstance(level, str) else level
