"""What transformers with flow matching have in common: Qwen3's text, and a distilled twin that draws."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gpu_worker.device.placement import DeviceConfig, empty_cache
from gpu_worker.memory.plan import STEP_RESERVE_BYTES
from gpu_worker.memory.quantized_layers import count_card_bytes
from gpu_worker.models.base import BaseModel
from gpu_worker.models.family import TRANSFORMERS, ModelFamily
from gpu_worker.models.inputs.conditioning import Conditioning
from gpu_worker.models.inputs.regions import JointTokens, Regions
from gpu_worker.models.noise.flow import Flow
from gpu_worker.models.text.qwen3.encoder import Qwen3Encoder, remove_weights

_TRANSFORMER, _TWIN = TRANSFORMERS
EMBEDS = "prompt_embeds"  #: in a `Conditioning`, (rows, tokens, width)


@dataclass(frozen=True, eq=False)
class FlowComponents:
    """The components of a model; the twin has the transformer's shape, and shares all else."""

    transformer: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: dict[str, Any]  #: of pictures
    training_scheduler_config: dict[str, Any] | None = None  #: the undistilled model's; None: the same
    distilled_transformer: Any = None

    def to(self, device_config: DeviceConfig) -> FlowComponents:
        """Move everything to a device and a precision, and return it."""
        for module in (self.transformer, self.vae, self.text_encoder, self.distilled_transformer):
            module.to(device=device_config.device, dtype=device_config.dtype)
        return self


class FlowModel(BaseModel):
    """A transformer, a VAE and Qwen3. LoRAs are trained on the transformer and drawn with its twin."""

    def __init__(
        self,
        name: str,
        family: ModelFamily,
        parts: FlowComponents,
        flow: Flow,
        encoder: Qwen3Encoder,
        device_config: DeviceConfig,
    ) -> None:
        self._encoder = encoder
        self._active_name = _TRANSFORMER
        components = {
            _TRANSFORMER: parts.transformer,
            "vae": parts.vae,
            "text_encoder": parts.text_encoder,
        }
        if parts.distilled_transformer is not None:
            components[_TWIN] = parts.distilled_transformer
        super().__init__(name, family, components, flow, device_config)
        if parts.distilled_transformer is not None:
            self.lora_hooks.share(parts.distilled_transformer, tuple(self.targets_by_name.values()))

    @abstractmethod
    def predict_with(
        self, transformer: Any, latents: Tensor, timesteps: Tensor, conditioning: Conditioning
    ) -> Tensor:
        """Return the prediction of a transformer, shaped like the latents."""

    @abstractmethod
    def join_tokens(self, height: int, width: int) -> JointTokens:
        """Return how the transformer lines up the tokens of latents of this size and those of the text."""

    @abstractmethod
    def _build_conditioning(self, prompts: Sequence[str]) -> Conditioning:
        """Return the conditioning of plain prompts."""

    @property
    def native_px(self) -> int:
        """Side of the pictures that the model was trained on, in pixels."""
        return self.family.native_px

    @property
    def denoiser(self) -> Any:
        """The transformer that LoRAs are trained on."""
        return self.components[_TRANSFORMER]

    @property
    def max_clip_skip(self) -> int:
        """None: the layers that are read are fixed."""
        return 0

    @contextlib.contextmanager
    def for_pictures(self) -> Iterator[None]:
        """Predict with the distilled twin inside, if there is one."""
        self._active_name = _TWIN if _TWIN in self.components else _TRANSFORMER
        try:
            yield
        finally:
            self._active_name = _TRANSFORMER

    def predict(self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """Return the prediction of the transformer, or of its twin for pictures."""
        transformer = self._place_on_card(self._active_name)
        joint_tokens = self.join_tokens(*latents.shape[-2:])
        regions = Regions.from_conditioning(conditioning, conditioning.tensors[EMBEDS], joint_tokens)
        with self.regions.use(regions):
            return self.predict_with(transformer, latents.to(self.dtype), timesteps, conditioning).float()

    def find_words(self, prompt: str, words: str) -> list[tuple[int, ...]]:
        """Return where words stand among the tokens."""
        return self._encoder.find_words(prompt, words)

    def encode_prompts(
        self, prompts: Sequence[str], clip_skip: int | None = None, max_token_length: int = 75
    ) -> Conditioning:
        """Return the conditioning of captions."""
        del clip_skip, max_token_length
        return self._build_conditioning(prompts)

    def encode_weighted_prompts(
        self, prompts: Sequence[str], negative_prompt: str | None = None
    ) -> Conditioning:
        """Return the conditioning of prompts, whose weights are left out."""
        all_prompts = prompts if negative_prompt is None else [negative_prompt, *prompts]
        return self._build_conditioning([remove_weights(prompt) for prompt in all_prompts])

    def _place_on_card(self, name: str) -> Any:
        """Return a transformer on the device; its twin leaves it if both do not fit."""
        transformer = self.components[name]
        if self.device.type != "cuda" or transformer.device.type == "cuda":
            return transformer
        other_name = _TWIN if name == _TRANSFORMER else _TRANSFORMER
        other = self.components[other_name]
        if torch.cuda.mem_get_info()[0] < count_card_bytes(transformer) + STEP_RESERVE_BYTES:
            other.to("cpu")
            self.weight_store.release(other_name)
            empty_cache()
        return transformer.to(self.device)
