"""From flags and folders to examples and dials."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from gpu_worker.dials import SamplePrompt
from gpu_worker.errors import BadInput
from gpu_worker.kohya import flags, plan, sample_file
from gpu_worker.kohya.buckets import Buckets
from gpu_worker.kohya.plan import Plan


def png(size: tuple[int, int] = (64, 64), mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, (9, 9, 9, 128)[: len(mode)]).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "photos" / "3_sks person"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(png())
    (folder / "b.PNG").write_bytes(png((600, 300)))
    (folder / "a.caption").write_text("sks person, red hat\nsecond line\n", "utf-8")
    (folder / "notes.md").write_text("no picture", "utf-8")
    (tmp_path / "photos" / "unused").mkdir()
    return tmp_path / "photos"


def make(data: Path, *more: str, source: str = "--train_data_dir") -> Plan:
    line = ["--pretrained_model_name_or_path", "tiny", "--output_dir", "out", source, str(data), *more]
    return plan.make(flags.parse(line), native_px=512)


def test_folders_give_repeats_words_and_captions(data: Path) -> None:
    made = make(data)
    assert [(e.caption, e.repeats, e.folder, e.size_px) for e in made.examples] == [
        ("sks person, red hat", 3, "3_sks person", (512, 512)),
        ("sks person", 3, "3_sks person", (512, 512)),
    ]


def test_regularisation_pictures_are_marked(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reg" / "1_person"
    folder.mkdir(parents=True)
    (folder / "r.png").write_bytes(png())
    made = make(data, "--reg_data_dir", str(tmp_path / "reg"), "--prior_loss_weight", "0.5")
    assert [example.is_regularisation for example in made.examples] == [False, False, True]
    assert made.dials.prior_loss_weight == 0.5
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
    assert make(data, *more).dials.steps == steps


def test_rates_fall_back_on_the_common_one(data: Path) -> None:
    dials = make(data, "--learning_rate", "1e-3", "--text_encoder_lr", "0.5").dials
    assert (dials.unet_rate, dials.text_rate) == (1e-3, 0.5)


def test_warm_up_is_steps_or_a_share(data: Path) -> None:
    assert make(data, "--max_train_steps", "50", "--lr_warmup_steps", "0.1").dials.warm_up_steps == 5
    assert make(data, "--max_train_steps", "50", "--lr_warmup_steps", "10").dials.warm_up_steps == 10
    with pytest.raises(BadInput, match="share below 1"):
        make(data, "--lr_warmup_steps", "2.5")


def test_every_flag_reaches_its_dial(data: Path) -> None:
    dials = make(
        data, "--network_dim", "8", "--network_alpha", "2", "--network_dropout", "0.1",
        "--network_args", "rank_dropout=0.2", "module_dropout=0.3", "--optimizer_type", "Lion",
        "--optimizer_args", "weight_decay=0.1", "--lr_scheduler", "cosine_with_restarts",
        "--lr_scheduler_num_cycles", "3", "--max_grad_norm", "0.5", "--min_snr_gamma", "5",
        "--noise_offset", "0.1", "--multires_noise_iterations", "6", "--multires_noise_discount", "0.2",
        "--masked_loss", "--clip_skip", "2", "--gradient_checkpointing", "--save_precision", "bf16",
        "--network_train_unet_only", "--seed", "9", "--save_every_n_epochs", "1",
    ).dials  # fmt: skip
    assert (dials.rank, dials.alpha, dials.dropout, dials.rank_dropout, dials.module_dropout) == (
        8,
        2,
        0.1,
        0.2,
        0.3,
    )
    assert (dials.optimizer, dials.optimizer_args) == ("Lion", (("weight_decay", "0.1"),))
    assert (dials.scheduler, dials.scheduler_cycles, dials.max_gradient_norm) == (
        "cosine_with_restarts",
        3,
        0.5,
    )
    assert (dials.min_snr_gamma, dials.noise_offset) == (5.0, 0.1)
    assert (dials.multires_noise_iterations, dials.multires_noise_discount) == (6, 0.2)
    assert (dials.masked_loss, dials.clip_skip, dials.gradient_checkpointing) == (True, 2, True)
    assert (dials.train_unet, dials.train_text_encoder, dials.save_precision) == (True, False, "bf16")
    assert (dials.seed, dials.checkpoint_every_steps) == (9, 6)


def test_caption_flags_reach_every_example(data: Path) -> None:
    made = make(
        data, "--shuffle_caption", "--keep_tokens", "1", "--caption_dropout_rate", "0.2", "--flip_aug"
    )
    for example in made.examples:
        rules = example.caption_rules
        assert (rules.shuffle, rules.keep_tokens, rules.dropout_rate, example.flip) == (True, 1, 0.2, True)


def test_buckets_keep_aspect_ratios(data: Path) -> None:
    made = make(data, "--enable_bucket")
    assert [example.size_px for example in made.examples] == [(512, 512), (704, 320)]
    assert make(data, "--enable_bucket", "--bucket_no_upscale").examples[0].size_px == (64, 64)


@pytest.mark.parametrize(
    ("rules", "picture", "size"),
    [
        (Buckets((512, 512)), (1000, 1000), (512, 512)),
        (Buckets((512, 512)), (3000, 2000), (640, 384)),
        (Buckets((512, 512)), (2000, 3000), (384, 640)),
        (Buckets((512, 512)), (100, 4000), (256, 1024)),
        (Buckets((512, 512), no_upscale=True), (500, 300), (448, 256)),
        (Buckets((512, 512), no_upscale=True), (3000, 2000), (576, 384)),
        (Buckets((512, 768), step_px=32), (512, 768), (512, 768)),
    ],
)
def test_a_picture_gets_sd_scripts_bucket(
    rules: Buckets, picture: tuple[int, int], size: tuple[int, int]
) -> None:
    assert rules.pick(picture) == size
    assert size[0] * size[1] <= rules.resolution_px[0] * rules.resolution_px[1]


def test_transparency_is_the_mask_if_asked(data: Path) -> None:
    (data / "3_sks person" / "a.png").write_bytes(png(mode="RGBA"))
    assert make(data).examples[0].mask is None
    mask = make(data, "--alpha_mask").examples[0].mask
    assert mask is not None
    assert Image.open(io.BytesIO(mask)).getextrema() == (128, 128)


CONFIG = """
[general]
shuffle_caption = true
caption_extension = ".txt"

[[datasets]]
resolution = [512, 768]
batch_size = 2

  [[datasets.subsets]]
  image_dir = "{subject}"
  class_tokens = "sks person"
  num_repeats = 4
  conditioning_data_dir = "{masks}"

  [[datasets.subsets]]
  image_dir = "{masks}"
  is_reg = true
  class_tokens = "person"
  shuffle_caption = false
"""


def config(tmp_path: Path, data: Path, text: str = CONFIG) -> Path:
    masks = tmp_path / "masks"
    masks.mkdir(exist_ok=True)
    for name in "ab":
        (masks / f"{name}.png").write_bytes(png(mode="L"))
    file = tmp_path / "data.toml"
    file.write_text(text.format(subject=(data / "3_sks person").as_posix(), masks=masks.as_posix()), "utf-8")
    return file


def test_a_dataset_file_describes_the_pictures(tmp_path: Path, data: Path) -> None:
    made = make(config(tmp_path, data), source="--dataset_config")
    told = [
        (e.caption, e.repeats, e.size_px, e.is_regularisation, e.caption_rules.shuffle) for e in made.examples
    ]
    assert told[0] == ("sks person", 4, (512, 768), False, True)
    assert told[2] == ("person", 1, (512, 768), True, False)
    assert made.dials.batch_size == 2
    assert made.examples[0].mask == png(mode="L")
    assert made.examples[2].mask is None


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("num_repeats = 4", "num_repeat = 4", "a subset cannot have num_repeat; did you mean num_repeats"),
        ("num_repeats = 4", 'num_repeats = "4"', "num_repeats in a subset cannot be '4'"),
        ("num_repeats = 4", "num_repeats = true", "num_repeats in a subset cannot be True"),
        ("num_repeats = 4", "color_aug = true", "color_aug in a subset is not supported: the latents"),
        ("is_reg = true", "is_reg = 1", "is_reg in a subset cannot be 1"),
        ("resolution = [512, 768]", "resolution = [512, 700]", "multiples of 64 pixels, not 512,700"),
        ("resolution = [512, 768]", "resolution = [512]", "must be a side or"),
        ('image_dir = "{subject}"', "", "needs image_dir"),
        ("[[datasets]]", "[[dataset]]", "needs"),
        ('"{subject}"', '"nowhere"', "nowhere does not exist"),
        ("[general]", "[general", "is no TOML"),
    ],
)
def test_a_wrong_dataset_file_is_named(tmp_path: Path, data: Path, old: str, new: str, sentence: str) -> None:
    assert old in CONFIG
    with pytest.raises(BadInput, match=sentence):
        make(config(tmp_path, data, CONFIG.replace(old, new, 1)), source="--dataset_config")


def test_a_missing_mask_is_named(tmp_path: Path, data: Path) -> None:
    file = config(tmp_path, data)
    (tmp_path / "masks" / "b.png").unlink()
    with pytest.raises(BadInput, match=r"There is no mask for b\.PNG"):
        make(file, source="--dataset_config")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--resolution", "500"), "multiples of 64 pixels, not 500,500"),
        (("--resolution", "big"), "takes a side in pixels"),
        (("--network_args", "conv_dim=4"), "conv_dim in --network_args is not supported"),
        (("--network_args", "droput=4"), "knows rank_dropout and module_dropout, not droput"),
        (("--network_args", "rank_dropout"), 'takes "name=value"'),
        (("--network_args", "rank_dropout=2"), "a share from 0"),
        (("--optimizer_args", "decay"), 'takes "name=value"'),
        (("--network_weights", "nowhere.safetensors"), "nowhere.safetensors cannot be read"),
        (("--dim_from_weights",), "needs --network_weights"),
        (("--bucket_reso_steps", "20"), "multiple of 8"),
    ],
)
def test_what_cannot_be_is_one_sentence(data: Path, more: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        make(data, *more)


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
    (data / "3_sks person" / "a.png").write_bytes(b"no picture")
    with pytest.raises(BadInput, match=r"a\.png cannot be read as a picture"):
        make(data)


SAMPLE = SamplePrompt("sks person on mars", "blurry, dark", 384, 512, 20, 6.5, 7)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "# first\n\nsks person on mars --n blurry, dark --w 384 --h 515 --d 7 --l 6.5 --s 20\n"),
        (
            "a.toml",
            '[prompt]\nnegative_prompt = "blurry, dark"\nwidth = 384\nheight = 512\n'
            'scale = 6.5\nsample_steps = 20\n'
            '[[prompt.subset]]\nprompt = "sks person on mars"\nseed = 7\n',
        ),
        (
            "a.json",
            json.dumps([
                {"prompt": "sks person on mars", "negative_prompt": "blurry, dark", "width": 384,
                 "height": 512, "scale": 6.5, "sample_steps": 20, "seed": 7}
            ]),
        ),
    ],
)  # fmt: skip
def test_sample_prompts_are_read_as_sd_scripts_writes_them(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    assert sample_file.read(tmp_path / name) == (SAMPLE,)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no prompts in"),
        ("sks --x 3", "the setting --x; known are --n --w"),
        ("sks --w wide", "width is no number: wide"),
    ],
)
def test_a_wrong_prompt_file_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "a.txt").write_text(text, "utf-8")
    with pytest.raises(BadInput, match=sentence):
        sample_file.read(tmp_path / "a.txt")
    with pytest.raises(BadInput, match="does not exist"):
        sample_file.read(tmp_path / "b.txt")


def test_samples_are_planned(tmp_path: Path, data: Path) -> None:
    (tmp_path / "a.txt").write_text("sks person", "utf-8")
    dials = make(data, "--sample_prompts", str(tmp_path / "a.txt"), "--sample_every_n_steps", "50").dials
    assert (dials.sample_every_steps, dials.sample_at_first) == (50, False)
    dials = make(data, "--sample_prompts", str(tmp_path / "a.txt"), "--sample_at_first").dials
    assert (dials.sample_every_steps, dials.sample_at_first) == (1601, True)
