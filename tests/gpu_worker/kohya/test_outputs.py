"""Files of a training: whole, or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_worker.errors import BadInput
from gpu_worker.kohya import outputs
from gpu_worker.kohya.outputs import OutputFiles


def test_files_are_named_as_sd_scripts_names_them(tmp_path: Path) -> None:
    by_step = OutputFiles(tmp_path, "me", steps_per_epoch=3, is_by_epoch=False)
    by_epoch = OutputFiles(tmp_path, "me", steps_per_epoch=3, is_by_epoch=True)
    written = [
        by_step.write_lora(b"a"),
        by_step.write_lora(b"b", 6),
        by_epoch.write_lora(b"c", 6),
        by_step.write_state(b"d"),
        by_epoch.write_state(b"e", 6),
        by_step.write_sample(b"f", 6, 1),
    ]
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "me.safetensors",
        "me-step00000006.safetensors",
        "me-000002.safetensors",
        "me-state/state.safetensors",
        "me-000002-state/state.safetensors",
        "sample/me_000006_01.png",
    ]
    assert [path.read_bytes() for path in written] == [b"a", b"b", b"c", b"d", b"e", b"f"]
    assert outputs.read_state(tmp_path / "me-state") == outputs.read_state(written[3]) == b"d"


def test_a_file_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    outputs.write_file(tmp_path / "a", b"before")
    outputs.write_file(tmp_path / "a", b"after")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"after"]


def test_file_that_cannot_be_placed_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(BadInput, match="a could not be written"):
        outputs.write_file(tmp_path / "a", b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_new_folder_goes_with_the_file_that_could_not_be_written(tmp_path: Path) -> None:
    # A name that fits a folder, with no room for the part file's longer one.
    long_name = "n" * 250
    with pytest.raises(BadInput, match="could not be written"):
        outputs.write_file(tmp_path / "new" / long_name, b"data")
    assert not list(tmp_path.iterdir())


def test_an_output_folder_that_cannot_be_is_found_before_the_training(tmp_path: Path) -> None:
    outputs.prepare_folder(tmp_path / "out" / "deep")
    assert not list((tmp_path / "out" / "deep").iterdir())
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match=r"The output folder .*file cannot be written to"):
        outputs.prepare_folder(tmp_path / "file")


def test_a_state_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"The state .*nowhere cannot be read"):
        outputs.read_state(tmp_path / "nowhere")
