"""Forward hooks at every module that kohya's LoRAs adapt; an active adapter sets them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn


@dataclass(frozen=True)
class LoraTarget:
    """A module that a LoRA adapts."""

    kohya_name: str  #: `lora_unet_down_blocks_0_attentions_0_proj_in`
    path: str  #: in its component: `down_blocks.0.attentions.0.proj_in`
    weight_shape: tuple[int, ...]


class LoraDelta(Protocol):
    """What a hook adds to its module's output."""

    def add(self, module: nn.Module, inputs: Tensor, output: Tensor) -> Tensor:
        """Return the module's output with the LoRA's output added."""


class LoraHook:
    """A forward hook that does nothing until a delta is set."""

    __slots__ = ("active_delta",)

    def __init__(self) -> None:
        self.active_delta: LoraDelta | None = None

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        """Called by torch after the module's own forward."""
        return None if self.active_delta is None else self.active_delta.add(module, inputs[0], output)


@dataclass(eq=False)
class LoraHooks:
    """All hooks of a base model by kohya's name, and the adapter that is active."""

    by_name: dict[str, LoraHook] = field(default_factory=dict)
    active_adapter: object | None = None

    def install(self, model: nn.Module, targets: tuple[LoraTarget, ...]) -> None:
        """Register a hook at each target of a component."""
        for target in targets:
            lora_hook = self.by_name[target.kohya_name] = LoraHook()
            hook: Any = lora_hook
            model.get_submodule(target.path).register_forward_hook(hook)


_TEXT_ENCODER_BLOCKS = ("CLIPAttention", "CLIPSdpaAttention", "CLIPMLP")


def unet_targets(unet: nn.Module) -> tuple[LoraTarget, ...]:
    """Return the modules that `networks.lora` adapts in a UNet: those of its transformer blocks."""
    return tuple(_find_targets(unet, ("Transformer2DModel",), "lora_unet_"))


def unet_resnet_targets(unet: nn.Module) -> tuple[LoraTarget, ...]:
    """Return the modules that a LoCon adapts besides: those of the convolution blocks."""
    return tuple(_find_targets(unet, ("ResnetBlock2D", "Downsample2D", "Upsample2D"), "lora_unet_"))


def unet_end_targets(unet: nn.Module) -> tuple[LoraTarget, ...]:
    """Return the modules that LyCORIS adapts besides: first and last convolution, and time embedding."""
    paths = ("conv_in", "time_embedding.linear_1", "time_embedding.linear_2", "conv_out")
    weights = unet.state_dict(keep_vars=True)
    return tuple(
        LoraTarget("lora_unet_" + path.replace(".", "_"), path, tuple(weights[f"{path}.weight"].shape))
        for path in paths
    )


def text_encoder_targets(text_encoder: nn.Module) -> tuple[LoraTarget, ...]:
    """Return the modules that `networks.lora` adapts in CLIP: attention and feed-forward layers."""
    return tuple(_find_targets(text_encoder, _TEXT_ENCODER_BLOCKS, "lora_te_text_model_"))


def _find_targets(model: nn.Module, block_classes: tuple[str, ...], prefix: str) -> Iterator[LoraTarget]:
    """Yield every linear layer and convolution inside blocks of these classes, in the model's order."""
    for block_path, block in model.named_modules():
        if type(block).__name__ not in block_classes:
            continue
        for path, module in block.named_modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                full_path = f"{block_path}.{path}"
                # transformers 5 dropped the `text_model.` level that kohya's names still have.
                kohya_suffix = full_path.removeprefix("text_model.").replace(".", "_")
                yield LoraTarget(prefix + kohya_suffix, full_path, tuple(module.weight.shape))
