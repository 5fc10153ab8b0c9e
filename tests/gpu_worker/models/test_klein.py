"""klein: its true shape, its folders, its twin, and cards that cannot compute it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline, Flux2Transformer2DModel
from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu

from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.models import files
from gpu_worker.models.base import BaseModel
from gpu_worker.models.flow.klein import tiny as models_tiny_klein
from gpu_worker.models.flow.klein.config import SCHEDULER_CONFIG, KleinWidths, compute_mu, transformer_config
from gpu_worker.models.flow.klein.family import KLEIN, KLEIN_BASE
from gpu_worker.models.flow.klein.model import pack, unpack
from gpu_worker.models.flow.pairs import PAIRS
from gpu_worker.models.lora_hooks import find_targets
from gpu_worker.models.noise.flow import Flow, FlowConfig
from gpu_worker.models.registry import check_bf16, load_base_model
from gpu_worker.models.sdxl.family import SDXL


def test_the_true_shape_has_its_modules_and_parameters() -> None:
    with torch.device("meta"):
        transformer = Flux2Transformer2DModel(**transformer_config(KleinWidths()))
    assert sum(each.numel() for each in transformer.parameters()) == pytest.approx(3.876e9, rel=1e-3)
    targets = find_targets(KLEIN.lora_groups[0], transformer)
    assert len(targets) == 100
    lora_parameters = sum(16 * sum(target.weight_shape) for target in targets)
    assert lora_parameters == pytest.approx(24.1e6, rel=1e-3)
    assert transformer.config.joint_attention_dim == 7680
    assert transformer.config.in_channels == 128


def test_the_shift_of_pictures_is_that_of_the_pipeline() -> None:
    for tokens in (64, 1024, 4096, 5000):
        for steps in (4, 50):
            assert compute_mu(tokens, steps) == pytest.approx(compute_empirical_mu(tokens, steps))


def test_latents_are_packed_as_in_the_pipeline(tiny_klein: BaseModel) -> None:
    latents = torch.randn(2, 32, 6, 4)
    packed = pack(latents)
    assert torch.equal(packed, Flux2KleinPipeline._patchify_latents(latents))
    assert torch.equal(unpack(packed), latents)
    vae = tiny_klein.components["vae"]
    pixels = torch.rand(3, 64, 32) * 2 - 1
    with torch.no_grad():
        theirs = Flux2KleinPipeline._patchify_latents(vae.encode(pixels[None]).latent_dist.mean)
    statistics = vae.bn.running_mean, (vae.bn.running_var + vae.config.batch_norm_eps).sqrt()
    mean, std = (each.view(1, -1, 1, 1) for each in statistics)
    ours = tiny_klein.encode_image(pixels).mean[None]
    assert torch.allclose(ours, (theirs - mean) / std, atol=1e-5)
    assert torch.allclose(pack(tiny_klein.to_vae_latents(ours)), theirs, atol=1e-5)


#: With another shift, so that it is seen which is taken.
BASE_SCHEDULER = {**SCHEDULER_CONFIG, "base_shift": 0.8}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Write the embedded klein as diffusers does: the base, and its twin."""
    folder = tmp_path_factory.mktemp("klein")
    parts = models_tiny_klein.build_components()
    for name, scheduler_config in (("base", BASE_SCHEDULER), ("twin", parts.scheduler_config)):
        Flux2KleinPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler.from_config(scheduler_config),
            vae=parts.vae,
            text_encoder=parts.text_encoder,
            tokenizer=parts.tokenizer,
            transformer=parts.transformer if name == "base" else parts.distilled_transformer,
            is_distilled=name == "twin",
        ).save_pretrained(folder / name)
    return folder / "base", folder / "twin"


def test_a_pair_of_folders_is_the_embedded_model(tiny_klein: BaseModel, folders: tuple[Path, Path]) -> None:
    base = load_base_model(" + ".join(map(str, folders)), torch.float32)
    assert (base.name, base.family.sampling) == ("base + twin", KLEIN.sampling)
    conditioning = base.encode_prompts(["a cat"], None, 75)
    latents, timesteps = torch.randn(1, 128, 4, 4), torch.tensor([300.0])
    ours = tiny_klein.encode_prompts(["a cat"])
    tokens = len(ours.tensors["prompt_embeds"][0])
    read = conditioning.tensors["prompt_embeds"]
    assert read.shape[1] == 512
    assert torch.allclose(read[:, : tokens // 2], ours.tensors["prompt_embeds"][:, : tokens // 2], atol=1e-4)
    with torch.no_grad():
        assert torch.allclose(
            base.predict(latents, timesteps, ours), tiny_klein.predict(latents, timesteps, ours), atol=1e-5
        )
        with base.for_pictures(), tiny_klein.for_pictures():
            drawn_by_twin = base.predict(latents, timesteps, ours)
            assert torch.allclose(drawn_by_twin, tiny_klein.predict(latents, timesteps, ours), atol=1e-5)
        assert (drawn_by_twin - base.predict(latents, timesteps, ours)).abs().max() > 0.01


def test_a_pair_trains_with_the_base_s_scheduler_and_draws_with_the_twin_s(
    folders: tuple[Path, Path],
) -> None:
    noise_process = load_base_model(" + ".join(map(str, folders)), torch.float32).noise_process
    shape = (50, 128, 4, 4)
    drawn, of_base = (
        each.sample_timesteps(shape, torch.Generator().manual_seed(1))
        for each in (noise_process, Flow(FlowConfig(BASE_SCHEDULER)))
    )
    assert torch.equal(drawn, of_base)
    assert isinstance(noise_process, Flow)
    assert noise_process.scheduler_config["base_shift"] == SCHEDULER_CONFIG["base_shift"]


def test_a_folder_says_what_it_is(folders: tuple[Path, Path]) -> None:
    base, twin = folders
    assert files.recognise_family(str(base)) is KLEIN_BASE
    assert files.recognise_family(str(twin)) is KLEIN
    assert files.recognise_family("klein-4b") == KLEIN
    assert files.inspect_model(str(base))[0] == "ok"
    assert PAIRS["klein-4b"].base.endswith("klein-base-4B")


def test_cards_without_bf16_are_refused_with_the_alternative() -> None:
    with pytest.raises(BaseModelError, match="SDXL") as caught:
        check_bf16(KLEIN, "NVIDIA GeForce GTX 1060 6GB", (6, 1))
    assert caught.value.problem is JobProblem.GPU_LACKS_BF16
    with pytest.raises(BaseModelError):
        check_bf16(KLEIN, "NVIDIA GeForce RTX 2060", (7, 5))
    check_bf16(KLEIN, "NVIDIA GeForce RTX 3060", (8, 6))
    check_bf16(SDXL, "NVIDIA GeForce GTX 1060 6GB", (6, 1))
