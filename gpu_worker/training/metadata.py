"""The `ss_*` metadata that web UIs and sd-scripts read out of a LoRA file."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

from gpu_worker.models.base import BaseModel
from gpu_worker.training.config import Dials
from gpu_worker.training.data import Example, Order
from gpu_worker.training.optimizers import class_name


@dataclass(frozen=True)
class TrainingRecord:
    """What is told about a training besides its settings; times are Unix times in seconds."""

    name: str
    steps_done: int
    started_at: float
    finished_at: float
    comment: str = ""


def describe(
    base: BaseModel, photos: tuple[Example, ...], dials: Dials, record: TrainingRecord
) -> dict[str, str]:
    """Return the metadata of a finished or intermediate LoRA; every value is a string."""
    subject = tuple(photo for photo in photos if not photo.is_regularisation)
    regularisation = tuple(photo for photo in photos if photo.is_regularisation)
    batches = Order(photos, dials.batch_size, dials.seed).batches_per_round
    said = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": dials.rank,
        "ss_network_alpha": dials.alpha,
        "ss_output_name": record.name,
        "ss_base_model_version": "sd_v1",
        "ss_sd_model_name": base.name,
        "ss_v2": False,
        "ss_resolution": f"({dials.resolution_px}, {dials.resolution_px})",
        "ss_network_dropout": dials.dropout or None,
        "ss_network_args": json.dumps(_network_args(dials)) if _network_args(dials) else None,
        "ss_learning_rate": dials.unet_rate,
        "ss_unet_lr": dials.unet_rate if dials.train_unet else None,
        "ss_text_encoder_lr": dials.text_rate if dials.train_text_encoder else None,
        "ss_optimizer": class_name(dials) + "".join(f"({k}={v})" for k, v in dials.optimizer_args),
        "ss_lr_scheduler": dials.scheduler,
        "ss_lr_warmup_steps": dials.warm_up_steps,
        "ss_max_grad_norm": dials.max_gradient_norm,
        "ss_min_snr_gamma": dials.min_snr_gamma,
        "ss_noise_offset": dials.noise_offset or None,
        "ss_multires_noise_iterations": dials.multires_noise_iterations or None,
        "ss_multires_noise_discount": dials.multires_noise_discount,
        "ss_prior_loss_weight": dials.prior_loss_weight,
        "ss_masked_loss": dials.masked_loss,
        "ss_clip_skip": dials.clip_skip,
        "ss_gradient_checkpointing": base.gear.checkpointing,
        "ss_gradient_accumulation_steps": dials.gradient_accumulation,
        "ss_training_comment": record.comment or None,
        "ss_mixed_precision": {"torch.float16": "fp16", "torch.bfloat16": "bf16"}.get(str(base.dtype), "no"),
        "ss_seed": dials.seed,
        "ss_max_train_steps": dials.steps,
        "ss_steps": record.steps_done,
        "ss_batch_size_per_device": dials.batch_size,
        "ss_num_train_images": sum(photo.repeats for photo in subject),
        "ss_num_reg_images": sum(photo.repeats for photo in regularisation),
        "ss_num_batches_per_epoch": batches,
        "ss_epoch": record.steps_done * dials.gradient_accumulation // batches,
        "ss_cache_latents": True,
        "ss_dataset_dirs": json.dumps(_folders(subject)),
        "ss_reg_dataset_dirs": json.dumps(_folders(regularisation)),
        "ss_tag_frequency": json.dumps(_tag_frequency(photos)),
        "ss_training_started_at": record.started_at,
        "ss_training_finished_at": record.finished_at,
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.title": record.name,
        "modelspec.resolution": f"{dials.resolution_px}x{dials.resolution_px}",
    }
    return {key: str(value) for key, value in said.items()}


def _network_args(dials: Dials) -> dict[str, str]:
    told = {"rank_dropout": dials.rank_dropout, "module_dropout": dials.module_dropout}
    return {name: str(share) for name, share in told.items() if share}


def _folder(photo: Example) -> str:
    return photo.folder or f"{photo.repeats}_{photo.caption}"


def _folders(photos: tuple[Example, ...]) -> dict[str, dict[str, int]]:
    counts = Counter((_folder(photo), photo.repeats) for photo in photos)
    return {name: {"n_repeats": repeats, "img_count": count} for (name, repeats), count in counts.items()}


def _tag_frequency(photos: tuple[Example, ...]) -> dict[str, dict[str, int]]:
    frequency: dict[str, Counter[str]] = {}
    for photo in photos:
        tags = frequency.setdefault(_folder(photo), Counter())
        tags.update(tag.strip() for tag in photo.caption.split(",") if tag.strip())
    return {folder: dict(tags) for folder, tags in frequency.items()}
