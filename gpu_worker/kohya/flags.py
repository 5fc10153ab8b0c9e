"""The flags of sd-scripts' `train_network.py` that are supported, with its meanings and defaults."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from gpu_worker.errors import BadInput
from gpu_worker.kohya import combinations, config_file
from gpu_worker.kohya.network import args as network_args
from gpu_worker.kohya.refused import IGNORED_FLAGS, IGNORED_WITH_VALUE, describe_unknown_flag
from gpu_worker.kohya.values import (
    network_module,
    only,
    optimizer,
    positive,
    rate,
    seed,
    share,
    warm_up,
    whole,
)
from gpu_worker.lora import file as lora_file
from gpu_worker.training import optimizers

_PRECISIONS = ("no", "fp16", "bf16")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise BadInput with argparse's message as one sentence."""
        raise BadInput(f"{message[0].upper()}{message[1:]}.")


def parse_arguments(argv: Sequence[str], is_sdxl: bool = False) -> argparse.Namespace:
    """Parse a command line; BadInput names refused flags with their reason, and unknown ones.

    `is_sdxl` is for `sdxl_train_network.py`, which has flags for two text encoders.
    """
    parser = build_parser(is_sdxl)
    args, unknown = parser.parse_known_args([*config_file.read_arguments(parser, argv), *argv])
    for argument in unknown:
        if argument.startswith("--"):
            name = argument.removeprefix("--").split("=")[0]
            raise BadInput(describe_unknown_flag(name, config_file.list_flags(parser)))
    if unknown:
        raise BadInput(f"{unknown[0]} belongs to no flag.")
    args.is_sdxl = is_sdxl
    args.text_encoder_lrs = tuple(args.text_encoder_lr or ()) if is_sdxl else ()
    # Of a list for several text encoders, a model with one has the first.
    args.text_encoder_lr = args.text_encoder_lr[0] if args.text_encoder_lr else None
    args.network = network_args.parse_network(args)
    combinations.check_conflicts(args)
    args.notes = combinations.describe_ineffective(args, parser.get_default)
    return args


def build_parser(is_sdxl: bool = False) -> argparse.ArgumentParser:
    """Return the parser; `--help` shows every flag with its default."""
    parser = _Parser(
        prog="sdxl_train_network.py" if is_sdxl else "train_network.py",
        description="Train a LoRA with the flags and file format of kohya's sd-scripts; docs/training.md.",
        allow_abbrev=False,
    )
    _add_model_flags(parser.add_argument_group("base model and output").add_argument)
    _add_data_flags(parser.add_argument_group("pictures").add_argument)
    _add_length_flags(parser.add_argument_group("length and rate").add_argument)
    _add_network_flags(parser.add_argument_group("network").add_argument)
    _add_loss_flags(parser.add_argument_group("noise and loss").add_argument)
    _add_monitoring_flags(parser.add_argument_group("precision, samples, logs").add_argument)
    if is_sdxl:
        _add_sdxl_flags(parser.add_argument_group("SDXL").add_argument)
    return parser


def _add_sdxl_flags(add: Any) -> None:
    for name in ("cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk"):
        add(f"--{name}", action="store_true", help="texts are always encoded once while no encoder learns")


def _add_model_flags(add: Any) -> None:
    add(
        "--pretrained_model_name_or_path",
        required=True,
        help="folder, .safetensors, hub id, or a shipped one: tiny, drawn, tiny-xl",
    )
    add("--vae", default="", help="folder, .safetensors or hub id (default: the base model's own)")
    add("--output_dir", type=Path, required=True, help="where the LoRA is written; made if missing")
    add("--output_name", default="last", help="file name without .safetensors (default: last)")
    only_safe = only("safetensors", "other formats are pickles, which can run code")
    add("--save_model_as", type=only_safe, default="safetensors", help="safetensors only")
    add("--save_precision", choices=list(lora_file.PRECISIONS), default="float", help="default: float")
    add("--save_every_n_steps", type=positive, help="also write the LoRA after every so many steps")
    add("--save_every_n_epochs", type=positive, help="also write the LoRA after every so many epochs")
    add("--save_state", action="store_true", help="also write all that is needed to go on, with every LoRA")
    add("--save_state_on_train_end", action="store_true", help="write that at the end only")
    add("--resume", type=Path, help="go on from such a state: its folder or file")
    add("--training_comment", default="", help="text for the file's metadata")
    add("--config_file", type=Path, help="TOML file of flags; the command line wins")


def _add_data_flags(add: Any) -> None:
    add("--train_data_dir", type=Path, help="folder of `<repeats>_<words>` folders")
    add("--reg_data_dir", type=Path, help="the same for regularisation pictures")
    add("--dataset_config", type=Path, help="TOML file that describes the pictures instead")
    add("--resolution", help="side in pixels, or `width,height` (default: the base model's)")
    add("--enable_bucket", action="store_true", help="keep each picture's aspect ratio")
    add("--min_bucket_reso", type=positive, default=256, help="shortest side of a bucket (default: 256)")
    add("--max_bucket_reso", type=positive, default=1024, help="longest side of a bucket (default: 1024)")
    add("--bucket_reso_steps", type=positive, default=64, help="sides are multiples of this (default: 64)")
    add("--bucket_no_upscale", action="store_true", help="never enlarge a picture")
    add("--caption_extension", default=".caption", help="of the caption files (default: .caption)")
    add("--caption_separator", default=",", help="between the parts of a caption (default: ,)")
    add("--shuffle_caption", action="store_true", help="put the parts into a new order every time")
    add("--keep_tokens", type=whole, default=0, help="parts in front that stay where they are (default: 0)")
    add("--caption_dropout_rate", type=rate, default=0.0, help="share of times without caption (default: 0)")
    add("--flip_aug", action="store_true", help="show pictures mirrored half of the times")
    add("--alpha_mask", action="store_true", help="a picture's transparency is its mask")
    add("--cache_latents", action="store_true", help="pictures are always encoded only once here")
    add("--cache_latents_to_disk", action="store_true", help="keep encoded pictures beside the output")
    for name, reason in IGNORED_FLAGS.items():
        options: dict[str, Any] = {} if name in IGNORED_WITH_VALUE else {"action": "store_true"}
        add(f"--{name}", help=f"not needed here: {reason}", **options)


def _add_length_flags(add: Any) -> None:
    add("--train_batch_size", type=positive, default=1, help="pictures that go through together (default: 1)")
    add("--gradient_accumulation_steps", type=positive, default=1, help="batches in a step (default: 1)")
    add("--max_train_steps", type=positive, default=1600, help="optimizer steps (default: 1600)")
    add("--max_train_epochs", type=positive, help="rounds over all repeats; goes before the steps")
    add("--learning_rate", type=float, default=2e-6, help="default: 2e-6")
    add("--unet_lr", type=float, help="learning rate of the UNet (default: --learning_rate)")
    add("--text_encoder_lr", type=float, nargs="*", help="of the text encoder (default: --learning_rate)")
    add("--lr_scheduler", choices=optimizers.LR_SCHEDULER_NAMES, default="constant", help="default: constant")
    add("--lr_warmup_steps", type=warm_up, default=0, help="steps, a share below 1, 10%% (default: 0)")
    add("--lr_scheduler_num_cycles", type=positive, default=1, help="of cosine_with_restarts (default: 1)")
    add("--lr_scheduler_power", type=float, default=1.0, help="of polynomial (default: 1)")
    names = ", ".join(optimizers.OPTIMIZER_NAMES)
    add("--optimizer_type", type=optimizer, default="AdamW", help=f"{names} (default: AdamW)")
    add("--optimizer_args", nargs="*", default=[], help='its own settings, such as "weight_decay=0.1"')
    add(
        "--max_grad_norm", type=float, default=1.0, help="cut gradients to this length; 0: never (default: 1)"
    )
    add("--seed", type=seed, help="default: that of --resume, or drawn; printed")


def _add_network_flags(add: Any) -> None:
    modules = network_args.NETWORK_MODULES
    add(
        "--network_module",
        type=network_module,
        default=modules[0],
        help=f"{', '.join(modules)} (default: the first)",
    )
    add("--network_dim", type=positive, help="rank (default: 4)")
    add("--network_alpha", type=float, default=1, help="effect is alpha / rank; 0: the rank (default: 1)")
    add("--network_dropout", type=share, default=0.0, help="share of low-rank activations (default: 0)")
    add("--network_args", nargs="*", default=[], help='its settings, such as "algo=lokr" or "conv_dim=4"')
    add("--scale_weight_norms", type=float, help="limit of each module's norm; 1 is usual (default: none)")
    add("--network_train_unet_only", action="store_true", help="leave the text encoder alone")
    add("--network_train_text_encoder_only", action="store_true", help="leave the UNet alone")
    add("--network_weights", type=Path, help="a finished LoRA to go on from")
    add("--dim_from_weights", action="store_true", help="take rank and alpha from --network_weights")


def _add_loss_flags(add: Any) -> None:
    add("--noise_offset", type=float, default=0.0, help="strength of offset noise (default: 0)")
    add(
        "--multires_noise_iterations",
        type=whole,
        default=0,
        help="number of coarser noises added (default: 0)",
    )
    add(
        "--multires_noise_discount",
        type=float,
        default=0.3,
        help="weight of each relative to the one before (default: 0.3)",
    )
    add("--min_snr_gamma", type=float, help="gamma of min-SNR weighting; 5 is usual (default: off)")
    add(
        "--prior_loss_weight",
        type=float,
        default=1.0,
        help="weight of the loss of regularisation images (default: 1)",
    )
    add("--masked_loss", action="store_true", help="train only where an image's mask is white")
    add(
        "--preserve_class",
        type=float,
        default=0.0,
        help="not in sd-scripts: weight of the loss that preserves the class without --trigger (default: 0)",
    )
    add(
        "--trigger",
        default="",
        help="not in sd-scripts: the captions' word for the subject, for --preserve_class",
    )
    add("--max_token_length", type=int, choices=(75, 150, 225), default=75, help="of captions (default: 75)")
    add("--clip_skip", type=positive, help="layer of the text encoder, counted from the last (default: 1)")


def _add_monitoring_flags(add: Any) -> None:
    add(
        "--mixed_precision",
        choices=_PRECISIONS,
        help="dtype of the frozen weights (default: measured at start)",
    )
    add("--gradient_checkpointing", action="store_true", help="less memory, 40 %% more time")
    add("--sdpa", action="store_true", help="torch's fast attention; always on here")
    add("--sample_prompts", type=Path, help="file of prompts: .txt, .toml or .json")
    add("--sample_every_n_steps", type=positive, help="draw samples every n steps")
    add("--sample_every_n_epochs", type=positive, help="draw samples every n epochs")
    add("--sample_at_first", action="store_true", help="draw samples before the first step too")
    add("--logging_dir", type=Path, help="folder in which a new folder for TensorBoard logs is made")
