"""Train the small base model from nothing. So far: drawings and VAE; UNet and export are to come.

    python kohya-scripts/train_small_base.py --run /tmp/small_base_run --threads 2

Every act goes on from its checkpoint in the run folder: kill it at any time, start it with the same line.
The settings are `gpu_worker/small_base/settings.py`.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from gpu_worker.small_base.architecture import build_vae
from gpu_worker.small_base.pictures import Pixels, drawings, shuffled, to_tensor
from gpu_worker.small_base.settings import SmallBaseSettings
from gpu_worker.small_base.state import TrainingState


@dataclass(frozen=True)
class Run:
    """Where a run keeps what it has done, and how long it may go on."""

    folder: Path
    settings: SmallBaseSettings


def train_vae(run: Run, pixels: Pixels) -> None:
    """Teach the VAE to give a drawing back from 16x16 latents: L1 of pixels and edges, a little KL."""
    settings, path = run.settings, run.folder / "vae.safetensors"
    torch.manual_seed(settings.seed)
    vae = build_vae(settings).to(memory_format=torch.channels_last)
    state = TrainingState(vae, settings.vae_rate, settings.ema_decay)
    state.load(path)
    saved = time.monotonic()
    for indices in shuffled(len(pixels), settings.vae_batch, settings.seed, state.step):
        if state.step >= settings.vae_steps:
            break
        picture = to_tensor(pixels[indices]).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(picture).latent_dist
            back = vae.decode(posterior.sample()).sample
        back = back.float()
        loss_pixels = F.l1_loss(back, picture)
        loss_edges = F.l1_loss(back.diff(dim=2), picture.diff(dim=2)) + F.l1_loss(
            back.diff(dim=3), picture.diff(dim=3)
        )
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        (loss_pixels + settings.vae_edge_weight * loss_edges + settings.vae_kl_weight * kl).backward()
        state.advance(
            rate_at(state.step, settings.vae_steps, settings.vae_rate, settings), settings.gradient_norm
        )
        if state.step % settings.log_every_steps == 0:
            say(
                f"vae {state.step}/{settings.vae_steps} l1 {loss_pixels:.4f} edges {loss_edges:.4f}"
                f" kl {kl:.2f}"
            )
        if time.monotonic() - saved > settings.checkpoint_every_s or state.step == settings.vae_steps:
            state.save(path)
            saved = time.monotonic()


def rate_at(step: int, steps: int, rate: float, settings: SmallBaseSettings) -> float:
    """Return the learning rate: a warm-up, a plateau, a straight line down to almost nothing."""
    cool_down = max(1.0, steps * settings.cool_down_share)
    return rate * min((step + 1) / settings.warm_up_steps, (steps - step) / cool_down, 1.0)


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
    settings = SmallBaseSettings()
    arguments.run.mkdir(parents=True, exist_ok=True)
    run = Run(arguments.run, settings)
    say("drawing")
    pixels = drawings(run.folder / "drawings.npy", settings.drawings, settings.picture_px)
    train_vae(run, pixels)


if __name__ == "__main__":
    main()
