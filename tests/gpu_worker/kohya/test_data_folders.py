"""Data folders as people have them: what is read, what is skipped and what is asked for."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from gpu_worker.errors import BadInput
from tests.support.kohya_dataset import make, png

SUBSET = "3_sks person"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Make a data folder with one picture, `a.png`."""
    folder = tmp_path / "photos" / SUBSET
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(png())
    return tmp_path / "photos"


def put(data: Path, name: str, content: bytes | str = b"") -> None:
    path = data / SUBSET / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def captions_of(data: Path, *more: str) -> list[str]:
    return [image.caption for image in make(data, *more).training_images]


def fifo(folder: Path) -> None:
    os.mkfifo(folder / "x.png")


@pytest.mark.parametrize(
    ("add", "reason"),
    [
        (lambda folder: (folder / "._a.png").write_bytes(b"\0\5\x16\7"), "skipped ._a.png: .* hidden"),
        (lambda folder: (folder / ".thumb.jpg").write_bytes(png()), "skipped .thumb.jpg: .* hidden"),
        (lambda folder: (folder / "x.png").mkdir(), "skipped x.png: it is a folder"),
        (lambda folder: (folder / "x.png").symlink_to("gone.png"), "skipped x.png: it is a broken link"),
        (lambda folder: (folder / "x.png").symlink_to("x.png"), "skipped x.png: it is a broken link"),
        pytest.param(
            fifo,
            "skipped x.png: it is no file",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="POSIX has pipes"),
        ),
        (lambda folder: (folder / "x.HEIC").write_bytes(b"x"), "skipped x.HEIC: .heic is not read here"),
        (lambda folder: (folder / "x.jxl").write_bytes(b"x"), "skipped x.jxl: .jxl is not read here"),
        (lambda folder: Image.new("RGB", (1, 500)).save(folder / "x.png"), "skipped x.png: 1 x 500 pixels"),
        (lambda folder: Image.new("RGB", (500, 7)).save(folder / "x.png"), "skipped x.png: 500 x 7 pixels"),
        (lambda folder: Image.new("RGB", (1, 1)).save(folder / "x.png"), "1 x 1 pixels are too few"),
    ],
)
def test_unusable_pictures_are_skipped_with_one_line(
    data: Path, caplog: pytest.LogCaptureFixture, add: Callable[[Path], object], reason: str
) -> None:
    add(data / SUBSET)
    assert len(make(data).training_images) == 1
    [told] = [record.getMessage() for record in caplog.records]
    assert re.search(reason, told)


def test_files_beside_pictures_are_passed_over_in_silence(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (".DS_Store", "Thumbs.db", "notes.md", "a.npz"):
        put(data, name, b"x")
    assert len(make(data).training_images) == 1
    assert not caplog.records


@pytest.mark.parametrize("name", ["x.jfif", "x.avif", "x.gif", "x.tiff", "x.tif", "x.BMP", "x.WebP"])
def test_pictures_of_these_kinds_are_read(data: Path, name: str) -> None:
    Image.new("RGB", (80, 64), "red").save(
        data / SUBSET / name, {".jfif": "JPEG"}.get(Path(name).suffix.lower())
    )
    assert len(make(data).training_images) == 2


def test_a_picture_that_may_not_be_read_is_named(data: Path) -> None:
    path = data / SUBSET / "a.png"
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(BadInput, match=r"a\.png cannot be read: Permission denied"):
        make(data)
    path.chmod(stat.S_IRUSR)


def test_the_folder_that_was_meant_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"give the folder that holds it, .*photos\.$"):
        make(data / SUBSET)
    with pytest.raises(BadInput, match=r"did you mean .*photos\?"):
        make(tmp_path)
    loose = tmp_path / "loose"
    loose.mkdir()
    (loose / "a.png").write_bytes(png())
    with pytest.raises(BadInput, match=r"The pictures are in .*loose itself: put them into a folder in it"):
        make(loose)
    with pytest.raises(BadInput, match=r"The pictures are in .*loose itself"):
        make(data, "--reg_data_dir", str(loose))
    with pytest.raises(BadInput, match=r"a\.png is a file, not a folder"):
        make(loose / "a.png")


def test_a_folder_given_as_a_dot_is_named_by_its_own_name(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data / SUBSET)
    with pytest.raises(BadInput, match=r"give the folder that holds it, .*photos\.$"):
        make(Path())


def test_pictures_outside_the_folders_that_are_read_are_told_of(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (data / "b.png").write_bytes(png())
    (data / "2_cat" / "deep").mkdir(parents=True)
    (data / "2_cat" / "deep" / "c.png").write_bytes(png())
    assert len(make(data).training_images) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "skipped the pictures in photos itself: only those in its folders are read",
        "no images in folder 2_cat; those in its folder deep are not read",
    ]


@pytest.mark.parametrize("extension", ["txt", ".txt", "*.txt", " .txt"])
def test_the_ending_of_captions_may_lack_its_dot(data: Path, extension: str) -> None:
    put(data, "a.txt", "sks person, red hat")
    assert captions_of(data, "--caption_extension", extension) == ["sks person, red hat"]


@pytest.mark.parametrize("extension", ["", ".", "*", "captions/.txt", ".png"])
def test_a_caption_extension_that_is_no_ending_is_refused(data: Path, extension: str) -> None:
    with pytest.raises(BadInput, match=r"caption_extension takes the ending"):
        make(data, f"--caption_extension={extension}")


def test_a_dataset_file_may_name_the_ending_without_its_dot(data: Path, tmp_path: Path) -> None:
    put(data, "a.txt", "red hat")
    config = tmp_path / "data.toml"
    config.write_text(
        f'[[datasets]]\n[[datasets.subsets]]\nimage_dir = "{data / SUBSET}"\ncaption_extension = "txt"\n'
    )
    [image] = make(config, source="--dataset_config").training_images
    assert image.caption == "red hat"


@pytest.mark.parametrize(
    ("text", "caption"),
    [
        ("\n\n  sks person, hat \nmore", "sks person, hat"),
        ("\r\n\tone\r\ntwo", "one"),
        ("\ufeff\none", "one"),
    ],
)
def test_a_caption_is_the_first_line_with_words(data: Path, text: str, caption: str) -> None:
    put(data, "a.caption", text)
    assert captions_of(data) == [caption]


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", "  \t"])
def test_a_caption_without_words_trains_without_words_and_is_told_of(
    data: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    put(data, "a.caption", text)
    assert captions_of(data) == [""]
    told = [record.getMessage() for record in caplog.records]
    assert told == ["the caption a.caption is empty: its picture trains without words"]


def test_pictures_that_share_a_caption_are_told_of(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(data, "a.jpg", png())
    assert captions_of(data) == ["sks person"] * 2
    assert not caplog.records
    put(data, "a.caption", "one for both")
    assert captions_of(data) == ["one for both"] * 2
    assert [record.getMessage() for record in caplog.records] == [
        "a.jpg and a.png share the caption a.caption"
    ]


def test_captions_with_another_ending_are_told_of(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(data, "a.txt", "red hat")
    assert captions_of(data) == ["sks person"]
    assert [record.getMessage() for record in caplog.records] == [
        "1 captions end with .txt and are not read; use --caption_extension .txt"
    ]


@pytest.mark.parametrize(
    ("size", "bucket"),
    [((400, 200), (128, 64)), ((100, 100), (64, 64)), ((64, 256), (64, 256)), ((4000, 1000), (256, 64))],
)
def test_pictures_that_are_not_enlarged_never_exceed_the_resolution(
    data: Path, size: tuple[int, int], bucket: tuple[int, int]
) -> None:
    Image.new("RGB", size).save(data / SUBSET / "a.png")
    [image] = make(data, "--enable_bucket", "--bucket_no_upscale", "--resolution", "128").training_images
    assert image.size_px == bucket


@pytest.mark.parametrize("size", [(20, 20_000), (20_000, 20), (64, 2000), (8, 2000), (2000, 8)])
def test_a_stripe_that_would_have_to_be_enlarged_is_skipped(
    data: Path, caplog: pytest.LogCaptureFixture, size: tuple[int, int]
) -> None:
    Image.new("RGB", size).save(data / SUBSET / "x.png")
    made = make(data, "--enable_bucket", "--bucket_no_upscale", "--resolution", "128")
    assert len(made.training_images) == 1
    [told] = [record.getMessage() for record in caplog.records]
    assert told == f"skipped x.png: {size[0]} x {size[1]} pixels are too narrow to train on"
