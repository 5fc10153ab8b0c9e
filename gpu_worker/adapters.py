"""LoRA adapters on the frozen base model, with peft.

Several adapters may lie on the same modules at once (a training and a generation, interleaved in one
thread), so whoever runs the model first says whose turn it is: `activate` before every step. `remove` takes
an adapter off; when the last one is gone the original modules are back in their places.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from gpu_worker.base_model import BaseModel, Target
from gpu_worker.errors import BadInput

_numbers = itertools.count()
_NOBODY = ""


@dataclass(frozen=True)
class LoraMatrices:
    """The two fp32 matrices of one module, W + alpha/rank * up @ down, with its alpha."""

    down: Tensor
    up: Tensor
    alpha: float


def fresh_matrices(
    targets: tuple[Target, ...], rank: int, alpha: float, generator: torch.Generator
) -> dict[str, LoraMatrices]:
    """Return the start of a training by kohya name: `down` as kohya draws it, `up` zero, so no effect yet."""
    matrices = {}
    for target in targets:
        width_out, width_in, *window = target.weight_shape
        bound = 1 / math.sqrt(width_in * math.prod(window))  # kaiming_uniform_(a=sqrt(5))
        down = torch.empty(rank, width_in, *window).uniform_(-bound, bound, generator=generator)
        matrices[target.kohya_name] = LoraMatrices(
            down, torch.zeros(width_out, rank, *(1 for _ in window)), alpha
        )
    return matrices


class Adapter:
    """One LoRA that lies on the base model until it is removed."""

    def __init__(self, base: BaseModel, matrices: Mapping[str, LoraMatrices]) -> None:
        """Lay the matrices on the base model; BadInput when they do not fit it."""
        self._base = base
        self._name = f"lora_{next(_numbers)}"
        self._layers: dict[str, LoraLayer] = {}
        check_fit(base, matrices)
        for part, targets in ((base.unet, base.unet_targets), (base.text_encoder, base.text_targets)):
            wanted = [target for target in targets if target.kohya_name in matrices]
            if wanted:
                self._inject(part, wanted, matrices)

    def _inject(self, part: Any, targets: list[Target], matrices: Mapping[str, LoraMatrices]) -> None:
        self._base.turn.holder = None  # peft switches a new adapter on by itself
        # peft warns where it finds its own earlier note; adapters side by side are what we want.
        if hasattr(part, "peft_config"):
            del part.peft_config
        rank = matrices[targets[0].kohya_name].down.shape[0]
        config = LoraConfig(r=rank, target_modules=[target.path for target in targets])
        # Empty on the meta device: no time is spent on, and no random numbers are taken for, values we set.
        inject_adapter_in_model(config, part, self._name, low_cpu_mem_usage=True)
        del part.peft_config
        for target in targets:
            self._fill(target, part.get_submodule(target.path), matrices[target.kohya_name])

    def _fill(self, target: Target, layer: LoraLayer, values: LoraMatrices) -> None:
        device = self._base.device
        layer.lora_A[self._name].weight = nn.Parameter(values.down.to(device, torch.float32, copy=True))
        layer.lora_B[self._name].weight = nn.Parameter(values.up.to(device, torch.float32, copy=True))
        layer.scaling[self._name] = values.alpha / values.down.shape[0]
        layer.r[self._name], layer.lora_alpha[self._name] = values.down.shape[0], values.alpha
        self._layers[target.kohya_name] = layer

    def activate(self, train: bool = False) -> None:
        """Make this the only adapter that has an effect, and trainable or not."""
        _switch(self._base, self._name, train)

    def parameters(self, prefix: str = "") -> list[nn.Parameter]:
        """Return the trainable matrices of the modules whose kohya name starts with the prefix."""
        return [
            matrix.weight
            for kohya_name, layer in self._layers.items()
            if kohya_name.startswith(prefix)
            for matrix in (layer.lora_A[self._name], layer.lora_B[self._name])
        ]

    def matrices(self) -> dict[str, LoraMatrices]:
        """Return copies of the matrices as they are now, on the CPU, by kohya name."""
        return {
            kohya_name: LoraMatrices(
                layer.lora_A[self._name].weight.detach().cpu().clone(),
                layer.lora_B[self._name].weight.detach().cpu().clone(),
                layer.lora_alpha[self._name],
            )
            for kohya_name, layer in self._layers.items()
        }

    def remove(self) -> None:
        """Take it off the base model; modules without any other adapter are themselves again."""
        self._base.turn.holder = None
        for part in (self._base.unet, self._base.text_encoder):
            for path, layer in list(part.named_modules()):
                if isinstance(layer, LoraLayer) and self._name in layer.lora_A:
                    layer.set_adapter([])  # or peft would choose another one, with a warning
                    layer.delete_adapter(self._name)
                    if not layer.lora_A:
                        part.set_submodule(path, layer.get_base_layer())
        self._layers.clear()


def deactivate_all(base: BaseModel) -> None:
    """Run the base model as it is, whatever adapters lie on it."""
    _switch(base, _NOBODY, train=False)


def _switch(base: BaseModel, name: str, train: bool) -> None:
    if base.turn.holder == (name, train):
        return
    for part in (base.unet, base.text_encoder):
        for layer in part.modules():
            if isinstance(layer, LoraLayer):
                layer.set_adapter([name] if name in layer.lora_A else [], inference_mode=not train)
    base.turn.holder = (name, train)


def check_fit(base: BaseModel, matrices: Mapping[str, LoraMatrices]) -> None:
    """Raise BadInput unless every module of the LoRA is in the base model and of its size."""
    targets = {target.kohya_name: target for target in (*base.unet_targets, *base.text_targets)}
    if not matrices or not matrices.keys() <= targets.keys():
        raise BadInput("This LoRA was made for another kind of base model.")
    for kohya_name, values in matrices.items():
        width_out, width_in, *window = targets[kohya_name].weight_shape
        rank = values.down.shape[0]
        down_fits = tuple(values.down.shape) == (rank, width_in, *window)
        up_fits = tuple(values.up.shape) == (width_out, rank, *(1 for _ in window))
        if not (down_fits and up_fits):
            raise BadInput("This LoRA was made for a base model of another size.")
