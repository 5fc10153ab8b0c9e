"""SDXL as people have it: a folder, or one file in sgm's layout, in any precision."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.loaders.lora_conversion_utils import (
    _convert_non_diffusers_lora_to_diffusers,
    _maybe_map_sgm_blocks_to_diffusers,
)
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from gpu_worker.device.memory_modes import MemoryMode
from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.models import files
from gpu_worker.models.base import BaseModel
from gpu_worker.models.lora_hooks import LoraTarget, find_targets
from gpu_worker.models.registry import load_base_model
from gpu_worker.models.sdxl import loading, recognition
from gpu_worker.models.sdxl import tiny as models_tiny_xl
from gpu_worker.models.sdxl.config import (
    SdxlWidths,
    text_encoder_2_config,
    text_encoder_config,
    unet_config,
)
from gpu_worker.models.sdxl.family import SDXL
from gpu_worker.models.sdxl.names import UNET_NAMES
from gpu_worker.models.sources.names import read_shapes
from gpu_worker.protocol import CheckpointEvent, encode_frame, frame_length
from tests.support import diffusers_sdxl
from tests.support.ldm_checkpoint import to_sgm

Tensors = dict[str, Tensor]


@cache
def true_targets() -> dict[str, tuple[LoraTarget, ...]]:
    """Return the LoRA targets of SDXL's true shape, without its weights."""
    widths = SdxlWidths()
    with torch.device("meta"):
        components: dict[str, Any] = {
            "unet": UNet2DConditionModel.from_config(unet_config(widths)),
            "text_encoder": CLIPTextModel(CLIPTextConfig(**text_encoder_config(widths))),
            "text_encoder_2": CLIPTextModelWithProjection(CLIPTextConfig(**text_encoder_2_config(widths))),
        }
    return {
        group.name: tuple(
            target for target in find_targets(group, components[group.name]) if target.reach.name == "BLOCK"
        )
        for group in SDXL.lora_groups
    }


def test_the_true_shape_has_the_modules_that_sd_scripts_adapts() -> None:
    targets = true_targets()
    assert [len(group) for group in targets.values()] == [722, 72, 192]
    names = {target.kohya_name: target.weight_shape for group in targets.values() for target in group}
    assert names["lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"] == (640, 2048)
    assert names["lora_unet_middle_block_1_transformer_blocks_9_ff_net_0_proj"] == (10240, 1280)
    assert names["lora_unet_output_blocks_5_1_proj_out"] == (640, 640)
    assert names["lora_te1_text_model_encoder_layers_11_self_attn_out_proj"] == (768, 768)
    assert names["lora_te2_text_model_encoder_layers_31_mlp_fc2"] == (1280, 5120)


def test_a_lora_of_rank_16_has_the_known_number_of_weights() -> None:
    unet = true_targets()["unet"]
    assert (
        round(sum(16 * (target.weight_shape[0] + target.weight_shape[1]) for target in unet) / 1e6, 1) == 42.6
    )


def test_a_checkpoint_of_the_true_shape_fits_a_frame() -> None:
    """Weights and Adam's two numbers for each, in fp32, at rank 16 with both text encoders."""
    sides = [sum(target.weight_shape[:2]) for group in true_targets().values() for target in group]
    size_bytes = 3 * 4 * 16 * sum(sides)
    assert size_bytes > 600 * 2**20
    frame = encode_frame(CheckpointEvent(job_id=1, attempt=1, step=1, data=bytes(size_bytes)))
    assert frame_length(frame[:4]) > size_bytes


def test_diffusers_finds_every_module_by_our_name() -> None:
    targets = true_targets()["unet"]
    ours = {f"{target.kohya_name}.lora_down.weight": torch.zeros(4, 8) for target in targets}
    ours |= {f"{target.kohya_name}.lora_up.weight": torch.zeros(8, 4) for target in targets}
    config = type("Config", (), {"layers_per_block": 2})()
    converted, _ = _convert_non_diffusers_lora_to_diffusers(_maybe_map_sgm_blocks_to_diffusers(ours, config))
    found = {
        re.sub(r"[._]lora\.(down|up)\.weight$", "", key.removeprefix("unet.").replace(".processor", ""))
        for key in converted
    }
    assert found == {
        target.path.removesuffix(".0") if "to_out" in target.path else target.path for target in targets
    }


def test_a_name_of_every_weight_goes_there_and_back(tiny_xl: BaseModel) -> None:
    paths = list(tiny_xl.components["unet"].state_dict())
    theirs = [UNET_NAMES.to_theirs(path) for path in paths]
    assert None not in theirs
    assert len(set(theirs)) == len(paths)
    assert [UNET_NAMES.to_ours(str(path)) for path in theirs] == paths


def test_names_of_a_single_file_are_read_as_diffusers_reads_them(tiny_xl: BaseModel) -> None:
    sgm = to_sgm(tiny_xl.components)
    theirs = convert_ldm_unet_checkpoint(dict(sgm), unet_config(models_tiny_xl.WIDTHS))
    ours = {
        str(UNET_NAMES.to_ours(key.removeprefix("model.diffusion_model."))): value
        for key, value in sgm.items()
        if key.startswith("model.diffusion_model.")
    }
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def read(tensors: Tensors, folder: Path, base: BaseModel) -> loading.SdxlComponents:
    path = folder / "model.safetensors"
    save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    return loading.read_single_file(path, base.device_config, models_tiny_xl.WIDTHS)


def assert_same(parts: loading.SdxlComponents, base: BaseModel, tolerance: float = 0.0) -> None:
    for name, module in parts.modules.items():
        expected = base.components[name].state_dict()
        for key, value in module.state_dict().items():
            assert torch.allclose(value, expected[key], rtol=tolerance, atol=tolerance), (name, key)


def test_a_single_file_in_sgms_layout_gives_the_same_model(tiny_xl: BaseModel, tmp_path: Path) -> None:
    assert_same(read(to_sgm(tiny_xl.components), tmp_path, tiny_xl), tiny_xl)


def test_a_single_file_with_diffusers_names_gives_the_same_model(tiny_xl: BaseModel, tmp_path: Path) -> None:
    tensors = {
        f"{part}.{key}": value
        for part, module in tiny_xl.components.items()
        for key, value in module.state_dict().items()
    }
    assert_same(read(tensors, tmp_path, tiny_xl), tiny_xl)


def test_stored_precisions_are_widened(tiny_xl: BaseModel, tmp_path: Path) -> None:
    dtypes = (torch.float16, torch.bfloat16, torch.float8_e4m3fn)
    tensors = {
        key: value.to(dtypes[number % 3])
        for number, (key, value) in enumerate(to_sgm(tiny_xl.components).items())
    }
    parts = read(tensors, tmp_path, tiny_xl)
    assert {parameter.dtype for parameter in parts.unet.parameters()} == {torch.float32}
    assert_same(parts, tiny_xl, tolerance=7e-2)  # of fp8


def save_folder(base: BaseModel, folder: Path) -> Path:
    parts = models_tiny_xl.build_components()
    for name, module in base.components.items():
        module.save_pretrained(folder / name)
    parts.tokenizer.save_pretrained(folder / "tokenizer")
    parts.tokenizer_2.save_pretrained(folder / "tokenizer_2")
    DDPMScheduler(**base.noise_process.scheduler_config).save_pretrained(folder / "scheduler")
    return folder


@pytest.fixture(scope="module")
def folder(loaded_tiny_xl: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folder(loaded_tiny_xl, tmp_path_factory.mktemp("sdxl") / "model")


def test_a_folder_is_recognised_and_gives_the_same_model(tiny_xl: BaseModel, folder: Path) -> None:
    loaded = load_base_model(str(folder), torch.float32)
    assert loaded.family is SDXL
    prompts = ["sks person, on the moon"]
    with torch.no_grad():
        ours, theirs = (each.encode_weighted_prompts(prompts, "blurry") for each in (tiny_xl, loaded))
    assert all(torch.equal(ours.tensors[name], theirs.tensors[name]) for name in ours.tensors)
    assert files.inspect_model(str(folder))[0] == "ok"
    assert files.recognise_family(str(folder)) is SDXL


def test_a_folder_without_its_second_text_encoder_is_incomplete(folder: Path, tmp_path: Path) -> None:
    partial = Path(shutil.copytree(folder, tmp_path / "model"))
    shutil.rmtree(partial / "text_encoder_2")
    with pytest.raises(BaseModelError, match="is incomplete: it has no text_encoder_2"):
        load_base_model(str(partial), torch.float32)


BROKEN: dict[str, tuple[Callable[[Tensors], Tensors], JobProblem]] = {
    "no VAE": (
        lambda t: {k: v for k, v in t.items() if not k.startswith("first_stage_model.")},
        JobProblem.BASE_MODEL_NO_VAE,
    ),
    "no second text encoder": (
        lambda t: {k: v for k, v in t.items() if not k.startswith("conditioner.embedders.1")},
        JobProblem.BASE_MODEL_NO_TEXT_ENCODER,
    ),
    "refiner": (
        lambda t: {
            k.replace("embedders.1.", "embedders.0."): v for k, v in t.items() if "embedders.0" not in k
        },
        JobProblem.BASE_MODEL_OTHER_MODEL,
    ),
    "inpainting": (
        lambda t: {
            **t,
            "model.diffusion_model.input_blocks.0.0.weight": torch.zeros(32, 9, 3, 3),
        },
        JobProblem.BASE_MODEL_OTHER_MODEL,
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_whole_sdxl_is_refused_by_what_it_is(
    tiny_xl: BaseModel, tmp_path: Path, kind: str
) -> None:
    change, problem = BROKEN[kind]
    path = tmp_path / "model.safetensors"
    save_file({key: value.contiguous() for key, value in change(to_sgm(tiny_xl.components)).items()}, path)
    assert recognition.is_sdxl(path)
    with pytest.raises(BaseModelError) as caught:
        recognition.check_file(read_shapes(path), path.name)
    assert caught.value.problem is problem
    assert files.inspect_model(str(path))[0] == "bad"


def test_the_vae_is_never_in_half_precision() -> None:
    base = diffusers_sdxl.build_model()
    base.set_memory_mode(MemoryMode(torch.float16))
    assert {parameter.dtype for parameter in base.components["unet"].parameters()} == {torch.float16}
    assert {parameter.dtype for parameter in base.components["vae"].parameters()} == {torch.float32}
    latents = base.encode_image(torch.zeros(3, 64, 64)).mean
    assert base.decode(latents[None]).isfinite().all()
    base.set_memory_mode(replace(base.memory_mode, dtype=torch.bfloat16))
    assert {parameter.dtype for parameter in base.components["vae"].parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("layout", ["folder", "file"])
def test_another_vae_replaces_the_own_one(tiny_xl: BaseModel, tmp_path: Path, layout: str) -> None:
    weights = {key: value + 0.01 for key, value in tiny_xl.components["vae"].state_dict().items()}
    if layout == "folder":
        path = tmp_path / "vae"
        config = {**tiny_xl.components["vae"].config, "scaling_factor": 0.13025}
        path.mkdir()
        (path / "config.json").write_text(json.dumps(config), "utf-8")
        save_file(weights, path / "diffusion_pytorch_model.safetensors")
    else:
        path = tmp_path / "vae.safetensors"
        save_file(weights, path)
    base = load_base_model("tiny-xl", torch.float32, vae_name=str(path))
    found = base.components["vae"].state_dict()
    assert all(torch.equal(found[key], value) for key, value in weights.items())
    assert base.identity.startswith("tiny-xl VAE ")
    assert base.encode_image(torch.zeros(3, 64, 64)).mean.isfinite().all()
