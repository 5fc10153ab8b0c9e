"""The `ss_*` metadata that web UIs and sd-scripts read out of a LoRA file."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from gpu_worker.device.memory_profile import WeightStorage
from gpu_worker.models.base import BaseModel
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.data import BatchSampler, TrainingImage
from gpu_worker.training.optimizers import describe_optimizer


@dataclass(frozen=True)
class TrainingRecord:
    """What the metadata say of a training besides its settings; times are Unix times in seconds."""

    name: str
    steps_done: int
    started_at: float
    finished_at: float
    comment: str = ""
    is_epoch_end: bool = False  #: the file is one of an epoch, not of a step
    #: Values that differ from those of the settings: a command line also says what it left open.
    overrides: Mapping[str, object] = field(default_factory=dict)


def build_metadata(
    base: BaseModel, images: tuple[TrainingImage, ...], config: TrainingConfig, record: TrainingRecord
) -> dict[str, str]:
    """Return the metadata of a finished or intermediate LoRA, all as strings."""
    metadata = {
        **_describe_network(base, config),
        **_describe_optimizer(base, config),
        **_describe_loss(config),
        **_describe_images(images, config, record),
        **_describe_model_spec(base, config, record),
        "ss_output_name": record.name,
        "ss_training_comment": record.comment or None,
        "ss_seed": config.seed,
        "ss_max_train_steps": config.steps,
        "ss_steps": record.steps_done,
        "ss_training_started_at": record.started_at,
        "ss_training_finished_at": record.finished_at,
        **record.overrides,
    }
    return {key: str(value) for key, value in metadata.items()}


def _describe_model_spec(
    base: BaseModel, config: TrainingConfig, record: TrainingRecord
) -> dict[str, object]:
    """Return what Stability AI's model specification asks for."""
    model_spec: dict[str, object] = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": base.family.metadata["modelspec.architecture"],
        "modelspec.implementation": "diffusers",
        "modelspec.title": record.name,
        "modelspec.resolution": f"{config.resolution_px}x{config.resolution_px}",
        # Local time without a zone, as sd-scripts has it.
        "modelspec.date": time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(record.finished_at)),
    }
    if base.noise_process.prediction_type is not None:
        model_spec["modelspec.prediction_type"] = base.noise_process.prediction_type
    if config.clip_skip is not None:
        model_spec["modelspec.encoder_layer"] = config.clip_skip
    return model_spec


def _describe_network(base: BaseModel, config: TrainingConfig) -> dict[str, object]:
    return {
        "ss_network_module": base.family.metadata.get("ss_network_module", "networks.lora"),
        "ss_network_dim": config.rank,
        "ss_network_alpha": config.alpha,
        "ss_max_token_length": config.max_token_length if config.max_token_length > 75 else None,
        "ss_scale_weight_norms": config.max_weight_norm,
        "ss_network_dropout": config.dropout or None,
        "ss_network_args": json.dumps(_build_network_args(config)) if _build_network_args(config) else None,
        "ss_base_model_version": base.family.metadata["ss_base_model_version"],
        "ss_sd_model_name": base.name,
        **(base.other_vae.describe() if base.other_vae else {}),
        **_describe_storage(base.memory_mode.storage),
        "ss_v2": False,
    }


def _describe_storage(storage: WeightStorage) -> dict[str, object]:
    """Return how the base model's weights were rounded, if they were."""
    return {} if storage is WeightStorage.WHOLE else {"ss_base_storage": storage}


def _describe_optimizer(base: BaseModel, config: TrainingConfig) -> dict[str, object]:
    return {
        "ss_learning_rate": config.unet_lr,
        "ss_unet_lr": config.unet_lr if config.train_unet else None,
        "ss_text_encoder_lr": _describe_text_encoder_lr(config),
        "ss_optimizer": describe_optimizer(config),
        "ss_lr_scheduler": config.lr_scheduler,
        "ss_lr_warmup_steps": config.lr_warmup_steps,
        "ss_max_grad_norm": config.max_grad_norm,
        "ss_gradient_checkpointing": base.memory_mode.gradient_checkpointing,
        "ss_gradient_accumulation_steps": config.gradient_accumulation_steps,
        "ss_mixed_precision": {"torch.float16": "fp16", "torch.bfloat16": "bf16"}.get(str(base.dtype), "no"),
    }


def _describe_text_encoder_lr(config: TrainingConfig) -> object:
    if not config.train_text_encoder:
        return None
    return list(config.text_encoder_lrs) if config.text_encoder_lrs else config.text_encoder_lr


def _describe_loss(config: TrainingConfig) -> dict[str, object]:
    return {
        "ss_min_snr_gamma": config.min_snr_gamma,
        "ss_noise_offset": config.noise_offset or None,
        "ss_multires_noise_iterations": config.multires_noise_iterations or None,
        "ss_multires_noise_discount": config.multires_noise_discount,
        "ss_prior_loss_weight": config.prior_loss_weight,
        "ss_masked_loss": config.masked_loss,
        "ss_clip_skip": config.clip_skip,
    }


def _describe_images(
    images: tuple[TrainingImage, ...], config: TrainingConfig, record: TrainingRecord
) -> dict[str, object]:
    subject_images = tuple(image for image in images if not image.is_regularisation)
    regularisation_images = tuple(image for image in images if image.is_regularisation)
    batch_sampler = BatchSampler(images, config.batch_size, config.seed)
    steps_per_epoch = batch_sampler.steps_per_epoch(config.gradient_accumulation_steps)
    # A file of a step names the epochs before its own; the finished one, and one of an epoch, count that too.
    is_whole = record.is_epoch_end or record.steps_done >= config.previous_steps + config.steps
    epoch = (record.steps_done - 1) // steps_per_epoch + (1 if is_whole else 0)
    return {
        "ss_resolution": f"({config.resolution_px}, {config.resolution_px})",
        "ss_batch_size_per_device": config.batch_size,
        "ss_num_train_images": sum(image.repeats for image in subject_images),
        "ss_num_reg_images": sum(image.repeats for image in regularisation_images),
        "ss_num_batches_per_epoch": batch_sampler.batches_per_epoch,
        "ss_num_epochs": -(-config.steps // steps_per_epoch),
        "ss_cache_latents": True,
        "ss_dataset_dirs": json.dumps(_count_folders(subject_images)),
        "ss_reg_dataset_dirs": json.dumps(_count_folders(regularisation_images)),
        "ss_tag_frequency": json.dumps(_count_tags(images)),
        "ss_epoch": max(0, epoch),
    }


def _build_network_args(config: TrainingConfig) -> dict[str, str]:
    dropouts = {"rank_dropout": config.rank_dropout, "module_dropout": config.module_dropout}
    return {name: str(rate) for name, rate in dropouts.items() if rate}


def _resolve_folder_name(image: TrainingImage) -> str:
    return image.folder or f"{image.repeats}_{image.caption}"


def _count_folders(images: tuple[TrainingImage, ...]) -> dict[str, dict[str, int]]:
    counts = Counter((_resolve_folder_name(image), image.repeats) for image in images)
    return {name: {"n_repeats": repeats, "img_count": count} for (name, repeats), count in counts.items()}


def _count_tags(images: tuple[TrainingImage, ...]) -> dict[str, dict[str, int]]:
    frequency: dict[str, Counter[str]] = {}
    for image in images:
        tags = frequency.setdefault(_resolve_folder_name(image), Counter())
        tags.update(tag.strip() for tag in image.caption.split(",") if tag.strip())
    return {folder: dict(tags) for folder, tags in frequency.items()}
