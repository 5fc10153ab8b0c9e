"""Which training a checkpoint belongs to, as a text that stays the same when this program changes.

The text is stored in every checkpoint and in every `--save_state` folder. Its words are therefore written
out here and do not follow the names of classes and fields: a renamed field must not end a resumed training.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.protocol import Crop
from gpu_worker.training.checkpoint import Checkpoint
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.data import CaptionRules, TrainingImage

log = logging.getLogger(__name__)


def compute_fingerprint(base_identity: str, config: TrainingConfig, images: Sequence[TrainingImage]) -> str:
    """Return a JSON text of everything that must be the same for a checkpoint to fit.

    Steps, precision, memory settings and sample images are left out: a training may be made longer, and one
    that fell back to another memory mode goes on with its numbers. A setting that is added later belongs in
    here only where it is not at its default; otherwise every stored checkpoint becomes useless.
    """
    descriptions = [_describe_image(image) for image in images]
    return json.dumps([base_identity, _describe_config(config), descriptions], sort_keys=True)


def find_checkpoint(
    data: bytes | None, fingerprint: str, job_id: int, must_resume: bool
) -> Checkpoint | None:
    """Return the checkpoint to resume from; one that does not fit is dropped, unless it must be resumed."""
    if data is None:
        return None
    try:
        checkpoint = Checkpoint.decode(data)
        if checkpoint.fingerprint != fingerprint:
            raise BadInput(JobProblem.CHECKPOINT_OTHER_TRAINING)
    except BadInput as error:
        if must_resume:
            raise
        log.warning("job %d cannot resume and starts over: %s", job_id, error)
        return None
    return checkpoint


def read_seed(fingerprint: str) -> int:
    """Return the seed of the training that a fingerprint names."""
    settings: Mapping[str, Any] = json.loads(fingerprint)[1]
    return int(settings["seed"])


def _describe_config(config: TrainingConfig) -> dict[str, Any]:
    """Return the settings under their stored names, which are those of the first version."""
    return {
        **_describe_later_settings(config),
        "resolution_px": config.resolution_px,
        "batch_size": config.batch_size,
        "gradient_accumulation": config.gradient_accumulation_steps,
        "seed": config.seed,
        "rank": config.rank,
        "alpha": config.alpha,
        "dropout": config.dropout,
        "rank_dropout": config.rank_dropout,
        "module_dropout": config.module_dropout,
        "train_unet": config.train_unet,
        "train_text_encoder": config.train_text_encoder,
        "optimizer": config.optimizer_type,
        "optimizer_args": config.optimizer_args,
        "unet_rate": config.unet_lr,
        "text_rate": config.text_encoder_lr,
        "scheduler": config.lr_scheduler,
        "warm_up_steps": config.lr_warmup_steps,
        "scheduler_cycles": config.lr_scheduler_num_cycles,
        "scheduler_power": config.lr_scheduler_power,
        "max_gradient_norm": config.max_grad_norm,
        "min_snr_gamma": config.min_snr_gamma,
        "noise_offset": config.noise_offset,
        "multires_noise_iterations": config.multires_noise_iterations,
        "multires_noise_discount": config.multires_noise_discount,
        "prior_loss_weight": config.prior_loss_weight,
        "preserve_class": config.class_preservation_weight,
        "preserve_every": config.class_preservation_interval,
        "masked_loss": config.masked_loss,
        "clip_skip": config.clip_skip,
        "candidate_every_steps": config.candidate_every_steps,
        "candidates_from_step": config.candidates_from_step,
        "candidate_prompts": config.candidate_prompts,
        "candidate_picture_steps": config.candidate_picture_steps,
    }


def _describe_later_settings(config: TrainingConfig) -> dict[str, Any]:
    """Return the settings that were added later, where they are not at their default."""
    network = config.network
    settings: dict[str, tuple[Any, Any]] = {
        "algorithm": (network.algorithm, "lora"),
        "conv_rank": (network.conv_rank, None),
        "conv_alpha": (network.conv_alpha, 1.0),
        "adapts_resnets": (network.adapts_resnets, False),
        "adapts_ends": (network.adapts_ends, False),
        "block_rates": (network.block_lr_weights, ()),
        "lokr_factor": (network.factor, -1),
        "lokr_decompose_both": (network.decompose_both, False),
        "lokr_full_matrix": (network.full_matrix, False),
        "shape_from_initial": (config.shape_from_initial, False),
        "max_weight_norm": (config.max_weight_norm, None),
        "max_token_length": (config.max_token_length, 75),
        "text_rates": (config.text_encoder_lrs, ()),
    }
    return {name: value for name, (value, default) in settings.items() if value != default}


def _describe_image(image: TrainingImage) -> str:
    """Return the hashes of image and mask, then the other fields as Python once wrote the record."""
    image_hash = hashlib.sha256(image.data).hexdigest()
    mask_hash = hashlib.sha256(image.mask).hexdigest() if image.mask else ""
    return (
        f"{image_hash} {mask_hash} Example(caption={image.caption!r}, repeats={image.repeats!r}, "
        f"folder={image.folder!r}, size_px={image.size_px!r}, "
        f"is_regularisation={image.is_regularisation!r}, flip={image.flip!r}, "
        f"crop={_describe_crop(image.crop)}, caption_rules={_describe_caption_rules(image.caption_rules)}, "
        f"trigger={image.trigger!r})"
    )


def _describe_crop(crop: Crop | None) -> str:
    if crop is None:
        return "None"
    return f"Crop(left={crop.left!r}, top={crop.top!r}, width={crop.width!r}, height={crop.height!r})"


def _describe_caption_rules(rules: CaptionRules) -> str:
    return (
        f"CaptionRules(shuffle={rules.shuffle!r}, keep_tokens={rules.keep_tokens!r}, "
        f"separator={rules.separator!r}, dropout_rate={rules.dropout_rate!r})"
    )
