"""The same LoRA: every gradient equals that of a plain step with diffusers and peft, nothing fused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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
from gpu_worker.models.inputs.conditioning import ImageSize
from gpu_worker.models.sd15 import tiny as models_tiny
from gpu_worker.models.sd15.config import SCHEDULER_CONFIG
from gpu_worker.models.text.clip.tokenizer import load_clip_tokenizer
from gpu_worker.training.checkpoint import TrainingState
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.data import TrainingImage
from gpu_worker.training.latents import EncodedSample
from gpu_worker.training.step import TrainStep
from tests.support.variants import with_soak

RELATIVE = 1e-4
SIZE = ImageSize((90, 70), (13, 2), (64, 64))
CAPTIONS = ("sks person", "photo of a person on the beach")


@dataclass(frozen=True)
class Case:
    """A batch of two pictures, of which the second may be for regularisation, and what is switched on."""

    config: TrainingConfig
    regularisation: bool = False
    masks: bool = False
    captions: tuple[str, str] = CAPTIONS
    trigger: str = ""


PLAIN = TrainingConfig(
    steps=4,
    batch_size=2,
    rank=4,
    alpha=2.0,
    seed=4,
    resolution_px=64,
    min_snr_gamma=None,
    max_grad_norm=0.0,
)
CASES = {
    "plain": Case(PLAIN),
    "min-SNR": Case(replace(PLAIN, min_snr_gamma=5.0)),
    "prior loss": Case(replace(PLAIN, prior_loss_weight=0.3), regularisation=True),
    "masked loss": Case(replace(PLAIN, masked_loss=True), masks=True),
    "noise offset": Case(replace(PLAIN, noise_offset=0.1)),
    "clip skip": Case(replace(PLAIN, clip_skip=2)),
    "only the UNet": Case(replace(PLAIN, train_text_encoder=False)),
    "everything": Case(
        replace(PLAIN, min_snr_gamma=5.0, prior_loss_weight=0.3, masked_loss=True, noise_offset=0.05),
        regularisation=True,
        masks=True,
    ),
}


@dataclass(frozen=True)
class InMemoryDataset:
    """Studies that nobody has to encode."""

    samples: tuple[EncodedSample, ...]

    @property
    def images(self) -> tuple[TrainingImage, ...]:
        return tuple(study.image for study in self.samples)

    def __getitem__(self, index: int) -> EncodedSample:
        return self.samples[index]


def studies(case: Case) -> tuple[EncodedSample, ...]:
    stream = torch.Generator().manual_seed(12)
    samples = []
    for number, caption in enumerate(case.captions):
        latents = torch.randn(4, 8, 8, generator=stream)
        mask = torch.rand(1, 8, 8, generator=stream) if case.masks else None
        is_regularisation = case.regularisation and number == 1
        example = TrainingImage(b"", caption, is_regularisation=is_regularisation, trigger=case.trigger)
        samples.append(EncodedSample(example, SIZE, latents, mask=mask))
    return tuple(samples)


def start(state: TrainingState) -> dict[str, LoraWeights]:
    """Return weights with `up` drawn too; otherwise half of the gradients would be zero."""
    stream = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in state.parameters:
            if not parameter.any():
                parameter.copy_(torch.randn(parameter.shape, generator=stream) * 0.05)
    return state.adapter.copy_weights()


def our_gradients(base: BaseModel, case: Case) -> tuple[dict[str, tuple[Tensor, Tensor]], Any, list[int]]:
    state = TrainingState(base, case.config)
    matrices = start(state)
    lesson = TrainStep(base, case.config, InMemoryDataset(studies(case)))
    state.adapter.activate()
    try:
        with torch.enable_grad():
            lesson.compute_loss(state, 0).backward()  # type: ignore[no-untyped-call]
        names = list(matrices)
        grads = [gradient(parameter) for parameter in state.parameters]
        pairs = {n: (grads[2 * i], grads[2 * i + 1]) for i, n in enumerate(names)}
    finally:
        state.adapter.deactivate()
    order = lesson._batch_sampler.get_batch(0)
    return pairs, matrices, order


def gradient(parameter: Tensor) -> Tensor:
    """Return what a backward pass left; nothing for the layers that clip skip leaves out."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def reference_gradients(
    base: BaseModel,
    case: Case,
    matrices: dict[str, LoraWeights],
    order: list[int],
    loss: Callable[[Any, Any, Case, list[int]], Tensor] | None = None,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Do the same step as a textbook would, on modules of its own."""
    unet, _, text_encoder = models_tiny.build_parts()
    layers: dict[str, LoraLayer] = {}
    for part, targets in (
        (unet, base.list_targets("unet")),
        (text_encoder, base.list_targets("text_encoder")),
    ):
        part.requires_grad_(False).eval()
        adapted_targets = [target for target in targets if target.kohya_name in matrices]
        if adapted_targets:
            lora_config = LoraConfig(
                r=4, lora_alpha=2, target_modules=[target.path for target in adapted_targets]
            )
            inject_adapter_in_model(lora_config, part)
            for target in adapted_targets:
                layer: Any = part.get_submodule(target.path)
                layer.lora_A["default"].weight.data = matrices[target.kohya_name].down.clone()
                layer.lora_B["default"].weight.data = matrices[target.kohya_name].up.clone()
                layers[target.kohya_name] = layer
    (loss or reference_loss)(unet, text_encoder, case, order).backward()  # type: ignore[no-untyped-call]
    return {
        name: (gradient(layer.lora_A["default"].weight), gradient(layer.lora_B["default"].weight))
        for name, layer in layers.items()
    }


@dataclass(frozen=True)
class Draw:
    """What a step begins with: `kept` is how much of the clean picture the noise leaves."""

    noisy: Tensor
    noise: Tensor
    times: Tensor
    alphas_cumprod: Tensor


def reference_draw(unet: Any, text_encoder: Any, case: Case, order: list[int]) -> Draw:
    config, shown = case.config, [studies(case)[index] for index in order]
    stream = torch.Generator().manual_seed(config.seed)
    for target_draws in down_shapes(unet, text_encoder):
        torch.empty(target_draws).uniform_(generator=stream)  # the training's stream draws these first
    clean = torch.stack([study.latents for study in shown])
    noise = torch.randn(clean.shape, generator=stream)
    if config.noise_offset:
        noise = noise + config.noise_offset * torch.randn(2, 4, 1, 1, generator=stream)
    times = torch.randint(0, 1000, (2,), generator=stream)
    alphas_cumprod = DDPMScheduler.from_config(SCHEDULER_CONFIG).alphas_cumprod[times].view(-1, 1, 1, 1)
    return Draw(
        alphas_cumprod.sqrt() * clean + (1 - alphas_cumprod).sqrt() * noise, noise, times, alphas_cumprod
    )


def read(text_encoder: Any, captions: list[str], clip_skip: int | None) -> Tensor:
    tokens = load_clip_tokenizer()(captions, padding="max_length", max_length=77, return_tensors="pt")
    if clip_skip:
        hidden = text_encoder(tokens.input_ids, output_hidden_states=True).hidden_states[-clip_skip]
        return text_encoder.final_layer_norm(hidden)  # type: ignore[no-any-return]
    return text_encoder(tokens.input_ids).last_hidden_state  # type: ignore[no-any-return]


def reference_loss(unet: Any, text_encoder: Any, case: Case, order: list[int]) -> Tensor:
    config, shown = case.config, [studies(case)[index] for index in order]
    draw = reference_draw(unet, text_encoder, case, order)
    words = read(text_encoder, [study.image.caption for study in shown], config.clip_skip)
    model_pred = unet(draw.noisy, draw.times, words).sample
    errors = F.mse_loss(model_pred, draw.noise, reduction="none")
    if config.masked_loss:
        errors = errors * torch.stack([study.mask for study in shown if study.mask is not None])
    losses = errors.mean(dim=[1, 2, 3])
    losses = losses * torch.tensor(
        [config.prior_loss_weight if study.image.is_regularisation else 1.0 for study in shown]
    )
    snr = (draw.alphas_cumprod / (1 - draw.alphas_cumprod)).flatten()
    if config.min_snr_gamma:
        losses = losses * torch.minimum(snr, torch.full_like(snr, config.min_snr_gamma)) / snr
    return losses.mean()


def down_shapes(unet: Any, text_encoder: Any) -> list[torch.Size]:
    return [
        layer.lora_A["default"].weight.shape
        for part in (unet, text_encoder)
        for layer in part.modules()
        if isinstance(layer, LoraLayer)
    ]


@pytest.mark.parametrize("name", with_soak(CASES, kept=("plain", "clip skip", "only the UNet", "everything")))
def test_every_gradient_equals_the_reference_steps(tiny: BaseModel, name: str) -> None:
    case = CASES[name]
    ours, matrices, order = our_gradients(tiny, case)
    assert len(ours) == (264 if case.config.train_text_encoder else 192)
    check_equal(ours, reference_gradients(tiny, case, matrices, order))


def check_equal(ours: dict[str, tuple[Tensor, Tensor]], reference: dict[str, tuple[Tensor, Tensor]]) -> None:
    assert ours.keys() == reference.keys()
    for kohya_name, pair in ours.items():
        for found, expected in zip(pair, reference[kohya_name], strict=True):
            distance = (found - expected).norm() / expected.norm().clamp(min=1e-12)
            # What lies under rounding of the whole gradient says nothing about a formula.
            unseen = expected.norm() < 1e-9 and found.norm() < 1e-9
            assert distance < RELATIVE or unseen, f"{kohya_name}: {distance:.2e}"


def test_enabled_options_change_the_gradients(tiny: BaseModel) -> None:
    """Or the parity above would prove nothing."""
    totals = []
    for case in CASES.values():
        ours, _, _ = our_gradients(tiny, case)
        totals.append(float(sum(down.abs().sum() for down, _ in ours.values())))
    assert len({round(total, 8) for total in totals}) == len(CASES)


def test_accumulated_batches_give_the_mean_of_their_gradients(tiny: BaseModel) -> None:
    single = replace(PLAIN, batch_size=1, gradient_accumulation_steps=1, optimizer_args=())
    double = replace(single, gradient_accumulation_steps=2)
    shown = InMemoryDataset(studies(CASES["plain"]))
    means: list[Tensor] = []
    state = TrainingState(tiny, single)
    start(state)
    state.adapter.activate()
    with torch.enable_grad():
        for number in range(2):
            (TrainStep(tiny, single, shown).compute_loss(state, number) / 2).backward()  # type: ignore[no-untyped-call]
    means = [parameter.grad.clone() for parameter in state.parameters if parameter.grad is not None]
    state.adapter.deactivate()

    gradients: list[Tensor] = []
    other = TrainingState(tiny, double)
    start(other)
    other.optimizer.register_step_pre_hook(
        lambda *_: gradients.extend(p.grad.clone() for p in other.parameters if p.grad is not None)
    )
    TrainStep(tiny, double, shown).run(other)
    other.adapter.deactivate()
    assert len(gradients) == len(means)
    assert all(torch.equal(one, two) for one, two in zip(gradients, means, strict=True))
