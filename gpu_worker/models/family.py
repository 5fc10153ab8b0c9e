"""What a family of base models is: one record a family, which everything above asks. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LoraGroup:
    """A component that a LoRA adapts, with a learning rate of its own."""

    name: str  #: of the component: `unet`, `text_encoder`
    key_prefix: str  #: what kohya's names of its modules begin with
    log_name: str  #: what sd-scripts calls its learning rate
    block_classes: tuple[str, ...]  #: every linear layer and convolution inside of these is adapted
    conv_block_classes: tuple[str, ...] = ()  #: and inside of these by a LoCon
    end_paths: tuple[str, ...] = ()  #: and these modules by LyCORIS

    @property
    def is_text_encoder(self) -> bool:
        """Whether it reads the prompt."""
        return self.name.startswith("text_encoder")


@dataclass(frozen=True)
class SamplingConfig:
    """The settings of a picture where the request leaves them open."""

    #: Denoising steps; DPM++ 2M Karras is done in 20 to 30.
    steps: int = 25
    #: Denoising steps of a fast picture.
    fast_steps: int = 10
    #: Timesteps fitted to the family, which DPM++ 2M takes for a fast picture; none: Karras et al.'s sigmas.
    fast_timesteps: tuple[int, ...] = ()
    #: Classifier-free guidance scale; AUTOMATIC1111's default.
    guidance_scale: float = 7.0
    #: Factor by which the finished picture is enlarged.
    upscale_factor: int = 1


@dataclass(frozen=True)
class ModelFamily:
    """Base models that one LoRA fits, and all that is said of them. `name` is stored with every LoRA."""

    name: str
    title: str  #: as people call it
    licence: str  #: the name of its licence
    native_px: int  #: side of the pictures that it was trained on
    lora_groups: tuple[LoraGroup, ...]  #: in the order in which a new LoRA is drawn
    #: Width and height of a named shape, as factors of the native side.
    shapes: Mapping[str, tuple[float, float]]
    #: Fields of `TrainingConfig` that differ from its defaults.
    training_defaults: Mapping[str, Any] = field(default_factory=dict)
    sampling: SamplingConfig = SamplingConfig()
    size_step_px: int = 8  #: sides of pictures are multiples of it
    #: What a LoRA file says of its base model.
    metadata: Mapping[str, str] = field(default_factory=dict)
    has_identity_model: bool = False  #: it comes with a net that tells its people apart

    def find_group(self, name: str) -> LoraGroup:
        """Return the LoRA group of a component."""
        return next(group for group in self.lora_groups if group.name == name)
