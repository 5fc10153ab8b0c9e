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
class BlockGroup:
    """Blocks of one class and size, which can wait in system memory."""

    class_name: str
    count: int
    parameters: float  #: of one of them, that can be stored in few bits


@dataclass(frozen=True)
class StoredPart:
    """A component, or several: how many parameters they have, and how few bytes they can take."""

    parameters: float = 0.0
    quantizable: float = 0.0  #: of them, those that can be stored in few bits

    def stored_bytes(self, storage: WeightStorage, itemsize: int) -> float:
        """Return what it takes."""
        wide_bytes = (self.parameters - self.quantizable) * itemsize
        return wide_bytes + self.quantizable * (storage.bytes_per_weight or itemsize)


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
    text_encoders: StoredPart = StoredPart()  #: that wait in system memory while they are not used
    twin: StoredPart = StoredPart()  #: what pictures are drawn with instead
    blocks: tuple[BlockGroup, ...] = ()  #: that can be streamed, in the order in which they are chosen
    picture_bytes: float = (
        0.0  #: of the activations of a picture's step at the native size, in half precision
    )
    fixed_share: float = 0.0  #: of the activations that are the same at each size: those of the text
    teraflops: float = 0.0  #: of a step without checkpointing

    @property
    def block_count(self) -> int:
        """How many blocks can be streamed."""
        return sum(group.count for group in self.blocks)

    @property
    def block_classes(self) -> tuple[str, ...]:
        """The classes of the blocks that can be streamed."""
        return tuple(group.class_name for group in self.blocks)

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
    picture_bytes=0.064 * GIB,
    teraflops=1.84,
)
