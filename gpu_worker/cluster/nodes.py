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

from gpu_worker.cluster.admission import Gate, our_version
from gpu_worker.cluster.joining import NotJoined, join

LOOK_S = 1.0
EXIT_NOT_JOINED = 69


def main() -> int:
    """Look, tell, wait; until nobody listens."""
    parser = argparse.ArgumentParser(prog="gpu_worker.cluster.nodes", description=__doc__)
    parser.add_argument("--address", required=True, help="the head, as host:port")
    options = parser.parse_args()
    # Ray prints what becomes of nodes: lines keep the pipe for themselves.
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        join(options.address)
    except NotJoined as error:
        print(error, file=sys.stderr)  # noqa: T201 - the bot logs it
        return EXIT_NOT_JOINED
    import ray

    gone = threading.Event()
    threading.Thread(target=_wait_for_end, args=(gone,), name="reader", daemon=True).start()
    gate = Gate(our_version())
    while not gone.is_set():
        print(json.dumps(described(ray.nodes(), gate)), file=lines, flush=True)
        gone.wait(LOOK_S)
    return 0


def described(nodes: list[dict[str, Any]], gate: Gate) -> list[dict[str, Any]]:
    """Tell of the nodes with cards, and why one is refused; of those that are still looked at, nothing."""
    found = []
    for node in nodes:
        cards = int(node["Resources"].get("GPU", 0))
        if not node["Alive"] or not cards or (refused := gate.refusal(node)) is None:
            continue
        host = node["NodeManagerAddress"]
        found.append({"id": node["NodeID"], "host": host, "cards": cards, "refused": refused})
    return found


def _wait_for_end(gone: threading.Event) -> None:
    sys.stdin.buffer.read()  # nothing is ever said; it ends with the bot
    gone.set()


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # a probe may still wait for a node that does not answer
