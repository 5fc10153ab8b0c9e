"""The played card notices what a card would not forgive."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from gpu_worker.training.loss_reader import AsyncLossReader, StepLoss
from tests.support.card.cuda import play
from tests.support.card.tensors import CARD, MixedDevices, PlayedCard


@pytest.fixture
def card() -> Iterator[PlayedCard]:
    with play(PlayedCard()) as played:
        yield played


class HastyLossReader(AsyncLossReader):
    """Reads the loss before its event."""

    def flush(self) -> StepLoss | None:
        if self._pending is None:
            return None
        step, losses, _ = self._pending
        return StepLoss(step, tuple(losses.tolist()))


def test_ids_left_on_the_host_are_noticed(card: PlayedCard) -> None:
    embedding = torch.nn.Embedding(5, 3).to(CARD)
    with pytest.raises(MixedDevices, match="embedding"):
        embedding(torch.tensor([[1, 2]]))
    assert embedding(torch.tensor([[1, 2]]).to(CARD)).device == CARD


def test_a_loss_that_is_read_before_its_event_is_noticed(card: PlayedCard) -> None:
    means = {}
    for reader_class in (AsyncLossReader, HastyLossReader):
        reader = reader_class(CARD)
        reader.push(1, torch.tensor([0.5], device=CARD))
        step_loss = reader.flush()
        assert step_loss is not None
        means[reader_class] = step_loss.mean
    assert means[AsyncLossReader] == 0.5
    assert math.isnan(means[HastyLossReader])


def test_waiting_for_a_loss_takes_no_core(card: PlayedCard) -> None:
    AsyncLossReader(CARD).push(1, torch.tensor([0.5], device=CARD))
    assert card.event_options == [{"blocking": True}]


def test_sending_without_pinning_is_noticed(card: PlayedCard) -> None:
    def send(tensor: Tensor) -> Tensor:
        return tensor.to(CARD, non_blocking=True)

    send(torch.zeros(3).pin_memory())
    assert not card.unpinned_sends
    assert not card.waits
    send(torch.zeros(3))
    assert card.unpinned_sends.total() == 1


@pytest.mark.parametrize("is_in_place", [False, True])
def test_a_generator_of_the_other_device_is_noticed(card: PlayedCard, is_in_place: bool) -> None:
    on_host, on_card = torch.Generator().manual_seed(1), torch.Generator(CARD).manual_seed(1)

    def draw(generator: torch.Generator, device: torch.device) -> Tensor:
        if is_in_place:
            return torch.zeros(3, device=device).normal_(generator=generator)
        return torch.randn(3, generator=generator, device=device)

    for generator, device in ((on_host, CARD), (on_card, torch.device("cpu"))):
        with pytest.raises(MixedDevices, match="generator"):
            draw(generator, device)
    assert draw(on_card, CARD).device == CARD
    assert draw(on_host, torch.device("cpu")).device.type == "cpu"


def test_more_memory_than_there_is_is_refused_and_freed_memory_is_taken_again(card: PlayedCard) -> None:
    card.capacity_bytes = 1024
    kept = torch.zeros(128, device=CARD)
    torch.zeros(128, device=CARD)
    with pytest.raises(torch.OutOfMemoryError):
        torch.zeros(129, device=CARD)
    assert card.live_bytes == 512
    del kept
    assert card.live_bytes == 0
    assert card.peak_bytes == 1024


def test_looking_at_a_value_waits_for_the_card(card: PlayedCard) -> None:
    total = torch.ones(3, device=CARD).sum()
    assert float(total) == 3.0
    assert list(card.waits.values()) == [1]
