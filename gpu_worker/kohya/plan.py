"""From flags to a training: examples and dials."""

from __future__ import annotations

import argparse
import math
import secrets
from dataclasses import dataclass, replace

from gpu_worker import lora_file
from gpu_worker.dataset import CaptionRules, Example, Order, Size
from gpu_worker.dials import Dials
from gpu_worker.errors import BadInput
from gpu_worker.kohya import dataset_config, folders, sample_file
from gpu_worker.kohya.buckets import Buckets
from gpu_worker.kohya.folders import Sizing, Subset

_NETWORK_ARGS = ("rank_dropout", "module_dropout")
_REFUSED_NETWORK_ARGS = {
    "conv_dim": "only the transformers' layers are adapted, as networks.lora does by itself",
    "conv_alpha": "only the transformers' layers are adapted, as networks.lora does by itself",
    "block_dims": "every block has the same rank",
    "block_alphas": "every block has the same alpha",
    "loraplus_lr_ratio": "both matrices of a pair have the same rate",
    "loraplus_unet_lr_ratio": "both matrices of a pair have the same rate",
    "loraplus_text_encoder_lr_ratio": "both matrices of a pair have the same rate",
    "down_lr_weight": "every block has the same rate",
    "mid_lr_weight": "every block has the same rate",
    "up_lr_weight": "every block has the same rate",
}


@dataclass(frozen=True)
class Plan:
    """What is to be done; `steps_per_epoch` counts optimizer steps."""

    examples: tuple[Example, ...]
    dials: Dials
    steps_per_epoch: int
    start_from: bytes | None  #: a finished LoRA


def make(asked: argparse.Namespace, native_px: int) -> Plan:
    """Turn flags into a plan; BadInput says what cannot be."""
    described = _described(asked, native_px)
    examples = tuple(
        example for subset, sizing in described.subsets for example in folders.read(subset, sizing)
    )
    if not any(not example.is_regularisation for example in examples):
        where = asked.train_data_dir or asked.dataset_config
        raise BadInput(f"There are no pictures in {where}: put them into a folder such as `300_sks person`.")
    start_from = _read(asked.network_weights)
    dials = _dials(asked, described.batch_size, start_from)
    per_epoch = math.ceil(
        Order(examples, dials.batch_size, dials.seed).batches_per_round / dials.gradient_accumulation
    )
    steps = per_epoch * asked.max_train_epochs if asked.max_train_epochs else asked.max_train_steps
    warm_up = asked.lr_warmup_steps
    if warm_up != int(warm_up) and warm_up >= 1:
        raise BadInput("--lr_warmup_steps is a whole number of steps, or a share below 1.")
    save_every = asked.save_every_n_steps or (asked.save_every_n_epochs or 0) * per_epoch
    resolution = described.subsets[0][1].resolution_px
    dials = replace(
        dials,
        steps=steps,
        resolution_px=min(resolution),
        warm_up_steps=int(warm_up * steps) if 0 < warm_up < 1 else int(warm_up),
        checkpoint_every_steps=save_every or steps,
        checkpoint_every_s=math.inf,
        # A picture of step 0 only, or also later ones.
        sample_every_steps=asked.sample_every_n_steps or (steps + 1 if asked.sample_prompts else None),
        sample_at_first=asked.sample_at_first,
        sample_prompts=sample_file.read(asked.sample_prompts) if asked.sample_prompts else (),
    )
    return Plan(examples, dials, per_epoch, start_from)


def _described(asked: argparse.Namespace, native_px: int) -> dataset_config.Described:
    resolution = _resolution(asked.resolution, native_px)
    folders.check_resolution(resolution)
    buckets = Buckets(
        resolution,
        asked.min_bucket_reso,
        asked.max_bucket_reso,
        asked.bucket_reso_steps,
        asked.bucket_no_upscale,
    )
    if asked.bucket_reso_steps % 8:
        raise BadInput("--bucket_reso_steps must be a multiple of 8.")
    sizing = Sizing(resolution, buckets if asked.enable_bucket else None)
    rules = Subset(
        folder=asked.output_dir,
        caption_extension=asked.caption_extension,
        caption_rules=CaptionRules(
            asked.shuffle_caption, asked.keep_tokens, asked.caption_separator, asked.caption_dropout_rate
        ),
        flip=asked.flip_aug,
        alpha_mask=asked.alpha_mask,
    )
    if asked.dataset_config:
        defaults = dataset_config.Defaults(rules, sizing, asked.train_batch_size)
        return dataset_config.read(asked.dataset_config, defaults)
    found = folders.find_subsets(asked.train_data_dir, rules)
    if asked.reg_data_dir:
        found += folders.find_subsets(asked.reg_data_dir, replace(rules, is_regularisation=True))
    return dataset_config.Described(tuple((subset, sizing) for subset in found), asked.train_batch_size)


def _resolution(text: str | None, native_px: int) -> Size:
    if text is None:
        return native_px, native_px
    sides = [side.strip() for side in text.split(",")]
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise BadInput(f"--resolution takes a side in pixels such as 512, or width,height, not {text}.")
    return int(sides[0]), int(sides[-1])


def _dials(asked: argparse.Namespace, batch_size: int, start_from: bytes | None) -> Dials:
    rank, alpha = _rank_and_alpha(asked, start_from)
    dropouts = _network_args(asked.network_args)
    return Dials(
        batch_size=batch_size,
        gradient_accumulation=asked.gradient_accumulation_steps,
        seed=secrets.randbelow(2**31) if asked.seed is None else asked.seed,
        rank=rank,
        alpha=alpha,
        dropout=asked.network_dropout,
        rank_dropout=dropouts["rank_dropout"],
        module_dropout=dropouts["module_dropout"],
        train_unet=not asked.network_train_text_encoder_only,
        train_text_encoder=not asked.network_train_unet_only,
        optimizer=asked.optimizer_type or "AdamW",
        optimizer_args=tuple(_pair(text, "--optimizer_args") for text in asked.optimizer_args),
        unet_rate=asked.learning_rate if asked.unet_lr is None else asked.unet_lr,
        text_rate=asked.learning_rate if asked.text_encoder_lr is None else asked.text_encoder_lr,
        scheduler=asked.lr_scheduler,
        scheduler_cycles=asked.lr_scheduler_num_cycles,
        scheduler_power=asked.lr_scheduler_power,
        max_gradient_norm=asked.max_grad_norm,
        min_snr_gamma=asked.min_snr_gamma,
        noise_offset=asked.noise_offset,
        multires_noise_iterations=asked.multires_noise_iterations,
        multires_noise_discount=asked.multires_noise_discount,
        prior_loss_weight=asked.prior_loss_weight,
        masked_loss=asked.masked_loss,
        clip_skip=asked.clip_skip,
        gradient_checkpointing=True if asked.gradient_checkpointing else None,
        save_precision=asked.save_precision,
    )


def _rank_and_alpha(asked: argparse.Namespace, start_from: bytes | None) -> tuple[int, float]:
    if not asked.dim_from_weights:
        return asked.network_dim or 4, asked.network_alpha
    if start_from is None:
        raise BadInput("--dim_from_weights needs --network_weights.")
    first = next(iter(lora_file.read(start_from).matrices.values()))
    return first.down.shape[0], first.alpha


def _network_args(told: list[str]) -> dict[str, float]:
    found = dict.fromkeys(_NETWORK_ARGS, 0.0)
    for text in told:
        name, value = _pair(text, "--network_args")
        if name in _REFUSED_NETWORK_ARGS:
            raise BadInput(f"{name} in --network_args is not supported: {_REFUSED_NETWORK_ARGS[name]}.")
        if name not in found:
            raise BadInput(f"--network_args knows {' and '.join(_NETWORK_ARGS)}, not {name}.")
        try:
            found[name] = float(value)
        except ValueError:
            raise BadInput(f"{name} in --network_args is a share, not {value}.") from None
        if not 0 <= found[name] < 1:
            raise BadInput(f"{name} in --network_args is a share from 0 to below 1, not {value}.")
    return found


def _pair(text: str, flag: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise BadInput(f'{flag} takes "name=value", not {text}.')
    return name, value


def _read(path: object) -> bytes | None:
    if path is None:
        return None
    try:
        with open(str(path), "rb") as file:  # noqa: PTH123 - the path is the flag's own text
            return file.read()
    except OSError as error:
        raise BadInput(f"The LoRA {path} cannot be read: {error.strerror}.") from error
