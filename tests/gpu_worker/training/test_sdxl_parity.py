"""SDXL: every gradient equals that of a plain step with diffusers and peft, as the example script does it.

Like is compared with like: a frozen text encoder reads the captions one by one, as both sides do it in use.
Two at once are rounded otherwise in fp32, and queries and keys of the tenth layer then differ by 7e-4.
"""

from __future__ import annotations

from collections.abc import Callable
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
from tests.gpu_worker.conftest import has_adapters
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
from tests.support import diffusers_sdxl
from tests.support.variants import with_soak

#: With it one of the two timesteps has little noise, so min-SNR has an effect.
SEED = 6
UNET_ONLY = replace(PLAIN, train_text_encoder=False, seed=SEED)
CASES = {
    "only the UNet": Case(UNET_ONLY),
    "with both text encoders": Case(replace(PLAIN, seed=SEED)),
    "min-SNR": Case(replace(UNET_ONLY, min_snr_gamma=5.0)),
    "prior loss": Case(replace(UNET_ONLY, prior_loss_weight=0.3), regularisation=True),
    "masked loss": Case(replace(UNET_ONLY, masked_loss=True), masks=True),
    "noise offset": Case(replace(UNET_ONLY, noise_offset=0.1)),
    "everything": Case(
        replace(
            PLAIN, seed=SEED, min_snr_gamma=5.0, prior_loss_weight=0.3, masked_loss=True, noise_offset=0.05
        ),
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


def encode(parts: SdxlComponents, captions: list[str], is_trained: bool) -> tuple[Tensor, Tensor]:
    """Return embeddings and pooled embeddings as the example does, which caches what does not learn."""
    if is_trained:
        return encode_prompt(parts, captions)
    with torch.no_grad():
        embeds, pooled = zip(*(encode_prompt(parts, [caption]) for caption in captions), strict=True)
    return torch.cat(embeds), torch.cat(pooled)


def encode_prompt(parts: SdxlComponents, captions: list[str]) -> tuple[Tensor, Tensor]:
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
    captions = [study.image.caption for study in shown]
    embeds, pooled = encode(parts, captions, config.train_text_encoder)
    (width, height), (left, top), (target_width, target_height) = (
        SIZE.original_px,
        SIZE.crop_px,
        SIZE.target_px,
    )
    time_ids = torch.tensor([[height, width, top, left, target_height, target_width]]).repeat(2, 1)
    model_pred = parts.unet(
        scheduler.add_noise(clean, noise, times),
        times,
        embeds,
        added_cond_kwargs={"text_embeds": pooled, "time_ids": time_ids},
    ).sample
    errors = F.mse_loss(model_pred, noise, reduction="none")
    if config.masked_loss:
        errors = errors * torch.stack([study.mask for study in shown if study.mask is not None])
    losses = errors.mean(dim=[1, 2, 3]) * torch.tensor(
        [config.prior_loss_weight if study.image.is_regularisation else 1.0 for study in shown]
    )
    if config.min_snr_gamma:
        alphas_cumprod = scheduler.alphas_cumprod[times]
        snr = alphas_cumprod / (1 - alphas_cumprod)
        losses = losses * (torch.minimum(snr, torch.full_like(snr, config.min_snr_gamma)) / snr)
    return losses.mean()


def check_gradients(
    base: BaseModel, build_components: Callable[[], SdxlComponents], case: Case
) -> dict[str, tuple[Tensor, Tensor]]:
    """Compare ours with the reference's on components of its own; return ours."""
    ours, matrices, order = our_gradients(base, case)
    parts = build_components()
    layers = adapt(base, parts, matrices)
    reference_loss(parts, case, order).backward()  # type: ignore[no-untyped-call]
    expected = {
        name: (gradient(layer.lora_A["default"].weight), gradient(layer.lora_B["default"].weight))
        for name, layer in layers.items()
    }
    check_equal(ours, expected)
    return ours


@pytest.mark.parametrize("name", with_soak(CASES, kept=("only the UNet", "everything")))
def test_every_gradient_equals_the_reference_steps(diffusers_xl: BaseModel, name: str) -> None:
    ours = check_gradients(diffusers_xl, diffusers_sdxl.build_components, CASES[name])
    assert len(ours) == 132 + (60 if CASES[name].config.train_text_encoder else 0)
    assert not has_adapters(diffusers_xl)


@pytest.mark.soak
def test_every_gradient_equals_the_reference_steps_in_the_true_shape(tiny_xl: BaseModel) -> None:
    ours = check_gradients(tiny_xl, models_tiny_xl.build_components, CASES["everything"])
    assert len(ours) == 722 + 72 + 192


def test_options_change_the_gradients(diffusers_xl: BaseModel) -> None:
    """Or the parity above would prove nothing about them."""
    totals = set()
    for case in CASES.values():
        ours, _, _ = our_gradients(diffusers_xl, case)
        totals.add(round(float(sum(down.abs().sum() for down, _ in ours.values())), 8))
    assert len(totals) == len(CASES)


def test_the_size_of_a_picture_and_its_pooled_text_change_the_prediction(diffusers_xl: BaseModel) -> None:
    """Or the parity above would prove nothing about them."""
    latents, timesteps = (
        torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3)),
        torch.tensor([7]),
    )
    with torch.no_grad():
        plain = diffusers_xl.add_sizes(diffusers_xl.encode_prompts(CAPTIONS[:1]), [SIZE])
        resized = diffusers_xl.add_sizes(plain, [replace(SIZE, original_px=(300, 70))])
        unpooled = replace(
            plain, tensors={**plain.tensors, "pooled_embeds": plain.tensors["pooled_embeds"] * 0}
        )
        predictions = [diffusers_xl.predict(latents, timesteps, each) for each in (plain, resized, unpooled)]
    assert not torch.allclose(predictions[0], predictions[1])
    assert not torch.allclose(predictions[0], predictions[2])
