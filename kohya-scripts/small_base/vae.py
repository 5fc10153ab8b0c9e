"""Train the small base model's VAE to reconstruct drawings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from small_base.architecture import build_vae
from small_base.pictures import Pixels, iterate_batches, to_tensor
from small_base.run import SmallBaseRun, StateSaver, compute_lr
from small_base.state import SmallBaseState


def train_vae(run: SmallBaseRun, pixels: Pixels) -> AutoencoderKL:
    """Train it with L1 of pixels and edges, and a little KL; return it with averaged weights."""
    settings, path = run.settings, run.folder / "vae.safetensors"
    torch.manual_seed(settings.seed)
    vae = build_vae(settings).to(memory_format=torch.channels_last)
    state = SmallBaseState(vae, settings.vae_lr, settings.ema_decay)
    state.load(path)
    saver = StateSaver(run, path)
    for indices in iterate_batches(len(pixels), settings.vae_batch_size, settings.seed, state.step):
        if state.step >= settings.vae_steps:
            break
        images = to_tensor(pixels[indices]).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(images).latent_dist
            reconstructions = vae.decode(posterior.sample()).sample
        reconstructions = reconstructions.float()
        pixel_loss, edge_loss = F.l1_loss(reconstructions, images), compute_edge_loss(reconstructions, images)
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        (pixel_loss + settings.vae_edge_weight * edge_loss + settings.vae_kl_weight * kl).backward()
        state.apply_gradients(
            compute_lr(state.step, settings.vae_steps, settings.vae_lr, settings), settings.max_grad_norm
        )
        if state.step % settings.log_every_steps == 0:
            run.log(
                f"vae {state.step}/{settings.vae_steps} l1 {pixel_loss:.4f} edges {edge_loss:.4f} kl {kl:.2f}"
            )
        saver.save(state, is_last=state.step == settings.vae_steps)
    state.apply_ema()
    return vae.eval().requires_grad_(False)


def compute_edge_loss(reconstructions: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Return the L1 loss of differences between neighbouring pixels, which keeps lines sharp."""
    return F.l1_loss(reconstructions.diff(dim=2), images.diff(dim=2)) + F.l1_loss(
        reconstructions.diff(dim=3), images.diff(dim=3)
    )
