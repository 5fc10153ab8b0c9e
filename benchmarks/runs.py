"""Results of single runs, and the protocol of a lab; `benchmarks/lab.py` is the real one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from benchmarks.measure import Measurement


@dataclass(frozen=True)
class TrainingRun:
    """A few steps of our training; times in seconds."""

    precision: str  #: of the weights at the end: `float32`, `bfloat16`, `float16`
    start_s: float  #: from the start of the process to the end of the first step
    steps_s: tuple[float, ...]  #: each later step, without the events and checkpoints after the step before
    progress_delay_s: float  #: from a step's end until its progress is sent, median
    checkpoint_s: float  #: making one checkpoint and sending it
    checkpoint_bytes: int
    peak_bytes: int  #: of the process
    adjusted: tuple[str, ...] = ()  #: what the training changed by itself


@dataclass(frozen=True)
class PeerRun:
    """A few steps of the peer's training; times in seconds."""

    start_s: float  #: from the start of the process to the end of the first step
    steps_s: tuple[float, ...]  #: each later step
    peak_bytes: int


@dataclass(frozen=True)
class WorkerRun:
    """A worker's life: start, five photos sent ahead and a training, then one without."""

    said_ready_s: float  #: from the start to the first frame
    ready_s: float  #: from the start until the base model is loaded
    precision: str = ""  #: `fp32`, `bf16` or `fp16`; empty when it was not asked to train
    ahead_s: float = 0.0  #: from the fifth photo to the end of the first step
    ahead_steps_s: tuple[float, ...] = ()
    cold_s: float = 0.0  #: the same without a head start
    cold_steps_s: tuple[float, ...] = ()
    peak_bytes: int = 0


@dataclass(frozen=True)
class PrecisionChoice:
    """What the program chooses by itself on the CPU."""

    precision: str
    reason: str
    fp16_tensors: int


@dataclass(frozen=True)
class DrawingRun:
    """Denoising steps with guidance, in seconds, in turn."""

    precision: str
    ours_s: tuple[float, ...]
    theirs_s: tuple[float, ...]  #: of diffusers' own pipeline, without a LoRA
    peak_bytes: int
    with_lora_s: tuple[float, ...] = ()  #: ours, with a LoRA on every module
    merge_s: float = 0.0  #: computing the weights with a LoRA in them, once a picture


@dataclass(frozen=True)
class PictureRun:
    """Seconds from a request to its file, and the settings of ours as the files say them."""

    precision: str  #: of ours; theirs is what the pipeline chooses
    fast_s: float
    accelerated_s: float  #: with an acceleration LoRA of random weights
    theirs_s: float  #: of diffusers' own pipeline with nothing set
    fast_recipe: str
    accelerated_recipe: str


@dataclass(frozen=True)
class SwitchRun:
    """Another person's LoRA: seconds, and memory over a thousand switches among a hundred."""

    cold_s: float
    cached_s: float
    lora_bytes: int
    rss_before_bytes: int
    rss_most_bytes: int


@dataclass(frozen=True)
class StoredBlockRun:
    """Passes of a transformer block of SDXL's true shape, by how its weights are stored."""

    passes_s: dict[str, dict[str, float]]  #: by precision and side of the picture, `fp32 512`, and storage
    stored_bytes: dict[str, int]


@dataclass(frozen=True)
class CardRun:
    """A training on a CUDA card."""

    precision: str
    steps_s: tuple[float, ...]
    peak_bytes: int  #: of the card's memory, the CUDA context included
    idle_percent: float  #: of the time between two steps' ends in which the card has nothing to do


class Lab(Protocol):
    """Does single runs; each raises NotMeasured where it cannot."""

    @property
    def has_card(self) -> bool:
        """Return whether there is a CUDA GPU."""

    @property
    def side_px(self) -> int:
        """Return the side of the pictures in pixels."""

    def train(self, precision: str) -> TrainingRun:
        """Train on the CPU in `fp32`, `bf16` or by `default`."""

    def peer(self, flags: str, launcher: bool = False, on_card: bool = False) -> PeerRun:
        """Run a training of the peer with these flags, through `accelerate launch` if asked for."""

    def worker(self, only_ready: bool) -> WorkerRun:
        """Start a worker on the CPU; train with it unless it is only to get ready."""

    def choice(self) -> PrecisionChoice:
        """Look what is chosen by default on the CPU."""

    def card(self) -> CardRun:
        """Train on the card."""

    def draw(self, precision: str) -> DrawingRun:
        """Draw with ours and with diffusers' pipeline on the CPU, in `fp32`, `bf16` or by `default`."""

    def train_sdxl(self) -> TrainingRun:
        """Train the UNet of SDXL on the CPU in bf16."""

    def peer_sdxl(self) -> PeerRun:
        """Run the same with the peer."""

    def draw_sdxl(self) -> DrawingRun:
        """Draw with SDXL, ours and diffusers' pipeline, on the CPU in bf16."""

    def draw_whole(self) -> PictureRun:
        """Draw whole pictures with ours and with diffusers' pipeline on the CPU."""

    def switch(self) -> SwitchRun:
        """Change from one person's LoRA to another's."""

    def pass_stored_block(self) -> StoredBlockRun:
        """Pass through a block of SDXL with whole and rounded weights."""

    def peak(self, duty: str) -> int:
        """Return most memory in bytes of a process that does `train` or `both` (a picture beside it)."""

    def loading(self) -> tuple[int, int]:
        """Return most memory of a process that loads half-precision files, and their size, in bytes."""

    def compare_loras(self) -> Measurement:
        """Train the same sets of flags with ours and the peer, and return how far the LoRAs are apart."""

    def gflops(self, precision: str) -> float:
        """Return how fast the CPU multiplies matrices in `fp32` or `bf16`."""
