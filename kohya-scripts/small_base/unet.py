"""Second act: UNet and text encoder learn together to draw what a caption says."""

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
from gpu_worker.models.sd15.config import MAX_TOKENS, SCHEDULER
from small_base.architecture import build_text_encoder, build_unet
from small_base.pictures import Pixels, shuffled, to_tensor
from small_base.run import Run, Saver, rate_at
from small_base.settings import SmallBaseSettings
from small_base.state import TrainingState


@dataclass(frozen=True, eq=False)
class Latents:
    """Every drawing as the VAE sees it: mean and spread, fp16, unscaled."""

    mean: Tensor
    std: Tensor
    scale: float  #: brings them to a standard deviation of 1

    def draw(self, indices: list[int], generator: torch.Generator) -> Tensor:
        """Return scaled fp32 latents, drawn from their distribution."""
        mean, std = self.mean[indices].float(), self.std[indices].float()
        return (mean + std * torch.randn(mean.shape, generator=generator)) * self.scale


@torch.no_grad()
def encode_all(run: Run, vae: AutoencoderKL, pixels: Pixels, batch: int = 64) -> Latents:
    """Encode every drawing once, or read what was encoded before."""
    path = run.folder / "latents.npy"
    if path.exists():
        both = torch.from_numpy(np.load(path))
    else:
        run.say("encoding the drawings")
        found = []
        for start in range(0, len(pixels), batch):
            with torch.autocast("cpu", torch.bfloat16):
                spread = vae.encode(to_tensor(pixels[start : start + batch])).latent_dist
            found.append(torch.stack([spread.mean, spread.std]).half())
        both = torch.cat(found, dim=1)
        np.save(path.with_suffix(".part.npy"), both.numpy())
        path.with_suffix(".part.npy").replace(path)
    mean, std = both[0], both[1]
    return Latents(mean, std, float(1 / mean.float().std()))


class Painter(nn.Module):
    """UNet and text encoder as one thing to optimise."""

    def __init__(self, settings: SmallBaseSettings, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.unet = build_unet(settings).to(memory_format=torch.channels_last)
        self.text_encoder = build_text_encoder(settings, tokenizer)


def train_painter(run: Run, latents: Latents, tokenizer: CLIPTokenizer) -> Painter:
    """Teach it to tell noise from drawing; return it with its averaged weights."""
    settings, path = run.settings, run.folder / "painter.safetensors"
    torch.manual_seed(settings.seed)
    painter = Painter(settings, tokenizer)
    state = TrainingState(painter, settings.unet_rate, settings.ema_decay)
    state.load(path)
    saver = Saver(run, path)
    lesson = _Lesson(painter, tokenizer, settings)
    average = 0.0
    for indices in shuffled(len(latents.mean), settings.unet_batch, settings.seed + 1, state.step):
        if state.step >= settings.unet_steps:
            break
        # Drawn from the step's own streams, so that a run that was killed goes on as if it had not been.
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + state.step)
        captions = _captions(indices, state.step, settings)
        loss = lesson.loss(latents.draw(indices, generator), captions, state.step, generator)
        loss.backward()  # type: ignore[no-untyped-call]
        state.advance(
            rate_at(state.step, settings.unet_steps, settings.unet_rate, settings), settings.gradient_norm
        )
        average = float(loss.detach()) if average == 0.0 else 0.98 * average + 0.02 * float(loss.detach())
        if state.step % settings.log_every_steps == 0:
            run.say(f"painter {state.step}/{settings.unet_steps} loss {average:.4f}")
        saver.save(state, last=state.step == settings.unet_steps)
    state.use_average()
    return painter.eval().requires_grad_(False)


def _captions(indices: list[int], step: int, settings: SmallBaseSettings) -> list[str]:
    rng = Random(f"{settings.seed} {step}")  # noqa: S311 - teaching material, not secrets
    return [
        ""
        if rng.random() < settings.empty_caption_share
        else drawn.varied_caption(drawn.identity(index), drawn.scene(index), rng)
        for index in indices
    ]


class _Lesson:
    """What one step measures."""

    def __init__(self, painter: Painter, tokenizer: CLIPTokenizer, settings: SmallBaseSettings) -> None:
        self._painter, self._tokenizer, self._settings = painter, tokenizer, settings
        self._schedule = DDPMScheduler.from_config(SCHEDULER)

    def loss(self, clean: Tensor, captions: list[str], step: int, generator: torch.Generator) -> Tensor:
        """Return the error of the noise that was told, weighted by the drawings' signal-to-noise ratio."""
        schedule, settings = self._schedule, self._settings
        noise = torch.randn(clean.shape, generator=generator)
        times = torch.randint(0, schedule.config.num_train_timesteps, (len(clean),), generator=generator)
        noisy = schedule.add_noise(clean, noise, times).contiguous(memory_format=torch.channels_last)
        tokens = self._tokenizer(
            captions, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt"
        )
        with torch.autocast("cpu", torch.bfloat16):
            words = self._painter.text_encoder(tokens.input_ids)[0]
            told = self._painter.unet(noisy, times, words).sample
        losses = F.mse_loss(told.float(), noise, reduction="none").mean(dim=(1, 2, 3))
        snr = schedule.alphas_cumprod[times] / (1 - schedule.alphas_cumprod[times])
        floor = settings.snr_floor if step >= settings.snr_floor_from_step else 0.0
        loss: Tensor = (losses * snr.clamp(floor, settings.min_snr_gamma) / snr).mean()
        return loss
