"""Z-Image draws what diffusers' own pipeline draws, with its twin, and with our LoRA files in it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
from safetensors.torch import load, save
from torch import Tensor

from gpu_worker.lora.layers import Adapter, read_lora
from gpu_worker.models.base import BaseModel
from gpu_worker.models.flow.model import FlowComponents
from gpu_worker.models.flow.z_image import tiny as models_tiny_z_image
from gpu_worker.models.flow.z_image.config import ZImageWidths, transformer_config
from gpu_worker.models.flow.z_image.family import Z_IMAGE
from gpu_worker.models.lora_hooks import find_targets
from gpu_worker.models.text.qwen3.config import SMALL
from tests.gpu_worker.generation.test_klein_pictures import ASKED, STEPS, assert_near, our_latents
from tests.support.generated_images import make_random_lora, pictures, size_of, with_


def make_z_image_pipeline(parts: FlowComponents, component: str = "distilled_transformer") -> Any:
    pipeline = ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler.from_config(parts.scheduler_config),
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        transformer=getattr(parts, component),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def their_latents(base: BaseModel, pipeline: Any) -> Tensor:
    """Return the pipeline's latents, as the VAE takes them."""
    latents: Tensor = pipeline(
        ASKED.prompt,
        width=ASKED.width_px,
        height=ASKED.height_px,
        num_inference_steps=STEPS,
        guidance_scale=0.0,
        generator=torch.Generator().manual_seed(ASKED.seed or 0),
        max_sequence_length=SMALL.max_tokens,
        output_type="latent",
    ).images
    return base.to_vae_latents(latents)


@pytest.fixture(scope="module")
def lora(loaded_tiny_z_image: BaseModel) -> bytes:
    """Return a LoRA of every module that leaves a mark."""
    return make_random_lora(loaded_tiny_z_image)


def test_latents_equal_the_pipelines_of_the_twin(tiny_z_image: BaseModel) -> None:
    ours = our_latents(tiny_z_image, ASKED)
    parts = models_tiny_z_image.build_components()
    assert_near(ours, their_latents(tiny_z_image, make_z_image_pipeline(parts)))
    of_base = their_latents(tiny_z_image, make_z_image_pipeline(parts, "transformer"))
    assert (ours - of_base).std() > 0.02 * ours.std()


def test_our_lora_in_the_pipeline_gives_our_latents(tiny_z_image: BaseModel, lora: bytes) -> None:
    pipeline = make_z_image_pipeline(models_tiny_z_image.build_components())
    plain = their_latents(tiny_z_image, pipeline)
    pipeline.load_lora_weights(load(lora))
    theirs = their_latents(tiny_z_image, pipeline)
    assert (theirs - plain).abs().max() > 0.1 * plain.std()  # the LoRA does something
    adapter = Adapter(tiny_z_image, read_lora(tiny_z_image, lora).weights)
    assert_near(our_latents(tiny_z_image, ASKED, adapter), theirs)


def test_files_have_the_names_that_trainers_write(tiny_z_image: BaseModel, lora: bytes) -> None:
    tensors = load(lora)
    assert {key.split(".", 3)[-1] for key in tensors} == {
        f"{module}.lora_{side}.weight"
        for module in (
            *(f"attention.to_{part}" for part in ("q", "k", "v", "out.0")),
            *(f"feed_forward.w{number}" for number in (1, 2, 3)),
        )
        for side in "AB"
    }
    kohya = {
        "lora_unet_" + key.removeprefix("diffusion_model.").replace(".", "_"): value
        for key, value in tensors.items()
    }
    renamed = {
        key.replace("_lora_A_weight", ".lora_down.weight").replace("_lora_B_weight", ".lora_up.weight"): value
        for key, value in kohya.items()
    }
    ours, theirs = (read_lora(tiny_z_image, data).weights for data in (lora, save(renamed)))
    assert ours.keys() == theirs.keys() == tiny_z_image.targets_by_name.keys()


def test_the_true_shape_has_its_modules_and_parameters() -> None:
    with torch.device("meta"):
        transformer = ZImageTransformer2DModel(**transformer_config(ZImageWidths()))
    assert sum(each.numel() for each in transformer.parameters()) == pytest.approx(6.155e9, rel=1e-3)
    targets = find_targets(Z_IMAGE.lora_groups[0], transformer)
    assert len(targets) == 210
    assert sum(16 * sum(target.weight_shape) for target in targets) == pytest.approx(35.0e6, rel=1e-3)


def test_sides_are_multiples_of_its_patches(tiny_z_image: BaseModel) -> None:
    assert size_of(pictures(tiny_z_image, with_(width_px=72, height_px=64, steps=1))[0]) == (64, 64)
