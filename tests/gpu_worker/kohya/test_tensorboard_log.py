"""Curves as sd-scripts writes them; the figures are those that its program logged for the same flags."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import pytest

from gpu_worker.kohya.tensorboard_log import TensorBoardLog
from gpu_worker.training.trainer import StepReport


@dataclass
class Curves:
    """A writer that keeps what it is given."""

    by_tag: defaultdict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    is_closed: bool = False

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.by_tag[tag].append((step, value))

    def close(self) -> None:
        self.is_closed = True


def written(losses: list[tuple[float, ...]], batches_per_step: int, batches_per_epoch: int) -> Curves:
    curves = Curves()
    log = TensorBoardLog(curves, batches_per_step, batches_per_epoch)
    for index, batch_losses in enumerate(losses):
        log.write_step(StepReport(index + 1, batch_losses, {"unet": 1.0, "textencoder": 0.5}, {}))
    log.close()
    assert curves.is_closed
    return curves


def test_the_curves_have_a_point_for_every_batch_of_an_accumulated_step() -> None:
    epoch = [(1.0, 2.0), (3.0, 4.0), (5.0,)]
    curves = written(epoch * 3, batches_per_step=2, batches_per_epoch=5)
    steps = [step for step, _ in curves.by_tag["loss/current"]]
    assert steps == [0, 1, 1, 2, 3, 3, 4, 4, 5, 6, 6, 7, 7, 8, 9]
    assert [step for step, _ in curves.by_tag["lr/group1"]] == steps
    assert curves.by_tag["loss/epoch_average"] == [(1, 3.0), (2, 3.0), (3, 3.0)]


def test_the_mean_loss_covers_one_epoch() -> None:
    curves = written([(1.0,), (3.0,), (5.0,), (7.0,)], batches_per_step=1, batches_per_epoch=2)
    assert [value for _, value in curves.by_tag["loss/average"]] == [1.0, 2.0, 4.0, 6.0]
    assert curves.by_tag["loss/epoch_average"] == [(1, 2.0), (2, 6.0)]


def test_an_epoch_that_was_cut_short_has_a_mean_too() -> None:
    curves = written([(1.0,), (3.0,)], batches_per_step=1, batches_per_epoch=5)
    assert curves.by_tag["loss/epoch_average"] == [(1, 2.0)]


@pytest.mark.parametrize(
    ("rates", "tags"),
    [
        ({"unet": 1.0, "textencoder": 0.5}, {"lr/unet", "lr/textencoder", "lr/group1"}),
        ({"unet": 1.0}, {"lr/unet", "lr/group0"}),
        ({"textencoder": 0.5}, {"lr/textencoder"}),
    ],
)
def test_the_rates_have_the_names_and_numbers_of_sd_scripts(rates: dict[str, float], tags: set[str]) -> None:
    curves = Curves()
    TensorBoardLog(curves, 1, 1).write_step(StepReport(1, (1.0,), rates, dict.fromkeys(rates, 1e-6)))
    adapted_tags = {tag.replace("lr/", "lr/d*lr/") for tag in tags}
    assert {tag for tag in curves.by_tag if tag.startswith("lr/")} == tags | adapted_tags
