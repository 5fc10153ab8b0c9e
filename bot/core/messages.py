"""What a use case takes and returns: a Request and a Reply, the same on every platform."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from bot.core.accounts import (
    AccessStatus,
    AccountId,
    ChatAddress,
    Identity,
    PendingQuestion,
    Platform,
    Preferences,
)
from bot.core.errors import UserError
from bot.core.jobs import Draft, GenerationParams, Job, JobId, JobKind
from bot.core.photos import NewPhoto, PhotoSet


@dataclass(frozen=True, slots=True)
class Upload:
    """A file a person sent. `data` is None when the platform would not hand it over for its size."""

    name: str
    data: bytes | None


#: A photo on its way in: as it came, or opened before the rest of its album was there, well or not.
PhotoInput: TypeAlias = Upload | NewPhoto | UserError


@dataclass(frozen=True, slots=True)
class AccountState:
    """An account as it was when it was read; its values do not change with later writes."""

    account: AccountId
    identities: tuple[Identity, ...]  #: all of them, by platform
    stored_locale: str  #: of the identity that was asked for, as an app told it last; may be empty
    has_consented: bool
    preferences: Preferences
    trainings_used: int  #: within `TRAINING_QUOTA_PERIOD`; those that never began do not count
    pictures_used: int  #: within `PICTURE_QUOTA_PERIOD`; those that never began or failed do not count
    open_jobs: tuple[Job, ...]  #: queued or running, the oldest first
    photo_set: PhotoSet  #: that is being collected, without the photos' bytes; may be empty
    question: PendingQuestion | None
    draft: Draft | None


@dataclass(frozen=True, slots=True)
class RequestState:
    """Everything in the database that a message of one person depends on, read at one moment."""

    access: AccessStatus  #: of the identity; a guest's where nobody has this identity
    account_state: AccountState | None  #: None where nobody has this identity
    queued_counts: dict[JobKind, int]  #: jobs that wait, of everybody
    is_paused: bool  #: whether an administrator lets no job begin


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asks for: a command, a message, photos, a button or a form.

    The chat fills in all but the last two, which are known once the request was let in.
    """

    identity: Identity
    address: ChatAddress
    text: str = ""  #: what follows a command, a plain message, or the words of a form
    arguments: tuple[str, ...] = ()  #: what the action of a button holds, without its name
    uploads: tuple[PhotoInput, ...] = ()
    params: GenerationParams | None = None  #: options of `/generate` that a platform has fields for
    command: str = ""  #: the name of the command, in English
    replied_message_id: str = ""  #: the message of ours that a plain message answers
    #: The platform's name for the message or press, empty where nobody repeats it. What was done for a key
    #: is not done again.
    idempotency_key: str = ""
    is_replay: bool = False  #: whether the bot ended while it carried this out before
    state: AccountState | None = None  #: as it was when the request was let in; a lock makes it read anew
    was_invited: bool = False  #: the text was a word that just let the person in
    #: Where people also talk to each other: the message that this one answers. None: all is said to the bot.
    answered_message_id: str | None = None

    @property
    def account_state(self) -> AccountState:
        """Return what was known of the account when the request was let in."""
        assert self.state is not None, "the request was not let in"  # noqa: S101
        return self.state

    @property
    def account(self) -> AccountId:
        """Return the account of a request that was let in."""
        return self.account_state.account

    def answers(self, asked: PendingQuestion | Draft | None) -> bool:
        """Return whether its words answer what was asked: in the same place, and where others write to it."""
        if asked is None or asked.address != self.address:
            return False
        return self.answered_message_id is None or self.answered_message_id in asked.message_ids.split(",")


@dataclass(frozen=True, slots=True)
class Button:
    """Something to press.

    `action` comes back as it is, also after a restart: at most 64 bytes, ids only, never state. Neighbours
    with the same `row` share a row; None: a row of its own.
    """

    label: str
    action: str
    row: int | None = None


#: So many suggestions are offered at once; Discord shows no more.
MAX_SUGGESTIONS = 25


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Something a platform offers while a person types: what it shows and what it stands for."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file to hand over as it is, under a name of its own."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class ClosedPhotoSet:
    """The message that showed photos while they were collected, and what it says from now on."""

    message_id: str
    text: str


#: A file of ours, or bytes that are in none: a contact sheet shows photos, which the database alone keeps.
PictureSource: TypeAlias = Path | bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """One message to a person: plain text (no markup), then pictures, then buttons, then files.

    Whoever shows a reply stores the id of its message where `card_job_id`, `shows_photo_set`,
    `result_job_id` or `pressed_result_job_id` asks for it, so that the message can be edited later.
    """

    text: str
    buttons: tuple[Button, ...] = ()
    pictures: tuple[PictureSource, ...] = ()
    card_job_id: JobId | None = None  #: the message shows this job's progress and is edited as it goes on
    files: tuple[Attachment, ...] = ()
    edits_message: bool = False  #: edit the message whose button was pressed, instead of a new message
    shows_photo_set: bool = False  #: the one message that shows the photos a person is collecting
    closed_photo_set: ClosedPhotoSet | None = None
    is_silent: bool = False  #: without a sound
    is_spoiler: bool = False  #: pictures are covered until somebody wants to see them
    keeps_pictures: bool = False  #: the edited message goes on showing the pictures that it shows
    result_job_id: JobId | None = None  #: the message shows this result once more
    pressed_result_job_id: JobId | None = None  #: likewise the message whose button was pressed
    is_refusal: bool = False  #: says why nothing was done
    yes_action: str = ""  #: the text asks something, and a typed yes does the same as this button
    asks_for_words: bool = False  #: its person's next message is the answer; in a group a reply to it is
    refusals: str = ""  #: how the text begins: why photos were not taken
    language: str = field(default="", compare=False)  #: the language it is written in


def split_refusals(reply: Reply) -> tuple[Reply, ...]:
    """Return the messages that show a reply. Refusals are one of their own where the rest is edited later."""
    is_edited_later = reply.shows_photo_set or reply.card_job_id is not None
    if not reply.refusals or not is_edited_later:
        return (reply,)
    rest = reply.text.removeprefix(reply.refusals).lstrip("\n")
    return Reply(reply.refusals, language=reply.language), replace(reply, text=rest, refusals="")


#: Everything that can be asked for.
UseCase: TypeAlias = Callable[[Request], Awaitable[Reply]]


@runtime_checkable
class LinkableChat(Protocol):
    """A platform with links that open a private chat with the bot."""

    def start_link(self, payload: str) -> str:
        """Return a link that opens a private chat and passes a payload; empty while it is not known."""


class ChatAdapter(Protocol):
    """A platform, as the notifier sees it."""

    platform: Platform
    max_file_bytes: int  #: the largest file it takes

    async def send(self, address: ChatAddress, reply: Reply, *, nonce: str) -> str:
        """Send a new message and return its id; raises ChatUnreachable or ChatBusy.

        `nonce` names the message: a platform that can will not show the same nonce twice.
        """

    async def edit(self, address: ChatAddress, message_id: str, reply: Reply) -> str:
        """Make an earlier message read like `reply` (pictures included); raises like `send`.

        Gives the id it has from now on: pictures that have a message each are part of it. Quiet when it
        already does; ChatUnreachable when the message is gone.
        """


class ListeningChatAdapter(ChatAdapter, Protocol):
    """A chat that also listens; its `run` ends when there is nobody left to listen to."""

    async def run(self) -> None:
        """Listen until cancelled."""
