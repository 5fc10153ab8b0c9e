"""`--network_args` and `--optimizer_args`: settings as `name=value`."""

from __future__ import annotations

from gpu_worker.errors import BadInput

_SHARES = ("rank_dropout", "module_dropout")
_ONE_SHAPE = "only the transformers' layers are adapted, as networks.lora does by itself"
_ONE_RANK = "every module has the same rank and alpha"
_ONE_RATE = "every block has the same rate; UNet and text encoder have --unet_lr and --text_encoder_lr"
_REFUSED = {
    **dict.fromkeys(("conv_dim", "conv_alpha"), _ONE_SHAPE),
    **dict.fromkeys(("block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas"), _ONE_RANK),
    **dict.fromkeys(
        ("down_lr_weight", "mid_lr_weight", "up_lr_weight", "block_lr_zero_threshold"), _ONE_RATE
    ),
    **dict.fromkeys(
        ("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio"),
        "both matrices of a pair have the same rate",
    ),
    "dropout": "use --network_dropout",
}


def read(told: list[str]) -> dict[str, float]:
    """Return the shares of dropout; BadInput names what is not supported."""
    found = dict.fromkeys(_SHARES, 0.0)
    for text in told:
        name, value = pair(text, "--network_args")
        if name in _REFUSED:
            raise BadInput(f"{name} in --network_args is not supported: {_REFUSED[name]}.")
        if name not in found:
            raise BadInput(f"--network_args knows {' and '.join(_SHARES)}, not {name}.")
        try:
            found[name] = float(value)
        except ValueError:
            raise BadInput(f"{name} in --network_args is a share, not {value}.") from None
        if not 0 <= found[name] < 1:
            raise BadInput(f"{name} in --network_args is a share from 0 to below 1, not {value}.")
    return found


def pair(text: str, flag: str) -> tuple[str, str]:
    """Part `name=value`."""
    name, equals, value = text.partition("=")
    if not equals:
        raise BadInput(f'{flag} takes "name=value", not {text}.')
    return name.strip(), value.strip()
