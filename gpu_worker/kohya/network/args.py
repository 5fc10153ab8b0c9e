"""`--network_module` with its `--network_args`: which kind of LoRA is trained, of which modules."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import cast, get_args

from gpu_worker.errors import BadInput
from gpu_worker.kohya.network import block_rates
from gpu_worker.lora.config import SD15_BLOCKS, SDXL_BLOCKS, Algorithm, NetworkConfig

KOHYA, LYCORIS = "networks.lora", "lycoris.kohya"
#: The modules that are known: sd-scripts' own reach the transformers, LyCORIS every layer.
NETWORK_MODULES = (KOHYA, "networks.loha", "networks.lokr", LYCORIS)
DEFAULT_RANK = 4
_LYCORIS_ALGORITHMS = {"lora": "lora", "locon": "lora", "loha": "loha", "lokr": "lokr"}
#: Which modules a preset of LyCORIS reaches: (3 x 3 convolutions, convolution blocks, first and last layers).
_PRESETS = {"full": (True, True, True), "full-lin": (False, True, True), "attn-mlp": (False, False, False)}
_FALSE = ("", "0", "0.0", "false", "none")
_RANK_REASON = "every module has the same rank and alpha"
_KIND_REASON = "it makes another kind of LoRA, which is not trained here"
_UNSUPPORTED = {
    **dict.fromkeys(("block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas"), _RANK_REASON),
    **dict.fromkeys(
        ("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio"),
        "both matrices of a pair have the same rate",
    ),
    **dict.fromkeys(
        ("use_tucker", "use_cp", "use_conv_cp", "use_scalar", "dora_wd", "train_norm", "rs_lora"),
        _KIND_REASON,
    ),
    **dict.fromkeys(("constraint", "constrain", "rescaled", "unbalanced_factorization"), _KIND_REASON),
    "rank_dropout_scale": "what is left after rank_dropout is not scaled",
}
#: LyCORIS' settings that change how it computes and not what.
_WITHOUT_EFFECT = ("bypass_mode", "warn_on_unmatched", "wd_on_output", "block_size", "disable_conv_cp")
_BLOCK_RATES = ("down_lr_weight", "mid_lr_weight", "up_lr_weight", "block_lr_zero_threshold")
_LOKR_SETTINGS = ("factor", "decompose_both", "full_matrix")
_KNOWN = ("conv_dim", "conv_alpha", "rank_dropout", "module_dropout", "algo")


@dataclass(frozen=True)
class NetworkSettings:
    """What module and arguments say."""

    config: NetworkConfig
    rank_dropout: float = 0.0
    module_dropout: float = 0.0

    @property
    def has_activation_dropout(self) -> bool:
        """Whether `--network_dropout` has an effect: LyCORIS has none in LoHa and LoKr."""
        return self.config.algorithm == "lora"


def parse_network(args: argparse.Namespace) -> NetworkSettings:
    """Return the settings of a command line; BadInput names what is not supported."""
    values = dict(split_pair(text, "--network_args") for text in args.network_args)
    is_lycoris = args.network_module == LYCORIS
    for name, value in values.items():
        if name in _UNSUPPORTED and value.lower() not in _FALSE:
            raise BadInput(f"{name} in --network_args is not supported: {_UNSUPPORTED[name]}.")
        if name == "dropout" and not is_lycoris:
            raise BadInput("dropout in --network_args is not supported: use --network_dropout.")
        if name not in _list_known_names(is_lycoris):
            known_names = ", ".join(sorted(_list_known_names(is_lycoris) - {*_UNSUPPORTED, *_WITHOUT_EFFECT}))
            raise BadInput(f"--network_args knows {known_names}, not {name}.")
    algorithm = _read_algorithm(args.network_module, values.get("algo"))
    conv_rank, conv_alpha = _read_convolutions(args, values, is_lycoris)
    _, adapts_resnets, adapts_ends = _read_preset(values) if is_lycoris else (True, False, False)
    config = NetworkConfig(
        algorithm=algorithm,
        conv_rank=conv_rank,
        conv_alpha=conv_alpha,
        adapts_resnets=adapts_resnets,
        adapts_ends=adapts_ends,
        block_lr_weights=block_rates.parse_block_rates(
            {name: values.get(name, "") for name in _BLOCK_RATES},
            SDXL_BLOCKS if args.is_sdxl else SD15_BLOCKS,
        ),
        factor=_read_int(values, "factor", -1),
        decompose_both=_read_bool(values, "decompose_both"),
        full_matrix=_read_bool(values, "full_matrix"),
    )
    return NetworkSettings(config, _read_share(values, "rank_dropout"), _read_share(values, "module_dropout"))


def _list_known_names(is_lycoris: bool) -> set[str]:
    own_names = ("preset", "dropout") if is_lycoris else _BLOCK_RATES
    return {*_KNOWN, *_LOKR_SETTINGS, *own_names, *_UNSUPPORTED, *_WITHOUT_EFFECT}


def _read_algorithm(module: str, algo: str | None) -> Algorithm:
    if algo is None:
        kind = module.rpartition(".")[2]
        return cast(Algorithm, kind) if kind in get_args(Algorithm) else "lora"
    if algo.lower() not in _LYCORIS_ALGORITHMS:
        raise BadInput(f"algo in --network_args is lora, locon, loha or lokr here, not {algo}.")
    return cast(Algorithm, _LYCORIS_ALGORITHMS[algo.lower()])


def _read_preset(values: dict[str, str]) -> tuple[bool, bool, bool]:
    preset = values.get("preset") or "full"
    if preset not in _PRESETS:
        raise BadInput(f"preset in --network_args is {', '.join(_PRESETS)} here, not {preset}.")
    return _PRESETS[preset]


def _read_convolutions(
    args: argparse.Namespace, values: dict[str, str], is_lycoris: bool
) -> tuple[int | None, float]:
    """Return rank and alpha of the 3 x 3 convolutions; LyCORIS takes those of the rest if none are given."""
    rank = args.network_dim or DEFAULT_RANK
    alpha = float(args.network_alpha or rank)
    if not is_lycoris:
        conv_rank = _read_int(values, "conv_dim", 0)
        return (
            (conv_rank, _read_float(values, "conv_alpha", 1.0) or float(conv_rank))
            if conv_rank
            else (None, 1.0)
        )
    if not _read_preset(values)[0]:
        return None, 1.0
    conv_rank = _read_int(values, "conv_dim", 0) or rank
    return conv_rank, _read_float(values, "conv_alpha", 0.0) or alpha


def _read_int(values: dict[str, str], name: str, default: int) -> int:
    try:
        return int(values[name]) if values.get(name) else default
    except ValueError:
        raise BadInput(f"{name} in --network_args is a whole number, not {values[name]}.") from None


def _read_float(values: dict[str, str], name: str, default: float) -> float:
    try:
        return float(values[name]) if values.get(name) else default
    except ValueError:
        raise BadInput(f"{name} in --network_args is a number, not {values[name]}.") from None


def _read_bool(values: dict[str, str], name: str) -> bool:
    return values.get(name, "").lower() not in _FALSE


def _read_share(values: dict[str, str], name: str) -> float:
    share = _read_float(values, name, 0.0)
    if not 0 <= share < 1:
        raise BadInput(f"{name} in --network_args is a share from 0 to below 1, not {values[name]}.")
    return share


def split_pair(text: str, flag: str) -> tuple[str, str]:
    """Split `name=value`."""
    name, separator, value = text.partition("=")
    if not separator:
        raise BadInput(f'{flag} takes "name=value", not {text}.')
    return name.strip(), value.strip()
