"""PNG files that carry their recipe as AUTOMATIC1111's `parameters` text."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor


@dataclass(frozen=True)
class LoraMention:
    """A LoRA as a recipe names it."""

    name: str  #: the LoraCode
    hash: str = ""  #: the short one, as AUTOMATIC1111 shows it
    strength: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """All that is needed to draw one picture again."""

    prompt: str
    negative: str
    seed: int
    width_px: int
    height_px: int
    steps: int
    guidance: float
    sampler: str
    model: str
    loras: tuple[LoraMention, ...] = ()
    variation: float = 0.0  #: share of other noise
    variation_seed: int = 0
    redraw: float | None = None  #: of a picture it began from

    def parameters(self) -> str:
        """Return the text as web UIs read it back: prompt, negative prompt, one line of settings."""
        settings = {
            "Steps": self.steps,
            "Sampler": self.sampler,
            "CFG scale": f"{self.guidance:g}",
            "Seed": self.seed,
            "Size": f"{self.width_px}x{self.height_px}",
            "Model": self.model,
        }
        if self.redraw is not None:
            settings["Denoising strength"] = f"{self.redraw:g}"
        if self.variation:
            settings["Variation seed"] = self.variation_seed
            settings["Variation seed strength"] = f"{self.variation:g}"
        prompt = _one_line(self.prompt)
        if self.loras:
            prompt += "".join(f" <lora:{lora.name}:{lora.strength:g}>" for lora in self.loras)
            hashes = ", ".join(f"{lora.name}: {lora.hash}" for lora in self.loras)
            settings["Lora hashes"] = f'"{hashes}"'
            settings["LoraCode"] = " ".join(lora.name for lora in self.loras)
        lines = [prompt]
        if self.negative:
            lines.append(f"Negative prompt: {_one_line(self.negative)}")
        lines.append(", ".join(f"{key}: {value}" for key, value in settings.items()))
        return "\n".join(lines)


def to_png(pixels: Tensor, recipe: Recipe, enlarge: int = 1) -> bytes:
    """Return a PNG of pixels in -1 .. 1, (1, 3, height, width), so many times enlarged, with its recipe."""
    values = ((pixels[0] + 1) * 127.5).round().clamp(0, 255).byte()
    about = PngInfo()
    about.add_text("parameters", recipe.parameters())
    file = io.BytesIO()
    picture = Image.fromarray(values.permute(1, 2, 0).contiguous().numpy(), "RGB")
    if enlarge > 1:
        size = (picture.width * enlarge, picture.height * enlarge)
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    picture.save(file, "PNG", pnginfo=about)
    return file.getvalue()


def _one_line(text: str) -> str:
    # A prompt with line breaks could pass its own lines off as settings.
    return " ".join(text.split())
