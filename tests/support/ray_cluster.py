"""When tests can have a Ray cluster, and a network that it cannot look into."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.ray_cluster import START_TIMEOUT_S, RayCluster, running_cluster

__all__ = ["START_TIMEOUT_S", "RayCluster", "Wall", "needs_ray", "running_cluster", "walled_off"]

HAS_RAY = sys.platform == "linux" and importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="Ray (the extra `ray`, Linux) is not installed")


class Wall:
    """A network of its own from which this machine is reached, and which is not reached from here."""

    #: Where this machine is from inside, and where a node inside says to be: no way leads there.
    OUTSIDE, _DOOR, INSIDE = "198.18.77.1", "198.18.77.2", "203.0.113.77"
    _NAME, _LINK = "loracode-wall", "lora-wall"

    def __init__(self) -> None:
        self._enter = ("ip", "netns", "exec", self._NAME)

    def build(self) -> None:
        """Make it; skips where that is not possible."""
        if sys.platform != "linux" or shutil.which("ip") is None or os.geteuid() != 0:
            pytest.skip("a network of its own needs root and iproute2")
        try:
            _ip("netns", "add", self._NAME)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network of its own can be made here: {error.stderr.strip()}")
        inside = ("-n", self._NAME)
        _ip("link", "add", self._LINK, "type", "veth", "peer", "name", "door", "netns", self._NAME)
        _ip("addr", "add", f"{self.OUTSIDE}/30", "dev", self._LINK)
        _ip("link", "set", self._LINK, "up")
        _ip("route", "add", "unreachable", self.INSIDE)
        _ip(*inside, "addr", "add", f"{self._DOOR}/30", "dev", "door")
        _ip(*inside, "addr", "add", f"{self.INSIDE}/32", "dev", "lo")
        for device in ("lo", "door"):
            _ip(*inside, "link", "set", device, "up")

    def node_inside(self, cluster: RayCluster) -> subprocess.Popen[bytes]:
        """Start a node that reaches the head and cannot be reached."""
        head = f"{self.OUTSIDE}:{cluster.port}"
        return cluster.start_node_via(head, f"--node-ip-address={self.INSIDE}", prefix=self._enter)

    def pull_down(self) -> None:
        """Leave nothing of it."""
        for what in (("netns", "del", self._NAME), ("route", "del", "unreachable", self.INSIDE)):
            subprocess.run(["ip", *what], capture_output=True)  # noqa: S607 - where iproute2 is differs


@contextmanager
def walled_off() -> Iterator[Wall]:
    """Yield such a network while it is needed."""
    wall = Wall()
    wall.build()
    try:
        yield wall
    finally:
        wall.pull_down()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)  # noqa: S607 - likewise
