"""Write the small base model of a training run as a diffusers folder of half-precision safetensors.

    python kohya-scripts/export_small_base.py --run /tmp/small_base_run --to gpu_worker/models/drawn/model

Only the averaged weights are written. A run that is still going on can be exported too.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from small_base.architecture import build_vae
from small_base.pictures import drawings
from small_base.run import Run
from small_base.settings import SmallBaseSettings
from small_base.state import TrainingState
from small_base.unet import Painter, encode_all
from small_base.vocabulary import build_tokenizer
from torch import nn

from gpu_worker.models.sd15.config import SCHEDULER

WEIGHTS = {
    "unet": "diffusion_pytorch_model.fp16.safetensors",
    "vae": "diffusion_pytorch_model.fp16.safetensors",
    "text_encoder": "model.fp16.safetensors",
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--to", type=Path, required=True, help="folder of the model; made if missing")
    arguments = parser.parse_args()
    settings = SmallBaseSettings()
    run = Run(arguments.run, settings, print)
    tokenizer = build_tokenizer(settings)
    vae = averaged(build_vae(settings), arguments.run / "vae.safetensors")
    painter = averaged(Painter(settings, tokenizer), arguments.run / "painter.safetensors")
    pixels = drawings(arguments.run / "drawings.npy", settings.drawings, settings.picture_px)
    scale = encode_all(run, vae, pixels).scale
    vae.register_to_config(scaling_factor=round(scale, 5))
    for name, part in (("unet", painter.unet), ("vae", vae), ("text_encoder", painter.text_encoder)):
        write(part, arguments.to / name, WEIGHTS[name])
    tokenizer.save_pretrained(arguments.to / "tokenizer")
    (arguments.to / "scheduler").mkdir(exist_ok=True)
    scheduler = {"_class_name": "DDPMScheduler", **SCHEDULER}
    (arguments.to / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler, indent=2) + "\n")
    size = sum(path.stat().st_size for path in arguments.to.rglob("*") if path.is_file())
    print(f"{arguments.to}: {size / 2**20:.1f} MiB")
    return 0


def averaged(model: nn.Module, path: Path) -> nn.Module:
    """Return a model with the moving average of a stage's weights."""
    state = TrainingState(model, rate=0.0, ema_decay=0.0)
    state.load(path)
    state.use_average()
    print(f"{path.name}: step {state.step}")
    return model


def write(part: nn.Module, folder: Path, file_name: str) -> None:
    """Write a part's configuration and its weights in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    part.config.to_json_file(folder / "config.json") if hasattr(
        part.config, "to_json_file"
    ) else part.save_config(folder)
    tensors = {name: value.to(torch.float16).contiguous() for name, value in part.state_dict().items()}
    save_file(tensors, folder / file_name, {"format": "pt"})


if __name__ == "__main__":
    sys.exit(main())
