"""Who somebody is, where they are talked to, and what they want where they say nothing.

Whom the bot serves, and how much each may ask for.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NewType

AccountId = NewType("AccountId", int)
#: How far back a quota counts trainings, and pictures.
TRAINING_QUOTA_PERIOD, PICTURE_QUOTA_PERIOD = timedelta(days=1), timedelta(hours=1)


class Platform(enum.StrEnum):
    """Where a person talks to us."""

    TELEGRAM = "telegram"
    DISCORD = "discord"
    CONSOLE = "console"


@dataclass(frozen=True, slots=True)
class PlatformTraits:
    """How a platform differs from the others, as far as that matters outside its adapter."""

    private_chat_id: str = ""  #: how those of private chats begin; empty: the id of its person
    always_answers_privately: bool = False  #: its answers are seen by their person alone, in any chat
    has_message_ids_per_chat: bool = False  #: the id of a message means nothing outside its chat
    is_local: bool = False  #: its person runs this machine: no broadcast, and messages elsewhere first
    stores_updates: bool = False  #: what it sends is stored until it is processed
    has_forms: bool = False  #: it asks for words by a form, and commands have named options there


PLATFORM_TRAITS = {
    Platform.TELEGRAM: PlatformTraits(has_message_ids_per_chat=True, stores_updates=True),
    Platform.DISCORD: PlatformTraits(private_chat_id="dm", always_answers_privately=True, has_forms=True),
    Platform.CONSOLE: PlatformTraits(always_answers_privately=True, is_local=True),
}


#: The names of platforms, as a regular expression; settings name chats and people by them.
PLATFORM_PATTERN = "|".join(Platform)


def list_platforms(has_trait: Callable[[PlatformTraits], bool]) -> list[Platform]:
    """Return the platforms whose traits fulfil a condition."""
    return [platform for platform, traits in PLATFORM_TRAITS.items() if has_trait(traits)]


@dataclass(frozen=True, slots=True)
class Identity:
    """One human on one platform; written `telegram:123`."""

    platform: Platform
    user_id: str
    name: str = field(default="", compare=False)  #: as their platform tells it now; kept with a request only
    locale: str = field(default="", compare=False)  #: of their app, as in `it-IT`; empty where it tells none

    def __str__(self) -> str:
        return f"{self.platform}:{self.user_id}"

    @property
    def private_address(self) -> ChatAddress:
        """Where this human alone reads: Discord's DMs, or the chat that has the number of its person."""
        chat_id = PLATFORM_TRAITS[self.platform].private_chat_id or self.user_id
        return ChatAddress(self.platform, chat_id, self.user_id)


@dataclass(frozen=True, slots=True)
class ChatAddress:
    """Where an answer belongs: the chat a job was asked for in.

    `chat_id` is the platform's chat or channel; a topic of a group on Telegram is `-100500:7`. `user_id` is
    whom to write to directly (Discord DMs).
    """

    platform: Platform
    chat_id: str
    user_id: str

    @property
    def base_chat_id(self) -> str:
        """The chat as a whole, whatever topic of it this is."""
        return self.chat_id.partition(":")[0]

    @property
    def is_shared(self) -> bool:
        """Whether it is a group or channel, with others in it."""
        private_chat_id = PLATFORM_TRAITS[self.platform].private_chat_id
        return not (self.chat_id.startswith(private_chat_id) if private_chat_id else self.is_private)

    def can_edit_in(self, other: ChatAddress) -> bool:
        """Whether a message that stands in another place can be edited from here.

        On Telegram a message's number means another message in another chat, on another platform nothing.
        """
        if self.platform is not other.platform:
            return False
        has_ids_per_chat = PLATFORM_TRAITS[self.platform].has_message_ids_per_chat
        return not has_ids_per_chat or self.base_chat_id == other.base_chat_id

    @property
    def hears_replies_only(self) -> bool:
        """Whether words that are asked for here count as a reply alone: others write here too."""
        return not (self.is_private or PLATFORM_TRAITS[self.platform].has_forms)

    @property
    def words_address(self) -> ChatAddress:
        """Where words that are asked for here are written: in private where a platform has forms for them."""
        has_forms = PLATFORM_TRAITS[self.platform].has_forms
        return self.identity.private_address if has_forms else self

    @property
    def identity(self) -> Identity:
        """Whoever asked there."""
        return Identity(self.platform, self.user_id)

    @property
    def is_private(self) -> bool:
        """Whether its person alone reads there: on Telegram a private chat has the number of its person."""
        is_always_private = PLATFORM_TRAITS[self.platform].always_answers_privately
        return is_always_private or self.base_chat_id == self.user_id


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a person wants where they say nothing."""

    size: str = ""  #: portrait, square or landscape; empty: the worker's default
    style: str = ""  #: name of a preset in `styles.toml`
    is_silent: bool = False  #: whether notices, reminders and letters come without a sound
    language: str = ""  #: its code; empty: that of their app
    keeps_photos: bool = False  #: whether photos stay after a training, until they are seven days old


#: Begins the subject of a question that is answered by yes or no.
CONFIRM_PREFIX = "yes:"


@dataclass(frozen=True, slots=True)
class PendingQuestion:
    """What a person's next plain message answers: `set` (its name), `rename:<code>` or `yes:<action>`."""

    subject: str
    address: ChatAddress  #: where it is answered
    message_ids: str = ""  #: that ask it, `12,13`; where others write only an answer to one of them counts

    @property
    def confirmed_action(self) -> str:
        """What a typed yes does, as a button would; empty for a question that is answered by a name."""
        return self.subject.removeprefix(CONFIRM_PREFIX) if self.subject.startswith(CONFIRM_PREFIX) else ""


class AccessMode(enum.StrEnum):
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

    trainings_per_day: int | None = None
    pictures_per_hour: int | None = None


@dataclass(frozen=True, slots=True)
class AccessRules:
    """Who may use the bot, and how much."""

    admins: frozenset[Identity] = frozenset()
    access: AccessMode = AccessMode.OPEN
    allow_list: frozenset[Identity] = frozenset()
    quotas: Mapping[Role, Quota] = field(default_factory=dict)
    max_queued_jobs: int | None = None  #: jobs in line, in all; None: any number
    max_chat_jobs: int | None = None  #: open jobs of one group or channel
    allows_compare: bool = True  #: whether people may draw one prompt at several strengths


@dataclass(frozen=True, slots=True)
class AccessStatus:
    """What a person is, as far as the database knows; `own` are limits that stand above their role's."""

    role: Role
    quota_override: Quota
    is_banned: bool
