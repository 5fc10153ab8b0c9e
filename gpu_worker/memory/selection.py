"""Fit a base model into the device that was chosen, by the plan or as the operator says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gpu_worker.device.inspect import read_memory_bytes
from gpu_worker.device.memory_profile import GIB, MemoryProfile, WeightStorage
from gpu_worker.device.placement import DeviceConfig
from gpu_worker.memory.plan import (
    AUTO,
    SIDES,
    MemoryPlan,
    TrainingMachine,
    list_storages,
    plan_memory,
    usual_tflops,
)

#: Of what is free, for workspaces of cuBLAS and cuDNN and holes between blocks; the CUDA context is there.
_RESERVED_BYTES = 0.4 * GIB


def fit_device(
    device_config: DeviceConfig,
    profile: MemoryProfile,
    native_px: int,
    choice: str = AUTO,
    sides: Sequence[float] = SIDES,
) -> tuple[DeviceConfig, MemoryPlan | None]:
    """Return the device with the memory mode of the plan; None where nothing has to be planned.

    Raises PlanRefused for a card that is too small, and for too little RAM, before the system ends the
    process.
    """
    storages = list_storages(choice)
    if device_config.device.type == "cuda":
        device_config = replace(device_config, storages=storages)
    if device_config.free_bytes is None:
        storage = WeightStorage.WHOLE if choice == AUTO else storages[0]
        return _set_mode(device_config, storage, device_config.memory_mode.gradient_checkpointing), None
    free_bytes = device_config.free_bytes - _RESERVED_BYTES
    machine = TrainingMachine(
        free_bytes, read_memory_bytes()[0], device_config.tflops or usual_tflops(free_bytes)
    )
    plan = plan_memory(profile, native_px, machine, storages, device_config.dtype.itemsize, sides)
    device_config = _set_mode(device_config, plan.storage, plan.gradient_checkpointing)
    memory_mode = replace(
        device_config.memory_mode,
        streamed_blocks=plan.streamed_blocks,
        text_encoder_offload=plan.text_encoder_offload,
    )
    return replace(device_config, memory_mode=memory_mode), plan


def _set_mode(device_config: DeviceConfig, storage: WeightStorage, is_checkpointed: bool) -> DeviceConfig:
    memory_mode = replace(device_config.memory_mode, storage=storage, gradient_checkpointing=is_checkpointed)
    return replace(device_config, memory_mode=memory_mode)
