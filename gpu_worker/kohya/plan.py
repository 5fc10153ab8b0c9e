"""From flags to a training: examples and dials."""

from __future__ import annotations

import argparse
import math
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from gpu_worker.errors import BadInput
from gpu_worker.kohya import dataset_config, folders, network_args, sample_file
from gpu_worker.kohya.buckets import Buckets
from gpu_worker.kohya.folders import Sizing, Subset
from gpu_worker.lora import file as lora_file
from gpu_worker.models.pixels import Size
from gpu_worker.training.config import Dials
from gpu_worker.training.data import CaptionRules, Example, Order

_USUAL_RANK = 4
_STEP_PX = 64


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
    examples = _examples(described, asked)
    start_from = _read(asked.network_weights)
    dials = _dials(asked, described.batch_size, start_from)
    per_epoch = math.ceil(
        Order(examples, dials.batch_size, dials.seed).batches_per_round / dials.gradient_accumulation
    )
    steps = per_epoch * asked.max_train_epochs if asked.max_train_epochs else asked.max_train_steps
    warm_up = asked.lr_warmup_steps
    save_every = asked.save_every_n_steps or (asked.save_every_n_epochs or 0) * per_epoch
    sample_every = asked.sample_every_n_steps or (asked.sample_every_n_epochs or 0) * per_epoch
    shortest = min(described.subsets[0][1].resolution_px)
    dials = replace(
        dials,
        steps=steps,
        # Every example has its own size; this one is told in the file, and must be on the grid.
        resolution_px=max(_STEP_PX, shortest - shortest % _STEP_PX),
        warm_up_steps=int(warm_up * steps) if warm_up < 1 else int(warm_up),
        masked_loss=asked.masked_loss or any(subset.alpha_mask for subset, _ in described.subsets),
        checkpoint_every_steps=save_every or steps,
        checkpoint_every_s=math.inf,
        # A picture of step 0 only, or also later ones.
        sample_every_steps=sample_every or (steps + 1 if asked.sample_prompts else None),
        sample_at_first=asked.sample_at_first,
        sample_prompts=sample_file.read(asked.sample_prompts) if asked.sample_prompts else (),
    )
    return Plan(examples, dials, per_epoch, start_from)


def _examples(described: dataset_config.Described, asked: argparse.Namespace) -> tuple[Example, ...]:
    """Read all pictures; BadInput when there are none, or masks that nothing would use."""
    subsets = [subset for subset, _ in described.subsets]
    if any(subset.masks for subset in subsets) and not asked.masked_loss:
        raise BadInput("conditioning_data_dir in the dataset file needs --masked_loss.")
    if asked.masked_loss and subsets and not any(subset.masks or subset.alpha_mask for subset in subsets):
        raise BadInput("--masked_loss needs masks: alpha_mask or conditioning_data_dir in a subset.")
    found = [folders.read(subset, sizing) for subset, sizing in described.subsets]
    examples = tuple(example for some in found for example in some)
    if all(example.is_regularisation for example in examples):
        where = asked.train_data_dir or asked.dataset_config
        raise BadInput(f"There are no pictures in {where}: put them into a folder such as `300_sks person`.")
    if asked.reg_data_dir and not any(example.is_regularisation for example in examples):
        raise BadInput(
            f"There are no pictures in {asked.reg_data_dir}: put them into `1_person` or the like."
        )
    if not asked.preserve_class:
        return examples
    called = tuple(replace(example, trigger=asked.trigger) for example in examples)
    if all(example.class_words(example.caption) is None for example in called):
        raise BadInput(f"No caption has --trigger {asked.trigger} and a class word beside it.")
    return called


def _described(asked: argparse.Namespace, native_px: int) -> dataset_config.Described:
    """Return the subsets that the line or its dataset file names."""
    resolution = _resolution(asked.resolution, native_px)
    buckets = Buckets(
        resolution,
        asked.min_bucket_reso,
        asked.max_bucket_reso,
        asked.bucket_reso_steps,
        asked.bucket_no_upscale,
    )
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
        # What a dataset does not say comes from the line, so both are judged together there.
        defaults = dataset_config.Defaults(rules, buckets, asked.enable_bucket, asked.train_batch_size)
        return dataset_config.read(asked.dataset_config, defaults)
    sizing = Sizing(resolution, buckets if asked.enable_bucket else None).settled()
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
    dropouts = network_args.read(asked.network_args)
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
        optimizer=asked.optimizer_type,
        optimizer_args=tuple(network_args.pair(text, "--optimizer_args") for text in asked.optimizer_args),
        unet_rate=asked.learning_rate if asked.unet_lr is None else asked.unet_lr,
        text_rate=asked.learning_rate if asked.text_encoder_lr is None else asked.text_encoder_lr,
        scheduler=asked.lr_scheduler,
        scheduler_cycles=asked.lr_scheduler_num_cycles,
        scheduler_power=asked.lr_scheduler_power,
        max_gradient_norm=asked.max_grad_norm,
        min_snr_gamma=asked.min_snr_gamma or None,  # 0 is off
        noise_offset=asked.noise_offset,
        multires_noise_iterations=asked.multires_noise_iterations,
        multires_noise_discount=asked.multires_noise_discount,
        prior_loss_weight=asked.prior_loss_weight,
        preserve_class=asked.preserve_class,
        masked_loss=asked.masked_loss,
        clip_skip=asked.clip_skip,
        gradient_checkpointing=True if asked.gradient_checkpointing else None,
        save_precision=asked.save_precision,
    )


def _rank_and_alpha(asked: argparse.Namespace, start_from: bytes | None) -> tuple[int, float]:
    if not asked.dim_from_weights:
        rank = asked.network_dim or _USUAL_RANK
        return rank, asked.network_alpha or float(rank)
    if start_from is None:
        raise BadInput("--dim_from_weights needs --network_weights.")
    first = next(iter(lora_file.read(start_from).matrices.values()))
    return first.down.shape[0], first.alpha


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"The LoRA {path} cannot be read: {error.strerror}.") from error
