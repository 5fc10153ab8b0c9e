"""Golden files: what is read of a case's files, and how differences are described."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from safetensors.numpy import save_file

from benchmarks.golden import __main__ as golden
from benchmarks.golden.outputs import CaseOutputs, describe_differences, read_outputs
from benchmarks.golden.program import CaseError, Checkout


def write_case(
    folder: Path, *, weight: float = 1.0, seed: str = "7", started_at: str = "1", pixel: int = 0
) -> None:
    folder.mkdir()
    metadata = {"ss_seed": seed, "ss_training_started_at": started_at}
    metadata["training"] = json.dumps({"step": 3, "started_at": float(started_at)})
    tensors = {"down": np.full((2, 2), weight, np.float32), "up": np.zeros((2, 2), np.float32)}
    save_file(tensors, folder / "lora.safetensors", metadata)
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a person")
    Image.new("RGB", (4, 4), (pixel, 0, 0)).save(folder / "sample.png", pnginfo=info)
    (folder / "notes.txt").write_text("not compared")


@pytest.fixture
def before(tmp_path: Path) -> CaseOutputs:
    write_case(tmp_path / "before")
    return read_outputs(tmp_path / "before")


def test_outputs_are_the_loras_and_pictures_of_a_folder(before: CaseOutputs) -> None:
    assert before.keys() == {"lora.safetensors", "sample.png"}
    assert before["lora.safetensors"]["metadata"] == {"ss_seed": "7", "training": {"step": 3}}
    assert before["sample.png"]["texts"] == {"parameters": "a person"}


def test_times_are_no_difference(tmp_path: Path, before: CaseOutputs) -> None:
    write_case(tmp_path / "after", started_at="2")
    assert describe_differences(before, read_outputs(tmp_path / "after")) == ""


def test_changed_tensors_are_counted(tmp_path: Path, before: CaseOutputs) -> None:
    write_case(tmp_path / "after", weight=1.0000001)
    differences = describe_differences(before, read_outputs(tmp_path / "after"))
    assert differences == "lora.safetensors: 1 of 2 tensors"


def test_changed_metadata_are_named_with_both_values(tmp_path: Path, before: CaseOutputs) -> None:
    write_case(tmp_path / "after", seed="8")
    differences = describe_differences(before, read_outputs(tmp_path / "after"))
    assert differences == "lora.safetensors: metadata ss_seed was 7 and is 8"


def test_a_changed_pixel_is_a_difference(tmp_path: Path, before: CaseOutputs) -> None:
    write_case(tmp_path / "after", pixel=1)
    assert describe_differences(before, read_outputs(tmp_path / "after")) == "sample.png: pixels"


def test_missing_and_new_files_are_named(before: CaseOutputs) -> None:
    after = {"lora.safetensors": before["lora.safetensors"], "more.png": before["sample.png"]}
    assert describe_differences(before, after) == "more.png is new; sample.png is missing"


def test_a_long_list_of_files_is_cut(before: CaseOutputs) -> None:
    after = {**before, **{f"{number}.png": before["sample.png"] for number in range(6)}}
    assert describe_differences(before, after).endswith("3.png is new; and 2 more files")


@pytest.fixture
def compare(tmp_path: Path, before: CaseOutputs, monkeypatch: pytest.MonkeyPatch) -> Compare:
    return Compare(tmp_path, before, monkeypatch)


class Compare:
    """Compares a golden file with outputs that are given, so that no program is started."""

    def __init__(self, folder: Path, before: CaseOutputs, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._file = folder / "golden.json"
        monkeypatch.setattr(golden, "write_inputs", lambda _: {})
        monkeypatch.setattr(golden, "_describe_machine", dict)
        self._file.write_text(json.dumps({"about": {}, "inputs": {}, "cases": {"tiny": before}}))

    def __call__(self, outputs: CaseOutputs | CaseError) -> int:
        def run_case(name: str, checkout: Checkout) -> CaseOutputs:
            if isinstance(outputs, CaseError):
                raise outputs
            return outputs

        self._monkeypatch.setattr(golden, "run_case", run_case)
        return golden.compare_golden(self._file, ["tiny"], Checkout(Path(), "python3", self._file.parent))


def test_equal_outputs_end_with_status_0(
    compare: Compare, before: CaseOutputs, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(before) == 0
    assert capsys.readouterr().out == "golden: tiny equal\n"


@pytest.mark.parametrize("outputs", [{}, CaseError("exit status 1: killed")])
def test_other_outputs_and_failures_end_with_status_1(
    compare: Compare, outputs: CaseOutputs | CaseError, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(outputs) == 1
    assert "tiny DIFFERENT" in capsys.readouterr().out
