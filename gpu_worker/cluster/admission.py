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
VERSION_LABEL = "loracode"
#: A node on a private network answers in milliseconds.
PROBE_TIMEOUT_S = 3.0
#: A node that could not be reached is tried again so long after.
PROBE_RETRY_S = 10.0
#: Nodes that are tried at once.
_MAX_PROBES = 8


def local_version() -> str:
    """Return the versions of LoraCode and of the worker protocol."""
    try:
        package = metadata.version("loracode")
    except metadata.PackageNotFoundError:
        package = "0"
    return f"{package}-{VERSION}"


def is_port_open(host: str, port: int) -> bool:
    """Return True if a port can be reached from here."""
    try:
        with socket.create_connection((host, port), timeout=PROBE_TIMEOUT_S):
            return True
    except OSError:
        return False


class NodeAdmission:
    """Looks at each node as it comes: one behind NAT or a firewall joins well, and hangs what it is given."""

    def __init__(
        self,
        version: str,
        is_reachable: Callable[[str, int], bool] = is_port_open,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._version = version
        self._is_reachable = is_reachable
        self._clock = clock
        self._executor = ThreadPoolExecutor(_MAX_PROBES, thread_name_prefix="probe")
        self._node_probes: dict[str, tuple[float, Future[bool]]] = {}

    def refusal_reason(self, node: Mapping[str, Any]) -> str | None:
        """Return why a node is refused; an empty text if it is admitted, None if that is not known yet."""
        node_version = node.get("Labels", {}).get(VERSION_LABEL)
        if node_version is None:
            return "it was not started by gpu_worker.cluster.start, so nobody knows what it runs"
        if node_version != self._version:
            return f"it runs LoraCode {node_version} and we {self._version}; install the same everywhere"
        host, port = node["NodeManagerAddress"], node["NodeManagerPort"]
        probed_at_s, probe = self._node_probes.get(node["NodeID"], (0.0, None))
        if probe is None or (
            probe.done() and not probe.result() and self._clock() - probed_at_s > PROBE_RETRY_S
        ):
            new_probe = self._executor.submit(self._is_reachable, host, port)
            self._node_probes[node["NodeID"]] = (self._clock(), new_probe)
        if probe is None or not probe.done():
            return None
        return "" if probe.result() else f"{host}:{port} cannot be reached from here; open the way to it"
