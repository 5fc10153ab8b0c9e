"""Addresses by the traits of their platform."""

from __future__ import annotations

import pytest

from bot.core.accounts import PLATFORM_TRAITS, ChatAddress, Identity, Platform, list_platforms

TELEGRAM, DISCORD, CONSOLE = Platform.TELEGRAM, Platform.DISCORD, Platform.CONSOLE


def test_traits_are_there_for_every_platform() -> None:
    assert PLATFORM_TRAITS.keys() == set(Platform)
    assert list_platforms(lambda traits: traits.is_local) == [CONSOLE]


@pytest.mark.parametrize(
    ("platform", "chat_id", "is_shared", "is_private"),
    [
        (TELEGRAM, "7", False, True),
        (TELEGRAM, "-500", True, False),
        (TELEGRAM, "-500:3", True, False),
        (DISCORD, "dm", False, True),
        (DISCORD, "dm:9", False, True),
        (DISCORD, "9", True, True),
        (CONSOLE, "me", False, True),
    ],
)
def test_an_address_is_shared_or_private(
    platform: Platform, chat_id: str, is_shared: bool, is_private: bool
) -> None:
    address = ChatAddress(platform, chat_id, "7")
    assert (address.is_shared, address.is_private) == (is_shared, is_private)


def test_a_private_address_is_the_chat_of_one_person() -> None:
    assert [Identity(platform, "7").private_address.chat_id for platform in Platform] == ["7", "dm", "7"]


def test_a_message_can_be_edited_from_a_chat_where_its_id_means_something() -> None:
    for platform, can_edit in ((TELEGRAM, False), (DISCORD, True), (CONSOLE, True)):
        assert ChatAddress(platform, "1", "7").can_edit_in(ChatAddress(platform, "2", "7")) is can_edit
    assert ChatAddress(TELEGRAM, "-5:1", "7").can_edit_in(ChatAddress(TELEGRAM, "-5:2", "7"))
    assert not ChatAddress(TELEGRAM, "1", "7").can_edit_in(ChatAddress(DISCORD, "1", "7"))
