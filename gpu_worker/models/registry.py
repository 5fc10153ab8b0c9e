"""Load a base model by its name: find out what it is, and leave it to its family."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from gpu_worker.device import cuda_errors, placement
from gpu_worker.device.inspect import read_memory_bytes
from gpu_worker.device.placement import DeviceConfig
from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.memory import selection
from gpu_worker.memory.plan import AUTO, MemoryPlan, PlanProblem, PlanRefused, list_sides
from gpu_worker.models.base import BaseModel
from gpu_worker.models.family import KLEIN_ARCHITECTURE, Z_IMAGE_ARCHITECTURE, ModelFamily
from gpu_worker.models.files import recognise_family, recognise_path
from gpu_worker.models.flow import loading as flow_loading
from gpu_worker.models.flow.klein import tiny as tiny_klein
from gpu_worker.models.flow.klein.family import TINY_KLEIN
from gpu_worker.models.flow.klein.model import KleinModel
from gpu_worker.models.flow.pairs import DISTILLED_SAMPLING, PAIRS, ModelPair, find_pair, locate_pair
from gpu_worker.models.flow.z_image import tiny as tiny_z_image
from gpu_worker.models.flow.z_image.family import TINY_Z_IMAGE
from gpu_worker.models.flow.z_image.model import ZImageModel
from gpu_worker.models.sd15 import config as sd15_config
from gpu_worker.models.sd15 import drawn, tiny
from gpu_worker.models.sd15 import loading as sd15_loading
from gpu_worker.models.sd15.family import DRAWN, SD15, TINY
from gpu_worker.models.sd15.model import Sd15Model
from gpu_worker.models.sdxl import config as sdxl_config
from gpu_worker.models.sdxl import loading as sdxl_loading
from gpu_worker.models.sdxl import tiny as tiny_xl
from gpu_worker.models.sdxl.family import SDXL, TINY_XL
from gpu_worker.models.sdxl.model import SdxlModel
from gpu_worker.models.sources import components, hub
from gpu_worker.models.sources.hub import ProgressCallback
from gpu_worker.models.sources.names import find_local, resolve_name
from gpu_worker.models.sources.vae import SCALING_FACTORS, VaeSource, find_vae, vae_config
from gpu_worker.models.text.clip.tokenizer import load_clip_tokenizer
from gpu_worker.models.text.qwen3.config import SMALL

log = logging.getLogger(__name__)

_EMBEDDED = {family.name: family for family in (TINY, TINY_XL, TINY_KLEIN, TINY_Z_IMAGE)}
_SHIPPED = {**_EMBEDDED, DRAWN.name: DRAWN}
_FLOW_MODELS: dict[str, type[KleinModel | ZImageModel]] = {
    KLEIN_ARCHITECTURE: KleinModel,
    Z_IMAGE_ARCHITECTURE: ZImageModel,
}


def load_base_model(
    name: str = "",
    dtype: torch.dtype | None = None,
    on_progress: ProgressCallback = lambda _: None,
    vae_name: str = "",
    memory: str = AUTO,
) -> BaseModel:
    """Load a shipped model by its name, a diffusers folder, a `.safetensors` file or a hub id.

    An empty name means SD 1.5 on a machine with CUDA, and `drawn` elsewhere. `vae_name`, a folder, a file or
    a hub id, replaces the VAE. `on_progress` is called with the progress of a download. `memory` is
    how frozen weights are stored, one of `plan.CHOICES`. Raises BaseModelError if the model cannot be
    loaded.
    """
    try:
        return _load(name, dtype, on_progress, vae_name, memory)
    except Exception as error:
        if not cuda_errors.is_out_of_memory(error):
            raise
        log.warning("out of memory while loading the base model: %s", error)
    # Not in the handler above: there the exception would keep what was loaded alive.
    placement.empty_cache()
    raise _build_memory_error(resolve_name(name) or hub.SD15)


def _load(
    name: str, dtype: torch.dtype | None, on_progress: ProgressCallback, vae_name: str, memory: str
) -> BaseModel:
    _silence_libraries()
    name = resolve_name(name) or (hub.SD15 if torch.cuda.is_available() else drawn.NAME)
    pair = find_pair(name)
    if name not in _SHIPPED and pair is None:
        find_local(name)  # first, as to measure precisions takes seconds
    family = _SHIPPED.get(name) or recognise_family(name)
    if vae_name and (name == drawn.NAME or family.architecture not in SCALING_FACTORS):
        raise BaseModelError(JobProblem.BASE_MODEL_KEEPS_VAE, name=name)
    device_config = _select_device(name, dtype, family)
    device_config, plan = _plan_memory(name, device_config, family, memory)
    if family.architecture in DISTILLED_SAMPLING:
        base = _load_flow(name, pair, family, device_config, on_progress)
    else:
        path = None if name in _EMBEDDED else _locate(name, device_config, on_progress)
        if name not in _SHIPPED and path is not None:
            family = recognise_path(path)
        other_vae = (
            find_vae(vae_name, on_progress=on_progress, model=family.architecture) if vae_name else None
        )
        load = _load_sdxl if family.architecture == SDXL.architecture else _load_sd15
        base = load(name, path, device_config, other_vae)
    base.memory_plan = plan
    log.info("base model %s on %s: %s", base.name, device_config.device, device_config.reason)
    return base


def _locate(name: str, device_config: DeviceConfig, on_progress: ProgressCallback) -> Path:
    """Return the folder or file of a model; download it if it is a hub id that is not here."""
    if name == drawn.NAME:
        return drawn.MODEL
    if local_path := find_local(name):
        return local_path
    # Half-precision files are half the download; not every model has them.
    return hub.Hub().get_folder(name, device_config.dtype is not torch.float32, on_progress)


def _load_flow(
    name: str,
    pair: ModelPair | None,
    family: ModelFamily,
    device_config: DeviceConfig,
    on_progress: ProgressCallback,
) -> BaseModel:
    model_class = _FLOW_MODELS[family.architecture]
    if name in _EMBEDDED:
        tiny_module = tiny_klein if family is TINY_KLEIN else tiny_z_image
        parts = tiny_module.build_components().to(device_config)
        return model_class(name, family, parts, device_config, SMALL.max_tokens)
    if pair is None:
        path, twin_path = _locate(name, device_config, on_progress), None
    else:
        path, twin_path = locate_pair(pair, family, hub.Hub(), on_progress)
    parts = flow_loading.read_model(path, twin_path, family, device_config)
    public_names = [_get_public_name(each) for each in ((pair.base, pair.twin) if pair else (name,))]
    return model_class(name if name in PAIRS else " + ".join(public_names), family, parts, device_config)


def _load_sd15(
    name: str, path: Path | None, device_config: DeviceConfig, other_vae: VaeSource | None
) -> Sd15Model:
    widths = tiny.WIDTHS if path is None else sd15_config.Widths()
    vae = components.read_vae(other_vae, device_config, vae_config(widths)) if other_vae else None
    if path is None:
        unet, own_vae, text_encoder = tiny.build_parts()
        parts = sd15_loading.ModelComponents(
            unet, vae or own_vae, text_encoder, load_clip_tokenizer(), sd15_config.SCHEDULER_CONFIG
        )
        for module in parts.modules:
            module.to(device=device_config.device, dtype=device_config.dtype)
    else:
        parts = sd15_loading.read_model(path, device_config, vae)
    return Sd15Model(_get_public_name(name), _SHIPPED.get(name, SD15), parts, device_config, other_vae)


def _load_sdxl(
    name: str, path: Path | None, device_config: DeviceConfig, other_vae: VaeSource | None
) -> SdxlModel:
    widths = tiny_xl.WIDTHS if path is None else sdxl_config.SdxlWidths()
    dtype, vae_dtype = device_config.dtype, sdxl_loading.vae_dtype(device_config.dtype)
    vae = components.read_vae(other_vae, device_config, vae_config(widths), vae_dtype) if other_vae else None
    if path is None:
        parts = tiny_xl.build_components(vae)
        for part, module in parts.modules.items():
            module.to(device=device_config.device, dtype=vae_dtype if part == "vae" else dtype)
    else:
        parts = sdxl_loading.read_model(path, device_config, vae)
    return SdxlModel(_get_public_name(name), _SHIPPED.get(name, SDXL), parts, device_config, other_vae)


def _build_memory_error(name: str) -> BaseModelError:
    device, free_bytes = placement.read_free_memory()
    dtype = torch.float32 if device == "cpu" else torch.float16
    family = _SHIPPED.get(name) or recognise_family(name)
    needed_bytes = family.memory.required_bytes(dtype.itemsize, gradient_checkpointing=True)
    return BaseModelError(
        JobProblem.BASE_MODEL_OUT_OF_MEMORY,
        name=_get_public_name(name),
        needed_gib=f"{needed_bytes / 2**30:.1f}",
        free_gib=f"{free_bytes / 2**30:.1f}",
        device=device,
    )


def _select_device(name: str, dtype: torch.dtype | None, family: ModelFamily) -> DeviceConfig:
    if family.needs_bf16 and torch.cuda.is_available():
        return _require_bf16(family, dtype)
    device_config = placement.select_device(name in _SHIPPED, dtype, family.memory)
    if device_config.dtype is torch.float16 and device_config.device.type == "cpu":
        raise BaseModelError(JobProblem.FP16_ON_CPU)
    return device_config


def _plan_memory(
    name: str, device_config: DeviceConfig, family: ModelFamily, choice: str
) -> tuple[DeviceConfig, MemoryPlan | None]:
    try:
        sides = list_sides(family.native_px, family.training_px)
        device_config, plan = selection.fit_device(
            device_config, family.memory, family.native_px, choice, sides
        )
    except PlanRefused as error:
        device, free_bytes = "cpu", read_memory_bytes()[0]
        if error.problem is PlanProblem.CARD:
            device, free_bytes = placement.read_free_memory()
        raise BaseModelError(
            JobProblem.BASE_MODEL_OUT_OF_MEMORY,
            name=_get_public_name(name),
            needed_gib=f"{error.needed_bytes / 2**30:.1f}",
            free_gib=f"{free_bytes / 2**30:.1f}",
            device=device,
        ) from error
    log.info("%s: %s", _get_public_name(name), plan or device_config.memory_mode)
    return device_config, plan


def _require_bf16(family: ModelFamily, dtype: torch.dtype | None) -> DeviceConfig:
    """Return a card that computes in bf16; raises BaseModelError before anything is downloaded."""
    check_bf16(family, torch.cuda.get_device_name(), torch.cuda.get_device_capability())
    device_config = placement.select_device(False, dtype or torch.bfloat16, family.memory)
    if dtype is torch.float16:
        raise BaseModelError(f"{family.title} overflows in fp16; choose bf16 or full precision.")
    memory_mode = replace(device_config.memory_mode, gradient_checkpointing=True)
    return replace(
        device_config,
        memory_mode=memory_mode,
        reason=f"{family.title} is made for bf16",
        free_bytes=placement.measure_free_bytes(),
    )


def check_bf16(family: ModelFamily, gpu: str, capability: tuple[int, int]) -> None:
    """Raise BaseModelError if a card is older than Ampere, which has no bf16."""
    if family.needs_bf16 and capability < (8, 0):
        raise BaseModelError(JobProblem.GPU_LACKS_BF16, model=family.title, gpu=gpu)


def _get_public_name(name: str) -> str:
    """Return a folder's or file's last part, so that no path gets into files that people share."""
    path = Path(name)
    if path.is_dir():
        return path.resolve().name
    return path.stem if path.is_file() else name


def _silence_libraries() -> None:
    for libraries_log in (diffusers_logging, transformers_logging):
        libraries_log.set_verbosity_error()
        libraries_log.disable_progress_bar()
