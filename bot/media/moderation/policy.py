"""What becomes of pictures that look like nudity: the operator's rules for what comes and what goes."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.core.accounts import PLATFORM_PATTERN

PHOTOS, PICTURES = "photos", "pictures"
_RULE_PATTERN = re.compile(rf"(photos|(?:pictures|{PLATFORM_PATTERN})(?:/[^\s:,]+)?):(allow|spoiler|refuse)")


class ModerationAction(enum.StrEnum):
    """What becomes of such a picture."""

    ALLOW = "allow"  #: it is not even looked at
    SPOILER = "spoiler"  #: it is shown once somebody uncovers it
    REFUSE = "refuse"  #: it is not taken, or not shown


@dataclass(frozen=True, slots=True)
class ContentPolicy:
    """Rules by what and where: `photos` that come, `pictures` that go, a platform, a chat `telegram/-100`."""

    rules: Mapping[str, ModerationAction] = field(default_factory=dict)

    @property
    def is_active(self) -> bool:
        """Whether anything is looked at."""
        return any(action is not ModerationAction.ALLOW for action in self.rules.values())

    @property
    def photo_action(self) -> ModerationAction:
        """What becomes of photos that people send."""
        return self.rules.get(PHOTOS, ModerationAction.ALLOW)

    def picture_action(self, platform: str, chat_id: str) -> ModerationAction:
        """What becomes of pictures that go to a chat: the closest rule holds."""
        for scope in (f"{platform}/{chat_id}", platform, PICTURES):
            if scope in self.rules:
                return self.rules[scope]
        return ModerationAction.ALLOW


def parse_policy(text: str) -> ContentPolicy:
    """Read `photos:refuse,pictures:spoiler,telegram/-100123:allow`; ValueError says what is wrong."""
    rules = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        match = _RULE_PATTERN.fullmatch(part)
        if match is None or match[1].startswith(f"{PICTURES}/"):
            raise ValueError(
                f"{part!r} is not like photos:refuse, pictures:spoiler or telegram/-100123:allow"
            )
        rules[match[1]] = ModerationAction(match[2])
    if rules.get(PHOTOS) is ModerationAction.SPOILER:
        raise ValueError("a photo that comes can be allowed or refused; nobody is shown it")
    return ContentPolicy(rules)
