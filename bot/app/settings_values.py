"""How single values are written; ValueError says what was expected."""

from __future__ import annotations

import re

from bot.core.accounts import Identity, Platform, Quota, Role
from bot.core.addresses import ListenAddress


def parse_address(text: str) -> ListenAddress:
    """Read `127.0.0.1:9464` or `[::1]:9464`."""
    match = re.fullmatch(r"\[?([0-9A-Za-z.:_-]+?)\]?:([0-9]{1,5})", text)
    if match is None or not 0 < int(match[2]) < 2**16:
        raise ValueError("expected an address and a port, such as 127.0.0.1:9464")
    return ListenAddress(match[1], int(match[2]))


def parse_quota(text: str) -> tuple[Role, Quota]:
    """Read `guest:2/20`; `-` is no limit."""
    match = re.fullmatch(r"(guest|member|trusted):([0-9]{1,6}|-)/([0-9]{1,6}|-)", text)
    if match is None:
        raise ValueError(f"{text!r} is not like guest:2/20 (a role, trainings a day, pictures an hour)")
    trainings, pictures = (None if each == "-" else int(each) for each in (match[2], match[3]))
    return Role(match[1]), Quota(trainings, pictures)


def parse_identity(text: str) -> Identity:
    """Read `telegram:123`."""
    match = re.fullmatch(r"(telegram|discord|console): *([0-9]+)", text)
    if match is None:
        raise ValueError(f"{text!r} is not like telegram:123 or discord:456 (numbers, no names)")
    return Identity(Platform(match[1]), match[2])
