"""Write the small base model of a training run as a diffusers folder of half-precision safetensors.

    python kohya-scripts/export_small_base.py --run /tmp/run --to gpu_worker/models/sd15/drawn/model

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
from small_base.pictures import load_drawings
from small_base.run import SmallBaseRun
from small_base.settings import SmallBaseSettings
from small_base.state import SmallBaseState
from small_base.unet import DiffusionModel, encode_drawings
from small_base.vocabulary import build_tokenizer
from torch import nn

from gpu_worker.models.sd15.config import SCHEDULER_CONFIG

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
    args = parser.parse_args()
    settings = SmallBaseSettings()
    run = SmallBaseRun(args.run, settings, print)
    tokenizer = build_tokenizer(settings)
    vae = load_averaged(build_vae(settings), args.run / "vae.safetensors")
    painter = load_averaged(DiffusionModel(settings, tokenizer), args.run / "painter.safetensors")
    pixels = load_drawings(args.run / "drawings.npy", settings.num_drawings, settings.image_px)
    scale = encode_drawings(run, vae, pixels).scaling_factor
    vae.register_to_config(scaling_factor=round(scale, 5))
    for name, component in (("unet", painter.unet), ("vae", vae), ("text_encoder", painter.text_encoder)):
        write_component(component, args.to / name, WEIGHTS[name])
    tokenizer.save_pretrained(args.to / "tokenizer")
    (args.to / "scheduler").mkdir(exist_ok=True)
    scheduler = {"_class_name": "DDPMScheduler", **SCHEDULER_CONFIG}
    (args.to / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler, indent=2) + "\n")
    size = sum(path.stat().st_size for path in args.to.rglob("*") if path.is_file())
    print(f"{args.to}: {size / 2**20:.1f} MiB")
    return 0


def load_averaged(model: nn.Module, path: Path) -> nn.Module:
    """Return a model with the moving average of a stage's weights."""
    state = SmallBaseState(model, learning_rate=0.0, ema_decay=0.0)
    state.load(path)
    state.apply_ema()
    print(f"{path.name}: step {state.step}")
    return model


def write_component(component: nn.Module, folder: Path, file_name: str) -> None:
    """Write a part's configuration and its weights in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    component.config.to_json_file(folder / "config.json") if hasattr(
        component.config, "to_json_file"
    ) else component.save_config(folder)
    tensors = {name: value.to(torch.float16).contiguous() for name, value in component.state_dict().items()}
    save_file(tensors, folder / file_name, {"format": "pt"})


if __name__ == "__main__":
    sys.exit(main())
