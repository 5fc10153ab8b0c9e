"""Default settings of a generation, each with its unit and source. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_worker.models.family import ModelFamily


@dataclass(frozen=True)
class SamplingConfig:
    """The settings of a picture where the request leaves them open."""

    #: Denoising steps; DPM++ 2M Karras is done in 20 to 30.
    steps: int = 25
    #: Classifier-free guidance scale; AUTOMATIC1111's default.
    guidance_scale: float = 7.0
    #: Factor by which the finished picture is enlarged.
    upscale_factor: int = 1


_SAMPLING_CONFIGS: dict[ModelFamily, SamplingConfig] = {
    "sd15": SamplingConfig(),
    "drawn": SamplingConfig(steps=15, guidance_scale=3.0, upscale_factor=4),
    "tiny": SamplingConfig(steps=8),
}


def default_sampling_config(family: ModelFamily) -> SamplingConfig:
    """Return the defaults of a model family."""
    return _SAMPLING_CONFIGS[family]
