"""LoRA files of other tools: the same weights under other names, and other kinds told by their names."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from safetensors.torch import save
from torch import Tensor

from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.lora import file as lora_file
from gpu_worker.lora import layers
from gpu_worker.models.base import BaseModel
from gpu_worker.models.lora_hooks import LoraTarget
from gpu_worker.models.sd15 import tiny as models_tiny

RANK = 2
Tensors = dict[str, Tensor]


def targets_of(base: BaseModel) -> tuple[LoraTarget, ...]:
    return (*base.list_targets("unet"), *base.list_targets("text_encoder"))


def pair(target: LoraTarget, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    out_features, in_features, *kernel = target.weight_shape
    down = torch.randn(RANK, in_features, *kernel, generator=generator)
    return down, torch.randn(out_features, RANK, *(1 for _ in kernel), generator=generator)


def named(base: BaseModel, name_of: Callable[[LoraTarget], tuple[str, str] | None]) -> Tensors:
    """Return a file with a pair for each target that is given the names of its two matrices."""
    generator, tensors = torch.Generator().manual_seed(1), {}
    for target in targets_of(base):
        down, up = pair(target, generator)
        if (keys := name_of(target)) is not None:
            tensors[keys[0]], tensors[keys[1]] = down, up
    return tensors


def is_unet(target: LoraTarget) -> bool:
    return target.kohya_name.startswith("lora_unet_")


def kohya_names(target: LoraTarget) -> tuple[str, str]:
    return f"{target.kohya_name}.lora_down.weight", f"{target.kohya_name}.lora_up.weight"


def diffusers_names(target: LoraTarget) -> tuple[str, str]:
    prefix = "unet." if is_unet(target) else "text_encoder."
    return f"{prefix}{target.path}.lora_A.weight", f"{prefix}{target.path}.lora_B.weight"


def old_transformers_names(target: LoraTarget) -> tuple[str, str]:
    """Name the text encoder's modules with the level that transformers 5 dropped."""
    if is_unet(target):
        return diffusers_names(target)
    path = f"text_encoder.text_model.{target.path.removeprefix('text_model.')}"
    return f"{path}.lora_linear_layer.down.weight", f"{path}.lora_linear_layer.up.weight"


def peft_names(target: LoraTarget) -> tuple[str, str]:
    path = f"base_model.model.{target.path}"
    return f"{path}.lora_A.default.weight", f"{path}.lora_B.default.weight"


def processor_names(target: LoraTarget) -> tuple[str, str] | None:
    """Name the attentions' modules as the first LoRAs of diffusers did; it knew no others."""
    parent, _, name = target.path.removesuffix(".0").rpartition(".")
    if not is_unet(target) or not name.startswith("to_"):
        return None
    return (
        f"unet.{parent}.processor.{name}_lora.down.weight",
        f"unet.{parent}.processor.{name}_lora.up.weight",
    )


def comfy_names(target: LoraTarget) -> tuple[str, str] | None:
    """Name the UNet's modules by CompVis' blocks, as ComfyUI writes them."""
    found = re.match(r"(down|up|mid)_blocks?\.(?:(\d)\.)?attentions\.(\d)\.(.*)", target.path)
    if not is_unet(target) or found is None:
        return None
    block, layer = int(found[2] or 0), int(found[3])
    place = {
        "down": f"input_blocks.{3 * block + layer + 1}.1",
        "up": f"output_blocks.{3 * block + layer}.1",
        "mid": "middle_block.1",
    }[found[1]]
    path = f"diffusion_model.{place}.{found[4]}"
    return f"{path}.lora_down.weight", f"{path}.lora_up.weight"


@pytest.mark.parametrize(
    ("names", "count"),
    [
        (diffusers_names, 264),
        (old_transformers_names, 264),
        (peft_names, 264),
        (processor_names, 128),
        (comfy_names, 192),
    ],
)
def test_the_names_of_other_tools_give_the_same_lora(
    tiny: BaseModel, names: Callable[[LoraTarget], tuple[str, str] | None], count: int
) -> None:
    expected = lora_file.read(save(named(tiny, kohya_names))).weights
    found = lora_file.read(save(named(tiny, names))).weights
    assert len(found) == count
    layers.fit_weights(tiny, found)
    for name, weights in found.items():
        assert torch.equal(weights.down, expected[name].down)
        assert torch.equal(weights.up, expected[name].up)
        assert weights.alpha == RANK


def test_a_file_that_diffusers_wrote_is_read_with_its_alpha(tiny: BaseModel, tmp_path: Path) -> None:
    unet, _, text_encoder = models_tiny.build_parts()
    config = peft.LoraConfig(r=RANK, lora_alpha=6, target_modules=["to_q", "to_out.0", "q_proj"])
    states = {}
    for name, model in (("unet", unet), ("text_encoder", text_encoder)):
        peft.inject_adapter_in_model(config, model)
        states[name] = convert_state_dict_to_diffusers(peft.get_peft_model_state_dict(model))
    StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers=states["unet"],
        text_encoder_lora_layers=states["text_encoder"],
        unet_lora_adapter_metadata=config.to_dict(),
    )
    data = (tmp_path / "pytorch_lora_weights.safetensors").read_bytes()
    found = lora_file.read(data).weights
    layers.fit_weights(tiny, found)
    assert len(found) == 2 * 32 + 12
    alphas = {name[:9]: weights.alpha for name, weights in found.items()}
    assert alphas == {"lora_unet": 6.0, "lora_te_t": float(RANK)}


@pytest.mark.parametrize(
    ("values", "alpha"),
    [
        ({"unet.lora_alpha": 8}, 8.0),
        ({"unet.lora_alpha": 8, "unet.use_rslora": True}, 8 * math.sqrt(RANK)),
        ({"unet.lora_alpha": 8, "unet.alpha_pattern": {"attn1.to_q": 3}}, 3.0),
        ({"unet.lora_alpha": 8, "unet.alpha_pattern": {"to_k": 3}}, 8.0),
        ({"text_encoder.lora_alpha": 8}, float(RANK)),
        ({"unet.lora_alpha": "eight"}, float(RANK)),
    ],
)
def test_the_alpha_is_that_of_the_metadata(values: dict[str, object], alpha: float) -> None:
    path = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    tensors = {f"{path}.lora_A.weight": torch.ones(RANK, 8), f"{path}.lora_B.weight": torch.ones(8, RANK)}
    data = save(tensors, {"lora_adapter_metadata": json.dumps(values)})
    [weights] = lora_file.read(data).weights.values()
    assert weights.alpha == pytest.approx(alpha)


@pytest.mark.parametrize("text", ["no JSON", "[1]", '{"unet.alpha_pattern": 3}'])
def test_metadata_that_say_nothing_of_the_alpha_are_passed_over(text: str) -> None:
    data = save(plain(), {"lora_adapter_metadata": text})
    assert lora_file.read(data).weights[MODULE].alpha == RANK


MODULE = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"


def plain(module: str = MODULE, text_width: int = 96, rank: int = RANK, separator: str = ".") -> Tensors:
    """Return the smallest LoRA."""
    return {
        f"{module}{separator}lora_down.weight": torch.ones(rank, text_width),
        f"{module}{separator}lora_up.weight": torch.ones(32, rank),
    }


@pytest.mark.parametrize(
    "dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.float16, torch.bfloat16, torch.float64]
)
def test_numbers_of_any_precision_are_widened(dtype: torch.dtype) -> None:
    tensors = {key: tensor.to(dtype) for key, tensor in plain().items()}
    weights = lora_file.read(save(tensors)).weights[MODULE]
    assert weights.down.dtype == torch.float32
    assert torch.equal(weights.down, torch.ones(RANK, 96))


@pytest.mark.parametrize("alpha", [torch.tensor(3), torch.tensor([3.0]), torch.tensor(3.0).half()])
def test_an_alpha_of_any_type_is_read(alpha: Tensor) -> None:
    assert lora_file.read(save({**plain(), f"{MODULE}.alpha": alpha})).weights[MODULE].alpha == 3.0


def test_bundled_embeddings_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    bundle = {f"bundle_emb.{name}.string_to_param.*": torch.ones(2, 96) for name in ("one", "two")}
    assert list(lora_file.read(save({**plain(), **bundle})).weights) == [MODULE]
    assert "left out 2 tensors of embeddings" in caplog.text


def test_biases_without_effect_are_left_out() -> None:
    path = "unet.mid_block.attentions.0.proj_in"
    tensors = {f"{path}.lora_A.weight": torch.ones(RANK, 8), f"{path}.lora_B.weight": torch.ones(8, RANK)}
    assert lora_file.read(save({**tensors, f"{path}.lora_B.bias": torch.zeros(8)})).weights
    with pytest.raises(BadInput, match="LoRA with biases"):
        lora_file.read(save({**tensors, f"{path}.lora_B.bias": torch.ones(8)}))


OTHER_MODELS: dict[str, tuple[Tensors, str]] = {
    "te1": ({**plain(), **plain("lora_te1_text_model_encoder_layers_0_mlp_fc1")}, "SDXL"),
    "te2": (plain("lora_te2_text_model_encoder_layers_0_mlp_fc1"), "SDXL"),
    "input blocks": (plain("lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"), "SDXL"),
    "deep blocks": (plain("lora_unet_down_blocks_1_attentions_0_transformer_blocks_1_attn1_to_q"), "SDXL"),
    "ComfyUI's": (plain("diffusion_model.input_blocks.4.1.transformer_blocks.1.attn1.to_q"), "SDXL"),
    "diffusers' second text encoder": (plain("text_encoder_2.text_model.encoder.layers.0.mlp.fc1"), "SDXL"),
    "wide text": (plain(text_width=2048), "SDXL"),
    "text of 1024": (plain(text_width=1024), "Stable Diffusion 2"),
    "23 layers": (plain("lora_te_text_model_encoder_layers_22_mlp_fc1"), "Stable Diffusion 2"),
    "double blocks": (plain("lora_unet_double_blocks_7_img_attn_proj"), "FLUX"),
    "few double blocks": (plain("lora_unet_double_blocks_0_img_attn_proj"), "FLUX.2 klein 4B"),
    "layers": (plain("diffusion_model.layers.0.attention.to_q"), "Z-Image"),
    "single blocks": (plain("lora_transformer_single_transformer_blocks_0_attn_to_q"), "FLUX"),
    "diffusers' FLUX": (plain("transformer.single_transformer_blocks.0.attn.to_q"), "FLUX"),
    "joint blocks": (plain("lora_unet_joint_blocks_0_x_block_attn_qkv"), "Stable Diffusion 3"),
    "diffusers' SD 3": (plain("transformer.transformer_blocks.0.attn.add_k_proj"), "Stable Diffusion 3"),
}


@pytest.mark.parametrize("kind", OTHER_MODELS)
def test_a_lora_for_another_model_is_told_by_the_models_name(kind: str) -> None:
    tensors, model = OTHER_MODELS[kind]
    with pytest.raises(BadInput, match=f"was made for {model}; use one for") as caught:
        lora_file.read(save(tensors))
    assert caught.value.problem is JobProblem.LORA_OTHER_MODEL


def test_a_model_that_only_the_metadata_name_is_told_by_that_name() -> None:
    tensors = plain("diffusion_model.blocks.0.self_attn.q")
    with pytest.raises(BadInput, match="was made for krea2;"):
        lora_file.read(save(tensors, {"modelspec.architecture": "krea2/lora"}))
    with pytest.raises(BadInput, match=r"was made for wan2\.1;"):
        lora_file.read(save(tensors, {"ss_base_model_version": "wan2.1"}))
    for silent in ({}, {"modelspec.architecture": "stable-diffusion-v1/lora"}):
        with pytest.raises(BadInput, match="no LoRA in a known format"):
            lora_file.read(save(tensors, silent))


ones = torch.ones
HADAMARD = ("w1_a", "w1_b", "w2_a", "w2_b")
UNSUPPORTED: dict[str, tuple[Tensors, str]] = {
    "kohya's DoRA": ({**plain(), f"{MODULE}.dora_scale": ones(1, 96)}, "DoRA"),
    "peft's DoRA": (
        {
            "unet.mid_block.attentions.0.proj_in.lora_A.weight": ones(RANK, 8),
            "unet.mid_block.attentions.0.proj_in.lora_B.weight": ones(8, RANK),
            "unet.mid_block.attentions.0.proj_in.lora_magnitude_vector": ones(8),
        },
        "DoRA",
    ),
    "OFT": ({f"{MODULE}.oft_blocks": ones(4, 8, 8)}, "OFT"),
    "IA3": ({f"{MODULE}.weight": ones(8), f"{MODULE}.on_input": torch.tensor(True)}, "IA3"),
    "whole weights": ({f"{MODULE}.diff": ones(32, 96)}, "LyCORIS full"),
    "new biases": ({**plain(), f"{MODULE}.diff_b": ones(32)}, "LyCORIS full"),
    "GLoRA": ({f"{MODULE}.{name}.weight": ones(4, 4) for name in ("a1", "a2", "b1", "b2")}, "GLoRA"),
    "LLLite": ({"lllite_unet_input_blocks_1_1.down.0.weight": ones(4, 4)}, "ControlNet-LLLite"),
    "whole numbers": ({key: value.to(torch.int8) for key, value in plain().items()}, "int8"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_a_kind_that_is_not_read_is_told_by_its_name(name: str) -> None:
    tensors, kind = UNSUPPORTED[name]
    with pytest.raises(BadInput, match=f"kind of LoRA cannot be read here: {kind}") as caught:
        lora_file.read(save(tensors))
    assert caught.value.problem is JobProblem.LORA_UNSUPPORTED


@pytest.mark.parametrize("dtype", ["F4", "F6_E2M3", "F8_E8M0"])
def test_numbers_that_torch_does_not_know_are_named(dtype: str) -> None:
    bits = {"F4": 4, "F6_E2M3": 6, "F8_E8M0": 8}[dtype] * 8
    tensor = {"dtype": dtype, "shape": [8], "data_offsets": [0, bits // 8]}
    header = json.dumps({f"{MODULE}.lora_down.weight": tensor}).encode()
    with pytest.raises(BadInput, match=f"cannot be read here: {dtype}"):
        lora_file.read(len(header).to_bytes(8, "little") + header + bytes(bits // 8))


OTHER_FILES: dict[str, tuple[str, str]] = {
    "model.diffusion_model.input_blocks.0.0.weight": ("checkpoint", "one file of everything"),
    "first_stage_model.decoder.conv_in.weight": ("checkpoint", "and of a part of it"),
    "encoder.down.0.block.0.conv1.weight": ("VAE", "CompVis' names"),
    "decoder.conv_in.weight": ("VAE", "diffusers' names"),
    "control_model.input_blocks.0.0.weight": ("ControlNet", ""),
    "down_blocks.0.resnets.0.conv1.weight": ("UNet", ""),
    "emb_params": ("textual inversion", "A1111's"),
    "clip_l": ("textual inversion", "for two encoders"),
}


@pytest.mark.parametrize("key", OTHER_FILES)
def test_a_file_of_another_kind_is_told_by_its_name(key: str) -> None:
    with pytest.raises(BadInput, match=f"is a {OTHER_FILES[key][0]}, not a LoRA") as caught:
        lora_file.read(save({key: ones(2, 2)}))
    assert caught.value.problem is JobProblem.LORA_OTHER_FILE


@pytest.mark.parametrize(
    "tensors",
    [
        plain(rank=0),
        {f"{MODULE}.hada_{name}": ones((32, 0) if name.endswith("a") else (0, 96)) for name in HADAMARD},
        {
            f"{MODULE}.lokr_w1": ones(4, 4),
            f"{MODULE}.lokr_w2_a": ones(8, 0),
            f"{MODULE}.lokr_w2_b": ones(0, 24),
        },
    ],
    ids=["LoRA", "LoHa", "LoKr"],
)
def test_rank_0_is_told(tensors: Tensors) -> None:
    with pytest.raises(BadInput, match="has rank 0"):
        lora_file.read(save(tensors))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["lora_down.weight", "lora_up.weight", "alpha"])
def test_a_lora_with_a_number_that_is_not_finite_is_refused(key: str, number: float) -> None:
    tensors = {**plain(), f"{MODULE}.alpha": torch.tensor(1.0)}
    tensors[f"{MODULE}.{key}"].view(-1)[0] = number
    with pytest.raises(BadInput, match="numbers that are not finite"):
        lora_file.read(save(tensors))


CONV = "lora_unet_down_blocks_0_attentions_0_proj_in"


@pytest.mark.parametrize(
    ("module", "down", "up", "fits"),
    [
        (MODULE, (RANK, 96, 1, 1), (32, RANK, 1, 1), True),
        (MODULE, (RANK, 96), (32, RANK, 1, 1), True),
        (CONV, (RANK, 32), (32, RANK), True),
        (MODULE, (RANK, 24, 2, 2), (32, RANK, 1, 1), False),
        (CONV, (RANK, 32, 3, 3), (32, RANK, 1, 1), False),
        (CONV, (RANK, 64), (32, RANK), False),
    ],
)
def test_sides_of_one_at_the_end_of_a_matrix_do_not_matter(
    tiny: BaseModel, module: str, down: tuple[int, ...], up: tuple[int, ...], fits: bool
) -> None:
    tensors = {f"{module}.lora_down.weight": ones(down), f"{module}.lora_up.weight": ones(up)}
    weights = lora_file.read(save(tensors)).weights
    if not fits:
        with pytest.raises(BadInput, match="base model of another size"):
            layers.fit_weights(tiny, weights)
        return
    [found] = layers.fit_weights(tiny, weights).values()
    is_linear = module == MODULE
    assert {tensor.dim() for tensor in found.tensors().values()} == {2 if is_linear else 4}


def test_a_lokr_of_a_linear_layer_may_have_a_kernel_of_one(tiny: BaseModel) -> None:
    generator = torch.Generator().manual_seed(1)
    w1, w2 = torch.randn(4, 4, generator=generator), torch.randn(8, 24, generator=generator)
    outputs = []
    for second in (w2, w2[..., None, None].contiguous()):
        tensors = {f"{MODULE}.lokr_w1": w1, f"{MODULE}.lokr_w2": second}
        adapter = layers.Adapter(tiny, lora_file.read(save(tensors)).weights)
        adapter.activate()
        with torch.no_grad():
            module = tiny.denoiser.get_submodule("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k")
            outputs.append(module(ones(1, 2, 96)).clone())
        adapter.deactivate()
    assert torch.equal(*outputs)
