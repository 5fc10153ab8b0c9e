"""Train the small base model from nothing: drawings, VAE, then UNet with text encoder.

    python kohya-scripts/train_small_base.py --run /tmp/small_base_run --threads 2

Every act goes on from its checkpoint in the run folder: kill it at any time, start it with the same line.
The settings are `kohya-scripts/small_base/settings.py`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from small_base.pictures import drawings
from small_base.run import Run
from small_base.settings import SmallBaseSettings
from small_base.unet import encode_all, train_painter
from small_base.vae import train_vae
from small_base.vocabulary import build_tokenizer


def say(line: str) -> None:
    """Print a line of the log with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--run", type=Path, required=True, help="folder of the run: drawings, checkpoints, samples"
    )
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.run.mkdir(parents=True, exist_ok=True)
    run = Run(arguments.run, SmallBaseSettings(), say)
    say("drawing")
    pixels = drawings(run.folder / "drawings.npy", run.settings.drawings, run.settings.picture_px)
    vae = train_vae(run, pixels)
    train_painter(run, encode_all(run, vae, pixels), build_tokenizer(run.settings))


if __name__ == "__main__":
    main()
