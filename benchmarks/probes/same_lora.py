"""Train with several sets of flags in one process tree: ours, or sd-scripts' in the checkout that is given.

It runs under the peer's Python too, so it imports nothing of this project before it knows whose program runs.
Each training is a fork of one process that has imported everything: imports take longer than these trainings.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    """Read the jobs from a JSON file: a list of {"log": path, "flags": [...]}; print the status of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", type=Path)
    parser.add_argument("--peer", type=Path, help="a checkout of sd-scripts (default: our trainer)")
    parser.add_argument("--widths", help="of the model's UNet, as JSON")
    args = parser.parse_args()
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(1)  # before the fork: threads do not survive it
    train = _load_peer(args.peer, json.loads(args.widths)) if args.peer else _load_ours()
    statuses = [_run_forked(train, job) for job in json.loads(args.jobs.read_text("utf-8"))]
    print(json.dumps({"statuses": statuses}))


def _load_ours() -> Callable[[list[str]], int]:
    sys.path.insert(0, str(Path(__file__).parents[2] / "kohya-scripts"))
    program: Any = importlib.import_module("train_network")
    importlib.import_module("torch.utils.tensorboard")
    run: Callable[[list[str]], int] = program.main
    return run


def _load_peer(checkout: Path, widths: list[int]) -> Callable[[list[str]], int]:
    """Return sd-scripts' trainer. Its UNet's widths are constants, which are set to the small model's."""
    os.chdir(checkout)
    sys.path.insert(0, str(checkout))
    program: Any = importlib.import_module("train_network")
    unet: Any = importlib.import_module("library.original_unet")
    importlib.import_module("networks.lora")
    importlib.import_module("torch.utils.tensorboard")
    unet.BLOCK_OUT_CHANNELS = tuple(widths)
    unet.TIMESTEP_INPUT_DIM, unet.TIME_EMBED_DIM = widths[0], 4 * widths[0]

    def train(flags: list[str]) -> int:
        program.NetworkTrainer().train(program.setup_parser().parse_args(flags))
        return 0

    return train


def _run_forked(train: Callable[[list[str]], int], job: dict[str, Any]) -> int:
    """Run one training in a child with its output in a file; return its exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    with Path(job["log"]).open("w", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            status = train(job["flags"])
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
