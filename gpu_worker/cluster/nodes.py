"""Says which nodes of a cluster have cards: `python -m gpu_worker.cluster.nodes --address A`.

A line of JSON each second, `[{"id": …, "host": …, "cards": …, "refused": …}]`; ends when the cluster does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from typing import Any

from gpu_worker.cluster.admission import NodeAdmission, local_version
from gpu_worker.cluster.joining import ClusterJoinError, join_cluster

POLL_INTERVAL_S = 1.0
EXIT_NOT_JOINED = 69


def main() -> int:
    """Print the nodes again and again, until the output is closed."""
    parser = argparse.ArgumentParser(prog="gpu_worker.cluster.nodes", description=__doc__)
    parser.add_argument("--address", required=True, help="the head, as host:port")
    args = parser.parse_args()
    # Ray prints what becomes of nodes: lines keep the pipe for themselves.
    output = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        join_cluster(args.address)
    except ClusterJoinError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the bot logs it
        return EXIT_NOT_JOINED
    import ray

    stop_event = threading.Event()
    threading.Thread(target=_wait_for_eof, args=(stop_event,), name="reader", daemon=True).start()
    admission = NodeAdmission(local_version())
    while not stop_event.is_set():
        print(json.dumps(describe_nodes(ray.nodes(), admission)), file=output, flush=True)
        stop_event.wait(POLL_INTERVAL_S)
    return 0


def describe_nodes(nodes: list[dict[str, Any]], admission: NodeAdmission) -> list[dict[str, Any]]:
    """Return the nodes with GPUs, and why one is refused; those that are still checked are left out."""
    entries = []
    for node in nodes:
        cards = int(node["Resources"].get("GPU", 0))
        if not node["Alive"] or not cards or (refusal_reason := admission.refusal_reason(node)) is None:
            continue
        host = node["NodeManagerAddress"]
        entries.append({"id": node["NodeID"], "host": host, "cards": cards, "refused": refusal_reason})
    return entries


def _wait_for_eof(stop_event: threading.Event) -> None:
    sys.stdin.buffer.read()  # nothing is ever said; it ends with the bot
    stop_event.set()


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # a probe may still wait for a node that does not answer
