"""A pass that is recorded and replayed on the played card: the same numbers, from inputs at fixed places."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from gpu_worker.device import cuda_graphs
from gpu_worker.device.benchmark import DtypeTiming
from gpu_worker.device.cuda_graphs import GraphedPasses
from gpu_worker.lora import file as lora_file
from gpu_worker.models.registry import load_base_model
from gpu_worker.protocol import DoneEvent, TrainRequest
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.trainer import train
from tests.support.card.cuda import play
from tests.support.card.tensors import CARD, PlayedCard, RecordingError

WARM_UPS = 3


@pytest.fixture
def card() -> Iterator[PlayedCard]:
    with play(PlayedCard()) as played:
        yield played


class Fit:
    """A small fit by gradient descent, whose passes may be replayed."""

    def __init__(self) -> None:
        self.weight = nn.Parameter(torch.ones(4, 3).to(CARD))
        self.calls = 0

    def run_pass(self, tensors: Mapping[str, Tensor]) -> Tensor:
        self.calls += 1
        loss = ((tensors["inputs"] @ self.weight).tanh() - tensors["target"]).square().mean()
        loss.backward()
        return loss.detach()

    def step(self, number: int, run: Callable[[Mapping[str, Tensor]], Tensor]) -> float:
        generator = torch.Generator().manual_seed(number)
        tensors = {
            "inputs": torch.randn(5, 4, generator=generator).pin_memory(),
            "target": torch.randn(5, 3, generator=generator).pin_memory(),
        }
        loss = run(tensors)
        with torch.no_grad():
            assert self.weight.grad is not None
            self.weight.sub_(0.1 * self.weight.grad)
        self.weight.grad = None
        return float(loss)


def test_replayed_passes_give_the_losses_and_weights_of_passes_that_are_run(card: PlayedCard) -> None:
    plain, graphed = Fit(), Fit()
    passes = GraphedPasses(CARD, [graphed.weight])
    for number in range(7):
        expected = plain.step(
            number, lambda tensors: plain.run_pass({name: each.to(CARD) for name, each in tensors.items()})
        )
        found = graphed.step(number, lambda tensors: passes.run("a kind", tensors, graphed.run_pass))
        assert found == expected
    assert torch.equal(graphed.weight.cpu(), plain.weight.cpu())
    assert graphed.calls == WARM_UPS + 1  # the last one was recorded
    assert card.replays == 7 - WARM_UPS
    assert not card.unpinned_sends


def test_later_inputs_take_no_memory_and_wait_for_nothing(card: PlayedCard) -> None:
    fit = Fit()
    passes = GraphedPasses(CARD, [fit.weight])
    losses = []
    for number in range(WARM_UPS + 1):
        fit.step(number, lambda tensors: passes.run("a kind", tensors, fit.run_pass))
    at_rest = card.live_bytes
    for number in range(4):
        tensors = {
            "inputs": torch.full((5, 4), float(number)).pin_memory(),
            "target": torch.zeros(5, 3).pin_memory(),
        }
        card.waits.clear()
        losses.append(passes.run("a kind", tensors, fit.run_pass))
        assert not card.waits
        assert card.live_bytes == at_rest + 512 * len(losses)  # the losses that are handed out
    assert len({float(loss) for loss in losses}) == 4  # each keeps its own


def test_passes_of_another_kind_are_run_until_they_have_a_recording_of_their_own(card: PlayedCard) -> None:
    fit = Fit()
    passes = GraphedPasses(CARD, [fit.weight])
    for number in range(WARM_UPS + 2):
        for kind in ("first", "second", "third"):
            fit.step(number, lambda tensors, kind=kind: passes.run(kind, tensors, fit.run_pass))
    assert fit.calls == 2 * (WARM_UPS + 1) + (WARM_UPS + 2)  # memory for two recordings, no more
    assert card.replays == 2 * 2


@pytest.mark.parametrize("fault", [lambda loss: float(loss), lambda loss: torch.zeros(3).to(CARD)])
def test_what_a_recording_may_not_do_is_noticed(card: PlayedCard, fault: Callable[[Tensor], object]) -> None:
    fit = Fit()
    passes = GraphedPasses(CARD, [fit.weight])

    def run_pass(tensors: Mapping[str, Tensor]) -> Tensor:
        loss = fit.run_pass(tensors)
        fault(loss)
        return loss

    for number in range(WARM_UPS):
        fit.step(number, lambda tensors: passes.run("a kind", tensors, run_pass))
    with pytest.raises(RecordingError):
        fit.step(9, lambda tensors: passes.run("a kind", tensors, run_pass))


def test_graphs_are_for_cards_that_wait_for_the_program_and_asked_for() -> None:
    rtx_3060 = DtypeTiming(seconds=0.030, is_finite=True, queue_seconds=0.002)
    rtx_4090 = DtypeTiming(seconds=0.004, is_finite=True, queue_seconds=0.002)
    assert [each.is_launch_bound(1.84) for each in (rtx_3060, rtx_4090)] == [False, True]
    assert cuda_graphs.are_enabled({"CUDA_GRAPHS": "1"})
    assert not cuda_graphs.are_enabled({})


@pytest.mark.soak
def test_a_training_with_graphs_is_the_same_bit_for_bit(
    card: PlayedCard, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    base = load_base_model("tiny", torch.float16)
    config = replace(quick, steps=6, sample_every_steps=None, save_precision="float")
    hashes = []
    for uses_cuda_graphs in (False, True):
        base.device_config = replace(base.device_config, uses_cuda_graphs=uses_cuda_graphs)
        last = list(train(base, TrainRequest(job_id=1, attempt=1, photos=photos[:2], seed=3), config))[-1]
        assert isinstance(last, DoneEvent)
        assert last.lora is not None
        hashes.append(lora_file.read(last.lora).metadata["sshs_model_hash"])
    assert hashes[0] == hashes[1]
    assert card.replays == 6 - WARM_UPS
