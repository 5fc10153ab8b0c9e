"""From flags to a training: images and settings."""

from __future__ import annotations

import argparse
import json
import math
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from gpu_worker.errors import BadInput
from gpu_worker.kohya import combinations, sample_file
from gpu_worker.kohya.dataset import config_file, files, folders
from gpu_worker.kohya.dataset.buckets import BucketConfig
from gpu_worker.kohya.dataset.folders import ResolutionRules, Subset
from gpu_worker.kohya.network import args as network_args
from gpu_worker.lora import file as lora_file
from gpu_worker.models.family import SDXL_ARCHITECTURE, STABLE_DIFFUSION
from gpu_worker.models.inputs.pixels import Size
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.data import BatchSampler, CaptionRules, TrainingImage

_RESOLUTION_STEP_PX = 64


@dataclass(frozen=True)
class TrainingPlan:
    """What is trained and written; `steps_per_epoch` counts optimizer steps."""

    training_images: tuple[TrainingImage, ...]
    config: TrainingConfig
    steps_per_epoch: int
    batches_per_epoch: int
    initial_lora: bytes | None  #: a finished LoRA
    metadata: dict[str, object]  #: of the file, as the command line has them


def make_plan(args: argparse.Namespace, native_px: int, architecture: str = STABLE_DIFFUSION) -> TrainingPlan:
    """Return the plan of a command line; BadInput names what is not possible."""
    dataset_spec = _read_dataset(args, native_px)
    training_images = _read_training_images(dataset_spec, args)
    initial_lora = _read_lora(args.network_weights)
    config = _build_config(args, dataset_spec.batch_size, _rank_and_alpha(args, initial_lora))
    batch_sampler = BatchSampler(training_images, config.batch_size, config.seed)
    steps_per_epoch = batch_sampler.steps_per_epoch(config.gradient_accumulation_steps)
    steps = steps_per_epoch * args.max_train_epochs if args.max_train_epochs else args.max_train_steps
    warmup = args.lr_warmup_steps
    save_every_steps = args.save_every_n_steps or (args.save_every_n_epochs or 0) * steps_per_epoch
    sample_every_steps = args.sample_every_n_steps or (args.sample_every_n_epochs or 0) * steps_per_epoch
    shortest_side_px = min(dataset_spec.subsets[0][1].resolution_px)
    config = replace(
        config,
        steps=steps,
        # Every image has its own size; this one is only metadata, and must be a multiple of 64.
        resolution_px=max(_RESOLUTION_STEP_PX, shortest_side_px - shortest_side_px % _RESOLUTION_STEP_PX),
        lr_warmup_steps=int(warmup * steps) if warmup < 1 else int(warmup),
        masked_loss=args.masked_loss or any(subset.alpha_mask for subset, _ in dataset_spec.subsets),
        checkpoint_every_steps=save_every_steps or steps,
        checkpoint_every_s=math.inf,
        # Samples at step 0 only, or also later ones.
        sample_every_steps=sample_every_steps or (steps + 1 if args.sample_at_first else None),
        sample_at_first=args.sample_at_first,
        sample_prompts=sample_file.read_sample_prompts(args.sample_prompts)
        if combinations.has_samples(args)
        else (),
    )
    return TrainingPlan(
        training_images,
        config,
        steps_per_epoch,
        batch_sampler.batches_per_epoch,
        initial_lora,
        _describe_flags(args, initial_lora),
    )


def _read_training_images(
    dataset_spec: config_file.DatasetSpec, args: argparse.Namespace
) -> tuple[TrainingImage, ...]:
    """Read all images; BadInput if there are none, or if there are masks without --masked_loss."""
    subsets = [subset for subset, _ in dataset_spec.subsets]
    if any(subset.mask_dir for subset in subsets) and not args.masked_loss:
        raise BadInput("conditioning_data_dir in the dataset file needs --masked_loss.")
    if args.masked_loss and subsets and not any(subset.mask_dir or subset.alpha_mask for subset in subsets):
        raise BadInput("--masked_loss needs masks: alpha_mask or conditioning_data_dir in a subset.")
    images_by_subset = [
        folders.read_subset(subset, resolution_rules) for subset, resolution_rules in dataset_spec.subsets
    ]
    training_images = tuple(image for subset_images in images_by_subset for image in subset_images)
    if all(image.is_regularisation for image in training_images):
        source = args.train_data_dir or args.dataset_config
        raise BadInput(f"There are no pictures in {source}: put them into a folder such as `300_sks person`.")
    if args.reg_data_dir and not any(image.is_regularisation for image in training_images):
        raise BadInput(f"There are no pictures in {args.reg_data_dir}: put them into `1_person` or the like.")
    if not args.preserve_class:
        return training_images
    triggered_images = tuple(replace(image, trigger=args.trigger) for image in training_images)
    if all(image.class_caption(image.caption) is None for image in triggered_images):
        raise BadInput(f"No caption has --trigger {args.trigger} and a class word beside it.")
    return triggered_images


def _read_dataset(args: argparse.Namespace, native_px: int) -> config_file.DatasetSpec:
    """Return the subsets of the command line, or of its dataset file."""
    resolution = _parse_resolution(args.resolution, native_px)
    buckets = BucketConfig(
        resolution,
        args.min_bucket_reso,
        args.max_bucket_reso,
        args.bucket_reso_steps,
        args.bucket_no_upscale,
    )
    template = Subset(
        folder=args.output_dir,
        caption_extension=files.normalize_caption_extension(args.caption_extension),
        caption_rules=CaptionRules(
            args.shuffle_caption, args.keep_tokens, args.caption_separator, args.caption_dropout_rate
        ),
        flip=args.flip_aug,
        alpha_mask=args.alpha_mask,
    )
    if args.dataset_config:
        # What a dataset file leaves open comes from the command line, so both are checked together.
        defaults = config_file.DatasetDefaults(template, buckets, args.enable_bucket, args.train_batch_size)
        return config_file.read_dataset_config(args.dataset_config, defaults)
    resolution_rules = ResolutionRules(resolution, buckets if args.enable_bucket else None).resolve()
    subsets = folders.find_subsets(args.train_data_dir, template)
    if args.reg_data_dir:
        subsets += folders.find_subsets(args.reg_data_dir, replace(template, is_regularisation=True))
    return config_file.DatasetSpec(
        tuple((subset, resolution_rules) for subset in subsets), args.train_batch_size
    )


def _parse_resolution(text: str | None, native_px: int) -> Size:
    if text is None:
        return native_px, native_px
    sides = [side.strip() for side in text.split(",")]
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise BadInput(f"--resolution takes a side in pixels such as 512, or width,height, not {text}.")
    return int(sides[0]), int(sides[-1])


def _build_config(
    args: argparse.Namespace, batch_size: int, rank_and_alpha: tuple[int, float]
) -> TrainingConfig:
    rank, alpha = rank_and_alpha
    network_settings = args.network
    return TrainingConfig(
        batch_size=batch_size,
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        seed=secrets.randbelow(2**31) if args.seed is None else args.seed,
        rank=rank,
        alpha=alpha,
        shape_from_initial=args.dim_from_weights,
        network=network_settings.config,
        max_weight_norm=args.scale_weight_norms or None,
        max_token_length=args.max_token_length,
        dropout=args.network_dropout if network_settings.has_activation_dropout else 0.0,
        rank_dropout=network_settings.rank_dropout,
        module_dropout=network_settings.module_dropout,
        train_unet=not args.network_train_text_encoder_only,
        train_text_encoder=not args.network_train_unet_only,
        optimizer_type=args.optimizer_type,
        optimizer_args=tuple(
            network_args.split_pair(text, "--optimizer_args") for text in args.optimizer_args
        ),
        unet_lr=args.learning_rate if args.unet_lr is None else args.unet_lr,
        text_encoder_lr=args.learning_rate if args.text_encoder_lr is None else args.text_encoder_lr,
        text_encoder_lrs=args.text_encoder_lrs,
        lr_scheduler=args.lr_scheduler,
        lr_scheduler_num_cycles=args.lr_scheduler_num_cycles,
        lr_scheduler_power=args.lr_scheduler_power,
        max_grad_norm=args.max_grad_norm,
        min_snr_gamma=args.min_snr_gamma or None,  # 0 is off
        noise_offset=args.noise_offset,
        multires_noise_iterations=args.multires_noise_iterations,
        multires_noise_discount=args.multires_noise_discount,
        prior_loss_weight=args.prior_loss_weight,
        class_preservation_weight=args.preserve_class,
        masked_loss=args.masked_loss,
        clip_skip=args.clip_skip,
        gradient_checkpointing=True if args.gradient_checkpointing else None,
        save_precision=args.save_precision,
    )


def _describe_flags(args: argparse.Namespace, initial_lora: bytes | None) -> dict[str, object]:
    """Return the metadata of flags, in which sd-scripts writes None for what was left open."""
    metadata: dict[str, object] = {
        "ss_learning_rate": args.learning_rate,
        "ss_unet_lr": args.unet_lr,
        "ss_text_encoder_lr": list(args.text_encoder_lrs) or args.text_encoder_lr,
        "ss_network_module": _name_module(args, initial_lora),
    }
    if not args.dim_from_weights:
        metadata |= {"ss_network_dim": args.network_dim, "ss_network_alpha": args.network_alpha}
    if args.network_args:
        # sd-scripts adds the dropout for the sake of LyCORIS.
        pairs = dict(network_args.split_pair(text, "--network_args") for text in args.network_args)
        metadata["ss_network_args"] = json.dumps({**pairs, "dropout": args.network_dropout or None})
    return metadata


def _name_module(args: argparse.Namespace, initial_lora: bytes | None) -> str:
    """Return the module that makes such a LoRA: readers tell the kind by it."""
    is_plain = args.network.config.algorithm == "lora"
    if args.dim_from_weights and initial_lora is not None:
        is_plain = all(
            values.kind == "LoRA"
            for values in lora_file.read(initial_lora, _architecture(args)).weights.values()
        )
    is_plain = is_plain or args.network_module != network_args.KOHYA
    return str(args.network_module) if is_plain else network_args.LYCORIS


def _architecture(args: argparse.Namespace) -> str:
    return SDXL_ARCHITECTURE if args.is_sdxl else STABLE_DIFFUSION


def _rank_and_alpha(args: argparse.Namespace, initial_lora: bytes | None) -> tuple[int, float]:
    if not args.dim_from_weights:
        rank = args.network_dim or network_args.DEFAULT_RANK
        return rank, float(args.network_alpha or rank)
    if initial_lora is None:
        raise BadInput("--dim_from_weights needs --network_weights.")
    first_weights = next(iter(lora_file.read(initial_lora, _architecture(args)).weights.values()))
    return first_weights.rank or network_args.DEFAULT_RANK, first_weights.alpha


def _read_lora(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"The LoRA {path} cannot be read: {error.strerror}.") from error
