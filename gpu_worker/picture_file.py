"""PNG files that carry their recipe as AUTOMATIC1111's `parameters` text."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor


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
    lora_name: str = ""  #: the LoraCode; empty without a LoRA
    lora_hash: str = ""

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
        prompt = _one_line(self.prompt)
        if self.lora_name:
            prompt += f" <lora:{self.lora_name}:1>"
            settings["Lora hashes"] = f'"{self.lora_name}: {self.lora_hash}"'
            settings["LoraCode"] = self.lora_name
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
