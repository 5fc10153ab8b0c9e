"""Start the worker: `python -m gpu_worker`, with the bot at both ends of its standard streams."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_worker.device import memory_limit
from gpu_worker.kohya.external import workspace
from gpu_worker.memory import plan
from gpu_worker.models.sources.acceleration_recipes import AccelerationSetting
from gpu_worker.protocol import WorkerHealth
from gpu_worker.serve.loop import Engine, serve
from gpu_worker.serve.scheduler import GENERATE_SHARE

if TYPE_CHECKING:
    from gpu_worker.kohya.external.trainer import SdScriptsTrainer


def main() -> int:
    """Parse the command line, reserve stdout for frames, and serve."""
    parser = argparse.ArgumentParser(prog="gpu_worker", description=__doc__)
    parser.add_argument("--base-model", default="", help="hub id, folder, .safetensors file, drawn or tiny")
    parser.add_argument("--base-vae", default="", help="hub id, folder or .safetensors file")
    parser.add_argument("--accelerate", default="", help="hyper-sd, lcm, .safetensors file or hub id")
    parser.add_argument("--accelerate-recipe", default="", help="sampler/steps/guidance, such as lcm/8/1")
    parser.add_argument("--accelerate-non-commercial", action="store_true", help="allow such licences")
    parser.add_argument("--channels-last", action="store_true", help="lay out convolutions channels last")
    parser.add_argument("--memory", choices=plan.CHOICES, default=plan.AUTO)
    parser.add_argument("--train-steps", type=int, default=None, help="steps of a training")
    parser.add_argument(
        "--generate-share",
        type=float,
        default=GENERATE_SHARE,
        help="most of the card's time that pictures may take from a training, 0 to 1",
    )
    parser.add_argument("--trainer", choices=["own", "sd-scripts"], default="own", help="default: own")
    parser.add_argument("--sd-scripts-dir", type=Path, help="a checkout of sd-scripts")
    parser.add_argument("--sd-scripts-python", type=Path, help="its Python (default: this one)")
    args = parser.parse_args()
    if args.trainer == "sd-scripts" and args.sd_scripts_dir is None:
        parser.error("--trainer sd-scripts needs --sd-scripts-dir")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    # Ctrl-C at the console goes to the whole group; the bot ends us by closing our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Prints of libraries must not corrupt a frame: keep the pipe, and redirect prints to stderr.
    frames = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    # Also without sd-scripts now: what a killed worker left behind holds photos.
    workspace.remove_stale_workspaces(workspace.workspaces_root())

    memory_limit.prepare_process()

    def create_engine() -> Engine:
        # Seconds to import, so after ReadyMessage is sent. Three thousand modules come to stay: to look for
        # garbage among them takes a third of that time.
        gc.disable()
        from gpu_worker.serve.engine import TorchEngine

        gc.freeze()
        gc.enable()
        return TorchEngine(
            args.base_model,
            args.train_steps,
            _create_sd_scripts_trainer(args),
            args.base_vae,
            AccelerationSetting(args.accelerate, args.accelerate_recipe, args.accelerate_non_commercial),
            args.memory,
            args.channels_last,
        )

    health = WorkerHealth(
        device="starting", base_model=args.base_model, base_model_loaded=False, process_memory_bytes=0
    )
    return serve(create_engine, health, sys.stdin.buffer, frames, args.generate_share)


def _create_sd_scripts_trainer(args: argparse.Namespace) -> SdScriptsTrainer | None:
    if args.trainer != "sd-scripts":
        return None
    from gpu_worker.kohya.external.trainer import (
        SdScriptsTrainer,
    )  # imports torch: after ReadyMessage is sent

    checkout_dir = args.sd_scripts_dir.absolute()
    return SdScriptsTrainer(
        checkout_dir, args.sd_scripts_python, args.base_model, args.train_steps, base_vae=args.base_vae
    )


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # the reader may still wait for input; nothing of ours is left to clean up
