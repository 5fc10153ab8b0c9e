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


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _parsed_by(parse: Callable[[str], Any]) -> BeforeValidator:
    """Return a validator that parses text and passes anything else through."""
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


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
