"""Small pictures of latents without the VAE decoder: RGB is nearly linear in the latents."""

from __future__ import annotations

import io

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gpu_worker.models.base import BaseModel

#: Longer side of a preview, in pixels.
MAX_SIDE_PX = 192
#: Patches along a side of the colour chart that the factors are fitted to.
_PATCHES = 8


class LatentPreviewer:
    """The linear map from latents to RGB that fits a VAE best (least squares over one colour chart)."""

    def __init__(self, base: BaseModel) -> None:
        """Encode the colour chart and fit the factors."""
        side = _PATCHES * 2
        chart = _colour_chart()
        pixels = F.interpolate(chart[None], scale_factor=2 * base.vae_scale_factor, mode="nearest")[0]
        latents = base.encode_image(pixels).mean.flatten(1).t()  # (side * side, channels)
        colours = F.interpolate(chart[None], size=(side, side), mode="nearest")[0].reshape(3, -1).t()
        ones = torch.ones(len(latents), 1)
        self._rgb_factors = torch.linalg.lstsq(
            torch.cat([latents, ones], 1), colours
        ).solution  # (channels + 1, 3)

    def render_png(self, latents: Tensor) -> bytes:
        """Return a PNG of latents, (1, channels, h, w); its longer side is MAX_SIDE_PX."""
        latent_pixels = latents[0].float().cpu().permute(1, 2, 0)
        rgb = latent_pixels @ self._rgb_factors[:-1] + self._rgb_factors[-1]
        image = Image.fromarray(((rgb + 1) * 127.5).clamp(0, 255).byte().numpy(), "RGB")
        scale = MAX_SIDE_PX / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        file = io.BytesIO()
        image.resize(size, Image.Resampling.BICUBIC).save(file, "PNG", compress_level=1)
        return file.getvalue()


def _colour_chart() -> Tensor:
    """Return 64 colours spread over the RGB cube in random order, (3, 8, 8), -1 .. 1."""
    steps = torch.linspace(-0.9, 0.9, 4)
    colours = torch.cartesian_prod(steps, steps, steps)
    order = torch.randperm(len(colours), generator=torch.Generator().manual_seed(0))
    return colours[order].t().reshape(3, _PATCHES, _PATCHES).contiguous()
