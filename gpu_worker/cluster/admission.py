"""Which nodes of a cluster are let in: those of our version that can be reached back. Ray-free itself."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import metadata
from typing import Any

from gpu_worker.protocol import VERSION

#: The label by which a node says which LoraCode it has.
LABEL = "loracode"
#: A node on a private network answers in milliseconds.
PROBE_S = 3.0
#: A node that could not be reached is tried again so long after.
AGAIN_S = 10.0
#: Nodes that are tried at once.
_PROBES = 8


def our_version() -> str:
    """Give the version of this LoraCode, and that of what bot and worker say to each other."""
    try:
        package = metadata.version("loracode")
    except metadata.PackageNotFoundError:
        package = "0"
    return f"{package}-{VERSION}"


def answers(host: str, port: int) -> bool:
    """Say whether a port can be reached from here."""
    try:
        with socket.create_connection((host, port), timeout=PROBE_S):
            return True
    except OSError:
        return False


class Gate:
    """Looks at each node as it comes: one behind NAT or a firewall joins well, and hangs what it is given."""

    def __init__(
        self,
        version: str,
        can_reach: Callable[[str, int], bool] = answers,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._version = version
        self._can_reach = can_reach
        self._clock_s = clock_s
        self._probes = ThreadPoolExecutor(_PROBES, thread_name_prefix="probe")
        self._asked: dict[str, tuple[float, Future[bool]]] = {}

    def refusal(self, node: Mapping[str, Any]) -> str | None:
        """Say in a sentence why a node, as Ray tells it, is not let in; '': it is, None: not known yet."""
        theirs = node.get("Labels", {}).get(LABEL)
        if theirs is None:
            return "it was not started by gpu_worker.cluster.start, so nobody knows what it runs"
        if theirs != self._version:
            return f"it runs LoraCode {theirs} and we {self._version}; install the same everywhere"
        host, port = node["NodeManagerAddress"], node["NodeManagerPort"]
        since_s, probe = self._asked.get(node["NodeID"], (0.0, None))
        if probe is None or (probe.done() and not probe.result() and self._clock_s() - since_s > AGAIN_S):
            again = self._probes.submit(self._can_reach, host, port)
            self._asked[node["NodeID"]] = (self._clock_s(), again)
        if probe is None or not probe.done():
            return None
        return "" if probe.result() else f"{host}:{port} cannot be reached from here; open the way to it"
