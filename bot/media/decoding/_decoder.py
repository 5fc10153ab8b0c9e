"""The gate that photos pass: it keeps a few children that decode, and never believes what they say."""

from __future__ import annotations

import asyncio
import logging

from bot.core.errors import UserError
from bot.core.messages import Upload
from bot.core.photos import NewPhoto
from bot.media.decoding._codec import PHOTO_REPLY, READY_REPLY, REFUSED_REPLY, REPLY_HEADER, SHA256_BYTES
from bot.media.decoding._decode import (
    BROKEN_SENTENCE,
    MAX_FILE_BYTES,
    MIN_SIDE_PX,
    SENTENCE_KEYS,
    SENTENCES,
    TIMEOUT_SENTENCE,
    TOO_MANY_BYTES_SENTENCE,
)
from bot.processes.sandbox import KEEP_MEMORY_ENV, START_TIMEOUT_S, SandboxLost, SandboxProcess
from bot.texts import translate

log = logging.getLogger(__name__)

MAX_CHILDREN = 2  # at most two decodes at once, each within MEMORY_BYTES
MEMORY_BYTES = 2**30
TIMEOUT_S = 10.0
#: A photo is at most MAX_SIDE_PX square; as a JPEG it is never near this.
MAX_PHOTO_BYTES = 32 * 2**20


class SandboxedPhotoDecoder:
    """Lets photos in: decodes each in a child process that may die without harm.

    A child has one photo at a time, so that a photo that kills its child takes no neighbour with it.
    """

    def __init__(self, max_children: int = MAX_CHILDREN, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._max_children = max_children
        self._semaphore = asyncio.Semaphore(max_children)
        self._warm_up_task: asyncio.Task[None] | None = None
        self._idle_children: list[DecoderProcess] = []
        self._end_tasks: set[asyncio.Task[None]] = set()

    async def decode(self, upload: Upload) -> NewPhoto:
        """Give the photo upright, in RGB and without metadata; UserError says why it cannot be used."""
        if upload.data is None or len(upload.data) > MAX_FILE_BYTES:
            raise _user_error(TOO_MANY_BYTES_SENTENCE)
        async with self._semaphore:
            child = await self._acquire_child()
            try:
                async with asyncio.timeout(self._timeout_s):
                    photo = await child.decode(upload.data)
            except UserError:
                self._idle_children.append(child)
                raise
            except (SandboxLost, TimeoutError) as error:
                log.warning("a photo of %d bytes ended its child: %s", len(upload.data), type(error).__name__)
                self._end_child(child)
                raise _user_error(
                    TIMEOUT_SENTENCE if isinstance(error, TimeoutError) else BROKEN_SENTENCE
                ) from error
            except BaseException:  # cancelled while the child goes on: the next photo must not wait for it
                self._end_child(child)
                raise
            self._idle_children.append(child)
            return photo

    def warm_up(self) -> None:
        """Start the children now; whoever sends the first photo need not wait for them."""
        self._warm_up_task = asyncio.create_task(self._warm_up())

    async def _warm_up(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._max_children):
                    group.create_task(self._add_idle())
        except* (SandboxLost, TimeoutError):
            log.warning("no child that decodes photos could be started; the next photo tries again")

    async def _add_idle(self) -> None:
        async with self._semaphore:
            self._idle_children.append(await self._start_child())

    async def close(self) -> None:
        """End the children."""
        if self._warm_up_task is not None:
            self._warm_up_task.cancel()
            await asyncio.wait([self._warm_up_task])
        while self._idle_children:
            self._end_child(self._idle_children.pop())
        await asyncio.gather(*self._end_tasks)

    async def _acquire_child(self) -> DecoderProcess:
        try:
            return self._idle_children.pop() if self._idle_children else await self._start_child()
        except (SandboxLost, TimeoutError) as error:
            log.error("no child that decodes photos could be started: %s", str(error) or "it took too long")
            raise _user_error(TIMEOUT_SENTENCE) from error

    async def _start_child(self) -> DecoderProcess:
        # Starting is not part of a photo's time: a cold machine needs seconds for it.
        child = await DecoderProcess.start(
            "bot.media.decoding._child", str(MEMORY_BYTES), environ=KEEP_MEMORY_ENV
        )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await child.wait_ready()
        except BaseException:
            self._end_child(child)
            raise
        return child

    def _end_child(self, child: DecoderProcess) -> None:
        task = asyncio.create_task(child.end())
        self._end_tasks.add(task)
        task.add_done_callback(self._end_tasks.discard)


class DecoderProcess(SandboxProcess):
    """The parent's side of one child."""

    async def wait_ready(self) -> None:
        """Wait until it reads pictures; ChildLost when it ended before."""
        if await self._read_reply() != (READY_REPLY, b""):
            raise SandboxLost("it did not say that it is ready")

    async def decode(self, picture: bytes) -> NewPhoto:
        """Have a picture decoded; UserError when it cannot be used, ChildLost when it was too much."""
        await self.send(picture)
        kind, body = await self._read_reply()
        if kind == REFUSED_REPLY and len(body) == 1 and body[0] < len(SENTENCES):
            raise _user_error(SENTENCES[body[0]])
        jpeg = body[SHA256_BYTES:]
        if kind != PHOTO_REPLY or not jpeg.startswith(b"\xff\xd8\xff"):
            raise SandboxLost("it gave neither a photo nor a sentence")
        return NewPhoto(body[:SHA256_BYTES].hex(), jpeg)

    async def _read_reply(self) -> tuple[int, bytes]:
        kind, size_bytes = REPLY_HEADER.unpack(await self.read(REPLY_HEADER.size))
        if size_bytes > MAX_PHOTO_BYTES:
            raise SandboxLost(f"it announced {size_bytes} bytes")
        return kind, await self.read(size_bytes)


def _user_error(sentence: str) -> UserError:
    """Refuse a photo in the language of its person."""
    return UserError(translate(SENTENCE_KEYS[SENTENCES.index(sentence)], least=MIN_SIDE_PX))
