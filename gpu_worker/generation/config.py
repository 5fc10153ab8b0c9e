"""The settings of a picture, each with its unit and source. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_worker.models.family import ModelFamily


@dataclass(frozen=True)
class SamplingConfig:
    """What a picture is drawn with where the person did not say."""

    #: Denoising steps; DPM++ 2M Karras is done in 20 to 30.
    steps: int = 25
    #: Classifier-free guidance scale; AUTOMATIC1111's default.
    guidance_scale: float = 7.0
    #: How many times larger a picture is handed out than it was drawn.
    upscale_factor: int = 1


_SAMPLING_CONFIGS: dict[ModelFamily, SamplingConfig] = {
    "sd15": SamplingConfig(),
    "drawn": SamplingConfig(steps=15, guidance_scale=3.0, upscale_factor=4),
    "tiny": SamplingConfig(steps=8),
}


def default_sampling_config(family: ModelFamily) -> SamplingConfig:
    """Return the default settings of a picture from this kind of base model."""
    return _SAMPLING_CONFIGS[family]
