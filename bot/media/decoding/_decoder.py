"""The gate that photos pass: it keeps a few children that decode, and never believes what they say."""

from __future__ import annotations

import asyncio
import logging

from bot.core.errors import UserError
from bot.core.messages import Upload
from bot.core.photos import NewPhoto
from bot.media.decoding._codec import ANSWER, PHOTO, READY, REFUSED, SHA256_BYTES
from bot.media.decoding._decode import (
    BROKEN,
    KEYS,
    MAX_FILE_BYTES,
    MIN_SIDE_PX,
    SENTENCES,
    TOO_MANY_BYTES,
    TOOK_TOO_LONG,
)
from bot.processes.sandbox import KEEPS_MEMORY, START_TIMEOUT_S, Child, ChildLost
from bot.texts import say

log = logging.getLogger(__name__)

CHILDREN = 2  # at most two decodes at once, each within MEMORY_BYTES
MEMORY_BYTES = 2**30
TIMEOUT_S = 10.0
#: A photo is at most MAX_SIDE_PX square; as a JPEG it is never near this.
MAX_PHOTO_BYTES = 32 * 2**20


class PhotoGate:
    """Lets photos in: decodes each in a child process that may die without harm.

    A child has one photo at a time, so that a photo that kills its child takes no neighbour with it.
    """

    def __init__(self, children: int = CHILDREN, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._children = children
        self._free = asyncio.Semaphore(children)
        self._warming: asyncio.Task[None] | None = None
        self._idle: list[Decoder] = []
        self._ending: set[asyncio.Task[None]] = set()

    async def check(self, upload: Upload) -> NewPhoto:
        """Give the photo upright, in RGB and without metadata; UserError says why it cannot be used."""
        if upload.data is None or len(upload.data) > MAX_FILE_BYTES:
            raise _refusal(TOO_MANY_BYTES)
        async with self._free:
            child = await self._next_child()
            try:
                async with asyncio.timeout(self._timeout_s):
                    photo = await child.decode(upload.data)
            except UserError:
                self._idle.append(child)
                raise
            except (ChildLost, TimeoutError) as error:
                log.warning("a photo of %d bytes ended its child: %s", len(upload.data), type(error).__name__)
                self._end(child)
                raise _refusal(TOOK_TOO_LONG if isinstance(error, TimeoutError) else BROKEN) from error
            except BaseException:  # cancelled while the child goes on: the next photo must not wait for it
                self._end(child)
                raise
            self._idle.append(child)
            return photo

    def warm_up(self) -> None:
        """Start the children now; whoever sends the first photo need not wait for them."""
        self._warming = asyncio.create_task(self._warm_up())

    async def _warm_up(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._children):
                    group.create_task(self._add_idle())
        except* (ChildLost, TimeoutError):
            log.warning("no child that decodes photos could be started; the next photo tries again")

    async def _add_idle(self) -> None:
        async with self._free:
            self._idle.append(await self._started())

    async def close(self) -> None:
        """End the children."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.wait([self._warming])
        while self._idle:
            self._end(self._idle.pop())
        await asyncio.gather(*self._ending)

    async def _next_child(self) -> Decoder:
        try:
            return self._idle.pop() if self._idle else await self._started()
        except (ChildLost, TimeoutError) as error:
            log.error("no child that decodes photos could be started: %s", str(error) or "it took too long")
            raise _refusal(TOOK_TOO_LONG) from error

    async def _started(self) -> Decoder:
        # Starting is not part of a photo's time: a cold machine needs seconds for it.
        child = await Decoder.start("bot.media.decoding._child", str(MEMORY_BYTES), environ=KEEPS_MEMORY)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await child.is_ready()
        except BaseException:
            self._end(child)
            raise
        return child

    def _end(self, child: Decoder) -> None:
        ending = asyncio.create_task(child.end())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)


class Decoder(Child):
    """The parent's side of one child."""

    async def is_ready(self) -> None:
        """Wait until it reads pictures; ChildLost when it ended before."""
        if await self._answer() != (READY, b""):
            raise ChildLost("it did not say that it is ready")

    async def decode(self, picture: bytes) -> NewPhoto:
        """Have a picture decoded; UserError when it cannot be used, ChildLost when it was too much."""
        await self.give(picture)
        kind, body = await self._answer()
        if kind == REFUSED and len(body) == 1 and body[0] < len(SENTENCES):
            raise _refusal(SENTENCES[body[0]])
        jpeg = body[SHA256_BYTES:]
        if kind != PHOTO or not jpeg.startswith(b"\xff\xd8\xff"):
            raise ChildLost("it gave neither a photo nor a sentence")
        return NewPhoto(body[:SHA256_BYTES].hex(), jpeg)

    async def _answer(self) -> tuple[int, bytes]:
        kind, length = ANSWER.unpack(await self.read(ANSWER.size))
        if length > MAX_PHOTO_BYTES:
            raise ChildLost(f"it announced {length} bytes")
        return kind, await self.read(length)


def _refusal(sentence: str) -> UserError:
    """Refuse a photo in the language of its person."""
    return UserError(say(KEYS[SENTENCES.index(sentence)], least=MIN_SIDE_PX))
