"""Photos, and the set that an account is collecting."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum

from bot.core.accounts import AccountId, ChatAddress
from bot.core.errors import LoraCodeError
from bot.core.loras import DEFAULT_EXTRA_STEPS, LoraCode

PHOTOS_PER_LORA = 5
#: Photos kept of a set that came too large (an album of ten), so that the person can still choose.
MAX_PHOTOS_IN_SET = 10
#: The longest a photo is kept, whatever becomes of its training; texts and retention take it from here.
PHOTO_RETENTION = timedelta(days=7)
#: The largest file that Telegram lets a bot download.
MAX_PHOTO_BYTES = 20 * 2**20
#: The largest photo of a phone, which a JPEG of one pass lets us decode at an eighth.
MAX_PHOTO_PIXELS = 16384 * 12288
#: What phones write as HEIC, and what a JPEG of several passes may have: both are held whole.
MAX_WHOLE_PIXELS = 8192 * 6144
#: PNG, WebP and AVIF may have four channels of 16 bits: 50 million pixels would take 3 s and 900 MB.
MAX_WEB_PIXELS = 8192 * 3072
MIN_PHOTO_SIDE_PX = 256
#: The longer side of a stored photo. The shorter one of 4:3 and 3:2 is then 1152 and 1024: a square around a
#: face, which is never smaller than the model's pictures, needs no enlarging for SDXL's 1024 either.
MAX_PHOTO_SIDE_PX = 1536


class PhotoRefusal(IntEnum):
    """Why a photo cannot be used. The sandbox sends the number; `texts.photo_refusal` has the words."""

    NOT_A_PICTURE = 0
    OTHER_FORMAT = 1
    DAMAGED = 2
    TOO_MANY_BYTES = 3
    TOO_MANY_PIXELS = 4
    TOO_SMALL = 5
    TIMEOUT = 6
    TOO_MANY_PIXELS_WHOLE = 7
    TOO_MANY_PIXELS_WEB = 8


class PhotoRefused(LoraCodeError):
    """A photo cannot be used; `reason` says why."""

    def __init__(self, reason: PhotoRefusal) -> None:
        super().__init__(reason.name)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class StoredPhoto:
    """A photo as it is stored; the SHA-256 of its bytes names it to caches and to the worker."""

    data_sha256: str
    data: bytes

    @classmethod
    def from_data(cls, data: bytes) -> StoredPhoto:
        """Return a photo that is not in the database."""
        return cls(hashlib.sha256(data).hexdigest(), data)


@dataclass(frozen=True, slots=True)
class NewPhoto:
    """A photo that passed the gate: RGB, upright, without metadata, as JPEG bytes.

    `pixel_sha256` is of the decoded pixels: it finds the same photo in another file. `data_sha256` is of the
    stored bytes: it names the photo to caches and to the worker, and is computed where it is not given.
    `hint` is what the coach saw on it that helps to train on it, as the coach writes it.
    """

    pixel_sha256: str
    data: bytes
    hint: str = ""
    data_sha256: str = ""

    def __post_init__(self) -> None:
        """Compute the hash of the bytes once; `dataclasses.replace` keeps it."""
        if not self.data_sha256:
            object.__setattr__(self, "data_sha256", StoredPhoto.from_data(self.data).data_sha256)

    @property
    def stored(self) -> StoredPhoto:
        """Return the photo as it will be stored."""
        return StoredPhoto(self.data_sha256, self.data)


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """The photos an account is collecting, oldest first, and what was chosen for them."""

    account: AccountId
    photo_ids: tuple[int, ...]  #: the number of each one's row, which is never another photo's
    class_word: str = "person"
    name: str = ""
    address: ChatAddress | None = None  #: where they were sent last
    card_message_id: str | None = None  #: the one message that shows them
    code: LoraCode | None = None  #: the Lora that they are to train further; None: a new one
    steps: int = DEFAULT_EXTRA_STEPS  #: for so many steps
    replaced_number: int | None = None  #: the number of the photo that the next one takes the place of
    photo_hashes: tuple[str, ...] = ()  #: the SHA-256 of each one's stored bytes
