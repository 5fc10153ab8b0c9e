"""A transformer block of SDXL's true shape with whole, int8 and NF4 weights: seconds a pass, and bytes."""

from __future__ import annotations

import json
import time
from statistics import median

import torch
from diffusers.models.attention import BasicTransformerBlock

from gpu_worker.device.memory_profile import WeightStorage
from gpu_worker.memory.quantized_layers import store_layers

#: Of SDXL's inner stage, which has 60 of its 70 blocks.
WIDTH, HEAD_WIDTH, TEXT_WIDTH, TEXT_TOKENS = 1280, 64, 2048, 77
#: Image tokens there, by the side of the picture in pixels.
TOKENS = {512: 16 * 16, 1024: 32 * 32}
REPEATS = 7


def main() -> None:
    """Print medians and bytes as JSON."""
    torch.manual_seed(0)
    blocks = {storage: build_block(storage) for storage in WeightStorage}
    results = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        for block in blocks.values():
            block.to(dtype)
        for side_px, tokens in TOKENS.items():
            times_s: dict[WeightStorage, list[float]] = {storage: [] for storage in blocks}
            for _ in range(REPEATS):  # in turn, so that a machine that changes its speed is fair to all
                for storage, block in blocks.items():
                    times_s[storage].append(time_pass(block, tokens, dtype))
            results[f"{name} {side_px}"] = {f"{storage}": median(times_s[storage][1:]) for storage in blocks}
    stored_bytes = {f"{storage}": count_bytes(block) for storage, block in blocks.items()}
    print(json.dumps({"passes_s": results, "stored_bytes": stored_bytes}))


def build_block(storage: WeightStorage) -> BasicTransformerBlock:
    """Return a frozen block; one as good as another, so each has its own random weights."""
    block = BasicTransformerBlock(
        WIDTH, WIDTH // HEAD_WIDTH, HEAD_WIDTH, cross_attention_dim=TEXT_WIDTH
    ).requires_grad_(False)
    if storage is not WeightStorage.WHOLE:
        store_layers(block, storage)
    return block


def time_pass(block: BasicTransformerBlock, tokens: int, dtype: torch.dtype) -> float:
    """Return the seconds of a forward and a backward pass down to the inputs, as a LoRA's training has it."""
    inputs = torch.randn(1, tokens, WIDTH, dtype=dtype, requires_grad=True)
    prompt_embeds = torch.randn(1, TEXT_TOKENS, TEXT_WIDTH, dtype=dtype)
    started_at = time.perf_counter()
    output = block(inputs, encoder_hidden_states=prompt_embeds)
    output.float().square().mean().backward()
    return time.perf_counter() - started_at


def count_bytes(block: BasicTransformerBlock) -> int:
    """Return the bytes of what is stored, in bf16 where it is whole."""
    tensors = [*block.parameters(), *block.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


if __name__ == "__main__":
    main()
