"""SDXL: every gradient equals that of a plain step with diffusers and peft, as the example script does it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor

from gpu_worker.lora.weights import LoraWeights
from gpu_worker.models.base import BaseModel
from gpu_worker.models.sdxl import tiny as models_tiny_xl
from gpu_worker.models.sdxl.config import PAD_TOKEN_2, SCHEDULER_CONFIG
from gpu_worker.models.sdxl.loading import SdxlComponents
from gpu_worker.models.text.clip.tokenizer import load_clip_tokenizer
from tests.gpu_worker.training.test_parity import (
    CAPTIONS,
    PLAIN,
    SIZE,
    Case,
    check_equal,
    gradient,
    our_gradients,
    studies,
)

Gradients = dict[str, tuple[Tensor, Tensor]]
UNET_ONLY = replace(PLAIN, train_text_encoder=False)
CASES = {
    "only the UNet": Case(UNET_ONLY),
    "with both text encoders": Case(PLAIN),
    "min-SNR": Case(replace(UNET_ONLY, min_snr_gamma=5.0)),
    "prior loss": Case(replace(UNET_ONLY, prior_loss_weight=0.3), regularisation=True),
    "masked loss": Case(replace(UNET_ONLY, masked_loss=True), masks=True),
    "noise offset": Case(replace(UNET_ONLY, noise_offset=0.1)),
    "everything": Case(
        replace(PLAIN, min_snr_gamma=5.0, prior_loss_weight=0.3, masked_loss=True, noise_offset=0.05),
        regularisation=True,
        masks=True,
    ),
}


def adapt(base: BaseModel, parts: SdxlComponents, matrices: dict[str, LoraWeights]) -> dict[str, LoraLayer]:
    """Put peft's layers with our weights into modules of its own."""
    layers: dict[str, LoraLayer] = {}
    for part in ("unet", "text_encoder", "text_encoder_2"):
        module: Any = getattr(parts, part).requires_grad_(False).eval()
        targets = [target for target in base.list_targets(part) if target.kohya_name in matrices]
        if not targets:
            continue
        paths = [target.path for target in targets]
        inject_adapter_in_model(LoraConfig(r=4, lora_alpha=2, target_modules=paths), module)
        for target in targets:
            layer: Any = module.get_submodule(target.path)
            layer.lora_A["default"].weight.data = matrices[target.kohya_name].down.clone()
            layer.lora_B["default"].weight.data = matrices[target.kohya_name].up.clone()
            layers[target.kohya_name] = layer
    return layers


def encode(parts: SdxlComponents, captions: list[str]) -> tuple[Tensor, Tensor]:
    """Return embeddings and pooled embeddings as the example's `encode_prompt` does."""
    embeds: list[Tensor] = []
    pooled = torch.empty(0)
    for encoder, tokenizer in (
        (parts.text_encoder, load_clip_tokenizer()),
        (parts.text_encoder_2, load_clip_tokenizer(PAD_TOKEN_2)),
    ):
        tokens = tokenizer(
            captions, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
        )
        output: Any = encoder(tokens.input_ids, output_hidden_states=True)
        pooled = output[0]
        embeds.append(output.hidden_states[-2])
    return torch.cat(embeds, dim=-1), pooled


def reference_loss(parts: SdxlComponents, case: Case, order: list[int]) -> Tensor:
    config, shown = case.config, [studies(case)[index] for index in order]
    stream = torch.Generator().manual_seed(config.seed)
    for part in (parts.unet, parts.text_encoder, parts.text_encoder_2):
        for layer in part.modules():
            if isinstance(layer, LoraLayer):  # the training's stream draws these first
                torch.empty(layer.lora_A["default"].weight.shape).uniform_(generator=stream)
    clean = torch.stack([study.latents for study in shown])
    noise = torch.randn(clean.shape, generator=stream)
    if config.noise_offset:
        noise = noise + config.noise_offset * torch.randn(2, 4, 1, 1, generator=stream)
    times = torch.randint(0, 1000, (2,), generator=stream)
    scheduler: Any = DDPMScheduler.from_config(SCHEDULER_CONFIG)
    embeds, pooled = encode(parts, [study.image.caption for study in shown])
    (width, height), (left, top), (target_width, target_height) = (
        SIZE.original_px,
        SIZE.crop_px,
        SIZE.target_px,
    )
    time_ids = torch.tensor([[height, width, top, left, target_height, target_width]]).repeat(2, 1)
    model_pred = parts.unet(
        scheduler.add_noise(clean, noise, times).double(),
        times,
        embeds,
        added_cond_kwargs={"text_embeds": pooled, "time_ids": time_ids},
    ).sample
    errors = F.mse_loss(model_pred, noise.double(), reduction="none")
    if config.masked_loss:
        errors = errors * torch.stack([study.mask for study in shown if study.mask is not None])
    losses = errors.mean(dim=[1, 2, 3]) * torch.tensor(
        [config.prior_loss_weight if study.image.is_regularisation else 1.0 for study in shown]
    )
    if config.min_snr_gamma:
        alphas_cumprod = scheduler.alphas_cumprod[times]
        snr = alphas_cumprod / (1 - alphas_cumprod)
        losses = losses * torch.minimum(snr, torch.full_like(snr, config.min_snr_gamma)) / snr
    return losses.mean()


def reference_gradients(
    base: BaseModel, case: Case, matrices: dict[str, LoraWeights], order: list[int]
) -> tuple[Gradients, Tensor]:
    parts = models_tiny_xl.build_components()
    layers = adapt(base, parts, matrices)
    for module in parts.modules.values():
        module.double()
    loss = reference_loss(parts, case, order)
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = {
        name: (gradient(layer.lora_A["default"].weight), gradient(layer.lora_B["default"].weight))
        for name, layer in layers.items()
    }
    return gradients, loss.detach()


@pytest.fixture
def exact(tiny_xl: BaseModel) -> Iterator[BaseModel]:
    """Yield it in double precision: in ten layers, single precision rounds queries and keys 2e-4 away."""
    usual = tiny_xl.memory_mode
    tiny_xl.set_memory_mode(replace(usual, dtype=torch.float64))
    yield tiny_xl
    tiny_xl.set_memory_mode(usual)


@pytest.mark.parametrize("name", CASES)
def test_every_gradient_of_sdxl_equals_the_reference_steps(exact: BaseModel, name: str) -> None:
    case = CASES[name]
    ours, matrices, order = our_gradients(exact, case)
    assert len(ours) == 722 + (72 + 192 if case.config.train_text_encoder else 0)
    expected, _ = reference_gradients(exact, case, matrices, order)
    check_equal(ours, expected)


def test_the_size_of_a_picture_and_its_pooled_text_change_the_prediction(tiny_xl: BaseModel) -> None:
    """Or the parity above would prove nothing about them."""
    latents, timesteps = (
        torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3)),
        torch.tensor([7]),
    )
    with torch.no_grad():
        plain = tiny_xl.add_sizes(tiny_xl.encode_prompts(CAPTIONS[:1]), [SIZE])
        resized = tiny_xl.add_sizes(plain, [replace(SIZE, original_px=(300, 70))])
        unpooled = replace(
            plain, tensors={**plain.tensors, "pooled_embeds": plain.tensors["pooled_embeds"] * 0}
        )
        predictions = [tiny_xl.predict(latents, timesteps, each) for each in (plain, resized, unpooled)]
    assert not torch.allclose(predictions[0], predictions[1])
    assert not torch.allclose(predictions[0], predictions[2])
