"""From flags and folders to examples and dials."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from gpu_worker.errors import BadInput
from tests.gpu_worker.training.test_data import torn_png
from tests.support.kohya_dataset import make, photo_folders, png


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return photo_folders(tmp_path)


def test_folders_give_repeats_words_and_captions(data: Path) -> None:
    made = make(data)
    assert [(e.caption, e.repeats, e.folder, e.size_px) for e in made.training_images] == [
        ("sks person, red hat", 3, "3_sks person", (512, 512)),
        ("sks person", 3, "3_sks person", (512, 512)),
    ]


def test_regularisation_pictures_are_marked(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reg" / "1_person"
    folder.mkdir(parents=True)
    (folder / "r.png").write_bytes(png())
    made = make(data, "--reg_data_dir", str(tmp_path / "reg"), "--prior_loss_weight", "0.5")
    assert [example.is_regularisation for example in made.training_images] == [False, False, True]
    assert made.config.prior_loss_weight == 0.5
    assert made.steps_per_epoch == 12  # as many of the class as of the subject


@pytest.mark.parametrize(
    ("more", "steps"),
    [
        ((), 1600),
        (("--max_train_steps", "7"), 7),
        (("--max_train_epochs", "2"), 12),
        (("--max_train_epochs", "2", "--max_train_steps", "7"), 12),
        (("--max_train_epochs", "2", "--train_batch_size", "4"), 4),
        (("--max_train_epochs", "2", "--gradient_accumulation_steps", "4"), 4),
    ],
)
def test_epochs_go_before_steps(data: Path, more: tuple[str, ...], steps: int) -> None:
    assert make(data, *more).config.steps == steps


def test_rates_fall_back_on_the_common_one(data: Path) -> None:
    config = make(data, "--learning_rate", "1e-3", "--text_encoder_lr", "0.5").config
    assert (config.unet_lr, config.text_encoder_lr) == (1e-3, 0.5)


@pytest.mark.parametrize(("told", "steps"), [("0.1", 5), ("10%", 5), ("10", 10), ("1", 1), ("0", 0)])
def test_warm_up_is_steps_or_a_share(data: Path, told: str, steps: int) -> None:
    more = ("--lr_scheduler", "cosine", "--max_train_steps", "50", "--lr_warmup_steps", told)
    assert make(data, *more).config.lr_warmup_steps == steps


def test_zero_and_none_mean_sd_scripts_defaults(data: Path) -> None:
    config = make(data, "--network_dim", "8", "--network_alpha", "0", "--min_snr_gamma", "0").config
    assert (config.rank, config.alpha, config.min_snr_gamma) == (8, 8.0, None)
    assert make(data, "--network_alpha", "0").config.alpha == 4.0


def test_every_flag_reaches_its_setting(data: Path) -> None:
    config = make(
        data, "--network_dim", "8", "--network_alpha", "2", "--network_dropout", "0.1",
        "--network_args", "rank_dropout=0.2", "module_dropout=0.3", "--optimizer_type", "Lion",
        "--optimizer_args", "weight_decay=0.1", "--lr_scheduler", "cosine_with_restarts",
        "--lr_scheduler_num_cycles", "3", "--max_grad_norm", "0.5", "--min_snr_gamma", "5",
        "--noise_offset", "0.1", "--multires_noise_iterations", "6", "--multires_noise_discount", "0.2",
        "--masked_loss", "--alpha_mask", "--clip_skip", "2", "--gradient_checkpointing",
        "--save_precision", "bf16", "--network_train_unet_only", "--seed", "9", "--save_every_n_epochs", "1",
    ).config  # fmt: skip
    assert (config.rank, config.alpha, config.dropout, config.rank_dropout, config.module_dropout) == (
        8,
        2,
        0.1,
        0.2,
        0.3,
    )
    assert (config.optimizer_type, config.optimizer_args) == ("Lion", (("weight_decay", "0.1"),))
    assert (config.lr_scheduler, config.lr_scheduler_num_cycles, config.max_grad_norm) == (
        "cosine_with_restarts",
        3,
        0.5,
    )
    assert (config.min_snr_gamma, config.noise_offset) == (5.0, 0.1)
    assert (config.multires_noise_iterations, config.multires_noise_discount) == (6, 0.2)
    assert (config.masked_loss, config.clip_skip, config.gradient_checkpointing) == (True, 2, True)
    assert (config.train_unet, config.train_text_encoder, config.save_precision) == (True, False, "bf16")
    assert (config.seed, config.checkpoint_every_steps) == (9, 6)


def test_caption_flags_reach_every_example(data: Path) -> None:
    made = make(
        data, "--shuffle_caption", "--keep_tokens", "1", "--caption_dropout_rate", "0.2", "--flip_aug"
    )
    for example in made.training_images:
        rules = example.caption_rules
        assert (rules.shuffle, rules.keep_tokens, rules.dropout_rate, example.flip) == (True, 1, 0.2, True)


def test_buckets_keep_aspect_ratios(data: Path) -> None:
    made = make(data, "--enable_bucket")
    assert [example.size_px for example in made.training_images] == [(512, 512), (704, 320)]
    assert make(data, "--enable_bucket", "--bucket_no_upscale").training_images[0].size_px == (64, 64)


def test_any_resolution_will_do_with_buckets(data: Path) -> None:
    made = make(data, "--enable_bucket", "--resolution", "500")
    assert [example.size_px for example in made.training_images] == [(448, 448), (704, 320)]
    assert made.config.resolution_px == 448


def test_transparency_is_learnt_around_without_masked_loss_too(data: Path) -> None:
    assert make(data).config.masked_loss is False
    assert make(data, "--alpha_mask").config.masked_loss is True


def test_the_transparency_of_a_palette_is_a_mask(data: Path) -> None:
    picture = Image.new("P", (64, 64), 1)
    picture.putpalette([0, 0, 0, 200, 10, 10])
    picture.save(data / "3_sks person" / "a.png", transparency=1)
    mask = make(data, "--alpha_mask").training_images[0].mask
    assert mask is not None
    assert Image.open(io.BytesIO(mask)).getextrema() == (0, 0)


def test_transparency_is_the_mask_if_asked(data: Path) -> None:
    (data / "3_sks person" / "a.png").write_bytes(png(mode="RGBA"))
    assert make(data).training_images[0].mask is None
    mask = make(data, "--alpha_mask").training_images[0].mask
    assert mask is not None
    assert Image.open(io.BytesIO(mask)).getextrema() == (128, 128)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--reg_data_dir", "{unused}"), "There are no pictures in .*unused"),
        (("--resolution", "500"), "multiples of 64 pixels, not 500,500"),
        (("--resolution", "big"), "takes a side in pixels"),
        (("--network_args", "conv_dim=four"), "conv_dim in --network_args is a whole number, not four"),
        (("--network_args", "droput=4"), "module_dropout, rank_dropout, up_lr_weight, not droput"),
        (("--network_args", "algo=boft"), "is lora, locon, loha or lokr here, not boft"),
        (("--network_args", "down_lr_weight=slow"), "takes numbers, or sine, cosine"),
        (("--network_args", "mid_lr_weight=1,2"), "has 2 values for 1 blocks"),
        (("--network_args", "rank_dropout"), 'takes "name=value"'),
        (("--network_args", "rank_dropout=2"), "a share from 0"),
        (("--optimizer_args", "decay"), 'takes "name=value"'),
        (("--network_weights", "nowhere.safetensors"), "nowhere.safetensors cannot be read"),
        (("--enable_bucket", "--bucket_reso_steps", "20"), "multiple of 8"),
        (("--network_args", "conv_block_dims=4"), "conv_block_dims in --network_args is not supported"),
    ],
)
def test_impossible_request_is_refused_in_one_sentence(
    data: Path, more: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        make(data, *(word.format(unused=data / "unused") for word in more))


def test_skipped_folder_is_warned_of(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    (data / "2_cat").mkdir()
    make(data)
    told = [record.getMessage() for record in caplog.records]
    assert "skipped folder unused: its name does not begin with a number and _" in told
    assert "no images in folder 2_cat" in told


def test_a_caption_is_the_first_line_without_an_editors_mark(data: Path) -> None:
    caption = data / "3_sks person" / "a.caption"
    caption.write_bytes("\ufeffcafé, hat\nmore".encode())
    assert make(data).training_images[0].caption == "café, hat"


def test_a_folder_without_pictures_is_named(tmp_path: Path, data: Path) -> None:
    with pytest.raises(BadInput, match="There are no pictures in"):
        make(tmp_path / "photos" / "unused")
    with pytest.raises(BadInput, match="nowhere does not exist"):
        make(tmp_path / "nowhere")


def test_a_caption_in_latin_1_and_a_broken_picture_are_named(data: Path) -> None:
    (data / "3_sks person" / "a.caption").write_bytes("café".encode("latin-1"))
    with pytest.raises(BadInput, match=r"The caption a\.caption is not UTF-8"):
        make(data)
    (data / "3_sks person" / "a.caption").unlink()
    for broken in (b"no picture", torn_png()):
        (data / "3_sks person" / "a.png").write_bytes(broken)
        with pytest.raises(BadInput, match=r"a\.png cannot be read as a picture"):
            make(data)


def test_samples_are_planned(tmp_path: Path, data: Path) -> None:
    (tmp_path / "a.txt").write_text("sks person", "utf-8")
    config = make(data, "--sample_prompts", str(tmp_path / "a.txt"), "--sample_every_n_steps", "50").config
    assert (config.sample_every_steps, config.sample_at_first) == (50, False)
    config = make(data, "--sample_prompts", str(tmp_path / "a.txt"), "--sample_at_first").config
    assert (config.sample_every_steps, config.sample_at_first) == (1601, True)
    config = make(data, "--sample_prompts", str(tmp_path / "a.txt"), "--sample_every_n_epochs", "2").config
    assert config.sample_every_steps == 12
