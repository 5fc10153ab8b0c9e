"""A real Ray cluster on this machine, a process group for each of its nodes: to measure, and for tests."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from gpu_worker.cluster.joining import HEAD_LOST_TIMEOUT_S

#: Nodes and workers are there in seconds; on a machine that does much besides it takes longer.
START_TIMEOUT_S = 180.0
_STARTED_TEXT = "Ray runtime started"
#: Starts a node again whenever it has ended, as Compose and systemd do: Ray gives it 30 s to start, and takes
#: it for dead when it is silent for seconds, as on a machine that does much besides.
_RESTART_COMMAND = ("sh", "-c", 'while kill -0 $PPID; do "$@"; sleep 1; done', "kept")
#: A head each time in a folder of its own: Ray remembers the last one there, and takes its nodes for heads.
_RESTART_HEAD_COMMAND = (
    *_RESTART_COMMAND[:2],
    _RESTART_COMMAND[2].replace('"$@"', '"$@" --temp-dir="$(mktemp -d "$0/XXXXXXXX")"'),
)


class RayCluster:
    """A head without cards, and nodes with as many as they are asked for."""

    def __init__(self, folder: Path, head_lost_timeout_s: int = HEAD_LOST_TIMEOUT_S) -> None:
        """Make a cluster whose nodes, and who joined it, end so long after their head did."""
        self.folder = folder
        self.token_file = folder / "token"
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(secrets.token_hex(32))
        self.port = _free_port()
        self.address = f"127.0.0.1:{self.port}"
        #: What programs that join are started with.
        self.environ = {
            **os.environ,
            "RAY_AUTH_TOKEN_PATH": str(self.token_file),
            "RAY_gcs_rpc_server_reconnect_timeout_s": str(head_lost_timeout_s),
        }
        self._started: list[subprocess.Popen[bytes]] = []
        self._logs: dict[int, Path] = {}
        self.start_head()

    def start_head(self) -> None:
        """Start the head, or a new one where an earlier one was; it comes back until it is killed."""
        prefix = (*_RESTART_HEAD_COMMAND, str(self.folder))
        self.head = self._start("head", "--port", str(self.port), "--num-gpus=0", prefix=prefix)
        deadline_s = time.monotonic() + START_TIMEOUT_S
        # Its port answers long before whoever joins is let in.
        while _STARTED_TEXT not in (log_text := self.read_log(self.head)):
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"the head does not start: {log_text}")
            time.sleep(0.05)

    def start_node(
        self, *arguments: str, cards: int = 1, is_restarted: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start one more node; it joins while we go on. One that is kept comes back, and does not end."""
        prefix = _RESTART_COMMAND if is_restarted else ()
        return self._start(
            "node", "--address", self.address, f"--num-gpus={cards}", *arguments, prefix=prefix
        )

    def start_foreign_node(self) -> subprocess.Popen[bytes]:
        """Start a node that has another token; it ends when it has tried for 20 s."""
        other = self.folder / "other-token"
        other.touch(mode=0o600)
        other.write_text(secrets.token_hex(32))
        return self._start("node", "--address", self.address, "--num-gpus=1", token_file=other)

    def start_node_via(self, head: str, *arguments: str, prefix: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a node by way of another program, which calls the head by another address."""
        return self._start("node", "--address", head, "--num-gpus=1", *arguments, prefix=prefix)

    def find_node(self, pid: int) -> subprocess.Popen[bytes]:
        """Return the node that a process belongs to; LookupError if it is none's."""
        for node in self._started:
            if node.poll() is None and pid in _children(node.pid):
                return node
        raise LookupError(f"process {pid} is on no node")

    def read_log(self, node: subprocess.Popen[bytes]) -> str:
        """Return what a node has said so far."""
        return self._logs[node.pid].read_text()

    def listening_ports(self) -> set[int]:
        """Return the ports at which the head's processes listen to other machines."""
        connections = [
            connection
            for pid in [*_children(self.head.pid), self.head.pid]
            if psutil.pid_exists(pid)
            for connection in psutil.Process(pid).net_connections("tcp")
        ]
        return {
            connection.laddr.port
            for connection in connections
            if connection.status == psutil.CONN_LISTEN and connection.laddr.ip not in ("127.0.0.1", "::1")
        }

    def signal_node(self, node: subprocess.Popen[bytes], number: signal.Signals) -> None:
        """Send a signal to all processes of a node, wherever they have put themselves."""
        # Whoever keeps it first, lest it come back.
        for pid in [node.pid, *_children(node.pid)]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue  # it ended with its parent

    def kill_node(self, node: subprocess.Popen[bytes]) -> None:
        """Pull a node's plug."""
        self.signal_node(node, signal.SIGKILL)
        node.wait()

    def close(self) -> None:
        """Pull all plugs."""
        for node in reversed(self._started):
            if node.poll() is None:
                self.kill_node(node)

    def _start(
        self, role: str, *arguments: str, prefix: Sequence[str] = (), token_file: Path | None = None
    ) -> subprocess.Popen[bytes]:
        command = [*prefix, sys.executable, "-m", "gpu_worker.cluster.start", role]
        node_options = ["--token-file", str(token_file or self.token_file), "--object-store-memory=150000000"]
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix="log-", delete=False) as log:
            process = subprocess.Popen(
                [*command, *arguments, *node_options],
                stdout=log,
                stderr=log,
                env=self.environ,
                start_new_session=True,
            )
        self._started.append(process)
        self._logs[process.pid] = Path(log.name)
        return process


@contextmanager
def running_cluster(head_lost_timeout_s: int = HEAD_LOST_TIMEOUT_S) -> Iterator[RayCluster]:
    """Return a cluster with its head alone."""
    # Ray's sockets need short paths.
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as folder:
        cluster = RayCluster(Path(folder), head_lost_timeout_s)
        try:
            yield cluster
        finally:
            cluster.close()


def _children(pid: int) -> list[int]:
    child_pids: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            pids = [int(each) for each in task.read_text().split()]
        except OSError:
            continue  # it has just ended
        for child in pids:
            child_pids += [*_children(child), child]
    return child_pids


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
