"""The settings, with their rules."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bot.app.settings_source import EnvironSource
from bot.app.settings_values import (
    Address,
    ApiUrl,
    Identities,
    LocalPath,
    LogLevel,
    ModelName,
    Policy,
    Quotas,
    SamplingRecipe,
    WebhookUrl,
)
from bot.core.accounts import AccessMode
from bot.core.addresses import ListenAddress
from bot.core.errors import SettingsError
from bot.media.moderation.policy import ContentPolicy
from gpu_worker.protocol import SHIPPED_MODELS

_WEBHOOK_SECRET = re.compile(r"[A-Za-z0-9_-]{16,256}")
_TELEGRAM_TOKEN = re.compile(r"[0-9]+:[A-Za-z0-9_-]{20,}")


class Settings(BaseSettings):
    """The settings. Each field's environment variable is its name in capitals; empty means unset.

    Their descriptions are the page docs/configuration.md (`make docs`).
    """

    model_config = SettingsConfigDict(frozen=True, enable_decoding=False)

    telegram_bot_token: SecretStr | None = Field(
        default=None, description="The token from BotFather. Enables the Telegram bot."
    )
    discord_bot_token: SecretStr | None = Field(
        default=None, description="The bot token of your Discord application. Enables the Discord bot."
    )
    admins: Identities = Field(
        default=frozenset(),
        description="Administrators (`/status`, `/pause`, …), by user id: `telegram:1,discord:2`.",
    )
    access: AccessMode = Field(
        default=AccessMode.OPEN,
        description="Who may use the bot: `open` (everybody), `invitation` (people with an invitation word"
        " from `/invite`) or `allow-list` (people in `ALLOWED`).",
    )
    allowed: Identities = Field(
        default=frozenset(),
        description="Members who need no invitation, by user id: `telegram:123,discord:456`.",
    )
    quotas: Quotas = Field(
        default={},
        description="Trainings per day and pictures per hour for each role (`guest`, `member`, `trusted`):"
        " `guest:2/20,member:5/60`. A role that is missing, or `-`, has no limit.",
    )
    data_dir: LocalPath = Field(
        default=Path("data"),
        description="The folder for the database, LoRAs and pictures. It is created when it is missing.",
    )
    backup_dir: LocalPath | None = Field(
        default=None,
        description="The folder for daily backups, best on another disk. Empty: `backups` in `DATA_DIR`.",
    )
    backup_days: int = Field(
        default=30,
        ge=0,
        le=30,
        description="Days that a backup is kept, at most 30, because backups hold photos. 0: no backups.",
    )
    base_model: ModelName = Field(
        default="",
        description="The base model for LoRAs: a hub id, a diffusers folder, a `.safetensors` file, `drawn`"
        " or `tiny`, or a pair: `klein-4b`, `z-image`, `base + twin`."
        " Empty: Stable Diffusion 1.5 with a CUDA card, otherwise `drawn`.",
    )
    base_vae: ModelName = Field(
        default="",
        description="The VAE instead of the base model's: a hub id, a folder or a `.safetensors` file.",
    )
    accelerate: ModelName = Field(
        default="",
        description="A LoRA for fast pictures in fewer steps: `hyper-sd`, `lcm`, a `.safetensors` file or"
        " `owner/name/file.safetensors`.",
    )
    accelerate_recipe: SamplingRecipe = Field(
        default="",
        description="For `ACCELERATE`: `lcm/8/1` or `ddim trailing/8/5`. Empty: the LoRA's own.",
    )
    accelerate_non_commercial: bool = Field(
        default=False, description="Allow an `ACCELERATE` that forbids commercial use."
    )
    channels_last: bool = Field(
        default=False,
        description="Lay out convolutions channels last.",
    )
    memory: Literal["auto", "whole", "int8", "nf4"] = Field(
        default="auto",
        description="How base weights are stored: `whole`, `int8`, `nf4` (4 bits), or `auto`: as they fit.",
    )
    compare: bool = Field(default=True, description="`off`: nobody may `/compare`, three pictures at once.")
    coach: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Whether photos are checked before a training; `auto`: not for the shipped models.",
    )
    face_mask: bool = Field(default=False, description="`on`: trainings on people learn only the head.")
    stop_early: bool = Field(
        default=False, description="`on`: a training ends early when its likeness is clearly past its best."
    )
    train_steps: PositiveInt | None = Field(
        default=None,
        description="Steps of a training. Empty: 1500 (300 per photo), fewer for `drawn` and `tiny`.",
    )
    trainer: Literal["own", "sd-scripts"] = Field(
        default="own",
        description="The trainer: `own`, or `sd-scripts` for a checkout of kohya's (needs a real SD 1.5).",
    )
    sd_scripts_dir: Path | None = Field(
        default=None,
        validate_default=True,
        description="For `TRAINER=sd-scripts`: the checkout, the folder with `train_network.py`.",
    )
    sd_scripts_python: Path | None = Field(
        default=None,
        description="The Python with sd-scripts' requirements. Empty: the one that runs LoraCode.",
    )
    generate_share: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="The largest share of the card's time in a minute that pictures take from a training.",
    )
    workers: PositiveInt = Field(
        default=1, le=64, description="Worker processes on this machine: one for each graphics card."
    )
    backend: Literal["local", "ray"] = Field(
        default="local",
        description="Where workers run: `local` for this machine, `ray` for the cards of a Ray cluster.",
    )
    ray_address: str | None = Field(
        default=None,
        validate_default=True,
        description="For `BACKEND=ray`: the address of the cluster's head, as `host:port`.",
    )
    telegram_api_url: ApiUrl = Field(
        default="https://api.telegram.org", description="Telegram's Bot API, or your own Bot API server."
    )
    telegram_webhook_url: WebhookUrl = Field(
        default="",
        description="The public `https://` URL to which Telegram sends updates, on port 443, 80, 88 or 8443."
        " Empty: the bot polls, which needs no public address.",
    )
    telegram_webhook_listen: Address = Field(
        default=ListenAddress("127.0.0.1", 8443),
        description="Where the bot listens for webhook calls, in plain HTTP: put a TLS-terminating proxy in"
        " front.",
    )
    telegram_webhook_secret: SecretStr | None = Field(
        default=None,
        description="The secret that proves that a webhook call is from Telegram: 16 to 256 letters, digits,"
        " `_` and `-`. Empty: a new one at each start.",
    )
    queue_limit: PositiveInt = Field(
        default=10_000,
        description="Maximum number of queued jobs. Beyond it people are told when to try again.",
    )
    chat_limit: PositiveInt = Field(
        default=50,
        description="Maximum number of open jobs of one group or channel. Beyond it people are told when to"
        " try again.",
    )
    block_list: LocalPath | None = Field(
        default=None,
        description="A text file of words and phrases that are not drawn, one per line. It is read again when"
        " it changes.",
    )
    content_check: Policy = Field(
        default=ContentPolicy(),
        description="What happens to nudity (extra `safety`), by direction, platform or chat:"
        " `photos:refuse,pictures:spoiler,discord:allow`. Empty: nothing is checked.",
    )
    content_check_threshold: float = Field(
        default=0.5, gt=0, le=1, description="The score, 0 to 1, from which a picture counts as nudity."
    )
    content_check_fail_closed: bool = Field(
        default=True, description="Whether a picture that could not be checked counts as nudity."
    )
    log_level: LogLevel = Field(
        default="INFO", description="How much is logged: `DEBUG`, `INFO`, `WARNING` or `ERROR`."
    )
    log_format: Literal["text", "json"] = Field(
        default="text",
        description="`text`, or `json`: one object per line, with job and account numbers and no words of"
        " people.",
    )
    metrics_listen: Address | None = Field(
        default=None,
        description="Where `/healthz` and Prometheus' `/metrics` are served, like `127.0.0.1:9464`. Empty:"
        " nowhere.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the only source of `Settings(…)`: its arguments. `from_environ` reads an environment."""
        return (init_settings,)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings from an environment. Raise SettingsError that names the first wrong one."""
        try:
            return cls(**EnvironSource(cls, environ)())
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

    @field_validator("telegram_webhook_secret")
    @classmethod
    def _check_webhook_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not _WEBHOOK_SECRET.fullmatch(secret.get_secret_value()):
            raise ValueError("expected 16 to 256 letters, digits, _ and -")
        return secret
