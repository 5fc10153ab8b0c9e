"""Whom the bot serves, and how much each may ask for."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.domain._people import Identity


class Access(enum.StrEnum):
    """Whom the bot serves, besides its administrators."""

    OPEN = "open"  #: everybody
    INVITATION = "invitation"  #: whoever has a word from an administrator
    ALLOW_LIST = "allow-list"  #: whom the settings name


class Role(enum.StrEnum):
    """What a person is to the bot; more than a guest is what an administrator, or their word, made them."""

    GUEST = "guest"  #: came by themselves
    MEMBER = "member"  #: was let in
    TRUSTED = "trusted"  #: may have more


@dataclass(frozen=True, slots=True)
class Quota:
    """How much a person may ask for; None: as much as they like."""

    trainings_a_day: int | None = None
    pictures_an_hour: int | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may use the bot, and how much."""

    admins: frozenset[Identity] = frozenset()
    access: Access = Access.OPEN
    allowed: frozenset[Identity] = frozenset()
    quotas: Mapping[Role, Quota] = field(default_factory=dict)
    most_waiting: int | None = None  #: jobs in line, in all; None: any number
    most_in_a_chat: int | None = None  #: open jobs of one group or channel


@dataclass(frozen=True, slots=True)
class Standing:
    """What a person is, as far as the ledger knows; `own` are limits that stand above their role's."""

    role: Role
    own: Quota
    is_banned: bool
