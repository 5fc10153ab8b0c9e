"""What a card would take, counted at SD 1.5's true shape on fake tensors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from benchmarks.card import plans, table
from benchmarks.card.__main__ import PAGE, replace_table
from benchmarks.card.allocator import MIB, CachingAllocator
from benchmarks.card.counts import count_denoising_step, count_training_step
from benchmarks.card.device_guard import CannotCount
from benchmarks.card.foreach import count_launches
from benchmarks.card.session import time_session
from benchmarks.card.table import GIB, CardWork, CountedWork, build_rows, count_works, format_markdown
from benchmarks.rows import GoalVerdict
from gpu_worker.device.memory_modes import MemoryMode
from gpu_worker.device.memory_profile import SD15_MEMORY, WeightStorage
from gpu_worker.memory.plan import compute_card_bytes
from gpu_worker.models.family import ModelFamily
from gpu_worker.models.flow.klein.family import KLEIN
from gpu_worker.models.flow.z_image.family import Z_IMAGE
from gpu_worker.models.sd15.family import SD15
from gpu_worker.models.sdxl.family import SDXL


def count(works: Sequence[CardWork]) -> list[CountedWork]:
    try:
        return count_works(works)
    except CannotCount as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def counted() -> list[CountedWork]:
    """Count a training at 512 px in half precision."""
    return count(table.SD15_WORKS[:1])


@pytest.mark.soak
def test_each_memory_mode_takes_less_than_the_one_above() -> None:
    counted = count(table.SD15_WORKS[:3])
    assert {row.verdict for row in build_rows(counted)} == {GoalVerdict.HOLDS}
    modes = [each.work.memory_mode for each in counted]
    assert [(mode.gradient_checkpointing, mode.vae_offload) for mode in modes] == [
        (False, False),
        (True, False),
        (True, True),
    ]
    peaks = [each.training.peak_bytes for each in counted]
    assert peaks == sorted(peaks, reverse=True)
    assert len(set(peaks)) == 3


@pytest.mark.soak
def test_the_page_has_the_figures_of_every_family() -> None:
    for works in table.WORKS.values():
        assert format_markdown(count(works)) in PAGE.read_text("utf-8")


@pytest.mark.parametrize(("family", "works"), table.WORKS.items())
def test_each_line_of_the_page_takes_less_than_the_mode_above_and_is_what_the_worker_expects(
    family: str, works: Sequence[CardWork]
) -> None:
    # `make soak` counts these lines anew.
    cells = [line.split("|")[1:3] for line in PAGE.read_text("utf-8").splitlines() if line.startswith("|")]
    title = f"{table.FAMILIES[family].title}, training"
    first = [cell for cell, _ in cells].index(title) + 2
    lines = [(work, float(alone)) for work, (_, alone) in zip(works, cells[first:], strict=False)]
    assert [cell for cell, _ in cells[first : first + len(works)]] == [work.title for work in works]
    for (above, above_gib), (work, alone_gib) in pairwise(lines):
        mode, mode_above = work.memory_mode, above.memory_mode
        if (work.side_px, work.batch_size, mode.dtype) == (above.side_px, above.batch_size, mode_above.dtype):
            assert alone_gib < above_gib, work.title
    native = [
        (work, alone_gib)
        for work, alone_gib in lines
        if work.side_px == table.FAMILIES[family].native_px and work.batch_size == 1
    ]
    assert len(native) >= 2
    for work, alone_gib in native:
        mode = work.memory_mode
        if not mode.vae_offload:
            need = table.FAMILIES[family].memory.required_bytes(
                mode.dtype.itemsize, mode.gradient_checkpointing
            )
            assert abs(need / GIB / alone_gib - 1) <= table.MAX_NEED_ERROR, work.title


def test_a_training_without_checkpointing_leaves_room_on_a_card_of_four_gigabytes(
    counted: list[CountedWork],
) -> None:
    assert counted[0].training.reserved_bytes <= 3.2 * GIB


def test_the_worker_expects_the_memory_that_is_counted_and_kernels_have_a_ceiling(
    counted: list[CountedWork],
) -> None:
    verdicts = {row.name: row.verdict for row in build_rows(counted)}
    assert set(verdicts) == {"card-512", "card-need-512", "card-kernels"}
    assert set(verdicts.values()) == {GoalVerdict.HOLDS}


def test_the_page_has_the_figures_that_are_counted(counted: list[CountedWork]) -> None:
    assert f"{format_markdown(counted)}\n" in PAGE.read_text("utf-8")


def test_a_plan_is_what_is_counted(counted: list[CountedWork]) -> None:
    planned_bytes = compute_card_bytes(SD15_MEMORY, WeightStorage.WHOLE, 2, is_checkpointed=False)
    assert abs(planned_bytes / counted[0].training.peak_bytes - 1) <= table.MAX_NEED_ERROR


@pytest.mark.soak
@pytest.mark.parametrize("storage", list(WeightStorage))
@pytest.mark.parametrize("is_checkpointed", [False, True])
@pytest.mark.parametrize("family", [SD15, SDXL], ids=lambda family: str(family.name))
def test_plans_of_stored_weights_are_what_is_counted(
    family: ModelFamily, is_checkpointed: bool, storage: WeightStorage
) -> None:
    memory_mode = MemoryMode(torch.float16, is_checkpointed, storage=storage)
    check_training_plan(family, memory_mode, family.native_px)


@pytest.mark.soak
@pytest.mark.parametrize("storage", list(WeightStorage))
@pytest.mark.parametrize("is_checkpointed", [False, True])
@pytest.mark.parametrize("family", [KLEIN, Z_IMAGE], ids=lambda family: str(family.name))
def test_plans_of_flows_with_stored_weights_are_what_is_counted(
    family: ModelFamily, is_checkpointed: bool, storage: WeightStorage
) -> None:
    memory_mode = MemoryMode(torch.bfloat16, is_checkpointed, storage=storage)
    for side_px in (family.training_px, family.native_px):
        check_training_plan(family, memory_mode, side_px)


@pytest.mark.parametrize(
    "family",
    [*(pytest.param(family, marks=pytest.mark.soak) for family in (SD15, SDXL)), KLEIN, Z_IMAGE],
    ids=lambda family: str(family.name),
)
def test_steps_of_pictures_are_what_the_family_s_record_says(family: ModelFamily) -> None:
    dtype = torch.bfloat16 if family.needs_bf16 else torch.float16
    try:
        counted = count_denoising_step(family.name, MemoryMode(dtype), family.native_px, rows=1)
    except CannotCount as error:
        pytest.skip(str(error))
    working_bytes = counted.peak_bytes - counted.kept_bytes
    assert abs(family.memory.picture_bytes / working_bytes - 1) <= table.MAX_NEED_ERROR


def check_training_plan(family: ModelFamily, memory_mode: MemoryMode, side_px: int) -> None:
    try:
        counted = count_training_step(family.name, memory_mode, side_px)
    except CannotCount as error:
        pytest.skip(str(error))
    planned_bytes = compute_card_bytes(
        family.memory,
        memory_mode.storage,
        2,
        memory_mode.gradient_checkpointing,
        (side_px / family.native_px) ** 2,
    )
    assert abs(planned_bytes / counted.peak_bytes - 1) <= table.MAX_NEED_ERROR


def test_the_page_has_the_plans_of_today() -> None:
    page = PAGE.read_text("utf-8")
    assert plans.write_page(page) == page
    assert plans.format_plans() in page


def test_a_table_takes_the_place_of_the_one_before() -> None:
    page = PAGE.read_text("utf-8")
    replaced = replace_table(page, "sd15", "|new|")
    assert "|new|" in replaced
    assert not re.search("512 px, full precision", replaced)
    assert re.search("SDXL, training", replaced)
    assert replace_table(replaced, "sd15", "|new|") == replaced


def test_memory_is_reserved_in_segments_and_used_again() -> None:
    allocator = CachingAllocator()
    small, large = allocator.allocate(1000), allocator.allocate(3 * MIB)
    assert allocator.reserved_bytes == (2 + 20) * MIB
    allocator.free(large)
    assert allocator.allocate(16 * MIB).size_bytes == 16 * MIB
    assert allocator.reserved_bytes == 22 * MIB
    allocator.free(small)
    allocator.empty_cache()
    assert allocator.reserved_bytes == 20 * MIB


def test_memory_that_is_full_is_an_error_only_when_the_cache_is_empty_too() -> None:
    allocator = CachingAllocator(capacity_bytes=30 * MIB)
    allocator.free(allocator.allocate(20 * MIB))
    kept = allocator.allocate(30 * MIB)
    with pytest.raises(torch.OutOfMemoryError):
        allocator.allocate(MIB)
    allocator.free(kept)
    assert allocator.peak_reserved_bytes == 30 * MIB


@pytest.mark.soak
def test_a_worker_s_start_pictures_and_cancel_are_timed() -> None:
    times = time_session(Path("tiny"), side_px=64, steps=1)
    assert 0 < times.cancel_s < times.wake_up_s
    assert times.first_pictures_s > 0
    assert times.second_pictures_s > 0


def test_kernels_of_a_list_of_tensors_are_as_many_as_its_arguments_fill() -> None:
    assert count_launches("_foreach_copy_", "default", [100] * 64) == 1
    assert count_launches("_foreach_copy_", "default", [100] * 65) == 2
    assert count_launches("_foreach_mul_", "Scalar", [100] * 110) == 1
    assert count_launches("_foreach_mul_", "ScalarList", [100] * 110) == 2
    assert count_launches("_fused_adamw_", "default", [100] * 37) == 2
    assert count_launches("_foreach_mul_", "Scalar", [65_536 * 321]) == 2  # blocks are full before tensors
    assert count_launches("_foreach_mul_", "Scalar", [65_537] * 160) == 2
    assert count_launches("_foreach_mul_", "Scalar", [0, 0]) == 0
    assert count_launches("_foreach_norm", "Scalar", [100]) == 4  # two fills, one norm, one sum
    assert count_launches("mm", "default", [100]) is None
