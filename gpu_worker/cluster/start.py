"""Starts a node of a cluster as LoraCode wants it: `python -m gpu_worker.cluster.start head|node …`.

Becomes `ray start --block` with a token, a watchful head, and no web page. What it does not know goes to Ray.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from gpu_worker.cluster.admission import LABEL, our_version
from gpu_worker.cluster.joining import WATCHFUL, NotJoined, check_reach, settle


def command(arguments: list[str], environ: dict[str, str]) -> list[str]:
    """Give the line of `ray start`, and put what Ray must know into `environ`; NotJoined if it cannot."""
    parser = argparse.ArgumentParser(prog="gpu_worker.cluster.start", description=__doc__)
    parser.add_argument("role", choices=["head", "node"], help="the first machine, or one more")
    parser.add_argument("--address", help="node: where the head is, as host:port")
    parser.add_argument("--port", type=int, default=6379, help="head: where it listens (default: 6379)")
    parser.add_argument("--token-file", type=Path, help="the cluster's secret, the same on all machines")
    options, rest = parser.parse_known_args(arguments)
    if options.token_file is not None:
        environ["RAY_AUTH_TOKEN_PATH"] = str(options.token_file.absolute())
    environ.update(WATCHFUL)
    settle(environ)
    ray_start = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats"]
    # Ours are placed by cards alone; for each CPU it may use, Ray starts a Python that nobody needs.
    ray_start += ["--num-cpus=0", f"--labels={LABEL}={our_version()}"]
    if environ.get("CLUSTER_IP"):
        ray_start.append(f"--node-ip-address={environ['CLUSTER_IP']}")
    if options.role == "head":
        return [*ray_start, "--head", f"--port={options.port}", "--include-dashboard=false", *rest]
    if options.address is None:
        raise NotJoined("A node needs --address, the host:port of the head")
    check_reach(options.address)
    return [*ray_start, f"--address={options.address}", *rest]


def main() -> NoReturn:
    """Check, then become Ray."""
    environ = dict(os.environ)
    try:
        line = command(sys.argv[1:], environ)
    except NotJoined as error:
        print(error, file=sys.stderr)  # noqa: T201 - a program a person runs
        sys.exit(69)
    os.execve(line[0], line, environ)  # noqa: S606 - Ray's own program, beside this Python


if __name__ == "__main__":
    main()
