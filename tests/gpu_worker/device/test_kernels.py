"""Which cards a build of torch has kernels for, and what is said where it has none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from packaging.specifiers import SpecifierSet

from gpu_worker.device import inspect, kernels
from gpu_worker.device.inspect import GpuInfo, TorchInfo, diagnose_gpu, diagnose_torch
from gpu_worker.device.torch_index import Capability
from gpu_worker.doctor import diagnose_family, diagnose_memory
from gpu_worker.models.sd15.family import SD15
from gpu_worker.models.sdxl.family import SDXL

#: What `torch.cuda.get_arch_list()` gives for the wheels of torch 2.13.
CUDA_12_6 = ("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90")
CUDA_13 = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120")

GTX_1060 = GpuInfo("NVIDIA GeForce GTX 1060 6GB", 6 * 2**30, (6, 1), "560.94", 12060)


@pytest.mark.parametrize(
    ("capability", "built_for", "runs"),
    [
        ((6, 1), CUDA_12_6, True),  # GTX 1060: code for 6.0 runs on 6.1
        ((6, 1), CUDA_13, False),
        ((5, 2), CUDA_12_6, True),
        ((3, 5), CUDA_12_6, False),
        ((7, 0), CUDA_13, False),  # V100
        ((7, 5), CUDA_13, True),  # RTX 2060, GTX 1660
        ((8, 9), CUDA_13, True),  # RTX 4090: code for 8.0 and 8.6
        ((8, 0), ("sm_86",), False),  # never backwards
        ((12, 0), CUDA_12_6, False),  # RTX 5090
        ((12, 1), ("compute_120",), True),  # what is compiled when it is loaded runs on anything newer
        ((9, 0), ("sm_90a",), True),
        ((9, 1), ("sm_90a",), False),
        ((10, 3), ("sm_100f",), True),
        ((9, 0), ("sm_broken", ""), False),
    ],
)
def test_a_card_runs_code_of_its_own_generation_that_is_not_newer(
    capability: Capability, built_for: tuple[str, ...], runs: bool
) -> None:
    assert kernels.has_kernels(capability, built_for) is runs


def test_pascal_gpu_with_the_default_torch_gets_the_exact_command() -> None:
    error = kernels.find_error("GTX 1060", (6, 1), CUDA_13, "2.13.0+cu130")
    assert str(error) == (
        "This torch (2.13.0+cu130) has no kernels for the GTX 1060 (sm_61). Install one that has: "
        "pip install torch==2.13.0+cu126 --index-url https://download.pytorch.org/whl/cu126"
    )
    assert kernels.find_error("GTX 1060", (6, 1), CUDA_12_6, "2.13.0+cu126") is None


@pytest.mark.parametrize(
    ("capability", "words"),
    [((12, 0), "pip install --force-reinstall torch==2.13.0"), ((3, 5), "CUDA_VISIBLE_DEVICES=-1")],
)
def test_newer_and_far_older_gpus_get_other_advice(capability: Capability, words: str) -> None:
    error = kernels.find_error("card", capability, CUDA_12_6, "2.13.0+cu126")
    assert words in str(error)


@pytest.mark.parametrize(
    ("torch", "verdict", "words"),
    [
        (TorchInfo("2.13.0+cu126", "12.6", CUDA_12_6, True), "ok", ""),
        (TorchInfo("2.13.0+cu130", "13.0", CUDA_13, True), "bad", "cu126"),
        (TorchInfo("2.13.0+cu130", "13.0", CUDA_13, False), "bad", "cu126"),
        (TorchInfo("2.13.0+cu126", "12.6", CUDA_12_6, False), "bad", "gpus: all"),
        (TorchInfo("2.13.0+cpu", None, (), False), "bad", "cu126"),
        (None, "warn", "See torch"),
    ],
)
def test_a_card_that_torch_cannot_use_is_found_with_its_cure(
    torch: TorchInfo | None, verdict: str, words: str
) -> None:
    diagnosis = diagnose_gpu(GTX_1060, torch)
    assert diagnosis.verdict == verdict
    assert words in diagnosis.advice


@pytest.mark.parametrize(
    ("capability", "torch_cuda", "driver", "build"),
    [
        ((6, 1), 13, False, True),  # a newer driver alone would not help a GTX 1060
        ((8, 6), 13, True, True),  # an RTX 3060 under Debian 12's driver, which knows CUDA 12
        ((12, 0), 13, True, False),  # an RTX 50 needs CUDA 13
        ((6, 1), 12, True, False),  # it has that build already
    ],
)
def test_old_driver_gets_advice_that_helps(
    capability: Capability, torch_cuda: int, driver: bool, build: bool
) -> None:
    line = kernels.suggest_driver_fix(capability, f"2.13.0+cu{torch_cuda}0", torch_cuda)
    assert ("newer NVIDIA driver" in line, "torch==2.13.0+cu126" in line) == (driver, build)


def test_the_command_names_a_build_that_pip_will_install() -> None:
    specifier = SpecifierSet(
        "==" + kernels.suggest_fix((6, 1), "2.13.0+cu130").split("torch==")[1].split()[0]
    )
    assert [each in specifier for each in ("2.13.0", "2.13.0+cu130", "2.13.0+cu126")] == [False, False, True]


def test_installed_versions_are_shown() -> None:
    torch = TorchInfo("2.13.0+cu126", "12.6", CUDA_12_6, True)
    assert diagnose_torch(torch, "").detail == "2.13.0+cu126, built for CUDA 12.6"
    assert diagnose_gpu(GTX_1060, torch).detail == "NVIDIA GeForce GTX 1060 6GB, 6.0 GB, sm_61"
    assert diagnose_gpu(None, torch).verdict == "warn"
    assert diagnose_torch(None, "No module named 'torch'").verdict == "bad"
    assert diagnose_memory(16 * 2**30, 9 * 2**30).verdict == "ok"
    assert ".wslconfig" in diagnose_memory(4 * 2**30, 2**30).advice
    assert diagnose_memory(8 * 2**30, 2**30, SDXL.memory).verdict == "warn"


def test_the_family_is_named_with_its_licence_and_what_a_training_takes() -> None:
    assert diagnose_family(SD15, GTX_1060).verdict == "ok"
    too_large = diagnose_family(SDXL, GTX_1060)
    assert too_large.verdict == "warn"
    assert "SDXL, CreativeML Open RAIL++-M; a training takes 6." in too_large.detail
    assert diagnose_family(SDXL, replace(GTX_1060, memory_bytes=8 * 2**30)).verdict == "ok"
    assert diagnose_family(SDXL, None).verdict == "ok"


def test_gpu_that_torch_does_not_see_is_reported_unless_it_is_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(inspect, "inspect_gpu", lambda: None)
    assert inspect.find_unused_gpu() is None
    old = GpuInfo("NVIDIA GeForce RTX 3060", 12 * 2**30, (8, 6), "535.247", 12020)
    monkeypatch.setattr(inspect, "inspect_gpu", lambda: old)
    monkeypatch.setattr(
        inspect, "inspect_torch", lambda: (TorchInfo("2.13.0+cu130", "13.0", CUDA_13, False), "")
    )
    line = inspect.find_unused_gpu()
    assert line is not None
    assert line.startswith("The card is not used (NVIDIA GeForce RTX 3060, 12.0 GB, sm_86). The driver")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert inspect.find_unused_gpu() is None
