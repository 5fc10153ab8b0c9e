"""What a base model is, by its names, shapes and configurations, before any weight is read.

The worker and `loracode doctor` both ask here, so that they never disagree. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.models.sources.hub import MODEL_FOLDERS, WEIGHT_FOLDERS
from gpu_worker.models.sources.names import find_other_model, find_pattern, has_key, read_json

TEXT_WIDTH = 768
_TEXT_TO_PICTURE_CHANNELS = 4
_CONV_INS = ("model.diffusion_model.input_blocks.0.0.weight", "unet.conv_in.weight")
_TEXT_ATTENTIONS = (
    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
    "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",
)
_UNET, _BARE_UNET = r"^(model\.diffusion_model|unet)\.", r"^(input_blocks|down_blocks)\.\d"
_TEXT_ENCODER = r"^(cond_stage_model\.transformer|text_encoder)\."
_VAE = r"^(first_stage_model|vae)\."
_EMA_UNET = r"^model_ema\.diffusion_model"
#: Files that are no base model, by keys.
_FILES = (
    ("LoRA", r"lora_|\.lora\.|hada_w1|lokr_w"),
    ("ControlNet", r"^control_model\.|^controlnet_"),
    ("textual inversion", r"^emb_params$|string_to_param|^clip_[lg]$"),
)
_VAE_FILE = r"^(encoder|decoder)\.conv_in\."
_SD2_TEXT_WIDTH = 1024


def check_file(
    shapes: Mapping[str, Sequence[int]], name: str, text_width: int = TEXT_WIDTH, needs_vae: bool = True
) -> None:
    """Raise BaseModelError if a single file is not a whole Stable Diffusion 1.x, with what it is."""
    if model := find_other_model(shapes):
        raise BaseModelError(JobProblem.BASE_MODEL_OTHER_MODEL, name=name, model=model)
    if not has_key(_UNET, shapes):
        _refuse_without_unet(shapes, name)
    conv_in = next((shapes[key] for key in _CONV_INS if key in shapes), None)
    attention = next((shapes[key] for key in _TEXT_ATTENTIONS if key in shapes), None)
    if conv_in is None or attention is None:
        raise BaseModelError(JobProblem.BASE_MODEL_NOT_SD15, name=name)
    if conv_in[1] != _TEXT_TO_PICTURE_CHANNELS:
        raise BaseModelError(JobProblem.BASE_MODEL_OTHER_MODEL, name=name, model="inpainting, pix2pix")
    if attention[1] == _SD2_TEXT_WIDTH:
        raise BaseModelError(JobProblem.BASE_MODEL_OTHER_MODEL, name=name, model="Stable Diffusion 2")
    if attention[1] != text_width:
        raise BaseModelError(JobProblem.BASE_MODEL_OTHER_KIND, name=name)
    has_text_encoder, has_vae = has_key(_TEXT_ENCODER, shapes), has_key(_VAE, shapes)
    if not has_text_encoder and not has_vae:  # a VAE alone would not help
        raise BaseModelError(JobProblem.BASE_MODEL_UNET_ONLY, name=name)
    if not has_text_encoder:
        raise BaseModelError(JobProblem.BASE_MODEL_NO_TEXT_ENCODER, name=name)
    if needs_vae and not has_vae:
        raise BaseModelError(JobProblem.BASE_MODEL_NO_VAE, name=name)


def _refuse_without_unet(shapes: Mapping[str, Sequence[int]], name: str) -> None:
    if has_key(_EMA_UNET, shapes):
        raise BaseModelError(JobProblem.BASE_MODEL_EMA_ONLY, name=name)
    if kind := find_pattern(_FILES, shapes):
        raise BaseModelError(JobProblem.BASE_MODEL_OTHER_FILE, name=name, kind=kind)
    if has_key(_BARE_UNET, shapes):
        raise BaseModelError(JobProblem.BASE_MODEL_UNET_ONLY, name=name)
    if has_key(_VAE_FILE, shapes) or (has_key(_VAE, shapes) and not has_key(_TEXT_ENCODER, shapes)):
        raise BaseModelError(JobProblem.BASE_MODEL_OTHER_FILE, name=name, kind="VAE")
    raise BaseModelError(JobProblem.BASE_MODEL_NOT_SD15, name=name)


def read_folder_configs(path: Path, needs_vae: bool = True) -> dict[str, dict[str, Any]]:
    """Return the configurations of a folder's parts that have weights.

    Raises BaseModelError if it is not a whole diffusers model of Stable Diffusion 1.x.
    """
    weight_folders = [part for part in WEIGHT_FOLDERS if needs_vae or part != "vae"]
    for part in MODEL_FOLDERS:
        if not (path / part).is_dir():
            if part == "vae" and not needs_vae:
                continue
            if part == "vae":
                raise BaseModelError(JobProblem.BASE_MODEL_NO_VAE, name=path.name)
            raise BaseModelError(JobProblem.BASE_MODEL_LACKS_PART, name=path.name, part=part)
    try:
        configs = {part: read_json(path / part / "config.json") for part in weight_folders}
        scheduler_file = path / "scheduler" / "scheduler_config.json"
        scheduler = read_json(scheduler_file) if scheduler_file.is_file() else {}
    except (OSError, ValueError) as error:
        raise BaseModelError(JobProblem.BASE_MODEL_UNREADABLE, name=path.name, detail=str(error)) from error
    _check_unet_config(configs["unet"], scheduler, path.name)
    configs["unet"]["sample_size"] = _find_sample_size(configs)
    return configs


def _check_unet_config(unet: dict[str, Any], scheduler: dict[str, Any], name: str) -> None:
    model = None
    if unet.get("addition_embed_type") is not None:
        model = "SDXL"
    elif unet.get("in_channels", _TEXT_TO_PICTURE_CHANNELS) != _TEXT_TO_PICTURE_CHANNELS:
        model = "inpainting, pix2pix"
    elif unet.get("use_linear_projection") or unet.get("cross_attention_dim") == _SD2_TEXT_WIDTH:
        is_v = scheduler.get("prediction_type") == "v_prediction"
        model = "Stable Diffusion 2, v-prediction" if is_v else "Stable Diffusion 2"
    if model is not None:
        raise BaseModelError(JobProblem.BASE_MODEL_OTHER_MODEL, name=name, model=model)


def _find_sample_size(configs: Mapping[str, dict[str, Any]]) -> int:
    """Return the side of the UNet's latents; some folders leave it out, some give both sides."""
    size = configs["unet"].get("sample_size")
    if isinstance(size, list) and size:
        size = max(size)
    if isinstance(size, int) and size > 0:
        return size
    image_px = configs.get("vae", {}).get("sample_size")
    return image_px // 8 if isinstance(image_px, int) and image_px >= 8 else 64
