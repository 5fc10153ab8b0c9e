"""The operator's rule about nudity: the closest one holds, and a wrong one is one line."""

from __future__ import annotations

import pytest

from bot.app.settings import Settings
from bot.core.errors import SettingsError
from bot.media.moderation.policy import ContentPolicy, ModerationAction, parse_policy


def test_the_closest_rule_holds() -> None:
    policy = parse_policy(
        "photos:refuse, pictures:spoiler, discord:refuse, telegram/-100:allow,discord/7:spoiler"
    )
    assert policy.photo_action is ModerationAction.REFUSE
    assert policy.picture_action("telegram", "5") is ModerationAction.SPOILER
    assert policy.picture_action("telegram", "-100") is ModerationAction.ALLOW
    assert policy.picture_action("discord", "9") is ModerationAction.REFUSE
    assert policy.picture_action("discord", "7") is ModerationAction.SPOILER
    assert policy.picture_action("console", "x") is ModerationAction.SPOILER


def test_a_policy_without_a_rule_is_not_active() -> None:
    assert not ContentPolicy().is_active
    assert not parse_policy("photos:allow,pictures:allow").is_active
    assert parse_policy("telegram/5:spoiler").is_active
    assert Settings.from_environ({}).content_check == ContentPolicy()
    assert Settings.from_environ({"CONTENT_CHECK": "photos:refuse"}).content_check.is_active


@pytest.mark.parametrize(
    "text", ["yes", "photos:spoiler", "photos/5:refuse", "pictures/5:refuse", "icq:refuse", "telegram:blur"]
)
def test_a_rule_that_cannot_be_read_is_one_line(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^CONTENT_CHECK: .*") as caught:
        Settings.from_environ({"CONTENT_CHECK": text})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("threshold", ["0", "1.5", "much"])
def test_a_threshold_lies_between_0_and_1(threshold: str) -> None:
    with pytest.raises(SettingsError, match=r"^CONTENT_CHECK_THRESHOLD: "):
        Settings.from_environ({"CONTENT_CHECK_THRESHOLD": threshold})
