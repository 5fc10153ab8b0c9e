"""A worker on a node as a process here: `python -m gpu_worker.cluster.relay --address A --node N -- ARGS`.

Its standard streams carry what the far worker's carry, so the bot cannot tell the two apart. It owns the
actor: when it is killed, Ray ends the actor, and the actor's worker with it.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from typing import Any, BinaryIO

from gpu_worker.cluster.actor import RemoteWorker
from gpu_worker.cluster.joining import ClusterJoinError, join_cluster
from gpu_worker.protocol import frame_length

#: Frames that may wait to be read; with more, the remote worker waits.
MAX_PENDING_FRAMES = 64
EXIT_NOT_JOINED = 69


def main() -> int:
    """Join the cluster, start the worker on its node, and forward frames until either side ends."""
    parser = argparse.ArgumentParser(prog="gpu_worker.cluster.relay", description=__doc__)
    parser.add_argument("--address", required=True, help="the head, as host:port")
    parser.add_argument("--node", required=True, help="the id of the node whose card is meant")
    parser.add_argument("--cards", type=float, default=1.0, help="cards the worker takes (default: 1)")
    parser.add_argument("arguments", nargs="+", help="after `--`: what the worker's Python is started with")
    args = parser.parse_args()
    # Ray prints the far worker's log: frames keep the pipe for themselves.
    frames = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        join_cluster(args.address, show_worker_logs=True)
    except ClusterJoinError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the bot logs it
        return EXIT_NOT_JOINED
    from ray.exceptions import RayError  # Ray reads its environment as it is imported: `join` settles that

    remote_worker = _create_actor(args.node, args.cards)
    threading.Thread(
        target=_forward_input, args=(sys.stdin.buffer, remote_worker), name="forward", daemon=True
    ).start()
    try:
        return _relay_output(remote_worker, args.arguments, frames)
    except RayError as error:
        print(f"The worker on node {args.node[:8]} is lost: {_shorten_error(error)}", file=sys.stderr)  # noqa: T201
        return 1


def _create_actor(node: str, cards: float) -> Any:
    # No retries and no restarts of Ray's own: a stream that it runs again drops what the first had delivered,
    # the result too. No name and no lifetime: a detached actor would work on for a bot that is gone.
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    actor_class = ray.remote(
        num_cpus=0, num_gpus=cards, max_restarts=0, max_task_retries=0, max_concurrency=4
    )(RemoteWorker)
    return actor_class.options(
        scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    ).remote()


def _relay_output(remote_worker: Any, arguments: list[str], frames: BinaryIO) -> int:
    import ray

    stream = remote_worker.run_worker.options(
        num_returns="streaming", _generator_backpressure_num_objects=MAX_PENDING_FRAMES
    ).remote(arguments)
    for reference in stream:
        frames.write(ray.get(reference))
        frames.flush()
    return 0


def _forward_input(stream: BinaryIO, remote_worker: Any) -> None:
    """Forward the bot's frames one by one; each waits until the last was written."""
    import ray
    from ray.exceptions import RayError

    try:
        while len(header := stream.read(4)) == 4:
            if not ray.get(remote_worker.send_frame.remote(header + stream.read(frame_length(header)))):
                return
        ray.get(remote_worker.close_input.remote())
    except RayError:
        return  # the other thread meets the same, and tells


def _shorten_error(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # the forwarding thread may still wait for input; Ray ends what we own
