"""Where a LoRA takes effect: one slot at every module that kohya's LoRAs adapt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn


@dataclass(frozen=True)
class Target:
    """One module that a LoRA adapts."""

    kohya_name: str  #: `lora_unet_down_blocks_0_attentions_0_proj_in`
    path: str  #: where it lies in its part: `down_blocks.0.attentions.0.proj_in`
    weight_shape: tuple[int, ...]


class Addition(Protocol):
    """What a slot adds to its module's output."""

    def add(self, module: nn.Module, given: Tensor, output: Tensor) -> Tensor:
        """Return the output with the addition."""


class Slot:
    """A forward hook that does nothing until something is put into it."""

    __slots__ = ("active",)

    def __init__(self) -> None:
        self.active: Addition | None = None

    def __call__(self, module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        """Called by torch after the module's own forward."""
        return None if self.active is None else self.active.add(module, given[0], output)


@dataclass(eq=False)
class Slots:
    """All slots of a base model by kohya name, and who fills them now."""

    by_name: dict[str, Slot] = field(default_factory=dict)
    holder: object | None = None

    def install(self, part: nn.Module, targets: tuple[Target, ...]) -> None:
        """Put a slot at each target of a part."""
        for target in targets:
            slot = self.by_name[target.kohya_name] = Slot()
            hook: Any = slot
            part.get_submodule(target.path).register_forward_hook(hook)


_TEXT_BLOCKS = ("CLIPAttention", "CLIPSdpaAttention", "CLIPMLP")


def unet_targets(unet: nn.Module) -> tuple[Target, ...]:
    """Return what `networks.lora` adapts in a UNet: its transformers' linear layers and convolutions."""
    return tuple(_targets(unet, ("Transformer2DModel",), "lora_unet_"))


def text_targets(text_encoder: nn.Module) -> tuple[Target, ...]:
    """Return what `networks.lora` adapts in CLIP's text encoder: attention and feed-forward layers."""
    return tuple(_targets(text_encoder, _TEXT_BLOCKS, "lora_te_text_model_"))


def _targets(part: nn.Module, block_classes: tuple[str, ...], prefix: str) -> Iterator[Target]:
    """Yield every linear layer and convolution inside blocks of these classes, in the model's order."""
    for block_path, block in part.named_modules():
        if type(block).__name__ not in block_classes:
            continue
        for path, module in block.named_modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                full = f"{block_path}.{path}"
                # transformers 5 dropped the `text_model.` level that kohya's names still have.
                bare = full.removeprefix("text_model.").replace(".", "_")
                yield Target(prefix + bare, full, tuple(module.weight.shape))
