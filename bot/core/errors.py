"""Every error of the front end, one tree.

LoraCodeError
├── UserError                 something the person can put right; carries the sentence to show
│   └── UnknownCode           a LoraCode that is nobody's or somebody else's: there is no difference
├── PhotoRefused              a photo cannot be used; carries the reason (in `bot.core.photos`)
├── SettingsError             a wrong setting; ends the start with one readable line
├── DatabaseError             the database cannot be opened, read or written
│   └── ReferenceGone         what a write refers to was deleted or merged meanwhile; nothing was written
├── ShareEnded                a Lora may no longer be drawn with by whoever wants to
├── BackupError               a backup cannot be made or put back
├── WorkerLost                a GPU attempt ended without a result; it is tried again
└── ChatError                 a platform did not take what we sent
    ├── ChatUnreachable       never will: blocked, left, closed DMs
    │   └── PicturesRefused   takes our words there, but no pictures
    └── ChatBusy              will later: rate limit, no network; carries `retry_after_s`
"""

from __future__ import annotations


class LoraCodeError(Exception):
    """Something went wrong in LoraCode."""


class UserError(LoraCodeError):
    """A person asked for something that cannot be done; `sentence` says why and what to do next."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UnknownCode(UserError):
    """A LoraCode is nobody's, or somebody else's; nobody is told which."""


class SettingsError(LoraCodeError):
    """A setting is wrong; the message names it and says what is expected."""


class DatabaseError(LoraCodeError):
    """The database cannot be opened, read or written."""


class ReferenceGone(DatabaseError):
    """What a write refers to was deleted meanwhile, such as an account that was linked to another."""


class ShareEnded(LoraCodeError):
    """A Lora may no longer be drawn with by whoever wants to; nothing was written."""


class BackupError(LoraCodeError):
    """A backup cannot be made or put back; the message says what to do."""


class WorkerLost(LoraCodeError):
    """The worker went away, or its stream ended without a result."""


class ChatError(LoraCodeError):
    """A platform did not take what we sent."""


class ChatUnreachable(ChatError):
    """The person cannot be reached at this place, now or later."""


class PicturesRefused(ChatUnreachable):
    """The place takes words of ours, but no pictures or files."""


class ChatBusy(ChatError):
    """The platform wants us to wait."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
