"""Write which cards hold a training of which size, as planned: `python -m benchmarks.card.plans`."""

from __future__ import annotations

import re
import sys

from benchmarks.card.table import CARD_SIZES_GB
from benchmarks.measure import ROOT
from gpu_worker.device.memory_profile import GIB
from gpu_worker.memory.plan import (
    UNCOUNTED_BYTES,
    PlanRefused,
    TrainingMachine,
    list_sides,
    plan_memory,
    usual_tflops,
)
from gpu_worker.models.family import ModelFamily
from gpu_worker.models.flow.klein.family import KLEIN
from gpu_worker.models.flow.z_image.family import Z_IMAGE
from gpu_worker.models.sd15.family import SD15
from gpu_worker.models.sdxl.family import SDXL

PAGE = ROOT / "docs" / "models.md"
START, END = "<!-- plan table: made by `python -m benchmarks.card.plans` -->", "<!-- end of plan table -->"
#: RAM that is no limit.
_MEMORY_BYTES = 64 * GIB


def format_plans() -> str:
    """Return the table: a line for each family and size, a column for each card."""
    head = ["planned", *(f"{card_gb} GB" for card_gb in CARD_SIZES_GB)]
    lines = [head, ["---"] * len(head)]
    for family in (SD15, SDXL, KLEIN, Z_IMAGE):
        for side in list_sides(family.native_px, family.training_px):
            cells = [_format_cell(family, side, card_gb) for card_gb in CARD_SIZES_GB]
            if cells != lines[-1][1:]:  # a smaller size that changes nothing is no line
                lines.append([f"{family.title}, {int(family.native_px * side)} px", *cells])
    return "\n".join("|" + "|".join(line) + "|" for line in lines)


def _format_cell(family: ModelFamily, side: float, card_gb: int) -> str:
    machine = TrainingMachine(card_gb * GIB - UNCOUNTED_BYTES, _MEMORY_BYTES, usual_tflops(card_gb * GIB))
    try:
        plan = plan_memory(family.memory, family.native_px, machine, sides=(side,))
    except PlanRefused:
        return "no"
    return f"{plan.storage}{'*' * plan.gradient_checkpointing}" + f" {plan.streamed_blocks}" * bool(
        plan.streamed_blocks
    )


def write_page(page: str) -> str:
    """Return the page with the table of today."""
    pattern = f"{re.escape(START)}.*{re.escape(END)}"
    return re.sub(pattern, lambda _: f"{START}\n{format_plans()}\n{END}", page, flags=re.DOTALL)


def main() -> int:
    """Write the table."""
    PAGE.write_text(write_page(PAGE.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
