"""The keys of LoRA files: kohya's, diffusers' and peft's, brought to kohya's names."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

DOWN, UP, ALPHA, BIAS = "lora_down.weight", "lora_up.weight", "alpha", "bias"

#: How a key ends, and what kohya calls it.
_SUFFIXES = (
    (re.compile(r"(\.|_)(?:lora|lora_linear_layer)\.down\.weight$"), DOWN),
    (re.compile(r"(\.|_)(?:lora|lora_linear_layer)\.up\.weight$"), UP),
    (re.compile(r"(\.)lora_A(?:\.\w+)?\.weight$"), DOWN),
    (re.compile(r"(\.)lora_B(?:\.\w+)?\.weight$"), UP),
    (re.compile(r"(\.)lora_(?:B(?:\.\w+)?|up)\.bias$"), BIAS),
    (re.compile(r"(\.)lora_magnitude_vector.*$"), "dora_scale"),
)
_KOHYA_SUFFIX = re.compile(r"\.((?:lora_down|lora_up|lora_mid)\.weight|[a-z0-9_]+)$")
_UNET_ROOTS = ("down_blocks.", "mid_block.", "up_blocks.", "conv_in", "conv_out", "time_embedding.")
_TRANSFORMER_ROOTS = (
    *("double_blocks.", "single_blocks.", "transformer_blocks.", "single_transformer_blocks."),
    *("layers.", "noise_refiner.", "context_refiner."),
)
_TEXT_ENCODER_ROOTS = ("text_model.", "encoder.layers.", "embeddings.")
#: What the first text encoder layers in diffusers called CLIP's projections.
_CLIP_PROJECTIONS = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}
_PARTS = {"lora_te2_": "text_encoder_2", "lora_te": "text_encoder"}
_ADAPTER_METADATA = "lora_adapter_metadata"


def parse_key(key: str) -> tuple[str, str] | None:
    """Return kohya's module name and suffix of a key; None if it names no module known here."""
    renamed = (
        (key[: found.start()], suffix) for pattern, suffix in _SUFFIXES if (found := pattern.search(key))
    )
    kohya = _KOHYA_SUFFIX.search(key)
    path, suffix = next(renamed, (key[: kohya.start()], kohya[1]) if kohya else ("", ""))
    path = path.replace("lora_transformer_", "lora_unet_", 1)  # OneTrainer's
    module = path if path.startswith("lora_") and "." not in path else _to_kohya_module(path)
    return None if module is None else (module, suffix)


def _to_kohya_module(path: str) -> str | None:
    """Return kohya's name of a module by its path in diffusers' pipeline; None if it is of no part of it."""
    path = path.removeprefix("base_model.model.").replace(".processor.", ".")
    if path.startswith(("text_encoder.", "text_encoder_2.")) or path.startswith(_TEXT_ENCODER_ROOTS):
        prefix = "lora_te2_text_model_" if path.startswith("text_encoder_2.") else "lora_te_text_model_"
        path = path.removeprefix("text_encoder.").removeprefix("text_encoder_2.").removeprefix("text_model.")
        parent, _, name = path.rpartition(".")
        if parent.endswith("self_attn") and name in _CLIP_PROJECTIONS:
            path = f"{parent}.{_CLIP_PROJECTIONS[name]}"
        return prefix + path.replace(".", "_")
    inner_path = path.removeprefix("transformer.").removeprefix("diffusion_model.")
    if inner_path.startswith(_TRANSFORMER_ROOTS):
        return "lora_unet_" + inner_path.replace(".", "_")
    path = _to_diffusers_path(path.removeprefix("unet.").removeprefix("diffusion_model."))
    if not path.startswith(_UNET_ROOTS):
        return None
    if path.endswith(".to_out"):
        path += ".0"
    return "lora_unet_" + path.replace(".", "_")


def _to_diffusers_path(path: str) -> str:
    """Return diffusers' path of a module in the UNet's attentions, which ComfyUI calls as CompVis did."""
    if path.startswith("middle_block.1."):
        return path.replace("middle_block.1.", "mid_block.attentions.0.", 1)
    if found := re.match(r"(input|output)_blocks\.(\d+)\.1\.", path):
        side, number = ("down", int(found[2]) - 1) if found[1] == "input" else ("up", int(found[2]))
        return f"{side}_blocks.{number // 3}.attentions.{number % 3}.{path[found.end() :]}"
    return path


class AdapterMetadata:
    """What diffusers writes of a LoRA's scale into its metadata; peft's own files have it in another file."""

    def __init__(self, metadata: Mapping[str, str]) -> None:
        try:
            values = json.loads(metadata.get(_ADAPTER_METADATA, "{}"))
        except ValueError:
            values = {}
        self._values: dict[str, Any] = values if isinstance(values, dict) else {}

    def find_alpha(self, module: str, rank: int) -> float | None:
        """Return the alpha of a module; None if the metadata have none."""
        part = next((part for start, part in _PARTS.items() if module.startswith(start)), "unet")
        alpha = self._values.get(f"{part}.lora_alpha", self._values.get("lora_alpha"))
        patterns = self._values.get(f"{part}.alpha_pattern") or {}
        for path, value in patterns.items() if isinstance(patterns, dict) else ():
            if re.search(rf"(^|_){re.escape(str(path).replace('.', '_'))}$", module):
                alpha = value
        if isinstance(alpha, bool) or not isinstance(alpha, int | float):
            return None
        uses_root = self._values.get(f"{part}.use_rslora") is True  # alpha / sqrt(rank)
        return float(alpha) * (math.sqrt(rank) if uses_root else 1.0)
