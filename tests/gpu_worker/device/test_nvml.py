"""What is said of a card is said of the one that is computed on, and as much as its driver tells."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from pynvml import (
    NVML_ERROR_NOT_FOUND,
    NVML_ERROR_NOT_SUPPORTED,
    NVML_ERROR_UNKNOWN,
    NVML_TEMPERATURE_GPU,
    NVMLError,
)

from gpu_worker.device import placement
from gpu_worker.device.nvml import get_gpu_handle, read_gpu


class Driver:
    """NVML of a machine with three cards, which does not tell everything; a card is its number."""

    NVML_TEMPERATURE_GPU = NVML_TEMPERATURE_GPU
    NVMLError = NVMLError

    def __init__(self, *silent: str, error: int = NVML_ERROR_NOT_SUPPORTED) -> None:
        self._silent, self._error = silent, error
        self.users = 0

    def nvmlInit(self) -> None:
        self.users += 1

    def nvmlShutdown(self) -> None:
        self.users -= 1

    def nvmlDeviceGetCount(self) -> int:
        return 3

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        for card in range(4):
            if self.nvmlDeviceGetUUID(card) == uuid:
                return card
        raise NVMLError(NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetUUID(self, card: int) -> str:
        return f"{'GPU' if card < 3 else 'MIG'}-{card}{card}-abc"

    def nvmlDeviceGetName(self, card: int) -> object:
        return self._told("name", f"card {card}")

    def nvmlDeviceGetMemoryInfo(self, card: int) -> SimpleNamespace:
        return self._told("memory", SimpleNamespace(used=card, total=6))

    def nvmlDeviceGetTemperature(self, card: int, sensor: int) -> int:
        assert sensor == NVML_TEMPERATURE_GPU
        return self._told("temperature", 60 + card)

    def nvmlDeviceGetUtilizationRates(self, card: int) -> SimpleNamespace:
        return self._told("load", SimpleNamespace(gpu=90 + card))

    def _told(self, what: str, value: object) -> object:
        if what in self._silent:
            raise NVMLError(self._error)
        return value


@pytest.mark.parametrize(
    ("visible", "uuid", "card"),
    [
        ("", "", 0),
        ("2,0", "", 2),
        (" 1 ", "", 1),
        ("GPU-11-abc", "", 1),
        ("GPU-2", "", 2),
        ("0", "22-abc", 2),
    ],
)
def test_the_card_that_is_computed_on_is_asked(visible: str, uuid: str, card: int) -> None:
    assert get_gpu_handle(visible, uuid, Driver()) == card


def test_metrics_of_a_gpu_are_all_read() -> None:
    driver = Driver()
    metrics = read_gpu(7, "1", nvml=driver)
    assert (metrics.name, metrics.process_memory_bytes) == ("card 1", 7)
    assert (metrics.memory_used_bytes, metrics.memory_total_bytes) == (1, 6)
    assert (metrics.temperature_c, metrics.utilization_percent) == (61, 91)
    assert driver.users == 0


@pytest.mark.parametrize("error", [NVML_ERROR_NOT_SUPPORTED, NVML_ERROR_UNKNOWN])
@pytest.mark.parametrize("silent", ["memory", "temperature", "load"])
def test_metrics_that_a_gpu_lacks_are_left_out_and_the_rest_is_there(silent: str, error: int) -> None:
    metrics = read_gpu(7, "", nvml=Driver(silent, error=error))
    figures = {
        "memory": metrics.memory_used_bytes,
        "temperature": metrics.temperature_c,
        "load": metrics.utilization_percent,
    }
    assert figures.pop(silent) is None
    assert None not in figures.values()


def test_a_gpu_that_does_not_tell_its_name_has_its_figures() -> None:
    metrics = read_gpu(7, "", nvml=Driver("name", error=NVML_ERROR_UNKNOWN))
    assert (metrics.name, metrics.temperature_c) == ("cuda", 60)


def test_an_instance_of_a_divided_card_is_found() -> None:
    assert get_gpu_handle("MIG-33-abc", "33-abc", Driver()) == 3
    with pytest.raises(NVMLError):
        get_gpu_handle("MIG-44-abc", "44-abc", Driver())


def test_metrics_that_cannot_be_read_are_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise NVMLError(NVML_ERROR_UNKNOWN)

    monkeypatch.setattr(placement, "read_gpu", fail)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    placement._warn_once.cache_clear()
    assert [placement.read_metrics().name for _ in range(3)] == ["cuda"] * 3
    assert len(caplog.records) == 1


def test_a_missing_card_is_an_error_and_the_driver_is_let_go() -> None:
    driver = Driver()
    with pytest.raises(NVMLError):
        read_gpu(7, "GPU-99", nvml=driver)
    assert driver.users == 0
