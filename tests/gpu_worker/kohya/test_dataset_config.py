"""The dataset file: what it describes, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpu_worker.errors import BadInput
from tests.support.kohya_dataset import make, photo_folders, png


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return photo_folders(tmp_path)


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
    (masks / "a.png").write_bytes(png(mode="L"))
    (masks / "b.png").write_bytes(png((600, 300), mode="L"))
    file = tmp_path / "data.toml"
    file.write_text(text.format(subject=(data / "3_sks person").as_posix(), masks=masks.as_posix()), "utf-8")
    return file


def test_a_dataset_file_describes_the_pictures(tmp_path: Path, data: Path) -> None:
    made = make(config(tmp_path, data), "--masked_loss", source="--dataset_config")
    subsets = [
        (e.caption, e.repeats, e.size_px, e.is_regularisation, e.caption_rules.shuffle)
        for e in made.training_images
    ]
    assert subsets[0] == ("sks person", 4, (512, 768), False, True)
    assert subsets[2] == ("person", 1, (512, 768), True, False)
    assert made.config.batch_size == 2
    assert made.training_images[0].mask == png(mode="L")
    assert made.training_images[2].mask is None


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("num_repeats = 4", "num_repeat = 4", "a subset cannot have num_repeat; did you mean num_repeats"),
        ("num_repeats = 4", 'num_repeats = "4"', "num_repeats in a subset cannot be '4'"),
        ("num_repeats = 4", "num_repeats = 0", "num_repeats in a subset cannot be 0"),
        ("num_repeats = 4", "caption_dropout_rate = 2", "caption_dropout_rate in a subset cannot be 2"),
        ("num_repeats = 4", 'metadata_file = "a.json"', "metadata_file in a subset is not supported: write"),
        ("batch_size = 2", "batch_size = 0", "batch_size in a dataset cannot be 0"),
        ("batch_size = 2", "enable_bucket = true\nmin_bucket_reso = 900", "is above the resolution"),
        ("batch_size = 2", "subsets = 3", "is no TOML"),
        ("[general]", "[[general]]", "must be a table"),
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
        make(config(tmp_path, data, CONFIG.replace(old, new, 1)), "--masked_loss", source="--dataset_config")


def test_settings_that_a_dataset_file_leaves_open_come_from_the_line(tmp_path: Path, data: Path) -> None:
    text = CONFIG.replace("batch_size = 2", "enable_bucket = true").replace("resolution = [512, 768]", "")
    more = ("--masked_loss", "--resolution", "512", "--bucket_reso_steps", "32", "--train_batch_size", "3")
    made = make(config(tmp_path, data, text), *more, source="--dataset_config")
    assert made.training_images[1].size_px == (704, 352)
    assert made.config.batch_size == 3


def test_a_dataset_file_may_be_json(tmp_path: Path, data: Path) -> None:
    file = tmp_path / "data.json"
    subset = {"image_dir": str(data / "3_sks person"), "num_repeats": 2}
    file.write_text(json.dumps({"datasets": [{"subsets": [subset]}]}), "utf-8")
    assert [example.repeats for example in make(file, source="--dataset_config").training_images] == [2, 2]
    for text, sentence in (("[]", "must hold tables"), ("{", "is no JSON"), ('{"datasets": [1]}', "needs")):
        file.write_text(text, "utf-8")
        with pytest.raises(BadInput, match=sentence):
            make(file, source="--dataset_config")


def test_masks_that_nothing_uses_and_masks_that_are_not_there_are_named(tmp_path: Path, data: Path) -> None:
    file = config(tmp_path, data)
    with pytest.raises(BadInput, match="conditioning_data_dir in the dataset file needs --masked_loss"):
        make(file, source="--dataset_config")
    (tmp_path / "masks" / "b.png").write_bytes(png((300, 300), mode="L"))
    with pytest.raises(
        BadInput, match=r"The mask b\.png is \(300, 300\), its picture b\.PNG is \(600, 300\)"
    ):
        make(file, "--masked_loss", source="--dataset_config")
    (tmp_path / "masks" / "b.png").unlink()
    with pytest.raises(BadInput, match=r"There is no mask for b\.PNG"):
        make(file, "--masked_loss", source="--dataset_config")
    without = CONFIG.replace('conditioning_data_dir = "{masks}"', "")
    with pytest.raises(BadInput, match="needs masks: alpha_mask or conditioning_data_dir"):
        make(config(tmp_path, data, without), "--masked_loss", source="--dataset_config")
