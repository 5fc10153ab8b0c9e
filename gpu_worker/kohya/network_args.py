"""`--network_args` and `--optimizer_args`: settings as `name=value`."""

from __future__ import annotations

from gpu_worker.errors import BadInput

_DROPOUT_KEYS = ("rank_dropout", "module_dropout")
_SHAPE_REASON = "only the transformers' layers are adapted, as networks.lora does by itself"
_RANK_REASON = "every module has the same rank and alpha"
_RATE_REASON = "every block has the same rate; UNet and text encoder have --unet_lr and --text_encoder_lr"
_UNSUPPORTED = {
    **dict.fromkeys(("conv_dim", "conv_alpha"), _SHAPE_REASON),
    **dict.fromkeys(("block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas"), _RANK_REASON),
    **dict.fromkeys(
        ("down_lr_weight", "mid_lr_weight", "up_lr_weight", "block_lr_zero_threshold"), _RATE_REASON
    ),
    **dict.fromkeys(
        ("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio"),
        "both matrices of a pair have the same rate",
    ),
    "dropout": "use --network_dropout",
}


def parse_network_args(settings: list[str]) -> dict[str, float]:
    """Return the dropout rates; BadInput names what is not supported."""
    dropouts = dict.fromkeys(_DROPOUT_KEYS, 0.0)
    for text in settings:
        name, value = split_pair(text, "--network_args")
        if name in _UNSUPPORTED:
            raise BadInput(f"{name} in --network_args is not supported: {_UNSUPPORTED[name]}.")
        if name not in dropouts:
            raise BadInput(f"--network_args knows {' and '.join(_DROPOUT_KEYS)}, not {name}.")
        try:
            dropouts[name] = float(value)
        except ValueError:
            raise BadInput(f"{name} in --network_args is a share, not {value}.") from None
        if not 0 <= dropouts[name] < 1:
            raise BadInput(f"{name} in --network_args is a share from 0 to below 1, not {value}.")
    return dropouts


def split_pair(text: str, flag: str) -> tuple[str, str]:
    """Split `name=value`."""
    name, separator, value = text.partition("=")
    if not separator:
        raise BadInput(f'{flag} takes "name=value", not {text}.')
    return name.strip(), value.strip()
