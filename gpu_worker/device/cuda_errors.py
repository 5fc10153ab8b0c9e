"""What CUDA and its libraries say when memory is short, and when the context may be dead. Torch-free.

CUDA's runtime and driver, cuBLAS and cuDNN each have their own words for one thing.
"""

from __future__ import annotations

#: Parts of messages, with where they come from. Whoever gets one may try again with less.
OUT_OF_MEMORY = {
    "can't allocate memory": "torch's allocator of the CPU",
    "not enough memory": "the same under Windows",
    "CUDA error: out of memory": "CUDA's runtime, cudaErrorMemoryAllocation",
    "CUDA driver error: out of memory": "CUDA's driver, so under WSL2: github.com/microsoft/WSL/issues/41176",
    "CUBLAS_STATUS_ALLOC_FAILED": "cuBLAS, cublasCreate",
    "CUDNN_STATUS_ALLOC_FAILED": "cuDNN 8",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED": "cuDNN 9, cudnnStatus_t",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED": "cuDNN 9, cudnnStatus_t",
    "unable to find an engine": "torch, when no way to compute a convolution gets the memory it wants",
}
#: After these every later call may fail too, in a process that has seen one.
DEVICE_LOST = {
    "CUDA error": "CUDA's runtime: illegal access, launch timed out, unspecified launch failure; cuBLAS",
    "CUDA driver error": "CUDA's driver: device not ready, the card was reset",
    "CUDA unknown error": "torch, when CUDA cannot be set up any more",
    "cuDNN error": "cuDNN 8 and 9: execution failed, internal error",
}
_LOST_CLASSES = {"AcceleratorError", "DeferredCudaCallError"}


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if an error means that there is too little memory."""
    if isinstance(error, MemoryError) or "OutOfMemoryError" in _class_names(error):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)


def is_device_lost(error: BaseException) -> bool:
    """Return True if an error may leave the CUDA context unusable for this process."""
    if is_out_of_memory(error):
        return False
    return bool(_class_names(error) & _LOST_CLASSES) or any(words in str(error) for words in DEVICE_LOST)


def _class_names(error: BaseException) -> set[str]:
    return {each.__name__ for each in type(error).__mro__}
