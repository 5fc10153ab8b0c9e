"""Reading a Stable Diffusion 1.x model: a diffusers folder, one `.safetensors` file, or a hub id.

Only safetensors are opened. A single file needs no network: its shape and CLIP's vocabulary are shipped here.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from gpu_worker.errors import BaseModelError
from gpu_worker.sd15_shape import SCHEDULER, Widths, clip_tokenizer, text_config, unet_config, vae_config

_PICKLES = {".ckpt", ".pt", ".pth", ".bin", ".pkl"}
_OTHER_KIND = "{} is another kind of Stable Diffusion than 1.x for pictures from text."
_WEIGHT_FOLDERS = ("unet", "vae", "text_encoder")
_FOLDERS = (*_WEIGHT_FOLDERS, "tokenizer", "scheduler")
_SINGLE_FILE_TEXT = "cond_stage_model.transformer."


@dataclass(frozen=True, eq=False)
class Parts:
    """What a Stable Diffusion model is made of."""

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: dict[str, Any]


def read(name: str, dtype: torch.dtype) -> Parts:
    """Read a folder, a file or a hub id in the given precision; BaseModelError says what is wrong with it."""
    path = Path(name)
    if path.suffix.lower() in _PICKLES:
        raise BaseModelError(
            f"The base model {path.name} is a pickle, which can run code; convert it to .safetensors first."
        )
    if path.is_dir():
        return _read_folder(path, dtype)
    if path.suffix.lower() == ".safetensors":
        if not path.is_file():
            raise BaseModelError(f"The base model file {name} does not exist.")
        return read_single_file(path, dtype)
    if _looks_like_a_path(name):
        raise BaseModelError(f"The base model {name} does not exist: no such folder or .safetensors file.")
    return _read_hub(name, dtype)


def read_single_file(path: Path, dtype: torch.dtype, widths: Widths | None = None) -> Parts:
    """Read one file in the original (LDM) layout; the widths are SD 1.5's unless told."""
    widths = widths or Widths()
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BaseModelError(f"The base model file {path.name} is damaged or no safetensors file.") from error
    _check_layout(tensors, path.name, widths)
    with tempfile.TemporaryDirectory() as folder:
        for part, config in (("unet", unet_config(widths)), ("vae", vae_config(widths))):
            (Path(folder) / part).mkdir()
            (Path(folder) / part / "config.json").write_text(json.dumps(config))
        options = {"config": folder, "local_files_only": True, "torch_dtype": dtype}
        # Each gets a dict of its own: the conversion takes the tensors out.
        unet = UNet2DConditionModel.from_single_file(dict(tensors), subfolder="unet", **options)
        vae = AutoencoderKL.from_single_file(dict(tensors), subfolder="vae", **options)
    return Parts(unet, vae, _single_file_text(tensors, dtype, widths), clip_tokenizer(), SCHEDULER)


def _check_layout(tensors: dict[str, Tensor], file_name: str, widths: Widths) -> None:
    attention = tensors.get("model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight")
    first = tensors.get("model.diffusion_model.input_blocks.0.0.weight")
    has_text = any(key.startswith(_SINGLE_FILE_TEXT) for key in tensors)
    if attention is None or first is None or not has_text:
        raise BaseModelError(f"{file_name} is not a Stable Diffusion 1.x checkpoint.")
    if attention.shape[1] != widths.text or first.shape[1] != 4:
        raise BaseModelError(_OTHER_KIND.format(file_name))


def _single_file_text(tensors: dict[str, Tensor], dtype: torch.dtype, widths: Widths) -> Any:
    encoder: Any = CLIPTextModel(CLIPTextConfig(**text_config(widths)))
    wanted = set(encoder.state_dict())
    weights = {}
    for key, tensor in tensors.items():
        if key.startswith(_SINGLE_FILE_TEXT):
            bare = key.removeprefix(_SINGLE_FILE_TEXT).removeprefix("text_model.")
            weights[bare if bare in wanted else f"text_model.{bare}"] = tensor
    # Some files keep the position numbers, which the model makes itself.
    result = encoder.load_state_dict({key: weights[key] for key in weights if key in wanted}, strict=False)
    if result.missing_keys:
        raise BaseModelError(f"The checkpoint lacks parts of its text encoder ({result.missing_keys[0]}).")
    return encoder.to(dtype)


def _read_folder(path: Path, dtype: torch.dtype) -> Parts:
    for part in _FOLDERS:
        if not (path / part).is_dir():
            raise BaseModelError(
                f"The folder {path.name} is no diffusers model for Stable Diffusion 1.x: it has no {part}."
            )
    try:
        parts = _read_parts(str(path), dtype, _variant(path, dtype))
    except (OSError, ValueError, SafetensorError, RuntimeError) as error:
        raise BaseModelError(
            f"The base model folder {path.name} cannot be loaded: {_first_line(error)}"
        ) from error
    # SDXL wants more than a text, inpainting models more than a picture.
    if parts.unet.config.addition_embed_type is not None or parts.unet.config.in_channels != 4:
        raise BaseModelError(_OTHER_KIND.format(path.name))
    return parts


def _read_hub(name: str, dtype: torch.dtype) -> Parts:
    texts = [f"{part}/*.{kind}" for part in _FOLDERS for kind in ("json", "txt")]
    # Half-precision files are half the download; not every model has them.
    kinds = ("safetensors",) if dtype is torch.float32 else ("fp16.safetensors", "safetensors")
    try:
        for kind in kinds:
            wanted = [*texts, *(f"{part}/*.{kind}" for part in _WEIGHT_FOLDERS)]
            path = Path(snapshot_download(name, allow_patterns=wanted))
            if any((path / "unet").glob("*.safetensors")):
                return _read_folder(path, dtype)
    except (OSError, ValueError) as error:
        raise BaseModelError(
            f"The base model {name} can be neither found nor downloaded ({_first_line(error)}); "
            "give a folder or a .safetensors file."
        ) from error
    raise BaseModelError(f"The base model {name} has no safetensors of Stable Diffusion 1.x.")


def _read_parts(source: str, dtype: torch.dtype, variant: str | None) -> Parts:
    options = {"torch_dtype": dtype, "use_safetensors": True, "variant": variant}
    return Parts(
        unet=UNet2DConditionModel.from_pretrained(source, subfolder="unet", **options),
        vae=AutoencoderKL.from_pretrained(source, subfolder="vae", **options),
        text_encoder=CLIPTextModel.from_pretrained(
            source, subfolder="text_encoder", dtype=dtype, use_safetensors=True, variant=variant
        ),
        tokenizer=CLIPTokenizer.from_pretrained(source, subfolder="tokenizer"),
        scheduler_config=dict(DDPMScheduler.load_config(source, subfolder="scheduler")),
    )


def _variant(path: Path, dtype: torch.dtype) -> str | None:
    halves = [".fp16." in file.name for file in (path / "unet").glob("*.safetensors")]
    wants_halves = dtype is not torch.float32 or all(halves)
    return "fp16" if any(halves) and wants_halves else None


def _looks_like_a_path(name: str) -> bool:
    # A hub id is `owner/name`; anything else with a separator, a drive or a dot in front is a path.
    return name.startswith(("/", ".", "~")) or "\\" in name or name.count("/") != 1


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
