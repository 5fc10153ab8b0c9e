"""Write a small model of Stable Diffusion 1.5's shape that sd-scripts can load, and photos for it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

from PIL import Image

import drawn
from benchmarks import sd15_model
from gpu_worker.models.sd15.config import Widths

#: Sizes of the photos with a bucket each.
_ODD_SIZES = ((200, 100), (90, 180), (150, 150), (333, 111), (64, 400))
_LONG_CAPTION = "sks person, " + ", ".join(f"a red hat and a blue sky number {index}" for index in range(14))


def main() -> None:
    """Read the folders of model and photos, and the UNet's widths."""
    model, data, widths = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    sd15_model.write_model(
        model,
        Widths(
            unet=tuple(widths),
            vae=(32, 32, 64, 64),
            norm_groups=32,
            text_encoder=96,
            text_feed_forward=192,
            image_px=128,
        ),
    )
    for index, photo in enumerate(drawn.sample_photos(1, 5, 256)):
        image = Image.open(io.BytesIO(photo)).convert("RGB")
        _save(image.resize((128, 128)), data / "square" / "2_sks person" / f"{index}.png", "sks person")
        _save(image.resize(_ODD_SIZES[index]), data / "odd" / "2_sks person" / f"{index}.png", _LONG_CAPTION)
    for index, photo in enumerate(drawn.sample_photos(2, 3, 128)):
        image = Image.open(io.BytesIO(photo)).convert("RGB")
        _save(image.resize((128, 128)), data / "reg" / "1_person" / f"{index}.png", "person")


def _save(image: Image.Image, path: Path, caption: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    path.with_suffix(".txt").write_text(caption, "utf-8")


if __name__ == "__main__":
    main()
