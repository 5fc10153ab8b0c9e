"""First act: the VAE learns to give a drawing back from its latents."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from small_base.architecture import build_vae
from small_base.pictures import Pixels, shuffled, to_tensor
from small_base.run import Run, Saver, rate_at
from small_base.state import TrainingState


def train_vae(run: Run, pixels: Pixels) -> AutoencoderKL:
    """Teach it with L1 of pixels and of edges and a little KL; return it with its averaged weights."""
    settings, path = run.settings, run.folder / "vae.safetensors"
    torch.manual_seed(settings.seed)
    vae = build_vae(settings).to(memory_format=torch.channels_last)
    state = TrainingState(vae, settings.vae_rate, settings.ema_decay)
    state.load(path)
    saver = Saver(run, path)
    for indices in shuffled(len(pixels), settings.vae_batch, settings.seed, state.step):
        if state.step >= settings.vae_steps:
            break
        picture = to_tensor(pixels[indices]).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(picture).latent_dist
            back = vae.decode(posterior.sample()).sample
        back = back.float()
        loss_pixels, loss_edges = F.l1_loss(back, picture), edge_loss(back, picture)
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        (loss_pixels + settings.vae_edge_weight * loss_edges + settings.vae_kl_weight * kl).backward()
        state.advance(
            rate_at(state.step, settings.vae_steps, settings.vae_rate, settings), settings.gradient_norm
        )
        if state.step % settings.log_every_steps == 0:
            run.say(
                f"vae {state.step}/{settings.vae_steps} l1 {loss_pixels:.4f} edges {loss_edges:.4f}"
                f" kl {kl:.2f}"
            )
        saver.save(state, last=state.step == settings.vae_steps)
    state.use_average()
    return vae.eval().requires_grad_(False)


def edge_loss(back: torch.Tensor, picture: torch.Tensor) -> torch.Tensor:
    """Return the L1 between the differences of neighbouring pixels: what keeps lines crisp."""
    return F.l1_loss(back.diff(dim=2), picture.diff(dim=2)) + F.l1_loss(back.diff(dim=3), picture.diff(dim=3))
