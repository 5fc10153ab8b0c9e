"""Flags that need one another, exclude one another, or have no effect beside one another."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from gpu_worker.errors import BadInput
from gpu_worker.kohya.refused import IGNORED_FLAGS

_Arguments = argparse.Namespace
_LEARNING_RATE_FLAGS = ("learning_rate", "unet_lr", "text_encoder_lr", "lr_scheduler", "lr_warmup_steps")

#: What cannot be: when, and the sentence.
_CONFLICTS: tuple[tuple[Callable[[_Arguments], Any], str], ...] = (
    (
        lambda a: a.network_train_unet_only and a.network_train_text_encoder_only,
        "--network_train_unet_only and --network_train_text_encoder_only leave nothing to train.",
    ),
    (
        lambda a: not a.train_data_dir and not a.dataset_config,
        "Give the pictures with --train_data_dir or --dataset_config.",
    ),
    (
        lambda a: a.train_data_dir and a.dataset_config,
        "--dataset_config names its own folders; leave --train_data_dir out.",
    ),
    (
        lambda a: a.reg_data_dir and a.dataset_config,
        "--dataset_config names its own folders; leave --reg_data_dir out.",
    ),
    (lambda a: has_samples(a) and not a.sample_prompts, "Samples need a file of prompts: --sample_prompts."),
    (
        lambda a: a.sample_every_n_steps and a.sample_every_n_epochs,
        "Choose one of --sample_every_n_steps and --sample_every_n_epochs.",
    ),
    (
        lambda a: a.save_every_n_steps and a.save_every_n_epochs,
        "Choose one of --save_every_n_steps and --save_every_n_epochs.",
    ),
    (
        lambda a: a.lr_warmup_steps and a.lr_scheduler == "constant",
        "--lr_scheduler constant has no warm-up; use constant_with_warmup.",
    ),
    (
        lambda a: a.masked_loss and not a.alpha_mask and not a.dataset_config,
        "--masked_loss needs masks: --alpha_mask, or conditioning_data_dir in a --dataset_config.",
    ),
    (
        lambda a: a.preserve_class and not a.trigger,
        "--preserve_class needs --trigger: the word of the captions that calls the subject.",
    ),
    (lambda a: a.dim_from_weights and not a.network_weights, "--dim_from_weights needs --network_weights."),
    (
        lambda a: a.is_sdxl and a.cache_text_encoder_outputs and not a.network_train_unet_only,
        "--cache_text_encoder_outputs needs --network_train_unet_only: texts that are learnt change.",
    ),
    (
        lambda a: a.is_sdxl and a.clip_skip,
        "SDXL's text is always read at the last layer but one; leave --clip_skip out.",
    ),
)

#: What has no effect: flags, when, and why. A dataset file may use what the line itself does not.
_INEFFECTIVE: tuple[tuple[tuple[str, ...], Callable[[_Arguments], Any], str], ...] = (
    (
        ("min_bucket_reso", "max_bucket_reso", "bucket_reso_steps", "bucket_no_upscale"),
        lambda a: not a.enable_bucket and not a.dataset_config,
        "without --enable_bucket",
    ),
    (
        ("min_bucket_reso", "max_bucket_reso"),
        lambda a: a.enable_bucket and a.bucket_no_upscale,
        "with --bucket_no_upscale",
    ),
    (
        ("keep_tokens", "caption_separator"),
        lambda a: not a.shuffle_caption and not a.dataset_config,
        "without --shuffle_caption",
    ),
    (
        ("prior_loss_weight",),
        lambda a: not a.reg_data_dir and not a.dataset_config,
        "without regularisation pictures",
    ),
    (("trigger",), lambda a: not a.preserve_class, "without --preserve_class"),
    (
        ("sample_prompts",),
        lambda a: not has_samples(a),
        "without --sample_every_n_steps, --sample_every_n_epochs or --sample_at_first",
    ),
    (("multires_noise_discount",), lambda a: not a.multires_noise_iterations, "without iterations"),
    (
        ("lr_scheduler_num_cycles",),
        lambda a: a.lr_scheduler != "cosine_with_restarts",
        "without --lr_scheduler cosine_with_restarts",
    ),
    (("lr_scheduler_power",), lambda a: a.lr_scheduler != "polynomial", "without --lr_scheduler polynomial"),
    (
        _LEARNING_RATE_FLAGS,
        lambda a: _uses_relative_step(a),
        "while Adafactor finds its own rate (relative_step)",
    ),
    (("text_encoder_lr",), lambda a: a.network_train_unet_only, "with --network_train_unet_only"),
    (("unet_lr",), lambda a: a.network_train_text_encoder_only, "with --network_train_text_encoder_only"),
    (("network_dim", "network_alpha"), lambda a: a.dim_from_weights, "with --dim_from_weights"),
    (
        ("network_dropout",),
        lambda a: not a.network.has_activation_dropout,
        "with LoHa and LoKr; rank_dropout and module_dropout in --network_args have one",
    ),
    (("max_train_steps",), lambda a: a.max_train_epochs, "with --max_train_epochs"),
)


def check_conflicts(args: argparse.Namespace) -> None:
    """Raise BadInput if the flags cannot be used together."""
    for is_conflict, message in _CONFLICTS:
        if is_conflict(args):
            raise BadInput(message)


def describe_ineffective(args: argparse.Namespace, get_default: Callable[[str], Any]) -> list[str]:
    """Return a sentence for every flag that was set and has no effect."""

    def is_set(name: str) -> bool:
        return bool(getattr(args, name) != get_default(name))

    notes = [
        f"--{name} is not needed here: {reason}." for name, reason in IGNORED_FLAGS.items() if is_set(name)
    ]
    for names, is_ineffective, reason in _INEFFECTIVE:
        if is_ineffective(args):
            notes += [f"--{name} has no effect {reason}." for name in names if is_set(name)]
    return notes


def has_samples(args: argparse.Namespace) -> bool:
    """Return whether sample pictures are asked for."""
    return bool(args.sample_every_n_steps or args.sample_every_n_epochs or args.sample_at_first)


def _uses_relative_step(args: argparse.Namespace) -> bool:
    is_relative = not any(text.replace(" ", "") == "relative_step=False" for text in args.optimizer_args)
    return is_relative and args.optimizer_type == "Adafactor"
