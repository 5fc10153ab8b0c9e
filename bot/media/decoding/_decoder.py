"""The gate that photos pass: it keeps a few children that decode, and never believes what they say."""

from __future__ import annotations

import asyncio
import logging

from bot.core.errors import UserError
from bot.core.messages import Upload
from bot.core.photos import MAX_PHOTO_BYTES, NewPhoto, PhotoRefusal, PhotoRefused
from bot.media.decoding._codec import PHOTO_REPLY, READY_REPLY, REFUSED_REPLY, REPLY_HEADER, SHA256_BYTES
from bot.processes.sandbox import KEEP_MEMORY_ENV, START_TIMEOUT_S, SandboxLost, SandboxProcess
from bot.texts.photo_sets import photo_refusal

log = logging.getLogger(__name__)

MAX_CHILDREN = 2  # at most two decodes at once, each within MEMORY_BYTES
MEMORY_BYTES = 2**30
TIMEOUT_S = 10.0
#: A photo is at most MAX_SIDE_PX square; as a JPEG it is never near this.
MAX_REPLY_BYTES = 32 * 2**20


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
        try:
            return await self._decode(upload.data)
        except PhotoRefused as error:
            raise UserError(photo_refusal(error.reason)) from error

    async def _decode(self, data: bytes | None) -> NewPhoto:
        if data is None or len(data) > MAX_PHOTO_BYTES:
            raise PhotoRefused(PhotoRefusal.TOO_MANY_BYTES)
        async with self._semaphore:
            child = await self._acquire_child()
            try:
                async with asyncio.timeout(self._timeout_s):
                    photo = await child.decode(data)
            except PhotoRefused:
                self._idle_children.append(child)
                raise
            except (SandboxLost, TimeoutError) as error:
                log.warning("a photo of %d bytes ended its child: %s", len(data), type(error).__name__)
                self._end_child(child)
                is_timeout = isinstance(error, TimeoutError)
                raise PhotoRefused(PhotoRefusal.TIMEOUT if is_timeout else PhotoRefusal.DAMAGED) from error
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
            raise PhotoRefused(PhotoRefusal.TIMEOUT) from error

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
        """Have a picture decoded; PhotoRefused when it cannot be used, ChildLost when it was too much."""
        await self.send(picture)
        kind, body = await self._read_reply()
        if kind == REFUSED_REPLY and len(body) == 1 and body[0] in list(PhotoRefusal):
            raise PhotoRefused(PhotoRefusal(body[0]))
        jpeg = body[SHA256_BYTES:]
        if kind != PHOTO_REPLY or not jpeg.startswith(b"\xff\xd8\xff"):
            raise SandboxLost("it gave neither a photo nor a reason")
        return NewPhoto(body[:SHA256_BYTES].hex(), jpeg)

    async def _read_reply(self) -> tuple[int, bytes]:
        kind, size_bytes = REPLY_HEADER.unpack(await self.read(REPLY_HEADER.size))
        if size_bytes > MAX_REPLY_BYTES:
            raise SandboxLost(f"it announced {size_bytes} bytes")
        return kind, await self.read(size_bytes)
