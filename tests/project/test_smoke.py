"""`.ci/smoke.py`: a demo whose result is missing, broken or of another LoraCode fails the smoke."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.numpy import save_file

from tests.support.programs import loaded

ROOT = Path(__file__).parents[2]
smoke = loaded(ROOT / ".ci" / "smoke.py")
OUTPUT = "you: (five photos)\ndemo: ok code=40713386 lora=lora.safetensors pictures=1-1.png,1-2.png\n"


def write_result(folder: Path) -> None:
    """Write the files that OUTPUT names."""
    save_file({"down": np.zeros(1, np.float32)}, folder / "lora.safetensors")
    for name in ("1-1.png", "1-2.png"):
        write_picture(folder / name, "a face <lora:40713386:1>")


def write_picture(path: Path, recipe: str) -> None:
    """Write a picture with its recipe."""
    info = PngInfo()
    info.add_text("parameters", recipe)
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)


def test_a_whole_result_is_summed_up(tmp_path: Path) -> None:
    write_result(tmp_path)
    assert smoke.check_result(OUTPUT, tmp_path) == "LoraCode 40713386, 1 tensors, 2 pictures"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "lora.safetensors").unlink(), "the LoRA cannot be read"),
        (lambda folder: (folder / "lora.safetensors").write_bytes(b"no weights"), "the LoRA cannot be read"),
        (lambda folder: save_file({}, folder / "lora.safetensors"), "the LoRA holds no tensors"),
        (lambda folder: (folder / "1-2.png").write_bytes(b"no picture"), "a picture cannot be read"),
        (lambda folder: write_picture(folder / "1-2.png", "12345678"), "does not name LoraCode 40713386"),
    ],
)
def test_a_spoilt_result_fails(tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    write_result(tmp_path)
    spoil(tmp_path)
    with pytest.raises(smoke.SmokeError, match=message):
        smoke.check_result(OUTPUT, tmp_path)


@pytest.mark.parametrize("output", ["", "demo: failed", OUTPUT + "Traceback"])
def test_output_without_a_result_in_its_last_line_fails(tmp_path: Path, output: str) -> None:
    write_result(tmp_path)
    with pytest.raises(smoke.SmokeError, match="names no result"):
        smoke.check_result(output, tmp_path)
