"""Encode the prompts of pictures, and keep what was encoded lately."""

from __future__ import annotations

from collections.abc import Hashable

from cachetools import LRUCache

from gpu_worker.generation.image_file import Recipe
from gpu_worker.generation.recipes import render_size_px
from gpu_worker.lora import layers
from gpu_worker.lora.layers import AnyAdapter
from gpu_worker.models.base import BaseModel
from gpu_worker.models.inputs.conditioning import Conditioning, ImageSize

#: On the device. A prompt with its negative one takes 0.5 MB with SD 1.5, and 8 MB where the text is wide.
MAX_BYTES = 64 * 2**20


class PromptCache:
    """Encoded prompts of one base model; the least recently used are dropped first."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._encoded: LRUCache[Hashable, Conditioning] = LRUCache(max_bytes, getsizeof=_count_bytes)

    def encode(
        self, base: BaseModel, recipe: Recipe, adapter: AnyAdapter | None, adapter_key: Hashable
    ) -> Conditioning:
        """Return the encoded prompts of a recipe, as `encode_recipe_prompts` does.

        `adapter_key` names the LoRAs and their strengths. It counts only where they adapt a text encoder.
        """
        key = (*_choose_prompts(recipe), base.dtype, adapter_key if _adapts_text(base, adapter) else None)
        conditioning = self._encoded.get(key)
        if conditioning is None:
            conditioning = _encode_prompts(base, recipe, adapter)
            if _count_bytes(conditioning) <= self._encoded.maxsize:
                self._encoded[key] = conditioning
        return _add_size(base, recipe, conditioning)


def encode_recipe_prompts(base: BaseModel, recipe: Recipe, adapter: AnyAdapter | None) -> Conditioning:
    """Return the encoded prompt, with the LoRA active: one row.

    With guidance there are two rows, and that of the negative prompt comes first.
    """
    return _add_size(base, recipe, _encode_prompts(base, recipe, adapter))


def _encode_prompts(base: BaseModel, recipe: Recipe, adapter: AnyAdapter | None) -> Conditioning:
    if adapter is None:
        layers.deactivate_all(base)
    else:
        adapter.activate()
    prompt, negative_prompt = _choose_prompts(recipe)
    return base.encode_weighted_prompts([prompt], negative_prompt)


def _choose_prompts(recipe: Recipe) -> tuple[str, str | None]:
    """Return the prompt and the negative one, which only guidance needs."""
    return recipe.prompt, recipe.negative_prompt if recipe.guidance_scale > 1.0 else None


def _add_size(base: BaseModel, recipe: Recipe, conditioning: Conditioning) -> Conditioning:
    size_px = render_size_px(base, recipe)
    return base.add_sizes(conditioning, [ImageSize(size_px, (0, 0), size_px)] * len(conditioning))


def _adapts_text(base: BaseModel, adapter: AnyAdapter | None) -> bool:
    names = () if adapter is None else adapter.module_names
    return any(base.targets_by_name[name].group.is_text_encoder for name in names)


def _count_bytes(conditioning: Conditioning) -> int:
    return sum(tensor.nbytes for tensor in conditioning.tensors.values())
