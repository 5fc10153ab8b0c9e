"""klein draws what diffusers' own pipeline draws, with its twin, and with our LoRA files in it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline
from safetensors.torch import load, save
from torch import Tensor

from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.generation.recipes import resolve_recipes
from gpu_worker.lora.layers import Adapter, read_lora
from gpu_worker.lora.weights import LoraWeights
from gpu_worker.models.base import BaseModel
from gpu_worker.models.flow.klein import tiny as models_tiny_klein
from gpu_worker.models.text.qwen3.config import SMALL
from gpu_worker.protocol import GenerateRequest, InitImage
from tests.support.generated_images import draw_latents, make_random_lora, pictures, text_of, use, with_

STEPS = 3
ASKED = with_(steps=STEPS, width_px=96, height_px=128)


@pytest.fixture(scope="module")
def lora(loaded_tiny_klein: BaseModel) -> bytes:
    """Return a LoRA of every module that leaves a mark."""
    return make_random_lora(loaded_tiny_klein)


def make_pipeline(base: BaseModel, component: str = "distilled_transformer") -> Any:
    """Return diffusers' pipeline of a transformer with weights of its own."""
    parts = models_tiny_klein.build_components()
    pipeline = Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler.from_config(parts.scheduler_config),
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        transformer=getattr(parts, component),
        is_distilled=True,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def their_latents(base: BaseModel, pipeline: Any, request: GenerateRequest) -> Tensor:
    """Return the pipeline's latents, which it gives as the VAE takes them."""
    shape = base.latent_shape((request.width_px or 0, request.height_px or 0))
    noise = torch.randn(1, *shape, generator=torch.Generator().manual_seed(request.seed or 0))
    latents: Tensor = pipeline(
        prompt=request.prompt,
        width=request.width_px,
        height=request.height_px,
        num_inference_steps=STEPS,
        latents=noise,
        max_sequence_length=SMALL.max_tokens,
        output_type="latent",
    ).images
    return latents


def our_latents(base: BaseModel, request: GenerateRequest, adapter: Adapter | None = None) -> Tensor:
    """Return the latents as the VAE takes them, which is how the pipelines give theirs."""
    return base.to_vae_latents(draw_latents(base, request, adapter))


def assert_near(ours: Tensor, theirs: Tensor) -> None:
    assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.std()))


def test_latents_equal_the_pipelines_of_the_twin(tiny_klein: BaseModel) -> None:
    ours = our_latents(tiny_klein, ASKED)
    assert_near(ours, their_latents(tiny_klein, make_pipeline(tiny_klein), ASKED))
    of_base = their_latents(tiny_klein, make_pipeline(tiny_klein, "transformer"), ASKED)
    assert (ours - of_base).std() > 0.05 * ours.std()


def test_our_lora_in_the_pipeline_gives_our_latents(tiny_klein: BaseModel, lora: bytes) -> None:
    pipeline = make_pipeline(tiny_klein)
    plain = their_latents(tiny_klein, pipeline, ASKED)
    pipeline.load_lora_weights(load(lora))
    theirs = their_latents(tiny_klein, pipeline, ASKED)
    assert (theirs - plain).abs().max() > 0.1 * plain.std()  # the LoRA does something
    adapter = Adapter(tiny_klein, read_lora(tiny_klein, lora).weights)
    assert_near(our_latents(tiny_klein, ASKED, adapter), theirs)


def test_files_have_the_names_of_the_model_s_own_code(lora: bytes) -> None:
    tensors = load(lora)
    assert {key.split(".", 3)[-1] for key in tensors if ".double_blocks." in key} == {
        f"{module}.lora_{side}.weight"
        for stream in ("img", "txt")
        for module in (f"{stream}_attn.qkv", f"{stream}_attn.proj", f"{stream}_mlp.0", f"{stream}_mlp.2")
        for side in "AB"
    }
    assert {key.split(".", 3)[-1] for key in tensors if ".single_blocks." in key} == {
        f"linear{number}.lora_{side}.weight" for number in (1, 2) for side in "AB"
    }
    assert len(tensors) == 2 * (5 * 8 + 20 * 2)


def rename(base: BaseModel, lora: bytes, naming: str) -> bytes:
    """Return a LoRA as other programs write it."""
    if naming == "kohya":
        tensors = {}
        for key, value in load(lora).items():
            path, _, side = key.removesuffix(".weight").rpartition(".lora_")
            module = "lora_unet_" + path.removeprefix("diffusion_model.").replace(".", "_")
            tensors[f"{module}.lora_{'down' if side == 'A' else 'up'}.weight"] = value
            tensors[f"{module}.alpha"] = torch.tensor(float(len(value)) if side == "A" else 0.0)
        for module in {key.partition(".")[0] for key in tensors}:
            tensors[f"{module}.alpha"] = torch.tensor(float(len(tensors[f"{module}.lora_down.weight"])))
        return save(tensors)
    tensors = {}
    for name, weights in read_lora(base, lora).weights.items():
        assert isinstance(weights, LoraWeights)
        path = f"transformer.{base.targets_by_name[name].path}"
        tensors[f"{path}.lora_A.weight"] = weights.down.contiguous()
        tensors[f"{path}.lora_B.weight"] = (weights.up * weights.alpha / weights.rank).contiguous()
    return save(tensors)


@pytest.mark.parametrize("naming", ["kohya", "diffusers"])
def test_other_namings_are_read_as_the_same_lora(tiny_klein: BaseModel, lora: bytes, naming: str) -> None:
    ours, theirs = (read_lora(tiny_klein, each).weights for each in (lora, rename(tiny_klein, lora, naming)))
    assert ours.keys() == theirs.keys() == tiny_klein.targets_by_name.keys()
    for name, weights in ours.items():
        other = theirs[name]
        assert isinstance(weights, LoraWeights)
        assert isinstance(other, LoraWeights)
        assert weights.rank == other.rank == 4  # also where three of ours are one matrix
        product = weights.up @ weights.down * (weights.alpha / weights.rank)
        assert torch.allclose(product, other.up @ other.down * (other.alpha / other.rank), atol=1e-6)


def test_a_file_whose_fused_matrix_is_full_is_read_too(tiny_klein: BaseModel, lora: bytes) -> None:
    tensors = load(lora)
    key = "diffusion_model.double_blocks.0.img_attn.qkv"
    full = torch.randn_like(tensors[f"{key}.lora_B.weight"])
    weights = read_lora(tiny_klein, save({**tensors, f"{key}.lora_B.weight": full})).weights
    parts = [weights[f"lora_unet_transformer_blocks_0_attn_to_{part}"] for part in "qkv"]
    products = [each.up @ each.down for each in parts if isinstance(each, LoraWeights)]
    assert torch.allclose(torch.cat(products), full @ tensors[f"{key}.lora_A.weight"], atol=1e-5)


def test_other_bases_refuse_the_lora_by_its_name(loaded_tiny: BaseModel, lora: bytes) -> None:
    with pytest.raises(BadInput, match=r"FLUX\.2 klein 4B") as caught:
        read_lora(loaded_tiny, lora)
    assert caught.value.problem is JobProblem.LORA_OTHER_MODEL


def test_pictures_vary_start_from_a_picture_and_say_their_sampler(tiny_klein: BaseModel, lora: bytes) -> None:
    plain = pictures(tiny_klein, with_(**SMALL_PICTURE))[0]
    assert "Sampler: Euler" in text_of(plain)
    init = InitImage(data=plain, denoising_strength=0.5)
    others = [
        pictures(tiny_klein, with_(**SMALL_PICTURE, **options))[0]
        for options in ({"variation_strength": 0.3}, {"init_image": init}, {"loras": (use(lora),)})
    ]
    assert len({plain, *others}) == 4


SMALL_PICTURE: dict[str, Any] = {"steps": 2, "width_px": 64, "height_px": 64}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"negative_prompt": "blurry"}, JobProblem.NO_GUIDANCE),
        ({"guidance_scale": 4.0}, JobProblem.NO_GUIDANCE),
        ({"sampler": "unipc"}, JobProblem.SAMPLER_FIXED),
    ],
)
def test_what_a_twin_cannot_do_is_refused(
    tiny_klein: BaseModel, options: dict[str, Any], problem: JobProblem
) -> None:
    with pytest.raises(BadInput) as caught:
        resolve_recipes(tiny_klein, with_(**options))
    assert caught.value.problem is problem


def test_a_style_s_negative_words_are_left_out(tiny_klein: BaseModel, tiny: BaseModel) -> None:
    request = with_(style_negative_prompt="photo")
    assert resolve_recipes(tiny_klein, request)[0].negative_prompt == ""
    assert resolve_recipes(tiny, request)[0].negative_prompt == "photo"


def test_weights_are_left_out_and_the_recipe_says_so(
    tiny_klein: BaseModel, tiny_z_image: BaseModel, tiny: BaseModel
) -> None:
    weighted = with_(prompt="a (red:1.3), [big] sun(hat) BREAK now")
    plain = with_(prompt="a red, big sunhat now")
    for base in (tiny_klein, tiny_z_image):
        recipe = resolve_recipes(base, weighted)[0]
        assert "Emphasis: Ignore," in recipe.format_parameters()
        assert "Emphasis" not in resolve_recipes(base, plain)[0].format_parameters()
        ours, theirs = (base.encode_weighted_prompts([each.prompt]).tensors for each in (weighted, plain))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert "Emphasis" not in resolve_recipes(tiny, weighted)[0].format_parameters()
