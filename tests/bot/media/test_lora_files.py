"""A LoRA in parts is still the same LoRA."""

from __future__ import annotations

import io
import re

import pytest
import torch
from safetensors.torch import load, save

from bot.media.lora_files import has_kohya_names, split_lora, validate_lora
from gpu_worker.lora.file import read_metadata

METADATA = {"ss_network_dim": "8", "ss_title": "Grüße", "sshs_model_hash": "ab" * 32}


NAMES = {
    "kohya": ("lora_unet_blocks_{}", "lora_down", "lora_up"),
    "native": ("diffusion_model.double_blocks.{}.img_attn.qkv", "lora_A", "lora_B"),
}


def lora(modules: int, rank: int = 8, naming: str = "kohya") -> bytes:
    tensors = {}
    pattern, down, up = NAMES[naming]
    for number in range(modules):
        name = pattern.format(number)
        tensors[f"{name}.{down}.weight"] = torch.randn(rank, 40, dtype=torch.float16)
        tensors[f"{name}.{up}.weight"] = torch.randn(40, rank, dtype=torch.float16)
        tensors[f"{name}.alpha"] = torch.tensor(4.0)
    return save(tensors, METADATA)


@pytest.mark.parametrize("max_bytes", [10_000, 12_000, 20_000])
@pytest.mark.parametrize("naming", NAMES)
def test_parts_are_small_enough_and_hold_each_module_whole_and_once(max_bytes: int, naming: str) -> None:
    whole = lora(modules=20, naming=naming)
    assert has_kohya_names(io.BytesIO(whole)) is (naming == "kohya")
    parts = split_lora(whole, max_bytes)
    assert len(parts) > 1
    assert all(len(part) <= max_bytes for part in parts)
    together: dict[str, torch.Tensor] = {}
    for part in parts:
        tensors = load(part)
        assert not set(tensors) & set(together)
        modules = {re.split(r"\.lora_|\.alpha", name)[0] for name in tensors}
        assert len(tensors) == 3 * len(modules)
        together |= tensors
    expected = load(whole)
    assert set(together) == set(expected)
    assert all(torch.equal(together[name], expected[name]) for name in expected)


def test_a_part_says_which_it_is_and_claims_no_hash_of_the_whole() -> None:
    first, *others = split_lora(lora(modules=20), 10_000)
    assert read_metadata(first) == {
        "ss_network_dim": "8",
        "ss_title": "Grüße",
        "loracode_part": f"1 of {1 + len(others)}",
    }


def test_a_file_that_fits_stays_as_it_is() -> None:
    whole = lora(modules=2)
    assert split_lora(whole, len(whole)) == [whole]


def test_a_module_without_room_and_a_file_that_is_none_are_refused() -> None:
    with pytest.raises(ValueError, match="has no room"):
        split_lora(lora(modules=1, rank=128), 9_000)
    for broken in (b"short", b"\x10\0\0\0\0\0\0\0no json, no file", b"\x04\0\0\0\0\0\0\0null"):
        with pytest.raises(ValueError):
            split_lora(broken, 1)


def test_a_file_written_by_safetensors_passes_the_check() -> None:
    whole = lora(modules=3)
    validate_lora(whole)
    for broken in (whole[:-1], whole + b"\0", b"\0" + whole):
        with pytest.raises(ValueError):
            validate_lora(broken)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"a": 1}',
        b'{"a": {"dtype": "F32", "shape": [1]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}',
        b'{"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, -8]}}',
        b'{"a": {"dtype": "F32", "shape": ["2"], "data_offsets": [0, 8]}}',
        b'{"a": {"dtype": "PICKLE", "shape": [8], "data_offsets": [0, 8]}}',
        b'{"a": {"dtype": "U8", "shape": [4], "data_offsets": [4, 8]}}',
        b'{"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "U8", "shape": [9], "data_offsets": [0, 9]}}',
    ],
)
def test_a_header_that_lies_is_refused(header: bytes) -> None:
    with pytest.raises(ValueError):
        validate_lora(len(header).to_bytes(8, "little") + header + bytes(8))


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 99_999_999])
def test_a_header_longer_than_its_file_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="not a safetensors file"):
        validate_lora(length.to_bytes(8, "little") + b"{}")
