"""The file of sample prompts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpu_worker.errors import BadInput
from gpu_worker.kohya import sample_file
from gpu_worker.training.config import SamplePrompt

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
    assert sample_file.read_sample_prompts(tmp_path / name) == (SAMPLE,)


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
        sample_file.read_sample_prompts(tmp_path / "a.txt")
    with pytest.raises(BadInput, match="does not exist"):
        sample_file.read_sample_prompts(tmp_path / "b.txt")


def test_settings_that_a_prompt_leaves_open_are_sd_scripts_defaults(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("sks person\nsks person --W 30 --h 70 --s 2000\n", "utf-8")
    assert sample_file.read_sample_prompts(tmp_path / "a.txt") == (
        SamplePrompt("sks person", steps=30, guidance_scale=7.5),
        SamplePrompt("sks person", width_px=64, height_px=64, steps=1000, guidance_scale=7.5),
    )


@pytest.mark.parametrize("text", ['{"prompt": "sks"}', "[3]", "3", "null"])
def test_prompts_in_json_are_a_list(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text, "utf-8")
    with pytest.raises(BadInput, match="must be a list of texts or tables"):
        sample_file.read_sample_prompts(tmp_path / "a.json")


def test_prompts_in_toml_are_subsets(tmp_path: Path) -> None:
    for text in ("a = 1", "[prompt]\nwidth = 64"):
        (tmp_path / "a.toml").write_text(text, "utf-8")
        with pytest.raises(BadInput, match=r"a\.toml need \[prompt\] with"):
            sample_file.read_sample_prompts(tmp_path / "a.toml")
