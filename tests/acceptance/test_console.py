"""The console, through its own standard streams, with the real worker and the embedded base model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import drawn

ROOT = Path(__file__).parents[2]


def loracode(folder: Path, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the program as `make run` does, with its data in a folder of the test."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_BOT_TOKEN")}
    return subprocess.run(
        [sys.executable, "-m", "bot"],
        cwd=folder,
        env={**kept, "DATA_DIR": "data", "PYTHONPATH": str(ROOT), **environ},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def test_the_demo_without_a_token_makes_a_code_a_lora_and_a_picture(tmp_path: Path) -> None:
    ran = loracode(tmp_path, TRAIN_STEPS="4")
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert "TELEGRAM_BOT_TOKEN" in lines[0]
    last = re.fullmatch(r"demo: ok code=(\d{8}) lora=(\S+) pictures=(\S+)", lines[-1])
    assert last is not None, ran.stdout
    assert (tmp_path / last[2]).stat().st_size > 10_000
    for name in last[3].split(","):
        with Image.open(tmp_path / name) as picture:
            assert last[1] in str(picture.info["parameters"])


@pytest.mark.soak  # `make test` has the demo on `drawn`
@pytest.mark.parametrize(
    ("base_model", "written"),
    [
        ("tiny-xl", b"sdxl_base_v1-0"),
        ("tiny-klein", b"flux2_klein_4b"),
        ("tiny-zimage", b"zimage"),
    ],
)
def test_the_demo_runs_on_the_embedded_models(tmp_path: Path, base_model: str, written: bytes) -> None:
    ran = loracode(tmp_path, TRAIN_STEPS="2", BASE_MODEL=base_model)
    last = re.fullmatch(r"demo: ok code=(\d{8}) lora=(\S+) pictures=(\S+)", ran.stdout.splitlines()[-1])
    assert last is not None, ran.stdout + ran.stderr
    assert written in (tmp_path / last[2]).read_bytes()[:100_000]


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"TRAIN_STEPS": "many"}, "TRAIN_STEPS: "),
        ({"TELEGRAM_BOT_TOKEN": "canary"}, "TELEGRAM_BOT_TOKEN: "),
        ({"DATA_DIR": "/proc/loracode"}, "DATA_DIR: "),
    ],
)
def test_a_wrong_setting_ends_the_start_with_one_line(
    tmp_path: Path, environ: dict[str, str], line: str
) -> None:
    ran = loracode(tmp_path, **environ)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"loracode: {line}")
    assert len(ran.stderr.splitlines()) == 1
    assert "canary" not in ran.stderr


def test_a_folder_of_photos_can_be_typed(tmp_path: Path) -> None:
    from bot.chats.console import parse_photo_paths

    for number, data in enumerate(drawn.sample_photos(3, count=2), 1):
        (tmp_path / f"{number} of two.png").write_bytes(data)
    (tmp_path / "notes.txt").write_text("not a photo")
    both = [tmp_path / "1 of two.png", tmp_path / "2 of two.png"]
    assert parse_photo_paths(str(tmp_path)) == both
    assert parse_photo_paths(str(both[0])) == both[:1]
    assert parse_photo_paths(f"'{both[0]}' '{both[1]}'") == both
    assert parse_photo_paths("neither here nor there") == []
