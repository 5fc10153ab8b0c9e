"""What a training of a family takes on a machine, told before anything is downloaded. Pure and torch-free.

Bytes are those that torch has in use, as `benchmarks.card` counts them; times are rough.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gpu_worker.device.memory_profile import GIB, MemoryProfile, StoredPart, WeightStorage
from gpu_worker.errors import WorkerError

AUTO = "auto"
#: What `MEMORY` may be.
CHOICES = (AUTO, *WeightStorage)
#: Of a card, for what no count knows: CUDA context, workspaces of cuBLAS and cuDNN, a desktop.
UNCOUNTED_BYTES = 0.9 * GIB
#: Of the machine: bot, worker, libraries and system.
PROGRAM_BYTES = 4 * GIB
#: Gradient checkpointing computes the forward pass again.
_CHECKPOINTING_WORK = 1.4
#: By how much a step is longer for widening its weights; reasoned from the bytes that it moves.
_STORAGE_TIME = {WeightStorage.WHOLE: 1.0, WeightStorage.INT8: 1.1, WeightStorage.NF4: 1.2}
#: Blocks that are streamed come in the forward and in the backward pass, over a bus that gives so much.
_PASSES, _TRANSFER_BYTES_PER_S = 2, 8e9
#: Of the streamed blocks: the one that is used, and the one under way.
RESIDENT_BLOCKS = 2
#: Left free on the card beside a transformer and its twin, for the activations of a step.
STEP_RESERVE_BYTES = 3 * GIB
#: What a text encoder takes beside its weights while it reads.
_READING_BYTES = 0.3 * GIB
#: Shares of the native side that are tried, and what sides are multiples of.
SIDES, _SIDE_STEP_PX = (1.0, 0.75, 0.5), 64
#: What cards of a size usually sustain in half precision, in TFLOP/s.
_USUAL_TFLOPS = ((7, 2.6), (13, 11.0), (17, 20.0), (math.inf, 40.0))


class PlanProblem(enum.Enum):
    """What a machine lacks."""

    CARD = "card"
    MEMORY = "memory"


class PlanRefused(WorkerError):
    """A training does not fit; `needed_bytes` is the least of what is lacking that would do."""

    def __init__(self, problem: PlanProblem, needed_bytes: float) -> None:
        self.problem, self.needed_bytes = problem, needed_bytes
        what = "of free memory on the card" if problem is PlanProblem.CARD else "of RAM"
        super().__init__(f"A training does not fit: it needs {_format_up(needed_bytes)} GB {what}.")


@dataclass(frozen=True)
class TrainingMachine:
    """What there is to train with."""

    card_bytes: float  #: free on the card
    memory_bytes: float  #: RAM
    tflops: float  #: that the card sustains


@dataclass(frozen=True)
class MemoryPlan:
    """How a training fits a machine."""

    storage: WeightStorage
    streamed_blocks: int
    gradient_checkpointing: bool
    size_px: int  #: side of the training pictures
    card_bytes: float
    memory_bytes: float
    step_s: float
    text_encoder_offload: bool = False  #: prompts are encoded by the processor

    def __str__(self) -> str:
        checkpointing = ", gradient checkpointing" * self.gradient_checkpointing
        streamed = f", {self.streamed_blocks} blocks streamed" * bool(self.streamed_blocks)
        text = ", text encoder on the processor" * self.text_encoder_offload
        return (
            f"weights {self.storage}{streamed}{checkpointing}{text}, {self.size_px} px,"
            f" about {self.step_s:.2g} s a step;"
            f" {self.card_bytes / GIB:.1f} GB of the card, {self.memory_bytes / GIB:.1f} GB of RAM"
        )

    def describe(self, steps: int) -> str:
        """Return it in words, with the time of a training of so many steps."""
        return f"{self}; {max(1, round(self.step_s * steps / 60))} min a training"


def list_storages(choice: str) -> tuple[WeightStorage, ...]:
    """Return the ways to store weights that a plan may choose from, in its order."""
    return tuple(WeightStorage) if choice == AUTO else (WeightStorage(choice),)


def list_sides(native_px: int, training_px: int) -> tuple[float, ...]:
    """Return the shares of the native side that a training may take, which is asked to take this one."""
    return tuple(side for side in SIDES if native_px * side <= training_px) or SIDES[-1:]


def usual_tflops(card_bytes: float) -> float:
    """Return what cards with so much memory usually sustain."""
    return next(tflops for limit_gb, tflops in _USUAL_TFLOPS if card_bytes < limit_gb * GIB)


def plan_memory(
    profile: MemoryProfile,
    native_px: int,
    machine: TrainingMachine,
    storages: Sequence[WeightStorage] = tuple(WeightStorage),
    itemsize: int = 2,
    sides: Sequence[float] = SIDES,
) -> MemoryPlan:
    """Return the first plan that fits; raises PlanRefused with the least that would help.

    The order is: whole weights, 8 bits, some blocks streamed, 4 bits, and then the same at smaller sizes.
    `itemsize` is of the precision that is computed in.
    """
    plans = [
        plan for side in sides for plan in _list_plans(profile, native_px, machine, storages, itemsize, side)
    ]
    for plan in plans:
        if plan.card_bytes <= machine.card_bytes and plan.memory_bytes <= machine.memory_bytes:
            return plan
    fitting = [plan for plan in plans if plan.card_bytes <= machine.card_bytes]
    if fitting:
        raise PlanRefused(PlanProblem.MEMORY, min(plan.memory_bytes for plan in fitting))
    raise PlanRefused(PlanProblem.CARD, min(plan.card_bytes for plan in plans))


def _list_plans(
    profile: MemoryProfile,
    native_px: int,
    machine: TrainingMachine,
    storages: Sequence[WeightStorage],
    itemsize: int,
    side: float,
) -> Iterator[MemoryPlan]:
    """Yield the plans for a share of the native side, in their order."""
    size_px = int(native_px * side) // _SIDE_STEP_PX * _SIDE_STEP_PX
    area = (size_px / native_px) ** 2
    for storage in storages:
        resting_bytes = _compute_weights_bytes(profile, storage, itemsize) + profile.overhead_bytes
        for is_checkpointed in (False, True):
            work = profile.teraflops * area * (_CHECKPOINTING_WORK if is_checkpointed else 1.0)
            plan = MemoryPlan(
                storage,
                streamed_blocks=0,
                gradient_checkpointing=is_checkpointed,
                size_px=size_px,
                card_bytes=compute_card_bytes(profile, storage, itemsize, is_checkpointed, area),
                memory_bytes=PROGRAM_BYTES + profile.overhead_bytes,  # checkpoints on their way to the bot
                step_s=work * _STORAGE_TIME[storage] / machine.tflops,
            )
            yield _place_parked(plan, profile, itemsize, resting_bytes, machine.card_bytes)
        if storage.bytes_per_weight is not None and profile.blocks:
            yield _stream_blocks(plan, profile, itemsize, resting_bytes, machine.card_bytes)


def _stream_blocks(
    plan: MemoryPlan,
    profile: MemoryProfile,
    itemsize: int,
    resting_bytes: float,
    card_bytes: float,
) -> MemoryPlan:
    """Return a plan with as few blocks streamed as the card needs, but for all of them never more."""
    bytes_per_weight = plan.storage.bytes_per_weight or itemsize
    sizes = [group.parameters * bytes_per_weight for group in profile.blocks for _ in range(group.count)]
    missing_bytes = plan.card_bytes - card_bytes
    counts = range(RESIDENT_BLOCKS + 1, len(sizes) + 1)
    streamed = next((count for count in counts if _sum_saved(sizes[:count]) >= missing_bytes), len(sizes))
    saved_bytes, streamed_bytes = _sum_saved(sizes[:streamed]), sum(sizes[:streamed])
    plan = replace(
        plan,
        streamed_blocks=streamed,
        card_bytes=plan.card_bytes - saved_bytes,
        step_s=max(plan.step_s, _PASSES * streamed_bytes / _TRANSFER_BYTES_PER_S),
    )
    return _place_parked(plan, profile, itemsize, resting_bytes - saved_bytes, card_bytes, streamed_bytes)


def _sum_saved(sizes: Sequence[float]) -> float:
    """Return what streaming these blocks saves: two of them are on the card."""
    return sum(sizes) - sum(sorted(sizes)[-RESIDENT_BLOCKS:])


def _place_parked(
    plan: MemoryPlan,
    profile: MemoryProfile,
    itemsize: int,
    resting_bytes: float,
    card_bytes: float,
    streamed_bytes: float = 0.0,
) -> MemoryPlan:
    """Return a plan with what waits in RAM: text encoders, the twin, and the blocks that are streamed.

    Text encoders that do not fit beside the weights are read by the processor. A twin that does not fit
    takes the place of what is trained, which then waits in RAM too.
    """
    text_bytes = profile.text_encoders.stored_bytes(plan.storage, itemsize)
    twin_bytes = profile.twin.stored_bytes(plan.storage, itemsize)
    has_both = resting_bytes + twin_bytes + STEP_RESERVE_BYTES <= card_bytes
    trained_bytes = streamed_bytes if has_both else max(streamed_bytes, twin_bytes)
    return replace(
        plan,
        memory_bytes=PROGRAM_BYTES + profile.overhead_bytes + text_bytes + twin_bytes + trained_bytes,
        text_encoder_offload=bool(text_bytes) and resting_bytes + text_bytes + _READING_BYTES > card_bytes,
    )


def compute_card_bytes(
    profile: MemoryProfile, storage: WeightStorage, itemsize: int, is_checkpointed: bool, area: float = 1.0
) -> float:
    """Return what a training takes at most; `area` is that of its pictures beside the native one's.

    A layer that is widened is not at the peak, which is where most activations are kept.
    """
    share = profile.fixed_share + (1 - profile.fixed_share) * area
    activation_bytes = profile.activation_bytes[itemsize] * share
    activation_bytes *= profile.checkpointed_share if is_checkpointed else 1.0
    weights_bytes = _compute_weights_bytes(profile, storage, itemsize)
    # Pictures have the native size, whatever is trained on.
    working_bytes = max(activation_bytes, profile.picture_bytes * itemsize / 2)
    return weights_bytes + working_bytes + profile.overhead_bytes


def _compute_weights_bytes(profile: MemoryProfile, storage: WeightStorage, itemsize: int) -> float:
    return StoredPart(profile.parameters, profile.quantizable).stored_bytes(storage, itemsize)


def _format_up(num_bytes: float) -> str:
    return f"{math.ceil(num_bytes / GIB * 10) / 10:.1f}"
