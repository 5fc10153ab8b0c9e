"""PNG files that carry their recipe as AUTOMATIC1111's `parameters` text."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

#: What the names of samplers end with is their schedule, which AUTOMATIC1111 writes as a field of its own.
_SCHEDULE_TYPES = ("Karras", "Align Your Steps", "Trailing")
#: A line that begins with one of these is read as that field.
_FIELD_NAMES = ("Negative prompt:", "Steps:")


@dataclass(frozen=True)
class RecipeLora:
    """A LoRA as it is named in a recipe."""

    name: str  #: the LoraCode
    short_hash: str = ""  #: the short one, as AUTOMATIC1111 shows it
    strength: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """Everything that is needed to draw one picture again."""

    prompt: str
    negative_prompt: str
    seed: int
    width_px: int
    height_px: int
    steps: int
    guidance_scale: float
    sampler: str
    model: str
    loras: tuple[RecipeLora, ...] = ()
    variation_strength: float = 0.0  #: share of other noise
    variation_seed: int = 0
    denoising_strength: float | None = None  #: of a picture it began from
    acceleration: RecipeLora | None = None  #: the LoRA that lets the base model draw in few steps
    ignores_weights: bool = False  #: the prompt has weights, which the base model does not read

    def format_parameters(self) -> str:
        """Return the text as web UIs read it back: prompt, negative prompt, one line of settings."""
        prompt = _escape_field_name(_one_line(self.prompt))
        prompt += "".join(f" <lora:{lora.name}:{lora.strength:g}>" for lora in self.loras)
        lines = [prompt]
        if self.negative_prompt:
            lines.append(f"Negative prompt: {_one_line(self.negative_prompt)}")
        lines.append(", ".join(f"{key}: {_quote(value)}" for key, value in self._list_settings().items()))
        return "\n".join(lines)

    def _list_settings(self) -> dict[str, str]:
        """Return the settings under AUTOMATIC1111's names, in its order."""
        schedule_type = next((each for each in _SCHEDULE_TYPES if self.sampler.endswith(f" {each}")), "")
        settings = {
            "Steps": str(self.steps),
            "Sampler": self.sampler.removesuffix(f" {schedule_type}"),
            **({"Schedule type": schedule_type} if schedule_type else {}),
            "CFG scale": f"{self.guidance_scale:g}",
            "Seed": str(self.seed),
            "Size": f"{self.width_px}x{self.height_px}",
            "Model": self.model,
        }
        if self.denoising_strength is not None:
            settings["Denoising strength"] = f"{self.denoising_strength:g}"
        if self.variation_strength:
            settings["Variation seed"] = str(self.variation_seed)
            settings["Variation seed strength"] = f"{self.variation_strength:g}"
        if self.ignores_weights:
            settings["Emphasis"] = "Ignore"
        settings["RNG"] = (
            "CPU"  # noise is drawn there on every device; AUTOMATIC1111 takes the GPU without it
        )
        if self.acceleration is not None:
            settings["Acceleration"] = self.acceleration.name
        hashed_loras = [lora for lora in (*self.loras, self.acceleration) if lora is not None]
        if hashed_loras:
            settings["Lora hashes"] = ", ".join(f"{lora.name}: {lora.short_hash}" for lora in hashed_loras)
        if self.loras:
            settings["LoraCode"] = " ".join(lora.name for lora in self.loras)
        return settings


def encode_png(pixels: Tensor, recipe: Recipe, upscale_factor: int = 1) -> bytes:
    """Return a PNG of pixels, (1, 3, height, width), -1 .. 1, enlarged by a factor, with its recipe."""
    pixel_bytes = ((pixels[0] + 1) * 127.5).round().clamp(0, 255).byte()
    pnginfo = PngInfo()
    pnginfo.add_text("parameters", recipe.format_parameters())
    file = io.BytesIO()
    image = Image.fromarray(pixel_bytes.permute(1, 2, 0).contiguous().numpy(), "RGB")
    if upscale_factor > 1:
        size = (image.width * upscale_factor, image.height * upscale_factor)
        image = image.resize(size, Image.Resampling.LANCZOS)
    image.save(file, "PNG", pnginfo=pnginfo)
    return file.getvalue()


def _one_line(text: str) -> str:
    # A prompt with line breaks could pass its own lines off as settings.
    return " ".join(text.split())


def _escape_field_name(prompt: str) -> str:
    """Return a prompt that does not begin like a field; prompt parsers drop the backslash before a letter."""
    return f"\\{prompt}" if prompt.startswith(_FIELD_NAMES) else prompt


def _quote(value: str) -> str:
    """Return a value as AUTOMATIC1111 writes it: as JSON if it would end early or look like two fields."""
    is_plain = value == value.strip() and not any(character in value for character in ',:\n"')
    return value if is_plain else json.dumps(value, ensure_ascii=False)
