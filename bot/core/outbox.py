"""Messages that are owed to people, and updates that a platform handed over."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import NewType

from bot.core.accounts import ChatAddress, Identity
from bot.core.jobs import Job
from bot.core.loras import Share

NoticeId = NewType("NoticeId", int)


class NoticeKind(enum.StrEnum):
    """What a person is owed to hear."""

    TRAIN_DONE = "train_done"
    TRAIN_FAILED = "train_failed"
    TRAIN_RESUMED = "train_resumed"  #: the worker died and the training goes on; told once a job
    GENERATE_DONE = "generate_done"
    GENERATE_FAILED = "generate_failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Notice:
    """A message owed to an account, kept until its platform has taken it."""

    id: NoticeId
    kind: NoticeKind
    job: Job
    files: tuple[str, ...]  #: names inside `DATA_DIR/pictures`, in order
    tries: int
    next_try_at: datetime

    @property
    def address(self) -> ChatAddress:
        """The chat that the job was asked for in."""
        return self.job.address

    @property
    def log_ids(self) -> dict[str, int]:
        """Ids for the log: the job and its account."""
        return {"job": self.job.id, "account": self.job.account}


@dataclass(frozen=True, slots=True)
class DirectMessage:
    """A message that belongs to no job, kept until its platform has taken it.

    One about a share has no words: it shows the share as it is when it is delivered.
    """

    id: int
    recipient: Identity
    text: str
    tries: int
    share: Share | None = None

    @property
    def address(self) -> ChatAddress:
        """The private chat of the recipient."""
        return self.recipient.private_address

    @property
    def log_ids(self) -> dict[str, int]:
        """Ids for the log: none, as it belongs to no job."""
        return {}


@dataclass(frozen=True, slots=True)
class IncomingUpdate:
    """An update that a platform handed over: its number there, whose it is, and what it says."""

    id: int
    user_id: str
    body: str


@dataclass(frozen=True, slots=True)
class StaleMessage:
    """A message that shows a result which was deleted, and is to lose it."""

    id: int
    job: Job
    address: ChatAddress
    message_id: str
    tries: int

    @property
    def log_ids(self) -> dict[str, int]:
        """Ids for the log: the job and its account."""
        return {"job": self.job.id, "account": self.job.account}
