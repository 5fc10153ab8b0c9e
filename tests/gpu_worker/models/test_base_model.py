"""The base model: the embedded one, and models read from folders and files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import PNDMScheduler, UNet2DConditionModel
from safetensors.torch import save_file

from gpu_worker.errors import BaseModelError
from gpu_worker.models import files
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from gpu_worker.models.sd15 import loading
from gpu_worker.models.sd15 import tiny as models_tiny
from gpu_worker.models.sd15.config import unet_config
from tests.gpu_worker.conftest import weights_hash
from tests.support.ldm_checkpoint import to_ldm


def save_folder(base: BaseModel, folder: Path) -> Path:
    for name, part in (
        ("unet", base.components["unet"]),
        ("vae", base.components["vae"]),
        ("text_encoder", base.components["text_encoder"]),
    ):
        part.save_pretrained(folder / name)
    base.tokenizer.save_pretrained(folder / "tokenizer")
    PNDMScheduler(**base.noise_process.scheduler_config).save_pretrained(folder / "scheduler")
    return folder


def test_tiny_model_has_the_lora_targets_of_stable_diffusion_15(tiny: BaseModel) -> None:
    assert len(tiny.list_targets("unet")) == 192
    assert len(tiny.list_targets("text_encoder")) == 72
    names = {target.kohya_name for target in (*tiny.list_targets("unet"), *tiny.list_targets("text_encoder"))}
    assert "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q" in names
    assert "lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_0_proj" in names
    assert "lora_unet_up_blocks_3_attentions_2_proj_out" in names
    assert "lora_te_text_model_encoder_layers_11_self_attn_out_proj" in names
    assert "lora_te_text_model_encoder_layers_0_mlp_fc1" in names


def test_the_tiny_weights_are_the_same_every_time_and_leave_the_random_state_alone(
    tiny: BaseModel,
) -> None:
    torch.manual_seed(1234)
    before = torch.get_rng_state()
    again = load_base_model("tiny")
    assert torch.equal(torch.get_rng_state(), before)
    assert weights_hash(again) == weights_hash(tiny)


def test_base_model_is_frozen_in_full_precision_on_a_cpu(tiny: BaseModel) -> None:
    parameters = [
        *tiny.components["unet"].parameters(),
        *tiny.components["vae"].parameters(),
        *tiny.components["text_encoder"].parameters(),
    ]
    assert not any(parameter.requires_grad for parameter in parameters)
    if not torch.cuda.is_available():
        assert {parameter.dtype for parameter in parameters} == {torch.float32}
        assert "small model" in tiny.device_config.reason


@pytest.mark.parametrize("text", ["", "a photo of sks person", "日本 é 😀", "word " * 500])
def test_any_text_can_be_embedded(tiny: BaseModel, text: str) -> None:
    with torch.no_grad():
        words = tiny.encode_prompts([text]).tensors["prompt_embeds"]
    assert words.shape == (1, 77, models_tiny.WIDTHS.text_encoder)
    assert words.isfinite().all()


def test_the_tokenizer_is_clips_own(tiny: BaseModel) -> None:
    # The numbers that OpenAI's CLIP gives these words.
    assert tiny.tokenizer("a photo of sks person").input_ids == [49406, 320, 1125, 539, 48136, 2533, 49407]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a machine with a card starts with SD 1.5")
def test_the_embedded_model_is_the_default_without_a_card() -> None:
    assert load_base_model("").family.name == "drawn"


def test_a_diffusers_folder_gives_the_same_model(tiny: BaseModel, tmp_path: Path) -> None:
    folder = save_folder(tiny, tmp_path / "my.model-v1.5")
    read = load_base_model(str(folder), torch.float32)
    assert weights_hash(read) == weights_hash(tiny)
    assert read.name == "my.model-v1.5"
    assert read.family.name == "sd15"
    assert [target.kohya_name for target in read.list_targets("text_encoder")] == [
        t.kohya_name for t in tiny.list_targets("text_encoder")
    ]


def test_a_single_file_in_the_original_layout_gives_the_same_model(tiny: BaseModel, tmp_path: Path) -> None:
    save_file(to_ldm(tiny.components), tmp_path / "model.safetensors")
    parts = loading.read_single_file(tmp_path / "model.safetensors", tiny.device_config, models_tiny.WIDTHS)
    for read, ours in (
        (parts.unet, tiny.components["unet"]),
        (parts.vae, tiny.components["vae"]),
        (parts.text_encoder, tiny.components["text_encoder"]),
    ):
        found, expected = read.state_dict(), ours.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_a_single_file_of_another_width_is_refused(tiny: BaseModel, tmp_path: Path) -> None:
    save_file(to_ldm(tiny.components), tmp_path / "model.safetensors")
    with pytest.raises(BaseModelError, match=r"model\.safetensors is not a Stable"):
        load_base_model(str(tmp_path / "model.safetensors"), torch.float32)


def test_a_folder_with_an_inpainting_model_is_refused(tiny: BaseModel, tmp_path: Path) -> None:
    folder = save_folder(tiny, tmp_path / "model")
    config = {**unet_config(models_tiny.WIDTHS), "in_channels": 9}
    with torch.random.fork_rng():
        UNet2DConditionModel(**config).save_pretrained(folder / "unet")
    with pytest.raises(BaseModelError, match=r"model is another model \(inpainting"):
        load_base_model(str(folder), torch.float32)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    save_file({"some.lora_down.weight": torch.zeros(1)}, tmp_path / "lora.safetensors")
    with pytest.raises(BaseModelError, match="is a LoRA, not a base model"):
        load_base_model(str(tmp_path / "lora.safetensors"), torch.float32)


@pytest.mark.parametrize("name", ["model.ckpt", "model.pt", "model.bin"])
def test_pickles_are_refused_unopened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not even read")
    with pytest.raises(BaseModelError, match="is a pickle"):
        load_base_model(str(tmp_path / name))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(BaseModelError, match="damaged"):
        load_base_model(str(tmp_path / "model.safetensors"), torch.float32)


@pytest.mark.parametrize("name", ["nothing", "nothing.safetensors", "./nothing"])
def test_missing_path_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(BaseModelError, match="does not exist"):
        load_base_model(f"{tmp_path}/{name}")


def test_the_doctor_names_a_missing_path_as_it_was_written() -> None:
    assert files.inspect_model("./nowhere")[:2] == ("bad", "./nowhere does not exist")


def test_folder_without_a_model_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="is incomplete: it has no unet"):
        load_base_model(str(tmp_path), torch.float32)


@pytest.mark.skipif(torch.cuda.is_available(), reason="about machines without a card")
def test_a_cpu_never_runs_in_fp16() -> None:
    with pytest.raises(BaseModelError, match="too slow in fp16"):
        load_base_model("tiny", torch.float16)
