"""Kohya's LoRA format, written and read back."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from safetensors.torch import load, save

from gpu_worker.errors import BadInput
from gpu_worker.lora import file as lora_file
from gpu_worker.lora.weights import LoraWeights

NAME = "lora_unet_mid_block_attentions_0_proj_in"


def matrices(scale: float = 1.0) -> dict[str, LoraWeights]:
    generator = torch.Generator().manual_seed(1)
    down, up = torch.randn(4, 8, generator=generator), torch.randn(6, 4, generator=generator)
    return {NAME: LoraWeights(down * scale, up, 2.0)}


def test_a_module_has_down_up_and_alpha_under_kohyas_names() -> None:
    tensors = load(lora_file.write(matrices(), {}, "fp16"))
    assert set(tensors) == {f"{NAME}.lora_down.weight", f"{NAME}.lora_up.weight", f"{NAME}.alpha"}
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert tensors[f"{NAME}.alpha"].shape == ()


def test_lora_written_in_full_precision_is_read_back_exactly() -> None:
    file = lora_file.read(lora_file.write(matrices(), {"ss_seed": "3"}, "float"))
    assert torch.equal(file.weights[NAME].down, matrices()[NAME].down)
    assert torch.equal(file.weights[NAME].up, matrices()[NAME].up)
    assert file.weights[NAME].alpha == 2.0
    assert file.metadata["ss_seed"] == "3"


def test_hash_depends_on_the_weights_and_not_on_the_metadata() -> None:
    one, other = (lora_file.write(matrices(), {"ss_output_name": name}, "fp16") for name in ("a", "b"))
    assert one != other
    hashes = [lora_file.read(file).metadata["sshs_model_hash"] for file in (one, other)]
    assert hashes[0] == hashes[1]
    # As AUTOMATIC1111 computes it from the finished file: everything behind the header.
    header = int.from_bytes(one[:8], "little")
    assert hashes[0] == hashlib.sha256(one[8 + header :]).hexdigest()
    assert lora_file.read(one).short_hash == hashes[0][:12]
    assert lora_file.read(lora_file.write(matrices(2.0), {}, "fp16")).metadata["sshs_model_hash"] != hashes[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.uint8, torch.int64])
def test_saved_tensors_are_the_bytes_of_the_library_s_torch_half(dtype: torch.dtype) -> None:
    tensors = {
        "matrix": torch.arange(12).reshape(3, 4).to(dtype),
        "number": torch.tensor(3).to(dtype),
        "nothing": torch.empty(0, 4, dtype=dtype),
        "steps": torch.tensor(7.0),
    }
    assert lora_file.save_tensors(tensors, {"ss_seed": "3"}) == save(tensors, {"ss_seed": "3"})


def test_every_value_of_the_metadata_is_a_string() -> None:
    data = lora_file.write(matrices(), {"ss_seed": "3"}, "fp16")
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert all(isinstance(value, str) for value in header["__metadata__"].values())


def test_a_file_without_alpha_is_as_strong_as_its_rank() -> None:
    tensors = {key: value for key, value in load(lora_file.write(matrices(), {}, "float")).items()}
    del tensors[f"{NAME}.alpha"]
    assert lora_file.read(save(tensors)).weights[NAME].alpha == 4.0


def test_a_file_that_says_nothing_of_itself_is_read_all_the_same() -> None:
    whole = lora_file.write(matrices(), {}, "float")
    length = int.from_bytes(whole[:8], "little")
    header = json.dumps({**json.loads(whole[8 : 8 + length]), "__metadata__": None}).encode()
    silent = len(header).to_bytes(8, "little") + header + whole[8 + length :]
    assert torch.equal(lora_file.read(silent).weights[NAME].up, matrices()[NAME].up)
    assert lora_file.read(silent).metadata == {}


def test_numbers_out_of_bounds_are_never_written() -> None:
    with pytest.raises(BadInput, match="out of bounds"):
        lora_file.write(matrices(float("inf")), {}, "fp16")


def damaged_files() -> dict[str, tuple[bytes, str]]:
    whole = lora_file.write(matrices(), {}, "fp16")
    tensors = load(whole)
    no_up = {key: value for key, value in tensors.items() if "lora_up" not in key}
    return {
        "empty": (b"", "damaged"),
        "pickle": (b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00", "damaged"),
        "cut off": (whole[:-10], "damaged"),
        "header cut off": (whole[:20], "damaged"),
        "no lora": (save({"weight": torch.zeros(2)}), "no LoRA in a known format"),
        "more than a lora": (save({**tensors, "x.y": torch.zeros(2)}), "no LoRA in a known format"),
        "half a module": (save(no_up), "incomplete"),
        "many alphas": (save({**tensors, f"{NAME}.alpha": torch.ones(4)}), "an alpha that is not a number"),
        "no alpha in it": (
            save({**tensors, f"{NAME}.alpha": torch.ones(0)}),
            "an alpha that is not a number",
        ),
        "imaginary": (save({**tensors, f"{NAME}.alpha": torch.tensor(1j)}), "an alpha that is not a number"),
    }


@pytest.mark.parametrize("kind", damaged_files())
def test_damaged_lora_is_refused_in_one_sentence(kind: str) -> None:
    data, sentence = damaged_files()[kind]
    with pytest.raises(BadInput, match=sentence):
        lora_file.read(data)
