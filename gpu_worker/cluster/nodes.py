"""Says which nodes of a cluster have cards: `python -m gpu_worker.cluster.nodes --address A`.

A line of JSON each second, `[{"id": …, "host": …, "cards": …}]`; ends when the cluster does.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading

from gpu_worker.cluster.joining import NotJoined, join

LOOK_S = 1.0
EXIT_NOT_JOINED = 69


def main() -> int:
    """Look, tell, wait; until nobody listens."""
    parser = argparse.ArgumentParser(prog="gpu_worker.cluster.nodes", description=__doc__)
    parser.add_argument("--address", required=True, help="the head, as host:port")
    options = parser.parse_args()
    try:
        join(options.address)
    except NotJoined as error:
        print(error, file=sys.stderr)  # noqa: T201 - the bot logs it
        return EXIT_NOT_JOINED
    import ray

    gone = threading.Event()
    threading.Thread(target=_wait_for_end, args=(gone,), name="reader", daemon=True).start()
    while not gone.is_set():
        found = [
            {"id": node["NodeID"], "host": node["NodeManagerAddress"], "cards": _cards(node["Resources"])}
            for node in ray.nodes()
            if node["Alive"]
        ]
        print(json.dumps([each for each in found if each["cards"]]), flush=True)  # noqa: T201
        gone.wait(LOOK_S)
    return 0


def _cards(resources: dict[str, float]) -> int:
    return int(resources.get("GPU", 0))


def _wait_for_end(gone: threading.Event) -> None:
    sys.stdin.buffer.read()  # nothing is ever said; it ends with the bot
    gone.set()


if __name__ == "__main__":
    sys.exit(main())
