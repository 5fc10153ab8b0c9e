"""Torch keeps below what is free where the driver would spill into system memory."""

from __future__ import annotations

import pytest
import torch

from gpu_worker.device import memory_limit, placement
from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.models.registry import load_base_model
from tests.support.card.cuda import play
from tests.support.card.tensors import PlayedCard

GIB = 2**30


def test_drivers_of_windows_and_wsl_spill_and_those_of_linux_do_not() -> None:
    assert memory_limit.spills("linux", "5.15.167.4-microsoft-standard-WSL2")
    assert memory_limit.spills("win32", "10")
    assert not memory_limit.spills("linux", "6.1.0-28-amd64")


def test_the_share_is_what_is_free_less_a_reserve() -> None:
    assert memory_limit.compute_fraction(5 * GIB, 6 * GIB) == pytest.approx(4.6 / 6, abs=1e-3)
    assert 0 < memory_limit.compute_fraction(0, 6 * GIB) < 0.1


@pytest.mark.parametrize("is_spilling", [False, True])
def test_segments_grow_on_plain_linux_alone(is_spilling: bool) -> None:
    environ: dict[str, str] = {}
    memory_limit.set_allocator_defaults(environ, is_spilling)
    assert environ == ({} if is_spilling else {"PYTORCH_ALLOC_CONF": "expandable_segments:True"})


def test_settings_of_the_operator_stay() -> None:
    environ = {"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:128"}
    memory_limit.set_allocator_defaults(environ, is_spilling=False)
    assert environ == {"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:128"}


@pytest.mark.parametrize("is_spilling", [False, True])
def test_a_worker_is_capped_where_the_driver_spills(
    monkeypatch: pytest.MonkeyPatch, is_spilling: bool
) -> None:
    monkeypatch.setattr(memory_limit, "spills", lambda: is_spilling)
    with play(PlayedCard()) as card:
        placement.select_device(is_small_model=True)
    assert card.memory_fractions == ([pytest.approx(5.6 / 6, abs=1e-3)] if is_spilling else [])


@pytest.mark.parametrize(("name", "searches"), [("GeForce RTX 3060", False), ("GeForce GTX 1660", True)])
def test_convolutions_are_searched_everywhere_only_on_cards_that_need_it(name: str, searches: bool) -> None:
    before = torch.backends.cudnn.benchmark
    try:
        with play(PlayedCard(name=name)):
            placement.select_device(is_small_model=True)
        assert torch.backends.cudnn.benchmark is searches
    finally:
        torch.backends.cudnn.benchmark = before


@pytest.mark.parametrize("base_model", ["tiny", "drawn"])
def test_a_base_model_that_finds_no_memory_says_how_much_is_free_and_is_loaded_later(base_model: str) -> None:
    with play(PlayedCard()) as card:
        card.capacity_bytes = 2**20
        with pytest.raises(BaseModelError) as caught:
            load_base_model(base_model)
        assert caught.value.problem is JobProblem.BASE_MODEL_OUT_OF_MEMORY
        assert caught.value.values == {
            "name": base_model,
            "needed_gib": "0.4",
            "free_gib": "0.0",
            "device": "Played Card",
        }
        card.capacity_bytes = float("inf")
        assert load_base_model(base_model).device.type == "cuda"


@pytest.mark.parametrize(("capability", "has_tf32"), [((6, 1), False), ((7, 5), False), ((8, 6), True)])
def test_full_precision_is_tf32_where_the_card_has_it(capability: tuple[int, int], has_tf32: bool) -> None:
    with play(PlayedCard(capability)):
        placement.select_device(is_small_model=True)
        assert torch.backends.cuda.matmul.allow_tf32 is has_tf32
    assert torch.backends.cuda.matmul.allow_tf32 is False
