"""What CUDA says is understood: less memory helps, a new process helps, or neither."""

from __future__ import annotations

import pytest
import torch

from gpu_worker.device import cuda_errors

OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    MemoryError(),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("GET was unable to find an engine to execute this computation"),
    torch.AcceleratorError("CUDA error: out of memory"),
]
DEVICE_LOST = [
    RuntimeError("CUDA driver error: device not ready"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("CUDA unknown error - this may be due to an incorrectly set up environment"),
    torch.AcceleratorError("CUDA error: the launch timed out and was terminated"),
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
]
OTHER = [RuntimeError("The size of tensor a (4) must match"), ValueError("not enough memory"), KeyError("x")]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_short_memory_is_known_in_all_its_words_and_costs_no_worker(error: Exception) -> None:
    assert cuda_errors.is_out_of_memory(error)
    assert not cuda_errors.is_device_lost(error)


@pytest.mark.parametrize("error", DEVICE_LOST, ids=str)
def test_a_context_that_may_be_dead_ends_the_worker(error: Exception) -> None:
    assert cuda_errors.is_device_lost(error)
    assert not cuda_errors.is_out_of_memory(error)


@pytest.mark.parametrize("error", OTHER, ids=str)
def test_other_errors_are_neither(error: Exception) -> None:
    assert not cuda_errors.is_device_lost(error)
    assert not cuda_errors.is_out_of_memory(error)
