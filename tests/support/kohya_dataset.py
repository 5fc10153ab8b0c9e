"""A data folder as sd-scripts has it, and the plan that is made of it."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from gpu_worker.kohya import flags, plan
from gpu_worker.kohya.plan import TrainingPlan


def png(size: tuple[int, int] = (64, 64), mode: str = "RGB") -> bytes:
    """Return a picture of one colour, half transparent if it has an alpha channel."""
    file = io.BytesIO()
    Image.new(mode, size, (9, 9, 9, 128)[: len(mode)]).save(file, "PNG")
    return file.getvalue()


def photo_folders(tmp_path: Path) -> Path:
    """Make two pictures in one folder, and a folder that counts for nothing."""
    folder = tmp_path / "photos" / "3_sks person"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(png())
    (folder / "b.PNG").write_bytes(png((600, 300)))
    (folder / "a.caption").write_text("sks person, red hat\nsecond line\n", "utf-8")
    (folder / "notes.md").write_text("no picture", "utf-8")
    (tmp_path / "photos" / "unused").mkdir()
    return tmp_path / "photos"


def make(data: Path, *more: str, source: str = "--train_data_dir") -> TrainingPlan:
    """Plan a training as a command line would."""
    line = ["--pretrained_model_name_or_path", "tiny", "--output_dir", "out", source, str(data), *more]
    return plan.make_plan(flags.parse_arguments(line), native_px=512)
