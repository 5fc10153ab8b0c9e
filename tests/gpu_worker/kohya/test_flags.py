"""The flags: what is supported, what is refused and why, what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpu_worker.errors import BadInput
from gpu_worker.kohya import flags
from gpu_worker.kohya.refused import IGNORED_FLAGS, IGNORED_WITH_VALUE, UNSUPPORTED_FLAGS

#: Every flag of sd-scripts' train_network.py, version 0.9 and later.
SD_SCRIPTS = """
adaptive_noise_scale alpha_mask async_upload base_weights base_weights_multiplier blocks_to_swap
bucket_no_upscale bucket_reso_steps cache_info cache_latents cache_latents_to_disk
cache_text_encoder_outputs cache_text_encoder_outputs_to_disk caption_dropout_every_n_epochs
caption_dropout_rate caption_extension caption_extention caption_prefix caption_separator
caption_suffix caption_tag_dropout_rate clip_skip color_aug conditioning_data_dir config_file
console_log_file console_log_level console_log_simple cpu_offload_checkpointing dataset_class
dataset_config dataset_repeats ddp_gradient_as_bucket_view ddp_static_graph ddp_timeout
debiased_estimation_loss debug_dataset deepspeed dim_from_weights disable_mmap_load_safetensors
dynamo_backend enable_bucket enable_wildcard face_crop_aug_range flip_aug
fp16_master_weights_and_gradients fp8_base fp8_base_unet full_bf16 full_fp16 fused_backward_pass
gradient_accumulation_steps gradient_checkpointing highvram huber_c huber_scale huber_schedule
huggingface_path_in_repo huggingface_repo_id huggingface_repo_type huggingface_repo_visibility
huggingface_token in_json initial_epoch initial_step ip_noise_gamma ip_noise_gamma_random_strength
keep_tokens keep_tokens_separator learning_rate log_config log_prefix log_tracker_config
log_tracker_name log_with logging_dir logit_mean logit_std loss_type lowram lr_decay_steps
lr_scheduler lr_scheduler_args lr_scheduler_min_lr_ratio lr_scheduler_num_cycles lr_scheduler_power
lr_scheduler_timescale lr_scheduler_type lr_warmup_steps masked_loss max_bucket_reso
max_data_loader_n_workers max_grad_norm max_timestep max_token_length max_train_epochs
max_train_steps max_validation_steps mem_eff_attn metadata_author metadata_description
metadata_is_negative_embedding metadata_license metadata_merged_from metadata_preprocessor
metadata_tags metadata_thumbnail metadata_title metadata_trigger_phrase metadata_usage_hint
min_bucket_reso min_snr_gamma min_timestep mixed_precision mode_scale multires_noise_discount
multires_noise_iterations network_alpha network_args network_dim network_dropout network_module
network_train_text_encoder_only network_train_unet_only network_weights no_half_vae no_metadata
noise_offset noise_offset_random_strength offload_optimizer_device offload_optimizer_nvme_path
offload_param_device offload_param_nvme_path optimizer_args optimizer_type output_config output_dir
output_name persistent_data_loader_workers pretrained_model_name_or_path prior_loss_weight
random_crop reg_data_dir resize_interpolation resolution resume resume_from_huggingface
sample_at_first sample_every_n_epochs sample_every_n_steps sample_prompts sample_sampler
save_every_n_epochs save_every_n_steps save_last_n_epochs save_last_n_epochs_state save_last_n_steps
save_last_n_steps_state save_model_as save_n_epoch_ratio save_precision save_state
save_state_on_train_end save_state_to_huggingface scale_v_pred_loss_like_noise_pred
scale_weight_norms sdpa secondary_separator seed shuffle_caption skip_cache_check
skip_until_initial_step
text_encoder_batch_size text_encoder_lr token_warmup_min token_warmup_step tokenizer_cache_dir
torch_compile train_batch_size train_data_dir training_comment unet_lr use_8bit_adam
use_lion_optimizer use_safetensors v2 v_parameterization v_pred_like_loss vae vae_batch_size
validate_every_n_epochs validate_every_n_steps validation_seed validation_split wandb_api_key
wandb_run_name weighted_captions weighting_scheme xformers zero3_init_flag zero3_save_16bit_model
zero_stage zero_terminal_snr
"""
LINE = ["--pretrained_model_name_or_path", "tiny", "--output_dir", "out", "--train_data_dir", "photos"]


def supported() -> set[str]:
    actions = flags.build_parser()._actions
    return {option.removeprefix("--") for action in actions for option in action.option_strings}


def test_every_flag_of_sd_scripts_is_supported_or_refused_with_a_reason() -> None:
    assert set(SD_SCRIPTS.split()) <= supported() | set(UNSUPPORTED_FLAGS)


def test_no_flag_is_both_supported_and_refused() -> None:
    assert not supported() & set(UNSUPPORTED_FLAGS)


def test_flags_that_sd_scripts_lacks_are_marked_in_the_docs() -> None:
    docs = (Path(__file__).parents[3] / "docs" / "training.md").read_text("utf-8")
    own_flags = docs.split("## What sd-scripts does not have")[1].split("## ")[0]
    assert supported() - {"help", "-h"} - set(SD_SCRIPTS.split()) == set(re.findall(r"`--(\w+)", own_flags))


@pytest.mark.parametrize("name", sorted(UNSUPPORTED_FLAGS))
def test_a_refused_flag_stops_with_its_name_and_why(name: str) -> None:
    with pytest.raises(BadInput) as refused:
        flags.parse_arguments([*LINE, f"--{name}", "1"])
    assert str(refused.value) == f"--{name} is not supported: {UNSUPPORTED_FLAGS[name]}."


def test_an_unknown_flag_stops_with_the_nearest_match() -> None:
    with pytest.raises(
        BadInput, match="--network_dimm is no flag of this program; did you mean --network_dim"
    ):
        flags.parse_arguments([*LINE, "--network_dimm", "4"])


def test_flags_cannot_be_shortened() -> None:
    with pytest.raises(BadInput, match="--network_di is no flag"):
        flags.parse_arguments([*LINE, "--network_di", "4"])


@pytest.mark.parametrize("name", sorted(IGNORED_FLAGS))
def test_flags_that_are_not_needed_are_accepted_with_a_warning(name: str) -> None:
    value = ["0"] if name in IGNORED_WITH_VALUE else []
    notes = flags.parse_arguments([*LINE, f"--{name}", *value]).notes
    assert notes == [f"--{name} is not needed here: {IGNORED_FLAGS[name]}."]
    assert flags.parse_arguments(LINE).notes == []


@pytest.mark.parametrize(
    ("more", "note"),
    [
        (["--min_bucket_reso", "128"], "--min_bucket_reso has no effect without --enable_bucket."),
        (
            ["--enable_bucket", "--bucket_no_upscale", "--max_bucket_reso", "2048"],
            "--max_bucket_reso has no effect with --bucket_no_upscale.",
        ),
        (["--keep_tokens", "1"], "--keep_tokens has no effect without --shuffle_caption."),
        (["--prior_loss_weight", "2"], "--prior_loss_weight has no effect without regularisation pictures."),
        (["--multires_noise_discount", "0.1"], "--multires_noise_discount has no effect without iterations."),
        (
            ["--lr_scheduler", "cosine", "--lr_scheduler_num_cycles", "2"],
            "--lr_scheduler_num_cycles has no effect without --lr_scheduler cosine_with_restarts.",
        ),
        (
            ["--lr_scheduler_power", "2"],
            "--lr_scheduler_power has no effect without --lr_scheduler polynomial.",
        ),
        (
            ["--optimizer_type", "adafactor", "--learning_rate", "1e-3"],
            "--learning_rate has no effect while Adafactor finds its own rate (relative_step).",
        ),
        (
            ["--network_train_unet_only", "--text_encoder_lr", "1e-5"],
            "--text_encoder_lr has no effect with --network_train_unet_only.",
        ),
        (
            ["--network_train_text_encoder_only", "--unet_lr", "1e-5"],
            "--unet_lr has no effect with --network_train_text_encoder_only.",
        ),
        (
            ["--network_weights", "a", "--dim_from_weights", "--network_dim", "8"],
            "--network_dim has no effect with --dim_from_weights.",
        ),
        (
            ["--max_train_epochs", "2", "--max_train_steps", "7"],
            "--max_train_steps has no effect with --max_train_epochs.",
        ),
        (["--trigger", "sks"], "--trigger has no effect without --preserve_class."),
        (
            ["--sample_prompts", "a.txt"],
            "--sample_prompts has no effect without --sample_every_n_steps, --sample_every_n_epochs or "
            "--sample_at_first.",
        ),
        (
            ["--network_module", "lycoris.kohya", "--network_args", "algo=lokr", "--network_dropout", "0.1"],
            "--network_dropout has no effect with LoHa and LoKr; rank_dropout and module_dropout in "
            "--network_args have one.",
        ),
    ],
)
def test_flag_without_effect_is_warned_of(more: list[str], note: str) -> None:
    assert flags.parse_arguments([*LINE, *more]).notes == [note]


def test_a_flag_with_effect_needs_no_words() -> None:
    more = [
        "--enable_bucket", "--min_bucket_reso", "128", "--shuffle_caption", "--keep_tokens", "1",
        "--reg_data_dir", "reg", "--prior_loss_weight", "2", "--multires_noise_iterations", "6",
        "--multires_noise_discount", "0.1", "--lr_scheduler", "polynomial", "--lr_scheduler_power", "2",
        "--optimizer_type", "Adafactor", "--optimizer_args", "relative_step=False", "--unet_lr", "1e-4",
    ]  # fmt: skip
    assert flags.parse_arguments([*LINE, *more]).notes == []


def test_zero_and_none_mean_sd_scripts_defaults() -> None:
    args = vars(flags.parse_arguments(LINE))
    expected = {
        "train_batch_size": 1,
        "max_train_steps": 1600,
        "learning_rate": 2e-6,
        "lr_scheduler": "constant",
        "lr_warmup_steps": 0,
        "network_alpha": 1,
        "max_grad_norm": 1.0,
        "prior_loss_weight": 1.0,
        "preserve_class": 0.0,
        "min_bucket_reso": 256,
        "max_bucket_reso": 1024,
        "bucket_reso_steps": 64,
        "multires_noise_discount": 0.3,
        "caption_extension": ".caption",
        "gradient_accumulation_steps": 1,
        "min_snr_gamma": None,
        "clip_skip": None,
        "seed": None,
        "save_precision": "float",
    }
    assert {name: args[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--network_dim", "four"], "invalid positive value: 'four'"),
        (["--network_dim", "0"], "0 is not a positive whole number"),
        (["--network_dropout", "1"], "not a share"),
        (["--network_train_unet_only", "--network_train_text_encoder_only"], "leave nothing to train"),
        (["--dataset_config", "a.toml"], "leave --train_data_dir out"),
        (["--sample_every_n_steps", "5"], "need a file of prompts: --sample_prompts"),
        (["--sample_at_first"], "need a file of prompts: --sample_prompts"),
        (["--save_every_n_steps", "5", "--save_every_n_epochs", "1"], "Choose one of --save_every_n_steps"),
        (["--lr_warmup_steps", "5"], "constant has no warm-up; use constant_with_warmup"),
        (["--masked_loss"], "needs masks: --alpha_mask"),
        (["--dim_from_weights"], "needs --network_weights"),
        (["--preserve_class", "1"], "needs --trigger: the word"),
        (["--lr_warmup_steps", "2.5"], "neither a whole number of steps nor a share"),
        (["--lr_warmup_steps", "110%"], "110% is not a share"),
        (["--lr_warmup_steps", "-1"], "-1 is neither a whole number"),
        (["--seed", "-1"], "-1 is not from 0 to 4294967295"),
        (["--seed", "4294967296"], "is not from 0 to"),
        (["--keep_tokens", "-1"], "-1 is below 0"),
        (["--caption_dropout_rate", "1.1"], "not a share from 0 to 1"),
        (["--optimizer_type", "SGD"], "SGD is not supported; choose AdamW"),
        (["--save_model_as", "ckpt"], "ckpt is not supported, only safetensors: other formats are pickles"),
        (["--network_module", "networks.oft"], "networks.oft is not supported; choose networks.lora,"),
        (["--max_token_length", "100"], "invalid choice: 100"),
        (["--lr_scheduler", "sawtooth"], "invalid choice: 'sawtooth'"),
        (["stray"], "stray belongs to no flag"),
    ],
)
def test_a_wrong_line_is_one_sentence(more: list[str], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence) as wrong:
        flags.parse_arguments([*LINE, *more])
    assert "\n" not in str(wrong.value)


def test_the_folders_of_a_dataset_file_are_the_only_ones() -> None:
    line = [*LINE[:4], "--dataset_config", "a.toml", "--reg_data_dir", "reg"]
    with pytest.raises(BadInput, match="leave --reg_data_dir out"):
        flags.parse_arguments(line)


@pytest.mark.parametrize(
    ("text", "name"),
    [("adamw", "AdamW"), ("AdaFactor", "Adafactor"), ("ADAMW8BIT", "AdamW8bit"), ("", "AdamW")],
)
def test_an_optimizer_is_known_in_any_case(text: str, name: str) -> None:
    assert flags.parse_arguments([*LINE, "--optimizer_type", text]).optimizer_type == name


def test_a_config_file_stands_in_front_of_the_line(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(
        "[network]\nnetwork_dim = 8\nnetwork_alpha = 4\n[more]\nflip_aug = true\ncache_latents = false\n"
        'optimizer_args = ["weight_decay=0.1", "eps=1e-6"]\n',
        "utf-8",
    )
    args = flags.parse_arguments([*LINE, "--config_file", str(file), "--network_alpha", "2"])
    assert (args.network_dim, args.network_alpha, args.flip_aug, args.cache_latents) == (
        8,
        2,
        True,
        False,
    )
    assert args.optimizer_args == ["weight_decay=0.1", "eps=1e-6"]


def test_flags_turned_off_in_a_config_file_need_no_support(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("color_aug = false\nunet_lr = -1.0\n", "utf-8")
    # The suffix may be left out, and a value may begin with a dash.
    assert flags.parse_arguments([*LINE, "--config_file", str(tmp_path / "settings")]).unet_lr == -1


#: What kohya_ss writes for a LoKr; it writes what was not chosen too.
FRONT_END = """
bucket_no_upscale = true
bucket_reso_steps = 64
cache_latents = true
caption_dropout_every_n_epochs = 0
caption_extension = ".txt"
clip_skip = 1
dynamo_backend = "no"
enable_bucket = true
epoch = 15
gradient_accumulation_steps = 1
huber_c = 0.1
huber_schedule = "snr"
learning_rate = 0.0004
logging_dir = "logs"
loss_type = "l2"
lr_scheduler = "cosine"
lr_scheduler_args = []
lr_scheduler_num_cycles = 1
lr_scheduler_power = 1
max_bucket_reso = 2048
max_data_loader_n_workers = 0
max_grad_norm = 1
max_timestep = 1000
max_token_length = 225
max_train_epochs = 15
max_train_steps = 1500
min_bucket_reso = 256
mixed_precision = "fp16"
multires_noise_discount = 0.3
network_alpha = 4
network_args = [ "algo=lokr", "preset=full", "conv_dim=4", "conv_alpha=1", "factor=6", "rank_dropout=0",
  "module_dropout=0.0", "use_cp=False", "use_scalar=False", "decompose_both=False", "bypass_mode=False",
  "rank_dropout_scale=False", "dora_wd=False", "full_matrix=False", "train_norm=False",]
network_dim = 8
network_module = "lycoris.kohya"
no_half_vae = true
noise_offset_type = "Original"
optimizer_args = []
optimizer_type = "AdamW8bit"
output_dir = "out"
output_name = "me"
pretrained_model_name_or_path = "tiny"
prior_loss_weight = 1
resolution = "512,512"
sample_prompts = ""
sample_sampler = "euler_a"
save_every_n_epochs = 1
save_model_as = "safetensors"
save_precision = "fp16"
text_encoder_lr = [ 5e-05,]
train_batch_size = 1
train_data_dir = "photos"
unet_lr = 0.0001
vae = ""
wandb_run_name = "me"
xformers = true
"""


def test_the_settings_of_a_graphical_front_end_are_read(tmp_path: Path) -> None:
    (tmp_path / "lora.toml").write_text(FRONT_END, "utf-8")
    args = flags.parse_arguments(["--config_file", str(tmp_path / "lora.toml")])
    assert args.network.config.algorithm == "lokr"
    assert (args.network_dim, args.network.config.conv_rank, args.network.config.factor) == (8, 4, 6)
    assert (args.text_encoder_lr, args.unet_lr, args.max_token_length) == (5e-5, 1e-4, 225)
    assert args.sample_prompts is None
    assert {note.split(" ")[0] for note in args.notes} == {
        "--max_data_loader_n_workers", "--no_half_vae", "--xformers", "--sample_sampler",
        "--max_bucket_reso", "--max_train_steps",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("network_dim = ", "is no TOML file"),
        ('loss_type = "huber"', "--loss_type is not supported"),
        ("max_timestep = 800", "--max_timestep is not supported"),
        ("networkdim = 4", "did you mean --network_dim"),
        ("networkdim = false", "did you mean --network_dim"),
        ("color_aug = true", "--color_aug is not supported"),
        ('flip_aug = "no"', "flip_aug in settings.toml is true or false, and cannot be 'no'"),
        ("network_dim = false", "network_dim in settings.toml takes a value"),
        (None, "not exist"),
    ],
)
def test_a_wrong_config_file_is_named(tmp_path: Path, text: str | None, sentence: str) -> None:
    file = tmp_path / "settings.toml"
    if text is not None:
        file.write_text(text, "utf-8")
    with pytest.raises(BadInput, match=sentence):
        flags.parse_arguments([*LINE, "--config_file", str(file)])
