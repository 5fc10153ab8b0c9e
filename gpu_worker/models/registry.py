"""Load a base model by its name: find out what it is, and leave it to its family."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from gpu_worker.device import placement
from gpu_worker.device.placement import DeviceConfig
from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.models import drawn
from gpu_worker.models.base import BaseModel
from gpu_worker.models.clip.tokenizer import load_clip_tokenizer
from gpu_worker.models.sd15 import loading, recognition, tiny
from gpu_worker.models.sd15.config import SCHEDULER_CONFIG
from gpu_worker.models.sd15.family import DRAWN, SD15, TINY
from gpu_worker.models.sd15.model import Sd15Model
from gpu_worker.models.sd15.vae import find_vae
from gpu_worker.models.sources.hub import SD15 as SD15_HUB_ID
from gpu_worker.models.sources.hub import ProgressCallback

log = logging.getLogger(__name__)

_SHIPPED_FAMILIES = {family.name: family for family in (TINY, DRAWN)}


def load_base_model(
    name: str = "",
    dtype: torch.dtype | None = None,
    on_progress: ProgressCallback = lambda _: None,
    vae_name: str = "",
) -> BaseModel:
    """Load `tiny`, `drawn`, a diffusers folder, a `.safetensors` file or a hub id.

    An empty name means SD 1.5 on a machine with CUDA, and `drawn` elsewhere. `vae_name`, a folder, a file or
    a hub id, replaces the VAE. `on_progress` is called with the progress of a download. Raises BaseModelError
    if the model cannot be loaded.
    """
    _silence_libraries()
    name = recognition.resolve_name(name) or (SD15_HUB_ID if torch.cuda.is_available() else drawn.NAME)
    if name not in _SHIPPED_FAMILIES:
        loading.check_source(name)  # first, as to measure precisions takes seconds
    device_config = _select_device(name, dtype)
    if vae_name and name == drawn.NAME:
        raise BaseModelError(JobProblem.BASE_MODEL_KEEPS_VAE, name=name)
    other_vae = find_vae(vae_name, on_progress=on_progress) if vae_name else None
    widths = tiny.WIDTHS if name == tiny.NAME else None
    vae = loading.read_vae(other_vae, device_config, widths) if other_vae else None
    if name == tiny.NAME:
        unet, own_vae, text_encoder = tiny.build_parts()
        components = loading.ModelComponents(
            unet, vae or own_vae, text_encoder, load_clip_tokenizer(), SCHEDULER_CONFIG
        )
        for component in components.modules:
            component.to(device=device_config.device, dtype=device_config.dtype)
    else:
        source = str(drawn.MODEL) if name == drawn.NAME else name
        components = loading.read_model(source, device_config, on_progress, vae)
    public_name = _get_public_name(name)
    log.info("base model %s on %s: %s", public_name, device_config.device, device_config.reason)
    return Sd15Model(public_name, _SHIPPED_FAMILIES.get(name, SD15), components, device_config, other_vae)


def _select_device(name: str, dtype: torch.dtype | None) -> DeviceConfig:
    device_config = placement.select_device(is_small_model=name in _SHIPPED_FAMILIES, dtype=dtype)
    if device_config.dtype is torch.float16 and device_config.device.type == "cpu":
        raise BaseModelError(JobProblem.FP16_ON_CPU)
    return device_config


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
