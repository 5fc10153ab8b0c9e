"""What a training of a family takes on a card; each family's record has one. Torch-free."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

GIB = 2**30
#: Weights that share a scale in NF4.
NF4_BLOCK = 64


class WeightStorage(enum.StrEnum):
    """How frozen weights are stored between their uses."""

    WHOLE = "whole"  #: in the precision that is computed in
    INT8 = "int8"  #: with one scale for each output channel
    NF4 = "nf4"  #: 4 bits, with one scale for each block

    @property
    def bytes_per_weight(self) -> float | None:
        """Bytes of a weight; None: those of the precision."""
        return {"whole": None, "int8": 1.0, "nf4": 0.5 + 2 / NF4_BLOCK}[self.value]


@dataclass(frozen=True)
class MemoryProfile:
    """Bytes of a training step at the native size, batch 1, as `benchmarks.card` counts them."""

    parameters: float  #: of the components that are on the card
    activation_bytes: Mapping[int, float]  #: by bytes a number, without checkpointing
    checkpointed_share: float  #: of the activations that gradient checkpointing keeps
    #: LoRA and optimizer; not the workspaces of the libraries.
    overhead_bytes: float
    min_memory_gb: float  #: of the machine: the weights are read into it
    quantizable: float = 0.0  #: of the parameters, those that can be stored in few bits
    parked: float = 0.0  #: parameters of components that wait in system memory
    block_class: str = ""  #: of the blocks that can be streamed; empty: none
    block_count: int = 0
    block_parameters: float = 0.0  #: of one of them, that can be stored in few bits
    teraflops: float = 0.0  #: of a step without checkpointing

    def required_bytes(self, itemsize: int, gradient_checkpointing: bool) -> float:
        """Return the memory of a training in a precision of so many bytes a number."""
        activations = self.activation_bytes[itemsize]
        share = self.checkpointed_share if gradient_checkpointing else 1.0
        return self.parameters * itemsize + share * activations + self.overhead_bytes

    def working_bytes(self, itemsize: int) -> float:
        """Return what a training takes beside the weights, without checkpointing."""
        return self.activation_bytes[itemsize] + self.overhead_bytes


#: A shipped small model, reckoned generously.
SMALL_MEMORY = MemoryProfile(
    parameters=0.05e9,
    activation_bytes={2: 0.1 * GIB, 4: 0.2 * GIB},
    checkpointed_share=0.28,
    overhead_bytes=0.3 * GIB,
    min_memory_gb=2.0,
)
#: Stable Diffusion 1.5 at 512 px; UNet, VAE and text encoder.
SD15_MEMORY = MemoryProfile(
    parameters=1.066e9,
    activation_bytes={2: 0.92 * GIB, 4: 1.81 * GIB},
    checkpointed_share=0.28,
    overhead_bytes=0.12 * GIB,
    min_memory_gb=5.5,
    quantizable=0.942e9,
    teraflops=1.84,
)
