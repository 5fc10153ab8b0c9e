"""A real Ray cluster on this machine, a process group for each of its nodes."""

from __future__ import annotations

import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HAS_RAY = sys.platform == "linux" and importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="Ray (the extra `ray`, Linux) is not installed")
START_S = 90.0


class Cluster:
    """A head without cards, and nodes with as many as they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token_file = folder / "token"
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(secrets.token_hex(32))
        self.port = _free_port()
        self.address = f"127.0.0.1:{self.port}"
        #: What programs that join are started with.
        self.environ = {**os.environ, "RAY_AUTH_TOKEN_PATH": str(self.token_file)}
        self._started: list[subprocess.Popen[bytes]] = []
        self.head = self._start("head", "--port", str(self.port), f"--temp-dir={folder}", "--num-gpus=0")
        deadline_s = time.monotonic() + START_S
        while not _answers(self.port):
            assert self.head.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline_s, "the head does not answer"
            time.sleep(0.05)

    def node(self, cards: int = 1) -> subprocess.Popen[bytes]:
        """Start one more node; it joins while we go on."""
        return self._start("node", "--address", self.address, f"--num-gpus={cards}")

    def signal(self, node: subprocess.Popen[bytes], number: signal.Signals) -> None:
        """Send a signal to all processes of a node, wherever they have put themselves."""
        for pid in [*_children(node.pid), node.pid]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue  # it ended with its parent

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """Pull a node's plug."""
        self.signal(node, signal.SIGKILL)
        node.wait()

    def close(self) -> None:
        """Pull all plugs."""
        for node in reversed(self._started):
            if node.poll() is None:
                self.kill(node)

    def _start(self, role: str, *arguments: str) -> subprocess.Popen[bytes]:
        line = [sys.executable, "-m", "gpu_worker.cluster.start", role, "--token-file", str(self.token_file)]
        small = ["--num-cpus=2", "--object-store-memory=150000000"]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [*line, *arguments, *small], stdout=log, stderr=log, start_new_session=True
            )
        self._started.append(process)
        return process


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Give a cluster with its head alone."""
    # Ray's sockets need short paths.
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder))
        try:
            yield cluster
        finally:
            cluster.close()


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            pids = [int(each) for each in task.read_text().split()]
        except OSError:
            continue  # it has just ended
        for child in pids:
            found += [*_children(child), child]
    return found


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
