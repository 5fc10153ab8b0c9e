"""A twin in one file, with the names of the model's own code, beside a base's folder; alone it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline
from safetensors.torch import save_file
from torch import Tensor

from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.models import files
from gpu_worker.models.flow.klein import tiny as tiny_klein
from gpu_worker.models.flow.klein.family import KLEIN
from gpu_worker.models.flow.klein.names import FILE_NAMES
from gpu_worker.models.flow.model import FlowComponents
from gpu_worker.models.flow.recognition import is_transformer_file
from gpu_worker.models.flow.single_file import read_transformer_file
from gpu_worker.models.flow.z_image import tiny as tiny_z_image
from gpu_worker.models.flow.z_image.family import Z_IMAGE
from gpu_worker.models.noise.flow import Flow
from gpu_worker.models.registry import load_base_model
from tests.gpu_worker.generation.test_z_image_pictures import make_z_image_pipeline

Tensors = dict[str, Tensor]

KLEIN_ENDS = {
    "x_embedder.weight": "img_in.weight",
    "context_embedder.weight": "txt_in.weight",
    "time_guidance_embed.timestep_embedder.linear_1.weight": "time_in.in_layer.weight",
    "time_guidance_embed.timestep_embedder.linear_2.weight": "time_in.out_layer.weight",
    "proj_out.weight": "final_layer.linear.weight",
    "norm_out.linear.weight": "final_layer.adaLN_modulation.1.weight",
}
KLEIN_NORMS = {
    "attn.norm_added_q.weight": "txt_attn.norm.query_norm.scale",
    "attn.norm_added_k.weight": "txt_attn.norm.key_norm.scale",
    "attn.norm_q.weight": "norm.query_norm.scale",
    "attn.norm_k.weight": "norm.key_norm.scale",
}


def name_as_black_forest_labs(name: str) -> str:
    if name in KLEIN_ENDS:
        return KLEIN_ENDS[name]
    if "_modulation" in name:
        return name.replace(".linear.", ".lin.")
    for end, native in KLEIN_NORMS.items():
        if name.endswith(end):
            kind, number = name.split(".")[:2]
            is_double = kind == "transformer_blocks"
            block = f"{'double' if is_double else 'single'}_blocks.{number}"
            return f"{block}.{'img_attn.' if is_double and 'added' not in end else ''}{native}"
    return FILE_NAMES.to_file_path(name.removesuffix(".weight")) + ".weight"


def write_klein(tensors: Tensors) -> Tensors:
    native: Tensors = {}
    fused: dict[str, list[Tensor]] = {}
    for name, value in tensors.items():
        if (part := FILE_NAMES.find_fused(name.removesuffix(".weight"))) is not None:
            fused.setdefault(f"{part[0]}.weight", []).append(value)
        else:
            native[name_as_black_forest_labs(name)] = value
    scale, shift = native["final_layer.adaLN_modulation.1.weight"].chunk(2)
    native["final_layer.adaLN_modulation.1.weight"] = torch.cat([shift, scale])
    return {**native, **{name: torch.cat(parts) for name, parts in fused.items()}}


def write_z_image(tensors: Tensors) -> Tensors:
    native: Tensors = {}
    fused: dict[str, list[Tensor]] = {}
    for name, value in tensors.items():
        native_name = name.replace("all_x_embedder.2-1.", "x_embedder.")
        native_name = native_name.replace("all_final_layer.2-1.", "final_layer.")
        native_name = native_name.replace(".norm_q.", ".q_norm.").replace(".norm_k.", ".k_norm.")
        native_name = native_name.replace(".to_out.0.", ".out.")
        if native_name.endswith((".to_q.weight", ".to_k.weight", ".to_v.weight")):
            fused.setdefault(native_name.rpartition(".to_")[0] + ".qkv.weight", []).append(value)
        else:
            native[f"model.diffusion_model.{native_name}"] = value
    return {
        **native,
        **{f"model.diffusion_model.{name}": torch.cat(parts) for name, parts in fused.items()},
    }


def save_klein(parts: FlowComponents, folder: Path) -> None:
    Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler.from_config(parts.scheduler_config),
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        transformer=parts.transformer,
    ).save_pretrained(folder)


def save_z_image(parts: FlowComponents, folder: Path, **scheduler_options: Any) -> None:
    pipeline = make_z_image_pipeline(parts, "transformer")
    scheduler_config = {**(parts.training_scheduler_config or {}), **scheduler_options}
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler.from_config(scheduler_config)
    pipeline.save_pretrained(folder)


@pytest.mark.parametrize(
    ("module", "write", "save", "family"),
    [
        pytest.param(tiny_klein, write_klein, save_klein, KLEIN, id="klein"),
        pytest.param(tiny_z_image, write_z_image, save_z_image, Z_IMAGE, id="z-image"),
    ],
)
def test_a_twin_in_one_file_is_read_beside_its_base(
    tmp_path: Path, module: Any, write: Callable[[Tensors], Tensors], save: Callable[..., None], family: Any
) -> None:
    parts = module.build_components()
    save(parts, tmp_path / "base")
    twin = parts.distilled_transformer.state_dict()
    file = tmp_path / "twin-bf16.safetensors"
    save_file({name: value.contiguous() for name, value in write(twin).items()}, file)
    name = f"{tmp_path / 'base'} + {file}"
    assert files.inspect_model(name)[0] == "ok"
    base = load_base_model(name, torch.float32)
    assert (base.name, base.family.sampling) == ("base + twin-bf16", family.sampling)
    read = base.components["distilled_transformer"].state_dict()
    assert read.keys() == twin.keys()
    assert all(torch.equal(read[each], twin[each]) for each in twin)
    assert isinstance(base.noise_process, Flow)
    assert base.noise_process.scheduler_config["shift"] == 3.0

    for asked in (files.recognise_family, load_base_model):
        with pytest.raises(BaseModelError, match=r"twin: `base \+ twin-bf16.safetensors`") as caught:
            asked(str(file))
        assert caught.value.problem is JobProblem.BASE_MODEL_TRANSFORMER_ONLY
    assert files.inspect_model(str(file))[0] == "bad"


def test_a_file_of_another_model_is_no_twin(tmp_path: Path) -> None:
    save_klein(tiny_klein.build_components(), tmp_path / "base")
    file = tmp_path / "other.safetensors"
    save_file({"single_blocks.0.modulation.lin.weight": torch.ones(2, 2)}, file)
    with pytest.raises(BaseModelError, match="other"):
        load_base_model(f"{tmp_path / 'base'} + {file}", torch.float32)


def test_each_of_a_z_image_pair_brings_the_shift_of_its_own_scheduler(tmp_path: Path) -> None:
    parts = tiny_z_image.build_components()
    for name, shift in (("base", 5.0), ("twin", 2.5)):  # neither is what the code knows
        save_z_image(parts, tmp_path / name, shift=shift)
    base = load_base_model(f"{tmp_path / 'base'} + {tmp_path / 'twin'}", torch.float32)
    flow = base.noise_process
    assert isinstance(flow, Flow)
    of_base, of_twin = (
        FlowMatchEulerDiscreteScheduler.from_pretrained(tmp_path / name, subfolder="scheduler")
        for name in ("base", "twin")
    )
    shape = (500, *base.latent_shape((64, 64)))
    drawn = flow.sample_timesteps(shape, torch.Generator().manual_seed(1)) / 1000
    assert (drawn[:, None] - of_base.sigmas[None]).abs().min(dim=1).values.max() < 1e-5
    of_twin.set_timesteps(sigmas=torch.linspace(1, 1 / 8, 8).tolist())
    assert torch.allclose(flow.compute_sigmas(8, shape), of_twin.sigmas, atol=1e-6)


@pytest.mark.parametrize("scale", ["weight_scale", "scale_weight"])
def test_a_twin_of_scaled_weights_is_refused_for_them(tmp_path: Path, scale: str) -> None:
    file = tmp_path / "fp8.safetensors"
    save_file({"img_in.weight": torch.ones(2, 2), f"img_in.{scale}": torch.ones(())}, file)
    with pytest.raises(BaseModelError, match=r"cannot be used \(scaled fp8\)"):
        read_transformer_file(file, KLEIN)


@pytest.mark.parametrize("data", [b"", b"\x80\x04pickle", b"\xff" * 64, b"\x02" + bytes(7) + b"[]"])
def test_a_file_that_cannot_be_read_is_no_transformer(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    assert not is_transformer_file(path)
