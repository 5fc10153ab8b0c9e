"""The build of torch follows the card: what is installed by hand, and what an image is told to set."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gpu_worker.device import kernels, torch_index
from gpu_worker.device.torch_index import CUDA_12_6_INDEX, CUDA_13_INDEX, Capability

ROOT = Path(__file__).parents[3]
CUDA_12_6 = ("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90")


@pytest.mark.parametrize(
    ("capability", "driver_branch", "index"),
    [
        ((3, 5), 470, None),  # GTX 700
        ((5, 2), 580, CUDA_12_6_INDEX),  # GTX 900
        ((6, 1), 580, CUDA_12_6_INDEX),  # GTX 10
        ((7, 0), 590, CUDA_12_6_INDEX),  # Titan V
        ((7, 5), 580, CUDA_13_INDEX),  # GTX 16, RTX 20
        ((8, 6), 535, CUDA_12_6_INDEX),  # an RTX 30 under an older driver
        ((9, 0), 580, CUDA_13_INDEX),  # H100
        ((12, 0), 570, CUDA_13_INDEX),  # an RTX 50 has no other
    ],
)
def test_the_index_follows_capability_and_driver(
    capability: Capability, driver_branch: int, index: str | None
) -> None:
    assert torch_index.choose_index(capability, driver_branch) == index


@pytest.mark.parametrize(
    ("answer", "index"),
    [
        ("6.1, 560.94\n", CUDA_12_6_INDEX),
        ("6.1, 580.95.05\n8.6, 580.95.05\n", CUDA_12_6_INDEX),  # the older card's runs on both
        ("6.1, 580.95.05\n12.0, 580.95.05\n", CUDA_13_INDEX),
        ("8.9, 580.65\n", CUDA_13_INDEX),
        ("[N/A], 580.65\n", None),
        ('Field "compute_cap" is not a valid field to query.\n', None),
        ("", None),
    ],
)
def test_the_driver_s_answer_is_read(answer: str, index: str | None) -> None:
    assert torch_index.choose_for_cards(answer) == index


def test_make_is_told_an_index_only_where_the_usual_build_does_not_suit(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for answer in ("6.1, 580.1", "8.6, 580.1"):
        assert torch_index.main([sys.executable, "-c", f"print({answer!r})"]) == 0
    assert torch_index.main(["there-is-no-such-program"]) == 0
    assert capsys.readouterr().out == f"{CUDA_12_6_INDEX}\n"


def test_an_image_is_told_its_setting_and_not_a_line_of_pip() -> None:
    image = {"LORACODE_IMAGE": "1"}
    error = str(kernels.find_error("RTX 5090", (12, 0), CUDA_12_6, "2.13.0+cu126", image))
    assert f"TORCH_INDEX={CUDA_13_INDEX} in .env" in error
    assert "pip" not in error
    assert "pip install" in str(kernels.find_error("RTX 5090", (12, 0), CUDA_12_6, "2.13.0+cu126", {}))
    for line in (
        kernels.suggest_fix((6, 1), "2.13.0+cu130", image),
        kernels.suggest_driver_fix((8, 6), "2.13.0+cu130", 13, image),
    ):
        assert f"TORCH_INDEX={CUDA_12_6_INDEX} in .env" in line
    assert "LORACODE_IMAGE=1" in (ROOT / "Dockerfile").read_text("utf-8")


def test_torch_stays_below_the_release_without_pascal() -> None:
    assert '"torch>=2.9,<2.15"' in (ROOT / "pyproject.toml").read_text("utf-8")


def test_the_guide_names_the_index_of_each_card() -> None:
    guide = (ROOT / "docs/install.md").read_text("utf-8")
    assert guide.index("compute_cap") < guide.index("## Tokens")
    for first, last in (((5, 0), (7, 2)), ((7, 5), (9, 0))):
        assert f"`{first[0]}.{first[1]}` to `{last[0]}.{last[1]}`" in guide
        assert torch_index.choose_index(first, 580) == torch_index.choose_index(last, 580)
    assert f"`TORCH_INDEX={CUDA_12_6_INDEX}`" in guide
    assert f"`TORCH_INDEX={CUDA_13_INDEX}`" in guide
