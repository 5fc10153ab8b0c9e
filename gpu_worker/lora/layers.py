"""LoRA adapters on the frozen base model.

Every module that a LoRA may adapt carries a slot, a forward hook that adds what the active LoRA says. So the
base model's modules are never wrapped or changed, and switching from one LoRA to another is setting a
few hundred references. Several adapters exist at once (a training and a generation, interleaved in one
thread), so whoever runs the model says first whose turn it is: `activate` before every step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpu_worker.errors import BadInput
from gpu_worker.models.base import BaseModel
from gpu_worker.models.lora_hooks import Target


@dataclass(frozen=True)
class LoraMatrices:
    """The two fp32 matrices of one module, W + alpha/rank * up @ down, with its alpha."""

    down: Tensor
    up: Tensor
    alpha: float


@dataclass(frozen=True)
class Dropout:
    """What is left out at random in a training step; each a share from 0 to 1, see `Dials`."""

    activations: float = 0.0
    rank: float = 0.0
    modules: float = 0.0

    @property
    def is_on(self) -> bool:
        """Whether anything is ever left out."""
        return bool(self.activations or self.rank or self.modules)


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
    """One LoRA on the base model: it has an effect while it is the active one."""

    def __init__(
        self,
        base: BaseModel,
        matrices: Mapping[str, LoraMatrices],
        trains: bool = False,
        dropout: Dropout | None = None,
    ) -> None:
        """Bring the matrices to the base model's device; BadInput when they do not fit it.

        One that trains keeps fp32 matrices with gradients; others take the base model's precision.
        """
        check_fit(base, matrices)
        self._base = base
        self._pairs = {
            name: _Pair(base, values, trains, _Chance(dropout, index) if dropout and dropout.is_on else None)
            for index, (name, values) in enumerate(matrices.items())
        }

    def activate(self) -> None:
        """Make this the only adapter that has an effect."""
        slots = self._base.slots
        if slots.holder is not self:
            for name, slot in slots.by_name.items():
                slot.active = self._pairs.get(name)
            slots.holder = self

    def parameters(self, prefix: str = "") -> list[nn.Parameter]:
        """Return the matrices of the modules whose kohya name starts with the prefix."""
        return [
            matrix
            for name, pair in self._pairs.items()
            if name.startswith(prefix)
            for matrix in (pair.down, pair.up)
        ]

    def matrices(self) -> dict[str, LoraMatrices]:
        """Return fp32 copies of the matrices as they are now, on the CPU, by kohya name."""
        return {
            name: LoraMatrices(
                pair.down.detach().to("cpu", torch.float32, copy=True),
                pair.up.detach().to("cpu", torch.float32, copy=True),
                pair.alpha,
            )
            for name, pair in self._pairs.items()
        }

    @property
    def drops(self) -> bool:
        """Whether anything is left out at random while it trains."""
        return any(pair.chance is not None for pair in self._pairs.values())

    def draw_dropout(self, seed: int) -> None:
        """Settle what the next step leaves out."""
        for pair in self._pairs.values():
            if pair.chance is not None:
                pair.chance.seed = seed

    def pair(self, name: str) -> _Pair | None:
        """Return what it does at a module; None when it leaves that alone."""
        return self._pairs.get(name)

    def remove(self) -> None:
        """End its effect; the base model is itself again."""
        if self._base.slots.holder is self:
            deactivate_all(self._base)


class Mixture:
    """Several adapters at once, each on its own rows of a batch; None leaves its rows as they are."""

    def __init__(self, base: BaseModel, shares: Sequence[tuple[Adapter | None, int]]) -> None:
        """Take adapters and how many rows each has, in the batch's order."""
        self._base, self._shares = base, shares

    def activate(self) -> None:
        """Make each adapter have its effect on its rows, and no other have any."""
        slots = self._base.slots
        rows = [count for _, count in self._shares]
        for name, slot in slots.by_name.items():
            pairs = [adapter.pair(name) if adapter else None for adapter, _ in self._shares]
            slot.active = _ByRows(pairs, rows) if any(pairs) else None
        slots.holder = self


def deactivate_all(base: BaseModel) -> None:
    """Run the base model as it is."""
    if base.slots.holder is not None:
        for slot in base.slots.by_name.values():
            slot.active = None
        base.slots.holder = None


class _ByRows:
    """One module's pairs of a mixture."""

    def __init__(self, pairs: Sequence[_Pair | None], rows: Sequence[int]) -> None:
        self._pairs, self._rows = pairs, list(rows)

    def add(self, module: nn.Module, given: Tensor, output: Tensor) -> Tensor:
        """Return the module's output, each pair's part added to its rows."""
        given_rows, output_rows = torch.split(given, self._rows), torch.split(output, self._rows)
        shares = zip(self._pairs, given_rows, output_rows, strict=True)
        return torch.cat([out if pair is None else pair.add(module, into, out) for pair, into, out in shares])


class _Pair:
    """The two matrices of one module, at work."""

    def __init__(self, base: BaseModel, values: LoraMatrices, trains: bool, chance: _Chance | None) -> None:
        kind: Any = {"device": base.device, "dtype": torch.float32 if trains else base.dtype}
        self.down = nn.Parameter(values.down.to(**kind, copy=True), requires_grad=trains)
        self.up = nn.Parameter(values.up.to(**kind, copy=True), requires_grad=trains)
        self.alpha = values.alpha
        self.scale = values.alpha / values.down.shape[0]
        self.chance = chance

    def add(self, module: nn.Module, given: Tensor, output: Tensor) -> Tensor:
        """Return the module's output with the LoRA's part added."""
        if self.chance is not None and self.chance.leaves_module_out():
            return output
        # In the precision of the frozen weights, as under autocast; the masters stay fp32.
        down, up = self.down.to(given.dtype), self.up.to(given.dtype)
        if isinstance(module, nn.Conv2d):
            low = F.conv2d(given, down, None, module.stride, module.padding)
            if self.chance is not None:
                low = self.chance.thin(low, channel_dim=1)
            return output + F.conv2d(low, up * self.scale)
        low = F.linear(given, down)
        if self.chance is not None:
            low = self.chance.thin(low, channel_dim=-1)
        # Product and sum in one pass over the output; in place where no gradient is wanted, since autograd
        # would copy whole gradients for it.
        rows, low = output.view(-1, output.shape[-1]), low.view(-1, low.shape[-1])
        if torch.is_grad_enabled():
            return rows.addmm(low, up.t(), alpha=self.scale).view(output.shape)
        rows.addmm_(low, up.t(), alpha=self.scale)
        return output


class _Chance:
    """One module's dropout. A function of seed and module, so that recomputing a layer draws the same."""

    def __init__(self, shares: Dropout, index: int) -> None:
        self._shares, self._index = shares, index
        self.seed = 0

    def leaves_module_out(self) -> bool:
        """Whether this module has no LoRA in this step."""
        return bool(torch.rand((), generator=self._generator(torch.device("cpu"))) < self._shares.modules)

    def thin(self, low: Tensor, channel_dim: int) -> Tensor:
        """Drop activations and dimensions of the rank; what is left grows, so that the mean stays."""
        generator = self._generator(low.device)
        if self._shares.activations:
            low = low * _kept(low.shape, self._shares.activations, generator, low)
        if self._shares.rank:
            shape = [1] * low.dim()
            shape[0], shape[channel_dim] = low.shape[0], low.shape[channel_dim]
            low = low * _kept(tuple(shape), self._shares.rank, generator, low)
        return low

    def _generator(self, device: torch.device) -> torch.Generator:
        return torch.Generator(device).manual_seed(self.seed * 1_009 + self._index)


def _kept(shape: tuple[int, ...], dropped: float, generator: torch.Generator, like: Tensor) -> Tensor:
    kept = torch.rand(shape, generator=generator, device=like.device) >= dropped
    return kept.to(like.dtype) / (1 - dropped)


def check_fit(base: BaseModel, matrices: Mapping[str, LoraMatrices]) -> None:
    """Raise BadInput unless every module of the LoRA is in the base model and of its size."""
    targets = {target.kohya_name: target for target in _all_targets(base)}
    if not matrices or not matrices.keys() <= targets.keys():
        raise BadInput("This LoRA was made for another kind of base model.")
    for kohya_name, values in matrices.items():
        width_out, width_in, *window = targets[kohya_name].weight_shape
        rank = values.down.shape[0]
        down_fits = tuple(values.down.shape) == (rank, width_in, *window)
        up_fits = tuple(values.up.shape) == (width_out, rank, *(1 for _ in window))
        if not (down_fits and up_fits):
            raise BadInput("This LoRA was made for a base model of another size.")


def _all_targets(base: BaseModel) -> Iterator[Target]:
    yield from base.unet_targets
    yield from base.text_targets
