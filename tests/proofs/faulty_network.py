"""The line between the bot and a platform, which can be cut, fall silent or swallow half of an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import StrEnum


class State(StrEnum):
    """What becomes of bytes."""

    UP = "up"
    CUT = "cut"  #: nobody is there
    SILENT = "silent"  #: requests go nowhere, and no answer comes
    HALF = "half"  #: of an answer only the first half comes


class Line:
    """Forwards connections to a port of this machine."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._writers: set[asyncio.StreamWriter] = set()
        self.state = State.UP
        self.base_url = ""

    def becomes(self, state: State) -> None:
        """Change; connections that are open now have it too."""
        silent, self.state = self.state is State.SILENT, state
        if silent or state is State.CUT:
            for writer in self._writers:
                writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection."""
        if self.state is State.CUT:
            writer.transport.abort()
            return
        there, there_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        ends = {writer, there_writer}
        self._writers |= ends
        try:
            await asyncio.gather(
                self._pump(reader, there_writer, is_answer=False), self._pump(there, writer, is_answer=True)
            )
        except OSError:
            pass
        finally:
            self._writers -= ends
            for each in ends:
                each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, is_answer: bool) -> None:
        while data := await reader.read(2**16):
            if self.state is State.SILENT:
                continue
            if self.state is State.HALF and is_answer:
                to.write(data[: len(data) // 2])
                await to.drain()
                break
            to.write(data)
            await to.drain()
        to.transport.abort() if is_answer and self.state is State.CUT else to.close()


@asynccontextmanager
async def line_to(base_url: str) -> AsyncIterator[Line]:
    """Lay a line to a server of this machine."""
    line = Line(int(base_url.rsplit(":", 1)[1]))
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    line.base_url = f"http://{host}:{port}"
    try:
        yield line
    finally:
        line.becomes(State.CUT)
        server.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 5.0)
