"""The scalars of a training for TensorBoard, under sd-scripts' names and at its steps."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from gpu_worker.errors import BadInput
from gpu_worker.training.trainer import StepReport


class ScalarWriter(Protocol):
    """What is used of `torch.utils.tensorboard.SummaryWriter`."""

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Write a value of a curve."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoardLog:
    """Writes losses and learning rates of every batch, and the mean loss of every epoch."""

    def __init__(self, writer: ScalarWriter, batches_per_step: int, batches_per_epoch: int) -> None:
        self._writer = writer
        self._batches_per_step, self._batches_per_epoch = batches_per_step, batches_per_epoch
        self._steps_per_epoch = -(-batches_per_epoch // batches_per_step)
        #: The last loss of each batch of an epoch, so that the mean always covers one epoch.
        self._losses: dict[int, float] = {}
        self._open_epoch = 0  #: counted from 1; 0: no batch of it was written

    def write_step(self, report: StepReport) -> None:
        """Write a step. A batch before its last belongs to the step before, which is done by then."""
        epoch, step_index = divmod(report.step - 1, self._steps_per_epoch)
        for offset, loss in enumerate(report.batch_losses):
            batch_index = step_index * self._batches_per_step + offset
            self._losses[batch_index] = loss
            is_last = offset == len(report.batch_losses) - 1
            self._write_batch(report, loss, report.step if is_last else report.step - 1)
            self._open_epoch = epoch + 1
            if batch_index == self._batches_per_epoch - 1:
                self._write_epoch()

    def close(self) -> None:
        """Write the mean of an epoch that was not finished, and close the log."""
        if self._open_epoch:
            self._write_epoch()
        self._writer.close()

    def _write_batch(self, report: StepReport, loss: float, step: int) -> None:
        self._writer.add_scalar("loss/current", loss, step)
        self._writer.add_scalar("loss/average", self._mean_loss(), step)
        for prefix, rates in (("lr/", report.learning_rates), ("lr/d*lr/", report.adapted_rates)):
            # The text encoder comes first. The others also have a curve by their number.
            names = sorted(rates, key=lambda name: name != "textencoder")
            for number, name in enumerate(names):
                self._writer.add_scalar(f"{prefix}{name}", rates[name], step)
                if name != "textencoder":
                    self._writer.add_scalar(f"{prefix}group{number}", rates[name], step)

    def _write_epoch(self) -> None:
        self._writer.add_scalar("loss/epoch_average", self._mean_loss(), self._open_epoch)
        self._open_epoch = 0

    def _mean_loss(self) -> float:
        return sum(self._losses.values()) / len(self._losses)


def open_log(folder: Path, batches_per_step: int, batches_per_epoch: int) -> TensorBoardLog:
    """Return a log in a new folder, named after the time; BadInput without the package tensorboard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise BadInput("--logging_dir needs the package tensorboard: pip install tensorboard.") from error
    log_dir = folder / datetime.now(UTC).strftime("%Y%m%d%H%M%S") / "network_train"
    writer: Any = SummaryWriter(str(log_dir))
    return TensorBoardLog(writer, batches_per_step, batches_per_epoch)
