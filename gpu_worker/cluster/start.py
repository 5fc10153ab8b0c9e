"""Starts a node of a cluster as LoraCode wants it: `python -m gpu_worker.cluster.start head|node …`.

Becomes `ray start --block` with a token, a watchful head, and no web page. What it does not know goes to Ray.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from gpu_worker.cluster.admission import VERSION_LABEL, local_version
from gpu_worker.cluster.joining import (
    HEALTH_CHECK_ENV,
    ClusterJoinError,
    check_reachable,
    configure_environment,
)


def build_command(argv: list[str], environ: dict[str, str]) -> list[str]:
    """Return the command of `ray start`, and add Ray's settings to `environ`; raises NotJoined."""
    parser = argparse.ArgumentParser(prog="gpu_worker.cluster.start", description=__doc__)
    parser.add_argument("role", choices=["head", "node"], help="the first machine, or one more")
    parser.add_argument("--address", help="node: where the head is, as host:port")
    parser.add_argument("--port", type=int, default=6379, help="head: where it listens (default: 6379)")
    parser.add_argument("--token-file", type=Path, help="the cluster's secret, the same on all machines")
    args, ray_arguments = parser.parse_known_args(argv)
    if args.token_file is not None:
        environ["RAY_AUTH_TOKEN_PATH"] = str(args.token_file.absolute())
    environ.update(HEALTH_CHECK_ENV)
    configure_environment(environ)
    ray_start = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats"]
    # Ours are placed by cards alone; for each CPU it may use, Ray starts a Python that nobody needs.
    ray_start += ["--num-cpus=0", f"--labels={VERSION_LABEL}={local_version()}"]
    if environ.get("CLUSTER_IP"):
        ray_start.append(f"--node-ip-address={environ['CLUSTER_IP']}")
    if args.role == "head":
        return [*ray_start, "--head", f"--port={args.port}", "--include-dashboard=false", *ray_arguments]
    if args.address is None:
        raise ClusterJoinError("A node needs --address, the host:port of the head")
    check_reachable(args.address)
    return [*ray_start, f"--address={args.address}", *ray_arguments]


def main() -> NoReturn:
    """Check the settings, then replace this process with Ray."""
    environ = dict(os.environ)
    try:
        command_line = build_command(sys.argv[1:], environ)
    except ClusterJoinError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a program a person runs
        sys.exit(69)
    os.execve(command_line[0], command_line, environ)  # noqa: S606 - Ray's own program, beside this Python


if __name__ == "__main__":
    main()
