"""Files that are no LoRA for the base model, told by their keys and shapes, each by its name."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NoReturn

from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.models.family import (
    KLEIN_ARCHITECTURE,
    SDXL_ARCHITECTURE,
    STABLE_DIFFUSION,
    Z_IMAGE_ARCHITECTURE,
)

#: Other base models by the keys of their LoRAs; the first that is found counts.
_MODELS = (
    (
        "FLUX",  # with more blocks than klein 4B, or with other ones
        r"double_blocks[._]([5-9]|1\d)[._]|single_(transformer_)?blocks[._][2-9]\d[._]"
        r"|single_transformer_blocks[._]\d+[._](attn[._]to_[qkv][._]|proj_|norm)",
    ),
    (KLEIN_ARCHITECTURE, r"(double|single)_blocks|single_transformer_blocks"),
    (Z_IMAGE_ARCHITECTURE, r"(^|[._])layers[._]\d+[._](attention|feed_forward)[._]|(noise|context)_refiner"),
    ("Stable Diffusion 3", r"joint_blocks|attn[._]add_[kqv]_proj"),
    (
        "SDXL",
        r"lora_te[12]_|text_encoder_2\.|lora_unet_(input|middle|output)_block|add_embedding|label_emb"
        r"|(attentions[._]\d+|block\.1|blocks\.\d\.1)[._]transformer_blocks[._][1-9]",
    ),
    ("Stable Diffusion 2", r"(lora_te|text_encoder)[._].*layers[._](1[2-9]|2\d)[._]"),
)
#: How metadata name the base models that LoRAs are read for here.
_OWN_NAMES = {
    STABLE_DIFFUSION: r"stable-diffusion-v1|sd_v1",
    SDXL_ARCHITECTURE: r"stable-diffusion-xl|sdxl",
    KLEIN_ARCHITECTURE: r"(?i)flux[._-]?2",
    Z_IMAGE_ARCHITECTURE: r"(?i)z[_-]?image",
}
#: And by the width of the text that their UNet attends to.
_MODELS_BY_TEXT_WIDTH = {1024: "Stable Diffusion 2", 2048: "SDXL"}
_TEXT_ATTENTION = re.compile(r"attn2[._](?:processor\.)?to_[kv][._].*(?:down|lora_A)\b.*weight$")

#: Ways to change a model that are not read here, by keys.
_METHODS = (
    ("DoRA", r"\.dora_scale$|lora_magnitude_vector"),
    ("OFT", r"\.oft_(blocks|diag|R)|\.oft_r\."),
    ("IA3", r"\.on_input$|\.ia3_"),
    ("GLoRA", r"\.(a1|b1)\.weight$"),
    ("ControlNet-LLLite", r"^lllite_"),
    ("LyCORIS full", r"\.diff$|\.diff_b$|\.w_norm$|\.set_weight$"),
)
#: Whole files of another kind, by a key.
_FILES = (
    ("checkpoint", r"^(model\.diffusion_model|cond_stage_model|first_stage_model)\.|^unet\.conv_in\.weight$"),
    ("ControlNet", r"^control_model\.|^controlnet_"),
    ("VAE", r"^(encoder|decoder)\.(conv_in|down|up|mid)"),
    ("UNet", r"^(down_blocks|input_blocks)\."),
    ("textual inversion", r"^emb_params$|string_to_param|^clip_[lg]$"),
)
#: What a key of any LoRA or its kin has.
_ADAPTER_KEY = re.compile(r"lora|hada_|lokr_|oft_|lllite_|\.diff(_b)?$")
#: Embeddings that some files bring along beside their LoRA.
_BUNDLED_EMBEDDING = re.compile(r"^bundle_emb\.")


def is_bundled_embedding(key: str) -> bool:
    """Return True for a tensor of an embedding that was put into a LoRA's file."""
    return _BUNDLED_EMBEDDING.match(key) is not None


def check_kind(shapes: Mapping[str, Sequence[int]], metadata: Mapping[str, str], architecture: str) -> None:
    """Raise BadInput with the name of the kind, if the keys and shapes are of something else.

    `architecture` is what a LoRA must be made for. Keys that name no other one may be of any.
    """
    if not any(_ADAPTER_KEY.search(key) for key in shapes):
        kind = _find_name(_FILES, shapes)
        if kind is not None:
            raise BadInput(JobProblem.LORA_OTHER_FILE, kind=kind)
        raise_unknown(metadata, architecture)
    model = _find_model(shapes)
    if model not in (None, architecture):
        raise BadInput(JobProblem.LORA_OTHER_MODEL, model=str(model), wanted=architecture)
    method = _find_name(_METHODS, shapes)
    if method is not None:
        raise BadInput(JobProblem.LORA_UNSUPPORTED, kind=method)


def raise_unknown(metadata: Mapping[str, str], architecture: str) -> NoReturn:
    """Raise BadInput for keys that name nothing known here, with the model that the metadata name."""
    # `flux-1-dev/lora`, `zimage`: trainers write it, whatever their keys are.
    made_for = metadata.get("modelspec.architecture") or metadata.get("ss_base_model_version") or ""
    name = made_for.partition("/")[0].strip()
    if name and name != "None" and not re.match(_OWN_NAMES[architecture], name):
        raise BadInput(JobProblem.LORA_OTHER_MODEL, model=name, wanted=architecture)
    raise BadInput(JobProblem.LORA_NOT_KOHYA)


def _find_model(shapes: Mapping[str, Sequence[int]]) -> str | None:
    name = _find_name(_MODELS, shapes)
    if name is not None:
        return name
    for key, shape in shapes.items():
        width = shape[1] if len(shape) > 1 and _TEXT_ATTENTION.search(key) else 0
        if width in _MODELS_BY_TEXT_WIDTH:
            return _MODELS_BY_TEXT_WIDTH[width]
    return None


def _find_name(patterns: Collection[tuple[str, str]], keys: Collection[str]) -> str | None:
    for name, pattern in patterns:
        compiled = re.compile(pattern)
        if any(compiled.search(key) for key in keys):
            return name
    return None
