"""What the use cases take from a chat and give back to it; plain data, the same for every platform.

What is just being carried out, by its name on its platform: a message is not carried out twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from bot.core.accounts import ChatAddress, Platform
from bot.core.errors import UserError
from bot.core.jobs import JobId
from bot.core.photos import NewPhoto


@dataclass(frozen=True, slots=True)
class Upload:
    """A file a person sent. `data` is None when the platform would not hand it over for its size."""

    name: str
    data: bytes | None


#: A photo on its way in: as it came, or opened before the rest of its album was there, well or not.
PhotoInput: TypeAlias = Upload | NewPhoto | UserError


@dataclass(frozen=True, slots=True)
class Button:
    """Something to press. `action` goes back to `Studio.press` as it is, also after a restart: at most
    64 bytes, ids only, never state. Neighbours with the same `row` share a row; None: a row of its own."""

    label: str
    action: str
    row: int | None = None


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


#: A file of ours, or bytes that are in none: a contact sheet shows photos, which the ledger alone keeps.
PictureSource: TypeAlias = Path | bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """One message to a person: plain text (no markup), then pictures, then buttons, then files.

    `card_of` marks the message that will be edited to show that job's progress: whoever shows it tells
    `Studio.card_shown` its message id. `replaces` asks to edit the message whose button was pressed so that
    it reads like this, instead of sending a new one. `shows_set` marks the one message that shows the photos
    a person is collecting: whoever shows it edits the one `Studio.set_message` names, or sends it anew and
    tells `Studio.set_shown`. `ends_set` is the end of such a message. `is_silent` asks for no sound,
    `is_spoiler` for pictures that are covered until somebody wants to see them. `keeps_pictures` says
    of an edit that the message goes on showing what it shows. `copy_of` marks a message that shows a result
    once more, and `pressed_copy_of` says that of the message whose button was pressed: whoever has it tells
    `Studio.copy_shown` its id, so that it can be found when the result is deleted.
    """

    text: str
    buttons: tuple[Button, ...] = ()
    pictures: tuple[PictureSource, ...] = ()
    card_job_id: JobId | None = None
    files: tuple[Attachment, ...] = ()
    edits_message: bool = False
    shows_photo_set: bool = False
    closed_photo_set: ClosedPhotoSet | None = None
    is_silent: bool = False
    is_spoiler: bool = False
    keeps_pictures: bool = False
    result_job_id: JobId | None = None
    pressed_result_job_id: JobId | None = None


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


@dataclass(frozen=True, slots=True)
class RequestContext:
    """A message or a press; `is_again` where the bot died while it was carried out before."""

    idempotency_key: str
    is_replay: bool = False


_NO_REQUEST = RequestContext("")


_current_request: ContextVar[RequestContext] = ContextVar("asking", default=_NO_REQUEST)


@contextmanager
def request_context(idempotency_key: str, *, is_replay: bool = False) -> Iterator[None]:
    """Let what happens inside be on behalf of a message or a press."""
    token = _current_request.set(RequestContext(idempotency_key, is_replay))
    try:
        yield
    finally:
        _current_request.reset(token)


def current_request() -> RequestContext:
    """Give what is being carried out; its name is empty where nobody keeps count."""
    return _current_request.get()
