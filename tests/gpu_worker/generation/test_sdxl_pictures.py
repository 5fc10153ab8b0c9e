"""SDXL draws what diffusers' own pipeline draws, sampler by sampler, and with our LoRA files in it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import load
from torch import Tensor

from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.lora import file as lora_file
from gpu_worker.lora.layers import Adapter, read_lora
from gpu_worker.models.base import BaseModel
from gpu_worker.models.noise import samplers
from gpu_worker.models.sdxl import tiny as models_tiny_xl
from gpu_worker.models.sdxl.config import SCHEDULER_CONFIG
from gpu_worker.models.sdxl.loading import SdxlComponents
from gpu_worker.protocol import SAMPLERS, DoneEvent, GenerateRequest, TrainRequest
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.trainer import train
from tests.support import diffusers_sdxl
from tests.support.generated_images import draw_latents, pictures, size_of, use, with_

STEPS = 4
ASKED = with_(steps=STEPS, negative_prompt="blurry", guidance_scale=4.0)


@pytest.fixture(scope="module")
def lora(loaded_tiny_xl: BaseModel, photos: tuple[bytes, ...]) -> bytes:
    """Train a LoRA of the UNet and both text encoders that leaves a mark."""
    config = TrainingConfig(steps=1, resolution_px=64, rank=4, unet_lr=5e-2, text_encoder_lr=5e-2)
    last = list(train(loaded_tiny_xl, TrainRequest(job_id=1, attempt=1, photos=photos[:2]), config))[-1]
    assert isinstance(last, DoneEvent)
    assert last.lora is not None
    return last.lora


def make_pipeline(parts: SdxlComponents) -> Any:
    pipeline = StableDiffusionXLPipeline(
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        text_encoder_2=parts.text_encoder_2,
        tokenizer=parts.tokenizer,
        tokenizer_2=parts.tokenizer_2,
        unet=parts.unet,
        scheduler=make_scheduler(SAMPLERS[0]),
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def make_scheduler(sampler: str) -> Any:
    return samplers.create_scheduler(sampler, SCHEDULER_CONFIG, STEPS, (), torch.device("cpu"))


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return make_pipeline(diffusers_sdxl.build_components())


def their_latents(pipeline: Any, request: GenerateRequest) -> Tensor:
    latents: Tensor = pipeline(
        request.prompt,
        negative_prompt=request.negative_prompt or None,
        width=request.width_px,
        height=request.height_px,
        num_inference_steps=STEPS,
        guidance_scale=request.guidance_scale,
        generator=torch.Generator().manual_seed(request.seed or 0),
        output_type="latent",
    ).images
    return latents


@pytest.mark.parametrize("guidance_scale", [4.0, 1.0])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_latents_equal_the_pipelines(
    diffusers_xl: BaseModel, pipeline: Any, sampler: str, guidance_scale: float
) -> None:
    request = with_(steps=STEPS, negative_prompt="blurry", guidance_scale=guidance_scale, sampler=sampler)
    pipeline.scheduler = make_scheduler(sampler)
    theirs = their_latents(pipeline, request)
    ours = draw_latents(diffusers_xl, request)
    assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.std()))


def test_an_empty_negative_prompt_is_zeros_as_in_the_pipeline(diffusers_xl: BaseModel, pipeline: Any) -> None:
    request = with_(steps=STEPS, guidance_scale=4.0, width_px=104, height_px=64)
    pipeline.scheduler = make_scheduler(SAMPLERS[0])
    theirs = their_latents(pipeline, request)
    ours = draw_latents(diffusers_xl, request)
    assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.std()))


def test_our_lora_in_the_pipeline_gives_draw_latents(tiny_xl: BaseModel, lora: bytes) -> None:
    pipeline = make_pipeline(models_tiny_xl.build_components())
    plain = their_latents(pipeline, ASKED)
    pipeline.load_lora_weights({key: value.float() for key, value in load(lora).items()})
    theirs = their_latents(pipeline, ASKED)
    assert (theirs - plain).abs().max() > 0.1 * plain.std()  # the LoRA does something
    adapter = Adapter(tiny_xl, read_lora(tiny_xl, lora).weights)
    ours = draw_latents(tiny_xl, ASKED, adapter)
    assert torch.allclose(ours, theirs, rtol=2e-3, atol=2e-3 * float(theirs.std()))


def renamed(base: BaseModel, lora: bytes, naming: str) -> dict[str, Tensor]:
    """Return the LoRA as other programs name it."""
    tensors: dict[str, Tensor] = {}
    theirs = load(lora)
    folders = {"unet": "unet", "text_encoder": "text_encoder", "text_encoder_2": "text_encoder_2"}
    prefixes = {"unet": "lora_unet_", "text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}
    for key, value in theirs.items():
        module, _, suffix = key.partition(".")
        target = base.targets_by_name[module]
        group = target.group.name
        path = target.path if group == "unet" else "text_model." + target.path.removeprefix("text_model.")
        if naming == "kohya with diffusers' names":
            tensors[f"{prefixes[group]}{path.replace('.', '_')}.{suffix}"] = value
        elif suffix != "alpha":
            ending = {"lora_down.weight": "lora_A.weight", "lora_up.weight": "lora_B.weight"}[suffix]
            alpha = float(theirs[f"{module}.alpha"])
            rank = len(theirs[f"{module}.lora_down.weight"])
            scaled = value * (alpha / rank) if ending == "lora_B.weight" else value
            tensors[f"{folders[group]}.{path}.{ending}"] = scaled
    return tensors


@pytest.mark.parametrize("naming", ["kohya with diffusers' names", "PEFT"])
def test_other_namings_are_read_as_the_same_lora(tiny_xl: BaseModel, lora: bytes, naming: str) -> None:
    from safetensors.torch import save

    data = save({key: value.contiguous() for key, value in renamed(tiny_xl, lora, naming).items()})
    ours = draw_latents(tiny_xl, ASKED, Adapter(tiny_xl, read_lora(tiny_xl, lora).weights))
    theirs = draw_latents(tiny_xl, ASKED, Adapter(tiny_xl, read_lora(tiny_xl, data).weights))
    assert torch.allclose(ours, theirs, rtol=1e-3, atol=2e-3 * float(ours.std()))


def test_loras_of_other_bases_are_refused_by_name(
    tiny_xl: BaseModel, loaded_tiny: BaseModel, lora: bytes
) -> None:
    with pytest.raises(BadInput) as caught:
        read_lora(loaded_tiny, lora)
    assert caught.value.problem is JobProblem.LORA_OTHER_MODEL
    assert "SDXL" in str(caught.value)
    weights = {name: next(iter(lora_file.read(lora, "SDXL").weights.values())) for name in ("lora_unet_x",)}
    with pytest.raises(BadInput) as caught:
        Adapter(tiny_xl, weights)
    assert caught.value.problem is JobProblem.LORA_OTHER_KIND


def test_shapes_are_those_it_was_trained_on(tiny_xl: BaseModel, lora: bytes) -> None:
    request = with_(width_px=None, height_px=None, shape="portrait", steps=1, loras=(use(lora),))
    assert size_of(pictures(tiny_xl, request)[0]) == (104, 152)
