"""Forward hooks at every module that kohya's LoRAs adapt; an active adapter sets them."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn

from gpu_worker.memory.quantized_layers import get_weight_shape
from gpu_worker.models.family import LoraGroup


class Reach(enum.Enum):
    """Which kinds of LoRA adapt a module."""

    BLOCK = "every LoRA"
    CONV_BLOCK = "LoCon"
    END = "LyCORIS, if asked for"


@dataclass(frozen=True)
class LoraTarget:
    """A module that a LoRA may adapt."""

    kohya_name: str  #: `lora_unet_down_blocks_0_attentions_0_proj_in`
    path: str  #: in its component: `down_blocks.0.attentions.0.proj_in`
    weight_shape: tuple[int, ...]
    group: LoraGroup
    reach: Reach = Reach.BLOCK

    @property
    def reads_text(self) -> bool:
        """Whether its input is the text of a prompt and no picture."""
        return self.group.is_text_encoder or self.path.endswith(self.group.text_paths)


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

    def share(self, model: nn.Module, targets: tuple[LoraTarget, ...]) -> None:
        """Register the hooks at the same modules of a second component too."""
        for target in targets:
            hook: Any = self.by_name[target.kohya_name]
            model.get_submodule(target.path).register_forward_hook(hook)


def find_targets(group: LoraGroup, component: nn.Module) -> tuple[LoraTarget, ...]:
    """Return all modules of a component that a LoRA may adapt, those of its own blocks first."""
    paths = [
        *((path, Reach.BLOCK) for path in _list_paths(component, group.block_classes, group.blocks_path)),
        *((path, Reach.CONV_BLOCK) for path in _list_paths(component, group.conv_block_classes)),
        *((path, Reach.END) for path in group.end_paths),
    ]
    return tuple(
        LoraTarget(
            to_kohya_name(group, path),
            path,
            tuple(get_weight_shape(component.get_submodule(path))),
            group,
            reach,
        )
        for path, reach in paths
    )


def to_kohya_name(group: LoraGroup, path: str) -> str:
    """Return kohya's name of a module by its path in its component."""
    theirs = path if group.names is None else group.names.to_theirs(path)
    return _flatten(group.key_prefix, theirs or path)


def list_other_names(group: LoraGroup, path: str) -> tuple[str, ...]:
    """Return what a module is called in files that take diffusers' names, kohya's way to write them."""
    names = tuple(_flatten(prefix, path) for prefix in (group.key_prefix, *group.other_prefixes))
    if group.file_names is None:
        return names
    return (*names, _flatten(group.key_prefix, group.file_names.to_file_path(path)))


def list_fused_names(targets: tuple[LoraTarget, ...]) -> dict[str, tuple[str, ...]]:
    """Return matrices that files have for several modules, kohya's way to write them, and those modules."""
    fused: dict[str, dict[int, str]] = {}
    for target in targets:
        names = target.group.file_names
        if names is not None and (found := names.find_fused(target.path)) is not None:
            fused.setdefault(_flatten(target.group.key_prefix, found[0]), {})[found[1]] = target.kohya_name
    return {name: tuple(parts[index] for index in sorted(parts)) for name, parts in fused.items()}


def _flatten(prefix: str, path: str) -> str:
    # transformers 5 dropped the `text_model.` level that kohya's names still have.
    return prefix + path.removeprefix("text_model.").replace(".", "_")


def _list_paths(model: nn.Module, block_classes: tuple[str, ...], blocks_path: str = "") -> Iterator[str]:
    """Yield the path of every linear layer and convolution inside of these blocks, in the model's order."""
    for block_path, block in model.named_modules():
        if type(block).__name__ in block_classes and block_path.startswith(blocks_path):
            for path, module in block.named_modules():
                if isinstance(module, nn.Linear | nn.Conv2d):
                    yield f"{block_path}.{path}"
