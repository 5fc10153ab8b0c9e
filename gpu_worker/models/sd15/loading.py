"""Reading a Stable Diffusion 1.x model: a diffusers folder, one `.safetensors` file, or a hub id.

Only safetensors are opened. A single file needs no network: its shape and CLIP's vocabulary are shipped here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from gpu_worker.device.placement import Placement
from gpu_worker.errors import BaseModelError
from gpu_worker.models.hub import FOLDERS, WEIGHT_FOLDERS, Hub, Tell, is_id
from gpu_worker.models.sd15.config import (
    MAX_TOKENS,
    SCHEDULER,
    Widths,
    clip_tokenizer,
    text_config,
    unet_config,
    vae_config,
)
from gpu_worker.models.weights import Source, place

_PICKLES = {".ckpt", ".pt", ".pth", ".bin", ".pkl"}
_OTHER_KIND = "{} is another kind of Stable Diffusion than 1.x for pictures from text."
_LDM_TEXT = "cond_stage_model.transformer."
_LDM_FIRST = "model.diffusion_model.input_blocks.0.0.weight"
_LDM_ATTENTION = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
#: How the VAE's attention was called before diffusers 0.18; SD 1.5's own files still say so.
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


@dataclass(frozen=True, eq=False)
class Parts:
    """What a Stable Diffusion model is made of."""

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: dict[str, Any]


def read(name: str, placement: Placement, tell: Tell) -> Parts:
    """Read a folder, a file or a hub id to its place; BaseModelError says what is wrong with it.

    `tell` hears how far a download is.
    """
    path = Path(name)
    if path.suffix.lower() in _PICKLES:
        raise BaseModelError(
            f"The base model {path.name} is a pickle, which can run code; convert it to .safetensors first."
        )
    if path.is_dir():
        return _read_folder(path, placement)
    if path.suffix.lower() == ".safetensors":
        if not path.is_file():
            raise BaseModelError(f"The base model file {name} does not exist.")
        return read_single_file(path, placement)
    if not is_id(name):
        raise BaseModelError(f"The base model {name} does not exist: no such folder or .safetensors file.")
    # Half-precision files are half the download; not every model has them.
    return _read_folder(Hub().folder(name, placement.dtype is not torch.float32, tell), placement)


def read_single_file(path: Path, placement: Placement, widths: Widths | None = None) -> Parts:
    """Read one file, in the original (LDM) layout or in diffusers' names; widths: SD 1.5's unless told."""
    widths = widths or Widths()
    source = Source.of([path])
    views = source.views()
    layout = _DiffusersNames() if any(key.startswith("unet.") for key in views) else _LdmNames()
    attention, first, has_text = layout.tell(views)
    if attention is None or first is None or not has_text:
        raise BaseModelError(f"{path.name} is not a Stable Diffusion 1.x checkpoint.")
    if attention.shape[1] != widths.text or first.shape[1] != 4:
        raise BaseModelError(_OTHER_KIND.format(path.name))
    return _build(
        {
            "unet": (unet_config(widths), source.renamed(layout.unet(views, unet_config(widths)))),
            "vae": (vae_config(widths), source.renamed(layout.vae(views, vae_config(widths)))),
            "text_encoder": (text_config(widths), source.renamed(layout.text(views))),
        },
        placement,
        (clip_tokenizer(), SCHEDULER),
        path.name,
    )


class _LdmNames:
    """The names that CompVis' original code gives; AUTOMATIC1111's checkpoints have them."""

    def tell(self, views: dict[str, Tensor]) -> tuple[Tensor | None, Tensor | None, bool]:
        """Return an attention weight, the first convolution, and whether there is a text encoder."""
        has_text = any(key.startswith(_LDM_TEXT) for key in views)
        return views.get(_LDM_ATTENTION), views.get(_LDM_FIRST), has_text

    def unet(self, views: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
        """Return the UNet's tensors by diffusers' names."""
        found: dict[str, Tensor] = convert_ldm_unet_checkpoint(dict(views), config)
        return found

    def vae(self, views: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
        """Return the VAE's tensors by diffusers' names."""
        found: dict[str, Tensor] = convert_ldm_vae_checkpoint(dict(views), config)
        return found

    def text(self, views: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the text encoder's tensors by transformers' names."""
        return _without(_LDM_TEXT, views)


class _DiffusersNames:
    """diffusers' names with each part's in front."""

    def tell(self, views: dict[str, Tensor]) -> tuple[Tensor | None, Tensor | None, bool]:
        """Return an attention weight, the first convolution, and whether there is a text encoder."""
        attention = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
        has_text = any(key.startswith("text_encoder.") for key in views)
        return views.get(attention), views.get("unet.conv_in.weight"), has_text

    def unet(self, views: dict[str, Tensor], _config: dict[str, Any]) -> dict[str, Tensor]:
        """Return the UNet's tensors."""
        return _without("unet.", views)

    def vae(self, views: dict[str, Tensor], _config: dict[str, Any]) -> dict[str, Tensor]:
        """Return the VAE's tensors."""
        return _without("vae.", views)

    def text(self, views: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the text encoder's tensors."""
        return _without("text_encoder.", views)


def _without(prefix: str, views: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): view for key, view in views.items() if key.startswith(prefix)}


def _build(
    told: dict[str, tuple[dict[str, Any], Source]],
    placement: Placement,
    words: tuple[Any, dict[str, Any]],
    public_name: str,
) -> Parts:
    """Build the three parts without filling them with numbers first, then put their weights in."""
    makers: dict[str, Callable[[dict[str, Any]], Any]] = {
        "unet": UNet2DConditionModel.from_config,
        "vae": AutoencoderKL.from_config,
        "text_encoder": lambda config: CLIPTextModel(CLIPTextConfig.from_dict(config)),
    }
    parts = {}
    for name, (config, source) in told.items():
        with torch.device("meta"):
            part = makers[name](config)
        try:
            missing = place(part, _named_as(part, source), placement.device, placement.dtype)
        except RuntimeError as error:  # load_state_dict: a weight has another shape
            raise BaseModelError(f"{public_name} does not fit its own {name}'s configuration.") from error
        if missing:
            raise BaseModelError(f"{public_name} lacks parts of its {name} ({missing[0]}).")
        _fill_buffers(part, placement.device)
        parts[name] = part
    return Parts(**parts, tokenizer=words[0], scheduler_config=words[1])


def _named_as(part: nn.Module, source: Source) -> Source:
    """Bring older names to those of the installed libraries."""
    wanted = set(part.state_dict())
    return source.renamed(
        {_known(name, wanted): view for name, view in source.views().items() if "position_ids" not in name}
    )


def _known(name: str, wanted: Iterable[str]) -> str:
    if name in wanted:
        return name
    *path, module, kind = name.split(".")
    candidates = [name.removeprefix("text_model."), f"text_model.{name}"]
    if module in _OLD_ATTENTION:
        candidates.append(".".join([*path, _OLD_ATTENTION[module], kind]))
    return next((candidate for candidate in candidates if candidate in wanted), name)


def _fill_buffers(part: nn.Module, device: torch.device) -> None:
    """Make what a model computes for itself and no file holds: CLIP's position numbers."""
    for module in part.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.is_meta:
                if name != "position_ids":
                    raise BaseModelError(f"This version of the libraries keeps an unknown buffer ({name}).")
                module.register_buffer(
                    name, torch.arange(MAX_TOKENS, device=device).unsqueeze(0), persistent=False
                )


def _read_folder(path: Path, placement: Placement) -> Parts:
    for part in FOLDERS:
        if not (path / part).is_dir():
            raise BaseModelError(
                f"The folder {path.name} is no diffusers model for Stable Diffusion 1.x: it has no {part}."
            )
    try:
        configs = {
            part: json.loads((path / part / "config.json").read_text("utf-8")) for part in WEIGHT_FOLDERS
        }
        tokenizer = CLIPTokenizer.from_pretrained(str(path), subfolder="tokenizer", local_files_only=True)
        scheduler = dict(DDPMScheduler.load_config(str(path), subfolder="scheduler", local_files_only=True))
    except (OSError, ValueError) as error:
        raise BaseModelError(
            f"The base model folder {path.name} cannot be loaded: {_first_line(error)}"
        ) from error
    # SDXL wants more than a text, inpainting models more than a picture.
    if configs["unet"].get("addition_embed_type") is not None or configs["unet"].get("in_channels", 4) != 4:
        raise BaseModelError(_OTHER_KIND.format(path.name))
    told = {
        part: (configs[part], Source.of(_weight_files(path / part, placement.dtype)))
        for part in WEIGHT_FOLDERS
    }
    return _build(told, placement, (tokenizer, scheduler), path.name)


def _weight_files(folder: Path, dtype: torch.dtype) -> list[Path]:
    """Choose between full and half-precision files where both are there; a model may be in several pieces."""
    files = sorted(folder.glob("*.safetensors"))
    halves = [file for file in files if ".fp16." in file.name]
    full = [file for file in files if file not in halves and ".non_ema" not in file.name]
    chosen = (full or halves) if dtype is torch.float32 else (halves or full)
    if not chosen:
        raise BaseModelError(
            f"The base model's folder {folder.parent.name}/{folder.name} has no safetensors."
        )
    return chosen


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
