"""Flow matching: every gradient equals that of a plain step with diffusers and peft, as in the examples."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor

from gpu_worker.lora.weights import LoraWeights
from gpu_worker.models.base import BaseModel
from gpu_worker.models.flow.klein import tiny as models_tiny_klein
from gpu_worker.models.flow.z_image import tiny as models_tiny_z_image
from gpu_worker.models.text.qwen3.config import SMALL
from gpu_worker.training.checkpoint import TrainingState
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.data import TrainingImage
from gpu_worker.training.latents import EncodedSample
from gpu_worker.training.step import TrainStep
from tests.gpu_worker.generation.test_z_image_pictures import make_z_image_pipeline
from tests.gpu_worker.training.test_parity import CAPTIONS, SIZE, InMemoryDataset, gradient, start

SEED = 7
CONFIG = TrainingConfig(
    steps=4, batch_size=2, rank=4, alpha=2.0, min_snr_gamma=None, max_grad_norm=0.0, train_text_encoder=False
)


def make_samples(base: BaseModel) -> tuple[EncodedSample, ...]:
    generator = torch.Generator().manual_seed(12)
    shape = base.latent_shape((128, 64))
    return tuple(
        EncodedSample(TrainingImage(b"", caption), SIZE, torch.randn(shape, generator=generator))
        for caption in CAPTIONS
    )


def our_gradients(base: BaseModel) -> tuple[dict[str, tuple[Tensor, Tensor]], Any, list[EncodedSample]]:
    state = TrainingState(base, CONFIG)
    matrices = start(state)
    samples = make_samples(base)
    step = TrainStep(base, CONFIG, InMemoryDataset(samples))
    state.generator.manual_seed(SEED)
    state.adapter.activate()
    try:
        with torch.enable_grad():
            step.compute_loss(state, 0).backward()  # type: ignore[no-untyped-call]
        grads = [gradient(parameter) for parameter in state.parameters]
    finally:
        state.adapter.deactivate()
    pairs = {name: (grads[2 * index], grads[2 * index + 1]) for index, name in enumerate(matrices)}
    return pairs, matrices, [samples[index] for index in step._batch_sampler.get_batch(0)]


def adapt(base: BaseModel, transformer: Any, matrices: dict[str, LoraWeights]) -> dict[str, Any]:
    """Put peft's layers with our weights into a transformer of its own."""
    transformer.requires_grad_(False).eval()
    targets = [base.targets_by_name[name] for name in matrices]
    paths = [target.path for target in targets]
    inject_adapter_in_model(LoraConfig(r=4, lora_alpha=2, target_modules=paths), transformer)
    layers: dict[str, Any] = {}
    for target in targets:
        layer = layers[target.kohya_name] = transformer.get_submodule(target.path)
        layer.lora_A["default"].weight.data = matrices[target.kohya_name].down.clone()
        layer.lora_B["default"].weight.data = matrices[target.kohya_name].up.clone()
    return layers


def draw(latents: Tensor, scheduler: Any, shift: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return noise, timesteps and sigmas as the examples draw them; a scheduler may shift further."""
    generator = torch.Generator().manual_seed(SEED)
    noise = torch.randn(latents.shape, generator=generator)
    shares = torch.sigmoid(torch.randn(len(latents), generator=generator))
    timesteps = scheduler.timesteps[(shares * 1000).long()]
    sigmas = timesteps / 1000
    sigmas = shift * sigmas / (1 + (shift - 1) * sigmas)
    return noise, sigmas * 1000, sigmas.view(-1, 1, 1, 1)


def klein_loss(parts: Any, samples: list[EncodedSample]) -> Tensor:
    pipeline: Any = Flux2KleinPipeline
    scheduler: Any = FlowMatchEulerDiscreteScheduler.from_config(parts.scheduler_config)
    latents = torch.stack([sample.latents for sample in samples])
    tokens = latents.shape[2] * latents.shape[3]
    shift = float(torch.tensor(0.5 + (1.15 - 0.5) * (tokens - 256) / (4096 - 256)).exp())
    noise, timesteps, sigmas = draw(latents, scheduler, shift)
    noisy = (1.0 - sigmas) * latents + sigmas * noise
    with torch.no_grad():
        embeds = pipeline._get_qwen3_prompt_embeds(
            parts.text_encoder,
            parts.tokenizer,
            [sample.image.caption for sample in samples],
            max_sequence_length=SMALL.max_tokens,
        )
    ids = pipeline._prepare_latent_ids(noisy)
    model_pred = parts.transformer(
        hidden_states=pipeline._pack_latents(noisy),
        timestep=timesteps / 1000,
        encoder_hidden_states=embeds,
        txt_ids=pipeline._prepare_text_ids(embeds),
        img_ids=ids,
        return_dict=False,
    )[0]
    model_pred = pipeline._unpack_latents_with_ids(model_pred, ids)
    loss: Tensor = ((model_pred.float() - (noise - latents)) ** 2).reshape(len(latents), -1).mean(1).mean()
    return loss


def check_equal(ours: dict[str, tuple[Tensor, Tensor]], layers: dict[str, Any]) -> None:
    assert ours.keys() == layers.keys()
    for name, layer in layers.items():
        for mine, theirs in zip(ours[name], (layer.lora_A, layer.lora_B), strict=True):
            expected = gradient(theirs["default"].weight)
            assert expected.norm() > 0, name
            assert (mine - expected).norm() < 1e-4 * expected.norm(), name


@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_every_gradient_of_klein_equals_the_example_s(tiny_klein: BaseModel, is_checkpointed: bool) -> None:
    if is_checkpointed:
        tiny_klein.denoiser.enable_gradient_checkpointing()
    try:
        ours, matrices, samples = our_gradients(tiny_klein)
    finally:
        tiny_klein.denoiser.disable_gradient_checkpointing()
    parts = models_tiny_klein.build_components()
    layers = adapt(tiny_klein, parts.transformer, matrices)
    klein_loss(parts, samples).backward()  # type: ignore[no-untyped-call]
    assert len(layers) == 100
    check_equal(ours, layers)


def z_image_loss(parts: Any, samples: list[EncodedSample]) -> Tensor:
    scheduler: Any = FlowMatchEulerDiscreteScheduler.from_config(parts.training_scheduler_config)
    latents = torch.stack([sample.latents for sample in samples])
    noise, timesteps, sigmas = draw(latents, scheduler, shift=1.0)  # the scheduler's own are shifted
    noisy = (1.0 - sigmas) * latents + sigmas * noise
    pipeline = make_z_image_pipeline(parts)
    with torch.no_grad():
        embeds, _ = pipeline.encode_prompt(
            [sample.image.caption for sample in samples],
            do_classifier_free_guidance=False,
            max_sequence_length=SMALL.max_tokens,
        )
    pictures = list(noisy.unsqueeze(2).unbind())
    predictions = parts.transformer(pictures, (1000 - timesteps) / 1000, embeds, return_dict=False)[0]
    model_pred = -torch.stack(predictions).squeeze(2)
    loss: Tensor = ((model_pred.float() - (noise - latents)) ** 2).reshape(len(latents), -1).mean(1).mean()
    return loss


def test_every_gradient_of_z_image_equals_the_example_s(tiny_z_image: BaseModel) -> None:
    ours, matrices, samples = our_gradients(tiny_z_image)
    parts = models_tiny_z_image.build_components()
    layers = adapt(tiny_z_image, parts.transformer, matrices)
    z_image_loss(parts, samples).backward()  # type: ignore[no-untyped-call]
    assert len(layers) == 210
    check_equal(ours, layers)
