"""A worker on each card of a Ray cluster. Ray itself stays out of this process.

A program beside the bot lists the nodes. Each card has a relay: a process here that owns the worker there and
speaks its protocol. So a remote worker is watched by the code for a local one (silence, hangs, wrong events,
cancelling), and a failing head never reaches the bot.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence

import msgspec

from bot.jobs.backends.local import POOL_TIMEOUTS, ProcessBackend, WorkerTimeouts
from bot.jobs.backends.pool import SLOT_TIMEOUT_S, WorkerPool
from bot.processes.kill import kill_process, reap

log = logging.getLogger(__name__)

#: Pause before the cluster is asked again after it could not be joined or has gone.
REJOIN_DELAY_S = 5.0


class ClusterNode(msgspec.Struct, frozen=True):
    """A node with cards."""

    id: str
    host: str
    cards: int
    refused: str = ""  #: why its cards are not used


_nodes_decoder = msgspec.json.Decoder(list[ClusterNode])


class RayBackend(WorkerPool):
    """A pool whose slots are the cards of a cluster. They come and go with its nodes."""

    def __init__(
        self,
        address: str,
        arguments: Sequence[str],
        environ: Mapping[str, str] | None = None,
        timeouts: WorkerTimeouts = POOL_TIMEOUTS,
        slot_timeout_s: float = SLOT_TIMEOUT_S,
    ) -> None:
        """`arguments` start the worker with a node's own Python. `address` is the head's `host:port`."""
        super().__init__(slot_timeout_s=slot_timeout_s)
        self._address = address
        self._arguments = list(arguments)
        self._environ = dict(os.environ if environ is None else environ)
        self._timeouts = timeouts
        self._card_slots: dict[tuple[str, int], ProcessBackend] = {}
        self._watcher_task: asyncio.Task[None] | None = None
        self._removal_tasks: set[asyncio.Task[None]] = set()
        self._refused_nodes: dict[str, str] = {}

    async def start(self) -> None:
        """Begin asking the cluster for its nodes."""
        if self._watcher_task is None:
            self._watcher_task = asyncio.create_task(self._watch_nodes(), name="ray-scout")

    async def close(self) -> None:
        """Stop all workers. Running attempts raise WorkerLost."""
        if self._watcher_task is not None:
            self._watcher_task.cancel()
            await asyncio.wait([self._watcher_task])
            self._watcher_task = None
        await super().close()
        if self._removal_tasks:
            await asyncio.wait(self._removal_tasks)

    def worker_pids(self) -> list[int]:
        """Return the process ids of the workers that are ready, each on its own node."""
        return [slot.worker_pid for slot in self._card_slots.values() if slot.is_ready and slot.worker_pid]

    async def _watch_nodes(self) -> None:
        while True:
            try:
                await self._follow_cluster()
            except TimeoutError:
                log.error("the cluster has not answered for %.0f s", self._timeouts.start_timeout_s)
            except (OSError, ValueError):  # the latter: a line that is none
                log.exception("the cluster's nodes could not be asked for")
            await asyncio.sleep(REJOIN_DELAY_S)

    async def _follow_cluster(self) -> None:
        """Follow the cluster until it is gone. Workers stay meanwhile: each notices by itself."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gpu_worker.cluster.nodes", "--address", self._address),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self._environ,
            start_new_session=True,
        )
        stderr_task = asyncio.create_task(_read_last_line(process), name="ray-scout-log")
        try:
            assert process.stdout is not None  # noqa: S101 - it was asked for as a pipe
            while line := await self._read_line(process.stdout):
                await self._sync_slots(_nodes_decoder.decode(line))
            await asyncio.wait([stderr_task], timeout=self._timeouts.cancel_timeout_s)
            log.error("%s", stderr_task.result() if stderr_task.done() else "the cluster is gone")
        finally:
            stderr_task.cancel()
            kill_process(process)
            await reap(process)

    async def _read_line(self, stream: asyncio.StreamReader) -> bytes:
        # One comes each second; Ray itself may wait for a head that hangs for ever.
        async with asyncio.timeout(self._timeouts.start_timeout_s):
            return await stream.readline()

    async def _sync_slots(self, nodes: Sequence[ClusterNode]) -> None:
        """Make one slot for each card that there is."""
        self._log_refused(nodes)
        admitted_nodes = [node for node in nodes if not node.refused]
        nodes_by_card = {(node.id, card): node for node in admitted_nodes for card in range(node.cards)}
        for key in self._card_slots.keys() - nodes_by_card.keys():
            slot = self._card_slots.pop(key)
            log.warning("%s has left the cluster", slot.name)
            # Beside us: to take leave of one that is frozen takes a while.
            removal_task = asyncio.create_task(self.remove_slot(slot), name=f"leave-{slot.name}")
            self._removal_tasks.add(removal_task)
            removal_task.add_done_callback(self._removal_tasks.discard)
        for key, node in nodes_by_card.items():
            if key not in self._card_slots:
                slot = self._card_slots[key] = ProcessBackend(
                    self._relay_command(node), self._environ, self._timeouts, _slot_name(node, key[1])
                )
                log.info("%s has joined the cluster", slot.name)
                await self.add_slot(slot)

    def _log_refused(self, nodes: Sequence[ClusterNode]) -> None:
        """Log each node that is refused, once."""
        previous_refusals, self._refused_nodes = (
            self._refused_nodes,
            {node.id: node.refused for node in nodes if node.refused},
        )
        for node in nodes:
            if node.refused and previous_refusals.get(node.id) != node.refused:
                log.error("node %s (%s) is refused: %s", node.id[:8], node.host, node.refused)

    def _relay_command(self, node: ClusterNode) -> list[str]:
        command = [sys.executable, "-m", "gpu_worker.cluster.relay", "--address", self._address]
        return [*command, "--node", node.id, "--", *self._arguments]


def _slot_name(node: ClusterNode, card: int) -> str:
    return f"card {card} of node {node.id[:8]} ({node.host})"


async def _read_last_line(process: Process) -> str:
    """Read the stderr of a process to its end. Return its last line."""
    assert process.stderr is not None  # noqa: S101 - it was asked for as a pipe
    last_line = "the cluster is gone"
    while line := await process.stderr.readline():
        last_line = line.decode(errors="replace").strip() or last_line
    return last_line
