"""Flags of sd-scripts that are not supported, each with its reason: nothing is silently ignored."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_OTHER_MODEL = "this trains LoRAs of Stable Diffusion 1.x and SDXL"
_UPLOAD = "nothing leaves this machine; upload the finished file by hand"
_FULL_HALF = "the LoRA itself is always trained in full precision, which costs little and loses nothing"
_ONE_PROCESS = "one process trains on one card"
_LATER = "the latents are made once, so a picture cannot look different each time"
_CAPTION = "captions are used as they are written, apart from --shuffle_caption and --caption_dropout_rate"
_LOSS = "the loss is the mean squared error, weighted by --min_snr_gamma if asked"
_NOISE = "use --noise_offset or the --multires_noise flags"
_SCHEDULE = "choose one of the schedules of --lr_scheduler"
_KEEP = "every file that was asked for is kept; delete what is not needed"
_LOG = "logs are TensorBoard's, in --logging_dir"
_VALIDATE = "five photos are too few to hold some back; watch the samples"

#: Accepted with a warning that they have no effect.
IGNORED_FLAGS = {
    "max_data_loader_n_workers": "images are encoded once, so there is no data loader",
    "persistent_data_loader_workers": "images are encoded once, so there is no data loader",
    "vae_batch_size": "pictures are encoded one by one, which needs the least memory",
    "no_half_vae": "a precision that gives no finite numbers is left by itself",
    "xformers": "torch's own attention is as fast, and always on",
    "mem_eff_attn": "torch's own attention takes as little memory, and is always on",
    "sample_sampler": "samples are drawn with DPM++ 2M Karras",
}
#: Those of them that are followed by a value.
IGNORED_WITH_VALUE = {"max_data_loader_n_workers", "vae_batch_size", "sample_sampler"}

UNSUPPORTED_FLAGS = {
    **dict.fromkeys(
        ("v2", "v_parameterization", "v_pred_like_loss", "scale_v_pred_loss_like_noise_pred"), _OTHER_MODEL
    ),
    **dict.fromkeys(
        ("zero_terminal_snr", "blocks_to_swap", "weighting_scheme", "logit_mean", "logit_std"), _OTHER_MODEL
    ),
    "mode_scale": _OTHER_MODEL,
    "disable_mmap_load_safetensors": "weights are mapped from the file, so loading needs no second copy",
    "base_weights": "merge LoRAs into the base model first",
    "base_weights_multiplier": "merge LoRAs into the base model first",
    "no_metadata": "the metadata are what web UIs read; they hold settings, captions and no path",
    "use_safetensors": "safetensors is the only format",
    **dict.fromkeys(
        (
            "huggingface_repo_id",
            "huggingface_repo_type",
            "huggingface_path_in_repo",
            "huggingface_token",
            "huggingface_repo_visibility",
            "save_state_to_huggingface",
            "resume_from_huggingface",
            "async_upload",
        ),
        _UPLOAD,
    ),
    **dict.fromkeys(("full_fp16", "full_bf16", "fp8_base", "fp8_base_unet"), _FULL_HALF),
    "fp16_master_weights_and_gradients": _FULL_HALF,
    **dict.fromkeys(
        (
            "deepspeed",
            "zero_stage",
            "offload_optimizer_device",
            "offload_optimizer_nvme_path",
            "offload_param_device",
            "offload_param_nvme_path",
            "zero3_init_flag",
            "zero3_save_16bit_model",
            "ddp_timeout",
            "ddp_gradient_as_bucket_view",
            "ddp_static_graph",
        ),
        _ONE_PROCESS,
    ),
    "cpu_offload_checkpointing": "use --gradient_checkpointing",
    "lowram": "weights are mapped from the file, so loading needs no second copy",
    "highvram": "the memory that is there is measured at start",
    "torch_compile": "a training is over before compiling has paid off, and it won nothing on a CPU",
    "dynamo_backend": "--torch_compile is not supported",
    "fused_backward_pass": "a LoRA has too few weights for that to matter",
    **dict.fromkeys(("color_aug", "random_crop", "face_crop_aug_range"), _LATER),
    "resize_interpolation": "pictures are scaled with Lanczos",
    "cache_info": "reading the folder is fast",
    "skip_cache_check": "latents are found by the picture's contents",
    "cache_text_encoder_outputs": "texts are encoded once when the text encoder does not learn",
    "cache_text_encoder_outputs_to_disk": "texts are encoded once when the text encoder does not learn",
    "text_encoder_batch_size": "there are few texts",
    **dict.fromkeys(
        (
            "caption_prefix",
            "caption_suffix",
            "caption_extention",
            "keep_tokens_separator",
            "secondary_separator",
            "enable_wildcard",
            "weighted_captions",
            "token_warmup_min",
            "token_warmup_step",
            "caption_dropout_every_n_epochs",
            "caption_tag_dropout_rate",
        ),
        _CAPTION,
    ),
    "conditioning_data_dir": "name it in a subset of --dataset_config",
    "in_json": "describe the pictures with --dataset_config",
    "dataset_repeats": "the repeats are in the folders' names or in --dataset_config",
    "dataset_class": "describe the pictures with --dataset_config",
    "debug_dataset": "the pictures and their captions are printed before the training",
    **dict.fromkeys(
        (
            "loss_type",
            "huber_c",
            "huber_scale",
            "huber_schedule",
            "debiased_estimation_loss",
            "min_timestep",
            "max_timestep",
        ),
        _LOSS,
    ),
    **dict.fromkeys(
        (
            "adaptive_noise_scale",
            "ip_noise_gamma",
            "ip_noise_gamma_random_strength",
            "noise_offset_random_strength",
        ),
        _NOISE,
    ),
    **dict.fromkeys(
        (
            "lr_scheduler_type",
            "lr_scheduler_args",
            "lr_decay_steps",
            "lr_scheduler_timescale",
            "lr_scheduler_min_lr_ratio",
        ),
        _SCHEDULE,
    ),
    "use_8bit_adam": "use --optimizer_type AdamW8bit",
    "use_lion_optimizer": "use --optimizer_type Lion",
    **dict.fromkeys(
        (
            "save_n_epoch_ratio",
            "save_last_n_epochs",
            "save_last_n_epochs_state",
            "save_last_n_steps",
            "save_last_n_steps_state",
        ),
        _KEEP,
    ),
    **dict.fromkeys(
        ("initial_epoch", "initial_step", "skip_until_initial_step"), "--resume knows where it was"
    ),
    **dict.fromkeys(
        (
            "log_with",
            "log_prefix",
            "log_tracker_name",
            "log_tracker_config",
            "log_config",
            "wandb_run_name",
            "wandb_api_key",
            "console_log_level",
            "console_log_file",
            "console_log_simple",
        ),
        _LOG,
    ),
    **dict.fromkeys(
        (
            "validation_seed",
            "validation_split",
            "validate_every_n_steps",
            "validate_every_n_epochs",
            "max_validation_steps",
        ),
        _VALIDATE,
    ),
    "output_config": "the settings are in the file's metadata",
    "tokenizer_cache_dir": "CLIP's vocabulary is shipped with this program",
    **dict.fromkeys(
        (
            "metadata_title",
            "metadata_author",
            "metadata_description",
            "metadata_license",
            "metadata_tags",
            "metadata_usage_hint",
            "metadata_thumbnail",
            "metadata_merged_from",
            "metadata_trigger_phrase",
            "metadata_preprocessor",
            "metadata_is_negative_embedding",
        ),
        "use --output_name for the title and --training_comment for the rest",
    ),
}


def describe_unknown_flag(name: str, known_flags: Iterable[str]) -> str:
    """Return why a flag is refused, or the flag that is most like it."""
    if name in UNSUPPORTED_FLAGS:
        return f"--{name} is not supported: {UNSUPPORTED_FLAGS[name]}."
    close_matches = difflib.get_close_matches(name, [*known_flags, *UNSUPPORTED_FLAGS], n=1)
    return f"--{name} is no flag of this program" + (
        f"; did you mean --{close_matches[0]}?" if close_matches else "."
    )
