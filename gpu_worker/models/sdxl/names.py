"""What modules of SDXL are called in its original code (sgm), whose names files have. Torch-free."""

from __future__ import annotations

from gpu_worker.models.family import NameTable

_LEVELS = range(3)


def _list_blocks() -> list[tuple[str, str]]:
    blocks = []
    for level in _LEVELS:
        for layer in range(2):
            number = 3 * level + layer + 1
            blocks.append((f"down_blocks.{level}.resnets.{layer}", f"input_blocks.{number}.0"))
            blocks.append((f"down_blocks.{level}.attentions.{layer}", f"input_blocks.{number}.1"))
        blocks.append((f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{3 * level + 3}.0.op"))
        for layer in range(3):
            number = 3 * level + layer
            blocks.append((f"up_blocks.{level}.resnets.{layer}", f"output_blocks.{number}.0"))
            blocks.append((f"up_blocks.{level}.attentions.{layer}", f"output_blocks.{number}.1"))
        blocks.append((f"up_blocks.{level}.upsamplers.0.conv", f"output_blocks.{3 * level + 2}.2.conv"))
    return blocks


UNET_NAMES = NameTable(
    blocks=(
        *_list_blocks(),
        ("mid_block.resnets.0", "middle_block.0"),
        ("mid_block.attentions.0", "middle_block.1"),
        ("mid_block.resnets.1", "middle_block.2"),
        ("time_embedding.linear_1", "time_embed.0"),
        ("time_embedding.linear_2", "time_embed.2"),
        ("add_embedding.linear_1", "label_emb.0.0"),
        ("add_embedding.linear_2", "label_emb.0.2"),
        ("conv_in", "input_blocks.0.0"),
        ("conv_norm_out", "out.0"),
        ("conv_out", "out.2"),
    ),
    parts=(
        ("norm1", "in_layers.0"),
        ("conv1", "in_layers.2"),
        ("time_emb_proj", "emb_layers.1"),
        ("norm2", "out_layers.0"),
        ("conv2", "out_layers.3"),
        ("conv_shortcut", "skip_connection"),
    ),
)

#: OpenCLIP's text encoder. Its query, key and value are one matrix, and its projection is transposed.
TEXT_ENCODER_2_NAMES = NameTable(
    blocks=(
        *((f"encoder.layers.{layer}", f"transformer.resblocks.{layer}") for layer in range(32)),
        ("embeddings.token_embedding", "token_embedding"),
        ("embeddings.position_embedding.weight", "positional_embedding"),
        ("final_layer_norm", "ln_final"),
        ("text_projection.weight", "text_projection"),
    ),
    parts=(
        ("layer_norm1", "ln_1"),
        ("layer_norm2", "ln_2"),
        ("mlp.fc1", "mlp.c_fc"),
        ("mlp.fc2", "mlp.c_proj"),
        ("self_attn.out_proj", "attn.out_proj"),
        ("self_attn.in_proj_weight", "attn.in_proj_weight"),
        ("self_attn.in_proj_bias", "attn.in_proj_bias"),
    ),
)
