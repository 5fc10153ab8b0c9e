"""Decode photos in child processes that may die without harm, and whose replies are never trusted."""

from __future__ import annotations

from bot.core.errors import UserError
from bot.core.messages import Upload
from bot.core.photos import MAX_PHOTO_BYTES, NewPhoto, PhotoRefusal
from bot.media.decoding._codec import decode_reply
from bot.processes.sandbox import KEEP_MEMORY_ENV, SandboxLost
from bot.processes.sandbox_pool import SandboxLimits, SandboxPool, SandboxUnavailable
from bot.texts.photo_sets import photo_refusal

MAX_CHILDREN = 2  # at most two decodes at once, each within MEMORY_BYTES
MEMORY_BYTES = 2**30
TIMEOUT_S = 10.0
#: A photo is at most MAX_PHOTO_SIDE_PX square; as a JPEG it is never near this.
MAX_REPLY_BYTES = 32 * 2**20


class SandboxedPhotoDecoder:
    """Decodes photos in a pool of child processes."""

    def __init__(self, max_children: int = MAX_CHILDREN, timeout_s: float = TIMEOUT_S) -> None:
        self._pool = SandboxPool(
            "bot.media.decoding._child",
            decode_reply,
            workers=max_children,
            limits=SandboxLimits(MEMORY_BYTES, MAX_REPLY_BYTES, timeout_s),
            environ=KEEP_MEMORY_ENV,
        )

    @property
    def pids(self) -> list[int]:
        """The process ids of the children."""
        return self._pool.pids

    async def decode(self, upload: Upload) -> NewPhoto:
        """Return the photo upright, in RGB and without metadata. Raise UserError when it cannot be used."""
        photo = await self._decode(upload.data)
        if isinstance(photo, PhotoRefusal):
            raise UserError(photo_refusal(photo))
        return photo

    async def _decode(self, data: bytes | None) -> NewPhoto | PhotoRefusal:
        if data is None or len(data) > MAX_PHOTO_BYTES:
            return PhotoRefusal.TOO_MANY_BYTES
        try:
            return await self._pool.request(data)
        except SandboxLost:
            return PhotoRefusal.DAMAGED
        except (TimeoutError, SandboxUnavailable):
            return PhotoRefusal.TIMEOUT

    def warm_up(self) -> None:
        """Start the children now, so that the first photo need not wait for them."""
        self._pool.warm_up()

    async def close(self) -> None:
        """End the children."""
        await self._pool.close()
