"""What a file holds of one adapted module: a LoRA, a LoHa or a LoKr, by the suffixes of its keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from gpu_worker.errors import BadInput, JobProblem

DOWN, UP, MID = "lora_down.weight", "lora_up.weight", "lora_mid.weight"
HADAMARD_FACTORS = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
HADAMARD_CORES = ("hada_t1", "hada_t2")
KRONECKER_FACTORS = ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2")
_ORDER = (DOWN, UP, MID, *HADAMARD_FACTORS, *HADAMARD_CORES, *KRONECKER_FACTORS)
SUFFIXES = frozenset(_ORDER)


class ModuleWeights(Protocol):
    """The fp32 weights of one adapted module."""

    kind: ClassVar[str]  #: as people call it

    @property
    def alpha(self) -> float:
        """The number that the effect is scaled by, over the rank."""

    @property
    def rank(self) -> int | None:
        """The width of the thin matrices; None if there are none."""

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by the suffix of their key in a file, without the alpha."""

    def scaled(self, factor: float) -> ModuleWeights:
        """Return weights with so many times the effect."""

    def fit(self, weight_shape: tuple[int, ...]) -> ModuleWeights | None:
        """Return the weights in the shapes for a module's weight; None if it is of another size."""


@dataclass(frozen=True)
class LoraWeights:
    """A LoRA: the module becomes W + alpha / rank * up @ down.

    For a convolution `down` has its kernel, or `mid` has it, which lies between the two (Tucker).
    """

    down: Tensor
    up: Tensor
    alpha: float
    mid: Tensor | None = None
    kind: ClassVar[str] = "LoRA"

    @property
    def rank(self) -> int:
        """Return the width of the matrices."""
        return self.down.shape[0]

    def tensors(self) -> dict[str, Tensor]:
        """Return the matrices."""
        tensors = {DOWN: self.down, UP: self.up}
        return tensors if self.mid is None else {**tensors, MID: self.mid}

    def scaled(self, factor: float) -> LoraWeights:
        """Return weights with so many times the effect."""
        return replace(self, alpha=self.alpha * factor)

    def fit(self, weight_shape: tuple[int, ...]) -> LoraWeights | None:
        """Return the matrices in the shapes for a module's weight; None if it is of another size.

        Some tools write a linear layer's matrices as convolutions of one pixel, or the other way about.
        """
        out_features, in_features, *kernel_size = weight_shape
        ones = [1 for _ in kernel_size]
        down = _fit_kernel(self.down, (self.rank, in_features, *(kernel_size if self.mid is None else ones)))
        up = _fit_kernel(self.up, (out_features, self.rank, *ones))
        if down is None or up is None:
            return None
        mid_fits = self.mid is None or tuple(self.mid.shape) == (self.rank, self.rank, *kernel_size)
        return replace(self, down=down, up=up) if mid_fits else None


@dataclass(frozen=True)
class HadamardWeights:
    """A LoHa: W + alpha / rank * (w1_a @ w1_b) * (w2_a @ w2_b), the products taken entry by entry."""

    factors: dict[str, Tensor]
    alpha: float
    kind: ClassVar[str] = "LoHa"

    def tensors(self) -> dict[str, Tensor]:
        """Return the factors."""
        return dict(self.factors)

    def scaled(self, factor: float) -> HadamardWeights:
        """Return weights with so many times the effect."""
        return replace(self, alpha=self.alpha * factor)

    def fit(self, weight_shape: tuple[int, ...]) -> HadamardWeights | None:
        """Return the weights; None if the module is of another size."""
        return self if _has_size(hadamard_delta, self.factors, weight_shape) else None

    @property
    def rank(self) -> int:
        """Return the width of the thin matrices."""
        return self.factors["hada_w1_b"].shape[0]

    @property
    def scale(self) -> float:
        """Return what the product is multiplied by."""
        return self.alpha / self.rank


@dataclass(frozen=True)
class KroneckerWeights:
    """A LoKr: W + alpha / rank * w1 ⊗ w2; each of the two may be a product of two thin matrices itself.

    Where neither is a product there is no rank, and the alpha has no effect.
    """

    factors: dict[str, Tensor]
    alpha: float
    kind: ClassVar[str] = "LoKr"

    def tensors(self) -> dict[str, Tensor]:
        """Return the factors."""
        return dict(self.factors)

    def scaled(self, factor: float) -> KroneckerWeights:
        """Return weights with so many times the effect."""
        name = "lokr_w1" if "lokr_w1" in self.factors else "lokr_w1_a"
        return replace(self, factors={**self.factors, name: self.factors[name] * factor})

    def fit(self, weight_shape: tuple[int, ...]) -> KroneckerWeights | None:
        """Return the weights; None if the module is of another size."""
        return self if _has_size(kronecker_delta, self.factors, weight_shape) else None

    @property
    def rank(self) -> int | None:
        """Return the width of the thin matrices; None if neither w1 nor w2 is a product."""
        ranks = (self.factors[name].shape[0] for name in ("lokr_w1_b", "lokr_w2_b") if name in self.factors)
        return next(ranks, None)

    @property
    def scale(self) -> float:
        """Return what the product is multiplied by."""
        return 1.0 if self.rank is None else self.alpha / self.rank


@dataclass(frozen=True)
class SummedWeights:
    """The weights of several LoRAs for one module, of which some are no plain LoRAs."""

    parts: tuple[ModuleWeights, ...]
    alpha: float = 1.0
    rank: int | None = None
    kind: ClassVar[str] = "sum"

    def tensors(self) -> dict[str, Tensor]:
        """Return no tensors: a file holds one kind for a module."""
        return {}

    def scaled(self, factor: float) -> SummedWeights:
        """Return weights with so many times the effect."""
        return SummedWeights(tuple(part.scaled(factor) for part in self.parts))

    def fit(self, weight_shape: tuple[int, ...]) -> SummedWeights | None:
        """Return the weights in the shapes for a module's weight; None if it is of another size."""
        parts = [part.fit(weight_shape) for part in self.parts]
        return replace(self, parts=tuple(part for part in parts if part)) if all(parts) else None


def read_weights(tensors: Mapping[str, Tensor], alpha: float | None) -> ModuleWeights:
    """Return the weights of one module from its tensors by suffix; BadInput if some are missing.

    Without an alpha, sd-scripts and LyCORIS take the rank.
    """
    # In one order always: an optimizer's state knows its parameters by their order.
    factors = {name: tensors[name] for name in _ORDER if name in tensors}
    names = tensors.keys()
    if names in ({DOWN, UP}, {DOWN, UP, MID}):
        return _read_lora(factors, alpha)
    if names in (set(HADAMARD_FACTORS), {*HADAMARD_FACTORS, *HADAMARD_CORES}):
        hadamard = HadamardWeights(_with_rank(factors), 1.0)
        return replace(hadamard, alpha=float(hadamard.rank) if alpha is None else alpha)
    has_both = all({f"lokr_{w}"} <= names or {f"lokr_{w}_a", f"lokr_{w}_b"} <= names for w in ("w1", "w2"))
    if names <= set(KRONECKER_FACTORS) and has_both:
        kronecker = KroneckerWeights(_with_rank(factors), 1.0)
        return replace(kronecker, alpha=float(kronecker.rank or 1) if alpha is None else alpha)
    raise BadInput(JobProblem.LORA_INCOMPLETE)


def _with_rank(factors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return factors of which none is empty; BadInput otherwise."""
    if any(factor.numel() == 0 for factor in factors.values()):
        raise BadInput(JobProblem.LORA_NO_RANK)
    return factors


def _read_lora(factors: dict[str, Tensor], alpha: float | None) -> LoraWeights:
    down, up, mid = factors[DOWN], factors[UP], factors.get(MID)
    if down.dim() < 2 or up.dim() < 2 or down.shape[0] != up.shape[1]:
        raise BadInput(JobProblem.LORA_INCOMPLETE)
    if down.shape[0] == 0:
        raise BadInput(JobProblem.LORA_NO_RANK)
    return LoraWeights(down, up, float(down.shape[0]) if alpha is None else alpha, mid)


def are_finite(weights: Mapping[str, ModuleWeights]) -> bool:
    """Return whether the weights of all modules are finite."""
    return all(
        bool(tensor.isfinite().all()) for values in weights.values() for tensor in values.tensors().values()
    )


def hadamard_delta(factors: Mapping[str, Tensor]) -> Tensor:
    """Return a LoHa's product, (out, in x kernel) or with its kernel, without the scale."""
    halves = []
    for number in ("1", "2"):
        left, right = factors[f"hada_w{number}_a"], factors[f"hada_w{number}_b"]
        core = factors.get(f"hada_t{number}")
        halves.append(left @ right if core is None else _multiply_core(core, left, right))
    return halves[0] * halves[1]


def kronecker_factors(factors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return w1, (a, b), and w2, (c, d x kernel) or with its kernel, each as one tensor."""
    w1 = factors["lokr_w1"] if "lokr_w1" in factors else factors["lokr_w1_a"] @ factors["lokr_w1_b"]
    if "lokr_w2" in factors:
        return w1, factors["lokr_w2"]
    left, right, core = factors["lokr_w2_a"], factors["lokr_w2_b"], factors.get("lokr_t2")
    return w1, left @ right if core is None else _multiply_core(core, left, right)


def kronecker_delta(factors: Mapping[str, Tensor]) -> Tensor:
    """Return a LoKr's product, without the scale."""
    w1, w2 = kronecker_factors(factors)
    return torch.kron(w1.view(*w1.shape, *(1 for _ in w2.shape[2:])), w2.contiguous())


def _multiply_core(core: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Return a Tucker product: the core, (rank, rank, kernel), between (rank, out) and (rank, in)."""
    return torch.einsum("i j ..., i p, j r -> p r ...", core, left, right)


def _fit_kernel(matrix: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """Return a matrix in a shape that differs in sides of 1 at its end alone, otherwise None."""
    padded = [
        [*each, *(1 for _ in range(max(matrix.dim(), len(shape)) - len(each)))]
        for each in (matrix.shape, shape)
    ]
    return matrix.reshape(shape) if padded[0] == padded[1] else None


def _has_size(
    build_delta: Callable[[Mapping[str, Tensor]], Tensor],
    factors: Mapping[str, Tensor],
    weight_shape: tuple[int, ...],
) -> bool:
    try:
        shape = build_delta({name: factor.to("meta") for name, factor in factors.items()}).shape
    except (RuntimeError, IndexError):  # the factors do not fit one another
        return False
    return shape[0] == weight_shape[0] and shape.numel() == torch.Size(weight_shape).numel()
