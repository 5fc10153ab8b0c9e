"""Settings and connection of a Ray cluster's nodes and drivers."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import MutableMapping
from pathlib import Path

#: Ray's own detection of a frozen node takes 65 s; with these it takes 10 s. Read by the head.
HEALTH_CHECK_ENV = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_health_check_initial_delay_ms": "1000",
}
#: Nodes and programs that joined end so long after their head did; Ray's own 60 s would keep jobs waiting.
HEAD_LOST_TIMEOUT_S = 30
#: A head that is there answers at once; Ray itself would try for ten minutes.
CONNECT_TIMEOUT_S = 10.0


class ClusterJoinError(Exception):
    """The cluster cannot be joined; the message is one sentence that says what to do."""


def configure_environment(environ: MutableMapping[str, str]) -> None:
    """Set what must not depend on Ray's defaults: a token is required, and no usage data are sent.

    Raises NotJoined where the token's file can be read by others.
    """
    # Which mode is Ray's default depends on its version.
    environ.setdefault("RAY_AUTH_MODE", "token")
    environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")
    environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", str(HEAD_LOST_TIMEOUT_S))
    path = environ.get("RAY_AUTH_TOKEN_PATH")
    if path and environ["RAY_AUTH_MODE"] == "token":
        _check_token_file(Path(path))


def check_reachable(address: str) -> None:
    """Raise NotJoined if nothing answers at `host:port` within seconds."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ClusterJoinError(f"{address} is no address of a head; it looks like 10.0.0.1:6379")
    try:
        with socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S):
            return
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ClusterJoinError(
            f"No head answers at {address} ({reason}); start it, or open the way to it"
        ) from None


def join_cluster(address: str, show_worker_logs: bool = False) -> None:
    """Join the cluster at `address` as a driver; NotJoined if that fails."""
    configure_environment(os.environ)
    check_reachable(address)
    import ray  # a second to import, and what was checked so far needs none of it

    try:
        ray.init(
            address=address,
            log_to_driver=show_worker_logs,
            include_dashboard=False,
            configure_logging=False,
            # Where this machine has several addresses, its node said this one.
            _node_ip_address=os.environ.get("CLUSTER_IP") or None,
        )
    except Exception as error:  # Ray has no common base for them
        raise ClusterJoinError(_describe_error(address, error)) from None


def _describe_error(address: str, error: Exception) -> str:
    # Ray's message may quote the token, so only the type of its error is reported.
    error_text = f"{type(error).__name__} {error}"
    # It was reachable a moment ago, so a lost connection means that the token was refused or it is not ready.
    if isinstance(error, ConnectionError) or "authenticat" in error_text.lower():
        return (
            f"The cluster at {address} refused our token, or only starts;"
            " give all machines the same token file"
        )
    if "ersion" in error_text and "mismatch" in error_text.lower():
        return f"The cluster at {address} runs another version of Ray or Python; install the same everywhere"
    if "node" in error_text and "ind" in error_text and "address" in error_text:
        return f"This machine is no node of the cluster at {address}; start one here first"
    return f"The cluster at {address} could not be joined ({type(error).__name__})"


def _check_token_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ClusterJoinError(f"The token file {path} cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(mode):
        raise ClusterJoinError(f"The token file {path} is no file")
    if mode & 0o077:
        raise ClusterJoinError(f"The token file {path} can be read by others; run: chmod 600 {path}")
