"""What is kept between the requests on one base model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from gpu_worker.generation import image_file, picture_files, regions
from gpu_worker.generation.denoiser import BatchedDenoiser, BatchSizeTuner
from gpu_worker.generation.identity import IdentityEncoder
from gpu_worker.generation.image_file import Recipe
from gpu_worker.generation.picture_files import EncodePng, PictureFiles
from gpu_worker.generation.preview import LatentPreviewer
from gpu_worker.generation.prompts import PromptCache
from gpu_worker.generation.recipes import render_size_px
from gpu_worker.lora.acceleration import Acceleration
from gpu_worker.lora.cache import AdapterCache
from gpu_worker.lora.layers import AnyAdapter
from gpu_worker.models.base import BaseModel
from gpu_worker.models.inputs.conditioning import Conditioning
from gpu_worker.protocol import LoraUse


class GenerationContext:
    """Adapters, prompts, denoiser, preview and identity models of one base model."""

    def __init__(
        self,
        base: BaseModel,
        tuner: BatchSizeTuner | None = None,
        acceleration: Acceleration | None = None,
        encode_png: EncodePng = image_file.encode_png,
        can_decode_beside: Callable[[BaseModel], bool] = picture_files.can_decode_beside,
    ) -> None:
        """`encode_png` is called in a thread; `can_decode_beside` says whether decoding may be there too."""
        self.base, self.acceleration = base, acceleration
        self._encode_png, self._can_decode_beside = encode_png, can_decode_beside
        self.adapter_cache = AdapterCache()
        self.prompt_cache = PromptCache()
        self.identity_encoder = IdentityEncoder(base)
        self.denoiser = BatchedDenoiser(base, tuner)
        self._previewer: LatentPreviewer | None = None

    def encode(self, loras: Sequence[LoraUse], recipe: Recipe) -> tuple[AnyAdapter | None, Conditioning]:
        """Return the adapter of LoRAs, and a recipe's prompts as that one has them encoded."""
        people = regions.assign_people(loras)
        if people is None:
            return self._read_prompts(loras, recipe)
        # Each person's region reads the prompt with that person's LoRA alone.
        readings = [
            self._read_prompts(reader_loras, recipe)[1]
            for reader_loras in regions.list_reader_loras(loras, people)
        ]
        latent_size = self.base.latent_shape(render_size_px(self.base, recipe))[1:]
        conditioning = regions.place_people(self.base, loras, recipe.prompt, readings, latent_size)
        return self._load_adapter(loras, recipe, people), conditioning

    def _read_prompts(
        self, loras: Sequence[LoraUse], recipe: Recipe
    ) -> tuple[AnyAdapter | None, Conditioning]:
        adapter = self._load_adapter(loras, recipe)
        key = (*((use.sha256, use.strength) for use in loras), recipe.acceleration)
        return adapter, self.prompt_cache.encode(self.base, recipe, adapter, key)

    def _load_adapter(
        self, loras: Sequence[LoraUse], recipe: Recipe, people: tuple[int | None, ...] | None = None
    ) -> AnyAdapter | None:
        adapter, _ = self.adapter_cache.get(self.base, loras, people)
        if self.acceleration is not None and recipe.acceleration is not None:
            return self.acceleration.stack_on(adapter)
        return adapter

    def open_picture_files(self) -> PictureFiles:
        """Return where the pictures of one request become files; to be closed."""
        return PictureFiles(self.base, self._encode_png, self._can_decode_beside(self.base))

    def free_adapters(self) -> None:
        """Drop adapters and prompts that no picture in the making uses."""
        self.adapter_cache.clear()
        self.prompt_cache = PromptCache()
        if self.acceleration is not None:
            self.acceleration.clear()

    def render_preview(self, latents: Tensor) -> bytes:
        """Return a small PNG of latents, (1, channels, h, w)."""
        if self._previewer is None:
            self._previewer = LatentPreviewer(self.base)
        return self._previewer.render_png(latents)
