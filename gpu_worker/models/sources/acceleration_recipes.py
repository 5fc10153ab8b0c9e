"""The recipes of acceleration LoRAs: sampler, steps and guidance, each with its source, and their licences.

Torch-free.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Samplers of a recipe, by what a setting calls them, as pictures name them.
SAMPLERS = {"ddim trailing": "DDIM Trailing", "lcm": "LCM"}
#: What repositories call a LoRA that diffusers saved.
USUAL_FILE = "pytorch_lora_weights.safetensors"
_STEPS, _MAX_GUIDANCE = range(1, 51), 30.0
_NON_COMMERCIAL = re.compile(r"(^|[-_ ])nc([-_ .]|$)|non-?commercial|research", re.IGNORECASE)


@dataclass(frozen=True)
class SamplingRecipe:
    """What a picture is drawn with beside the LoRA; guidance of 1 is none."""

    sampler: str
    steps: int
    guidance_scale: float

    def __str__(self) -> str:
        return f"{self.steps} steps of {self.sampler}, guidance {self.guidance_scale:g}"


#: Model cards of latent-consistency/lcm-lora-sdv1-5 and -sdxl: 2 to 8 steps, guidance off or 1 to 2.
LCM = SamplingRecipe("LCM", 8, 1.0)
#: Model card of ByteDance/Hyper-SD: the LoRAs that preserve guidance take 5 to 8, DDIM on trailing timesteps.
_HYPER_SD = SamplingRecipe("DDIM Trailing", 8, 7.0)
_HYPER_SD_12 = SamplingRecipe("DDIM Trailing", 12, 7.0)
#: Model card of tianweiy/DMD2: LCM at 999, 749, 499 and 249 without guidance; LCM's own are 10 from these.
_DMD2 = SamplingRecipe("LCM", 4, 1.0)
#: By the beginning of a file's name, in lower case.
RECIPES_BY_FILE = (
    (re.compile(r"hyper-sd(15|xl)-8steps-cfg-lora"), _HYPER_SD),
    (re.compile(r"hyper-sd(15|xl)-12steps-cfg-lora"), _HYPER_SD_12),
    (re.compile(r"dmd2_sdxl_4step_lora"), _DMD2),
)


@dataclass(frozen=True)
class PublishedLora:
    """An acceleration LoRA on the hub."""

    repository: str
    file: str
    recipe: SamplingRecipe


#: What the setting's short names mean, by the family of the base model.
PUBLISHED = {
    ("hyper-sd", "sd15"): PublishedLora(
        "ByteDance/Hyper-SD", "Hyper-SD15-8steps-CFG-lora.safetensors", _HYPER_SD
    ),
    ("hyper-sd", "sdxl"): PublishedLora(
        "ByteDance/Hyper-SD", "Hyper-SDXL-8steps-CFG-lora.safetensors", _HYPER_SD
    ),
    ("lcm", "sd15"): PublishedLora("latent-consistency/lcm-lora-sdv1-5", USUAL_FILE, LCM),
    ("lcm", "sdxl"): PublishedLora("latent-consistency/lcm-lora-sdxl", USUAL_FILE, LCM),
}
#: Licences as the model cards name them, for LoRAs that are asked for without a download.
LICENCES = {
    "ByteDance/Hyper-SD": "openrail++",
    "latent-consistency/lcm-lora-sdv1-5": "openrail++",
    "latent-consistency/lcm-lora-sdxl": "openrail++",
    "tianweiy/DMD2": "cc-by-nc-4.0",
}
SHORT_NAMES = tuple(dict.fromkeys(name for name, _ in PUBLISHED))


@dataclass(frozen=True)
class AccelerationSetting:
    """What the operator has set."""

    name: str  #: `hyper-sd`, `lcm`, a file, or a hub id with or without a file; empty: none
    recipe: str = ""  #: `sampler/steps/guidance`; empty: that of the LoRA, for an unknown one LCM's
    allows_non_commercial: bool = False


NO_ACCELERATION = AccelerationSetting("")


def parse_recipe(text: str) -> SamplingRecipe:
    """Parse `lcm/8/1` or `ddim trailing/8/5`; ValueError says what is expected."""
    sampler, *numbers = (part.strip().lower() for part in text.split("/"))
    try:
        steps, guidance_scale = int(numbers[0]), float(numbers[1])
    except (IndexError, ValueError):
        steps, guidance_scale = 0, 0.0
    in_range = steps in _STEPS and 1.0 <= guidance_scale <= _MAX_GUIDANCE and len(numbers) == 2
    if sampler not in SAMPLERS or not in_range:
        known = " or ".join(SAMPLERS)
        raise ValueError(f"expected sampler/steps/guidance, such as lcm/8/1; samplers are {known}")
    return SamplingRecipe(SAMPLERS[sampler], steps, guidance_scale)


def is_non_commercial(licence: str) -> bool:
    """Return whether a licence forbids commercial use, as far as its name says."""
    return _NON_COMMERCIAL.search(licence) is not None
