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
from small_base.pictures import load_drawings
from small_base.run import SmallBaseRun
from small_base.settings import SmallBaseSettings
from small_base.unet import encode_drawings, train_diffusion_model
from small_base.vae import train_vae
from small_base.vocabulary import build_tokenizer


def log_line(line: str) -> None:
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
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.run.mkdir(parents=True, exist_ok=True)
    run = SmallBaseRun(args.run, SmallBaseSettings(), log_line)
    log_line("drawing")
    pixels = load_drawings(run.folder / "drawings.npy", run.settings.num_drawings, run.settings.image_px)
    vae = train_vae(run, pixels)
    train_diffusion_model(run, encode_drawings(run, vae, pixels), build_tokenizer(run.settings))


if __name__ == "__main__":
    main()
