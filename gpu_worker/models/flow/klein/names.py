"""What klein's modules are called in Black Forest Labs' code, whose names LoRA files have. Torch-free."""

from __future__ import annotations

from gpu_worker.models.family import FileNames, NameTable

_TABLE = NameTable(
    blocks=(
        *((f"transformer_blocks.{layer}", f"double_blocks.{layer}") for layer in range(5)),
        *((f"single_transformer_blocks.{layer}", f"single_blocks.{layer}") for layer in range(20)),
    ),
    parts=(
        ("attn.to_out.0", "img_attn.proj"),
        ("attn.to_add_out", "txt_attn.proj"),
        ("ff.linear_in", "img_mlp.0"),
        ("ff.linear_out", "img_mlp.2"),
        ("ff_context.linear_in", "txt_mlp.0"),
        ("ff_context.linear_out", "txt_mlp.2"),
        ("attn.to_qkv_mlp_proj", "linear1"),
        ("attn.to_out", "linear2"),
    ),
)

FILE_NAMES = FileNames(
    table=_TABLE,
    fused=(
        ("img_attn.qkv", ("attn.to_q", "attn.to_k", "attn.to_v")),
        ("txt_attn.qkv", ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")),
    ),
)
