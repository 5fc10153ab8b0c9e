"""How single values are written, and the types of settings that are read from such text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from bot.core.accounts import PLATFORM_PATTERN, Identity, Platform, Quota, Role
from bot.core.addresses import ListenAddress
from bot.media.moderation.policy import ContentPolicy, parse_policy

_WEBHOOK_URL = re.compile(r"https://[^/:@\s]+(:(443|80|88|8443))?(/\S*)?")
#: As the worker reads it: 1 to 50 steps, guidance of 1 to 30.
_RECIPE = re.compile(r"(lcm|ddim trailing)/([1-9]|[1-4]\d|50)/([1-9]|[12]\d|30)(\.\d+)?")


def parse_address(text: str) -> ListenAddress:
    """Return the address in `127.0.0.1:9464` or `[::1]:9464`. Raise ValueError."""
    match = re.fullmatch(r"\[?([0-9A-Za-z.:_-]+?)\]?:([0-9]{1,5})", text)
    if match is None or not 0 < int(match[2]) < 2**16:
        raise ValueError("expected an address and a port, such as 127.0.0.1:9464")
    return ListenAddress(match[1], int(match[2]))


def parse_quota(text: str) -> tuple[Role, Quota]:
    """Return the quota in `guest:2/20`; `-` is no limit. Raise ValueError."""
    match = re.fullmatch(r"(guest|member|trusted):([0-9]{1,6}|-)/([0-9]{1,6}|-)", text)
    if match is None:
        raise ValueError(f"{text!r} is not like guest:2/20 (a role, trainings a day, pictures an hour)")
    trainings, pictures = (None if each == "-" else int(each) for each in (match[2], match[3]))
    return Role(match[1]), Quota(trainings, pictures)


def parse_identity(text: str) -> Identity:
    """Return the identity in `telegram:123`. Raise ValueError."""
    match = re.fullmatch(rf"({PLATFORM_PATTERN}): *([0-9]+)", text)
    if match is None:
        raise ValueError(f"{text!r} is not like telegram:123 or discord:456 (numbers, no names)")
    return Identity(Platform(match[1]), match[2])


def check_api_url(url: str) -> str:
    """Return a URL without the slashes at its end. Raise ValueError."""
    if not re.match(r"https?://[^/\s]+", url):
        raise ValueError("expected a URL that begins with http:// or https://")
    return url.rstrip("/")


def check_model_name(name: str) -> str:
    """Return the name of a model. Raise ValueError where it is a pickle."""
    if name.lower().endswith((".ckpt", ".pt", ".pth", ".bin", ".pkl")):
        raise ValueError("pickled weights can run code, so they are refused; use a .safetensors file")
    return name


def check_sampling_recipe(text: str) -> str:
    """Return sampler, steps and guidance, as in `lcm/8/1`. Raise ValueError."""
    if text and not _RECIPE.fullmatch(text.lower()):
        raise ValueError("expected sampler/steps/guidance, such as lcm/8/1 or ddim trailing/8/5")
    return text


def check_webhook_url(url: str) -> str:
    """Return a public URL on a port that Telegram sends to. Raise ValueError."""
    if url and not _WEBHOOK_URL.fullmatch(url):
        raise ValueError("expected a URL that begins with https://, on port 443, 80, 88 or 8443")
    return url


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _parsed_by(parse: Callable[[str], Any]) -> BeforeValidator:
    """Return a validator that parses text and passes anything else through."""
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


ApiUrl = Annotated[str, AfterValidator(check_api_url)]
ModelName = Annotated[str, AfterValidator(check_model_name)]
WebhookUrl = Annotated[str, AfterValidator(check_webhook_url)]
SamplingRecipe = Annotated[str, AfterValidator(check_sampling_recipe)]
Address = Annotated[ListenAddress, _parsed_by(parse_address)]
Identities = Annotated[
    frozenset[Identity], _parsed_by(lambda text: frozenset(parse_identity(part) for part in _split(text)))
]
LocalPath = Annotated[Path, AfterValidator(Path.expanduser)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], _parsed_by(str.upper)]
Policy = Annotated[ContentPolicy, _parsed_by(parse_policy)]
Quotas = Annotated[
    Mapping[Role, Quota], _parsed_by(lambda text: dict(parse_quota(part) for part in _split(text)))
]
