"""A worker on each card of a Ray cluster. Ray itself stays out of this process.

A program beside us tells which nodes there are, and each card's worker is a relay: a process here that owns
the worker there, and speaks as it does. So all that is known of a local worker (silence, hangs, nonsense,
cancelling) holds for a far one, and what happens to a cluster's head never happens to the bot.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence

import msgspec

from bot.jobs.backends.local import AMONG_OTHERS, LocalBackend, Patience
from bot.jobs.backends.pool import ROOM_GRACE_S, Fleet
from bot.processes.kill import gone, kill

log = logging.getLogger(__name__)

#: Pause before the cluster is asked again after it could not be joined or has gone.
REJOIN_S = 5.0


class Node(msgspec.Struct, frozen=True):
    """A node that has cards."""

    id: str
    host: str
    cards: int
    refused: str = ""  #: why its cards are not used


_lines = msgspec.json.Decoder(list[Node])


class RayBackend(Fleet):
    """A fleet whose seats are the cards of a cluster; they come and go with its nodes."""

    def __init__(
        self,
        address: str,
        arguments: Sequence[str],
        environ: Mapping[str, str] | None = None,
        patience: Patience = AMONG_OTHERS,
        room_grace_s: float = ROOM_GRACE_S,
    ) -> None:
        """`arguments` start the worker with a node's own Python; `address` is the head's `host:port`."""
        super().__init__(room_grace_s=room_grace_s)
        self._address = address
        self._arguments = list(arguments)
        self._environ = dict(os.environ if environ is None else environ)
        self._patience = patience
        self._seats: dict[tuple[str, int], LocalBackend] = {}
        self._scout: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._refused: dict[str, str] = {}

    async def start(self) -> None:
        """Begin asking the cluster for its nodes."""
        if self._scout is None:
            self._scout = asyncio.create_task(self._scout_for_ever(), name="ray-scout")

    async def close(self) -> None:
        """Stop all workers; running attempts raise WorkerLost."""
        if self._scout is not None:
            self._scout.cancel()
            await asyncio.wait([self._scout])
            self._scout = None
        await super().close()
        if self._leaving:
            await asyncio.wait(self._leaving)

    def worker_pids(self) -> list[int]:
        """Give the pids of the workers that are ready, each on its own node."""
        return [seat.worker_pid for seat in self._seats.values() if seat.is_ready and seat.worker_pid]

    async def _scout_for_ever(self) -> None:
        while True:
            try:
                await self._one_look()
            except TimeoutError:
                log.error("the cluster has not answered for %.0f s", self._patience.start_s)
            except (OSError, ValueError):  # the latter: a line that is none
                log.exception("the cluster's nodes could not be asked for")
            await asyncio.sleep(REJOIN_S)

    async def _one_look(self) -> None:
        """Follow the cluster until it is gone. Workers that we have stay meanwhile: each knows by itself."""
        scout = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gpu_worker.cluster.nodes", "--address", self._address),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self._environ,
            start_new_session=True,
        )
        words = asyncio.create_task(_last_line(scout), name="ray-scout-log")
        try:
            assert scout.stdout is not None  # noqa: S101 - it was asked for as a pipe
            while line := await self._heard(scout.stdout):
                await self._settle(_lines.decode(line))
            await asyncio.wait([words], timeout=self._patience.cancel_grace_s)
            log.error("%s", words.result() if words.done() else "the cluster is gone")
        finally:
            words.cancel()
            kill(scout)
            await gone(scout)

    async def _heard(self, lines: asyncio.StreamReader) -> bytes:
        # One comes each second; Ray itself may wait for a head that hangs for ever.
        async with asyncio.timeout(self._patience.start_s):
            return await lines.readline()

    async def _settle(self, nodes: Sequence[Node]) -> None:
        """Have a seat for each card that there is."""
        self._tell_refused(nodes)
        let_in = [node for node in nodes if not node.refused]
        wanted = {(node.id, card): node for node in let_in for card in range(node.cards)}
        for key in self._seats.keys() - wanted.keys():
            seat = self._seats.pop(key)
            log.warning("%s has left the cluster", seat.name)
            # Beside us: to take leave of one that is frozen takes a while.
            leaving = asyncio.create_task(self.leave(seat), name=f"leave-{seat.name}")
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        for key, node in wanted.items():
            if key not in self._seats:
                seat = self._seats[key] = LocalBackend(
                    self._relay(node), self._environ, self._patience, _name(node, key[1])
                )
                log.info("%s has joined the cluster", seat.name)
                await self.join(seat)

    def _tell_refused(self, nodes: Sequence[Node]) -> None:
        """Log each node that is not let in, once."""
        before, self._refused = self._refused, {node.id: node.refused for node in nodes if node.refused}
        for node in nodes:
            if node.refused and before.get(node.id) != node.refused:
                log.error("node %s (%s) is refused: %s", node.id[:8], node.host, node.refused)

    def _relay(self, node: Node) -> list[str]:
        relay = [sys.executable, "-m", "gpu_worker.cluster.relay", "--address", self._address]
        return [*relay, "--node", node.id, "--", *self._arguments]


def _name(node: Node, card: int) -> str:
    return f"card {card} of node {node.id[:8]} ({node.host})"


async def _last_line(process: Process) -> str:
    """Read what a process writes to its stderr to its end; gives the last line."""
    assert process.stderr is not None  # noqa: S101 - it was asked for as a pipe
    last = "the cluster is gone"
    while line := await process.stderr.readline():
        last = line.decode(errors="replace").strip() or last
    return last
