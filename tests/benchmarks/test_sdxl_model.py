"""The benchmark's file of SDXL's shape has the names that such files have."""

from __future__ import annotations

from benchmarks.sdxl_model import list_shapes
from gpu_worker.models.sdxl import tiny as models_tiny_xl
from tests.support.ldm_checkpoint import to_sgm


def test_names_and_shapes_are_those_of_a_single_file() -> None:
    expected = to_sgm(models_tiny_xl.build_components().modules)
    assert dict(list_shapes(models_tiny_xl.WIDTHS)) == {
        name: tuple(tensor.shape) for name, tensor in expected.items()
    }
