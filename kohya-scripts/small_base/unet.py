"""Train the small base model's UNet and text encoder together on captioned drawings."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDPMScheduler
from torch import Tensor, nn
from transformers import CLIPTokenizer

import drawn
from gpu_worker.models.sd15.config import SCHEDULER_CONFIG
from gpu_worker.models.text.clip.tokenizer import MAX_TOKENS
from small_base.architecture import build_text_encoder, build_unet
from small_base.pictures import Pixels, iterate_batches, to_tensor
from small_base.run import SmallBaseRun, StateSaver, compute_lr
from small_base.settings import SmallBaseSettings
from small_base.state import SmallBaseState


@dataclass(frozen=True, eq=False)
class DrawingLatents:
    """Mean and standard deviation of every drawing's latents, fp16, unscaled."""

    mean: Tensor
    std: Tensor
    scaling_factor: float  #: brings them to a standard deviation of 1

    def sample(self, indices: list[int], generator: torch.Generator) -> Tensor:
        """Return scaled fp32 latents, drawn from their distribution."""
        mean, std = self.mean[indices].float(), self.std[indices].float()
        return (mean + std * torch.randn(mean.shape, generator=generator)) * self.scaling_factor


@torch.no_grad()
def encode_drawings(
    run: SmallBaseRun, vae: AutoencoderKL, pixels: Pixels, batch_size: int = 64
) -> DrawingLatents:
    """Return the latents of every drawing, from the file if it is complete."""
    path = run.folder / "latents.npy"
    if path.exists():
        statistics = torch.from_numpy(np.load(path))
    else:
        run.log("encoding the drawings")
        chunks = []
        for start in range(0, len(pixels), batch_size):
            with torch.autocast("cpu", torch.bfloat16):
                posterior = vae.encode(to_tensor(pixels[start : start + batch_size])).latent_dist
            chunks.append(torch.stack([posterior.mean, posterior.std]).half())
        statistics = torch.cat(chunks, dim=1)
        np.save(path.with_suffix(".part.npy"), statistics.numpy())
        path.with_suffix(".part.npy").replace(path)
    mean, std = statistics[0], statistics[1]
    return DrawingLatents(mean, std, float(1 / mean.float().std()))


class DiffusionModel(nn.Module):
    """UNet and text encoder as one module to optimise."""

    def __init__(self, settings: SmallBaseSettings, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.unet = build_unet(settings).to(memory_format=torch.channels_last)
        self.text_encoder = build_text_encoder(settings, tokenizer)


def train_diffusion_model(
    run: SmallBaseRun, latents: DrawingLatents, tokenizer: CLIPTokenizer
) -> DiffusionModel:
    """Train it to predict noise; return it with averaged weights."""
    settings, path = run.settings, run.folder / "painter.safetensors"
    torch.manual_seed(settings.seed)
    model = DiffusionModel(settings, tokenizer)
    state = SmallBaseState(model, settings.unet_lr, settings.ema_decay)
    state.load(path)
    saver = StateSaver(run, path)
    loss_fn = _NoisePredictionLoss(model, tokenizer, settings)
    average_loss = 0.0
    for indices in iterate_batches(
        len(latents.mean), settings.unet_batch_size, settings.seed + 1, state.step
    ):
        if state.step >= settings.unet_steps:
            break
        # Drawn from the step's own streams, so that a run that was killed goes on as if it had not been.
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + state.step)
        captions = _sample_captions(indices, state.step, settings)
        loss = loss_fn.compute_loss(latents.sample(indices, generator), captions, state.step, generator)
        loss.backward()  # type: ignore[no-untyped-call]
        state.apply_gradients(
            compute_lr(state.step, settings.unet_steps, settings.unet_lr, settings), settings.max_grad_norm
        )
        average_loss = (
            float(loss.detach()) if average_loss == 0.0 else 0.98 * average_loss + 0.02 * float(loss.detach())
        )
        if state.step % settings.log_every_steps == 0:
            run.log(f"painter {state.step}/{settings.unet_steps} loss {average_loss:.4f}")
        saver.save(state, is_last=state.step == settings.unet_steps)
    state.apply_ema()
    return model.eval().requires_grad_(False)


def _sample_captions(indices: list[int], step: int, settings: SmallBaseSettings) -> list[str]:
    rng = Random(f"{settings.seed} {step}")  # noqa: S311 - teaching material, not secrets
    return [
        ""
        if rng.random() < settings.caption_dropout_rate
        else drawn.varied_caption(drawn.identity(index), drawn.scene(index), rng)
        for index in indices
    ]


class _NoisePredictionLoss:
    """Computes the loss of one step."""

    def __init__(self, model: DiffusionModel, tokenizer: CLIPTokenizer, settings: SmallBaseSettings) -> None:
        self._model, self._tokenizer, self._settings = model, tokenizer, settings
        self._noise_scheduler = DDPMScheduler.from_config(SCHEDULER_CONFIG)

    def compute_loss(
        self, latents: Tensor, captions: list[str], step: int, generator: torch.Generator
    ) -> Tensor:
        """Return the mean squared error of the predicted noise, weighted by min-SNR."""
        noise_scheduler, settings = self._noise_scheduler, self._settings
        noise = torch.randn(latents.shape, generator=generator)
        timesteps = torch.randint(
            0, noise_scheduler.config.num_train_timesteps, (len(latents),), generator=generator
        )
        noisy_latents = noise_scheduler.add_noise(latents, noise, timesteps).contiguous(
            memory_format=torch.channels_last
        )
        tokens = self._tokenizer(
            captions, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt"
        )
        with torch.autocast("cpu", torch.bfloat16):
            prompt_embeds = self._model.text_encoder(tokens.input_ids)[0]
            noise_pred = self._model.unet(noisy_latents, timesteps, prompt_embeds).sample
        losses = F.mse_loss(noise_pred.float(), noise, reduction="none").mean(dim=(1, 2, 3))
        snr = noise_scheduler.alphas_cumprod[timesteps] / (1 - noise_scheduler.alphas_cumprod[timesteps])
        snr_floor = settings.snr_floor if step >= settings.snr_floor_from_step else 0.0
        loss: Tensor = (losses * snr.clamp(snr_floor, settings.min_snr_gamma) / snr).mean()
        return loss
