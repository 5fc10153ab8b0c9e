"""Which gear a card gets, from what was measured on it."""

from __future__ import annotations

import pytest
import torch

from gpu_worker.device import benchmark, inspect, placement
from gpu_worker.device.benchmark import DtypeTiming
from gpu_worker.device.memory_modes import MemoryMode
from tests.support.card.cuda import play
from tests.support.card.tensors import CARD, PlayedCard

GIB = 2**30
HALF, WIDE, FULL = torch.float16, torch.bfloat16, torch.float32
#: The played card computes on the CPU, where fp16 takes minutes at the full size.
SMALL_SIDE = 8


def measures(**seconds: float) -> dict[torch.dtype, DtypeTiming]:
    names = {"fp16": HALF, "bf16": WIDE, "fp32": FULL}
    return {names[name]: DtypeTiming(abs(value), value > 0) for name, value in seconds.items()}


@pytest.mark.parametrize(
    ("timings", "memory_gib", "memory_mode"),
    [
        pytest.param(measures(fp32=0.02, bf16=0.01), None, MemoryMode(WIDE), id="a CPU with bf16"),
        pytest.param(measures(fp32=0.02, bf16=0.05), None, MemoryMode(FULL), id="a CPU that emulates bf16"),
        pytest.param(
            measures(fp16=0.010, bf16=0.0105, fp32=0.03), 80, MemoryMode(WIDE), id="no loss scaling if free"
        ),
        pytest.param(
            measures(fp16=0.010, bf16=0.03, fp32=0.012), 5.5, MemoryMode(HALF), id="a Pascal card of 6 GB"
        ),
        pytest.param(measures(fp16=-0.010, fp32=0.012), 11, MemoryMode(FULL), id="fp16 gives no numbers"),
        pytest.param(
            measures(fp16=0.010, fp32=0.012),
            3.0,
            MemoryMode(HALF, gradient_checkpointing=True),
            id="a 4 GB card with a desktop",
        ),
        pytest.param(measures(fp16=0.010, fp32=0.012), 3.5, MemoryMode(HALF), id="a 4 GB card"),
        pytest.param(
            measures(fp16=0.02, fp32=0.012), 4.5, MemoryMode(HALF), id="full precision does not fit"
        ),
        pytest.param(
            measures(fp16=0.016, fp32=0.012), 5.5, MemoryMode(HALF), id="computing twice would cost more"
        ),
        pytest.param(measures(fp16=0.013, fp32=0.012), 24, MemoryMode(HALF), id="half the memory for free"),
        pytest.param(measures(fp16=0.015, fp32=0.012), 24, MemoryMode(FULL), id="a card slow in fp16"),
        pytest.param(measures(fp16=-0.01, fp32=-0.01), 5.5, MemoryMode(FULL), id="nothing gives numbers"),
        pytest.param(
            measures(fp16=0.02, fp32=0.01),
            1.0,
            MemoryMode(HALF, gradient_checkpointing=True),
            id="nothing fits",
        ),
    ],
)
def test_the_fastest_precision_that_is_finite_and_fits_is_picked(
    timings: dict[torch.dtype, DtypeTiming], memory_gib: float | None, memory_mode: MemoryMode
) -> None:
    picked, reason = benchmark.choose_memory_mode(timings, None if memory_gib is None else memory_gib * GIB)
    assert picked == memory_mode
    assert reason


def test_reason_names_the_measured_times() -> None:
    _, reason = benchmark.choose_memory_mode(measures(fp16=0.010, fp32=0.012), 5.5 * GIB)
    assert "fp16 10.0 ms, fp32 12.0 ms" in reason
    assert "5.5 GiB free" in reason


def test_a_gpu_is_timed_by_its_own_clock_on_enough_work_and_keeps_nothing_of_it() -> None:
    with play(PlayedCard()) as card:
        cpu_operations = 40  # about what the slice of a CPU starts
        timings = benchmark.benchmark_dtypes(CARD, [HALF], SMALL_SIDE)
        assert timings[HALF].is_finite
        assert timings[HALF].seconds > 3 * cpu_operations / 1000  # the played clock counts operations
        assert not [wait for wait in card.waits if wait.startswith("synchronize")]
        assert card.live_bytes == 0


def test_free_memory_is_read_after_the_cache_was_emptied() -> None:
    with play(PlayedCard()) as card:
        placement.select_device(is_small_model=False, slice_side=SMALL_SIDE)
        assert card.live_bytes_at_empty_cache == [0]


def test_half_precision_is_never_a_candidate_on_a_cpu() -> None:
    assert HALF not in benchmark.candidate_dtypes(torch.device("cpu"))


def test_a_measurement_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    [(dtype, timings)] = benchmark.benchmark_dtypes(torch.device("cpu"), [FULL]).items()
    assert dtype is FULL
    assert timings.is_finite
    assert timings.seconds > 0
    assert torch.equal(torch.get_rng_state(), before)


def test_cpu_run_is_told_why_the_gpu_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(inspect, "find_unused_gpu", lambda: "The card is not used.")
    assert placement.select_device(is_small_model=True).device.type == "cpu"
    assert caplog.messages == ["The card is not used."]
