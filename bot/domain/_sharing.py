"""Drawing with somebody else's Lora: who asks, and what its owner decided."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from bot.domain._codes import LoraCode
from bot.domain._people import AccountId, Place


class Allowed(enum.StrEnum):
    """What the owner of a Lora decided about somebody who wants to draw with it."""

    ASKED = "asked"  #: nothing yet
    ONCE = "once"  #: one generation; the share ends with it
    ALWAYS = "always"  #: as many as they like, until it is taken back
    NO = "no"  #: never, and asking again changes nothing


MAY_DRAW = frozenset({Allowed.ONCE, Allowed.ALWAYS})


@dataclass(frozen=True, slots=True)
class Share:
    """What became of one person's wish to draw with a Lora that is somebody else's."""

    number: int  #: never another share's
    code: LoraCode
    account: AccountId  #: whose wish it is
    allowed: Allowed
    asker: str  #: what their platform calls them; it may be empty
    place: Place  #: where they asked

    @property
    def may_draw(self) -> bool:
        """Whether its person can draw with the Lora now."""
        return self.allowed in MAY_DRAW


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody who wants to draw with a Lora that is not theirs, and where they said so."""

    account: AccountId
    name: str
    place: Place
