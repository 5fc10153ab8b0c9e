"""Stable Diffusion 1.5's true shape with random weights, as a diffusers folder: 4.3 GB, built once.

How fast a step is does not depend on what the weights are, so no download is needed to measure it.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from gpu_worker.models.sd15.config import (
    SCHEDULER_CONFIG,
    Widths,
    text_encoder_config,
    unet_config,
)
from gpu_worker.models.sources.vae import vae_config
from gpu_worker.models.text.clip.tokenizer import load_clip_tokenizer

#: What the weights take in fp32, and some room for the results.
NEEDED_BYTES = 5 * 10**9
_COMPLETE = "complete"
_SEED = 15
#: What sd-scripts asks its tokenizer cache for.
_PEER_TOKENIZER = "openai_clip-vit-large-patch14"
_DIFFUSERS_VERSION = "0.6.0"  # what the published folder says


class DiskFullError(Exception):
    """There is too little room on the disk for the model."""


def build(bench_dir: Path) -> Path:
    """Return the model's folder; it is built where it is not complete. NoRoom when the disk is too small."""
    folder = bench_dir / "sd15-random"
    if (folder / _COMPLETE).is_file():
        return folder
    if folder.exists():  # a build that was interrupted
        shutil.rmtree(folder)
    bench_dir.mkdir(parents=True, exist_ok=True)
    check_room(bench_dir, NEEDED_BYTES)
    write_model(folder, Widths())
    (folder / _COMPLETE).touch()
    return folder


def check_room(bench_dir: Path, needed_bytes: int) -> None:
    """Raise DiskFullError if a folder's disk has too little room for a model."""
    free_bytes = shutil.disk_usage(bench_dir).free
    if free_bytes < needed_bytes:
        raise DiskFullError(
            f"the model needs {needed_bytes / 1e9:.1f} GB and {free_bytes / 1e9:.1f} GB are free"
        )


def build_half(bench_dir: Path) -> Path:
    """Return the folder of the same model in half precision, made from the other where it is not complete."""
    full_model, folder = build(bench_dir), bench_dir / "sd15-random-fp16"
    if (folder / _COMPLETE).is_file():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(full_model, folder, ignore=shutil.ignore_patterns("*.safetensors", _COMPLETE))
    for file in full_model.rglob("*.safetensors"):
        half = {name: tensor.half() for name, tensor in load_file(file).items()}
        save_file(half, folder / file.relative_to(full_model))
    (folder / _COMPLETE).touch()
    return folder


def write_model(folder: Path, widths: Widths) -> None:
    """Write the random model of these widths into a folder that has its parts' folders."""
    rng = np.random.default_rng(_SEED)
    with torch.device("meta"):  # shapes only: no weight is ever held twice, or even once as a whole
        unet = UNet2DConditionModel(**unet_config(widths))
        vae = AutoencoderKL(**vae_config(widths))
        text = CLIPTextModel(CLIPTextConfig(**text_encoder_config(widths)))
    unet.save_config(folder / "unet")
    vae.save_config(folder / "vae")
    text.config.architectures = ["CLIPTextModel"]
    text.config.save_pretrained(folder / "text_encoder")
    write_weights(unet, folder / "unet" / "diffusion_pytorch_model.safetensors", rng)
    write_weights(vae, folder / "vae" / "diffusion_pytorch_model.safetensors", rng)
    # transformers 5 dropped a level that published files have; both it and transformers 4 read them with it.
    write_weights(text, folder / "text_encoder" / "model.safetensors", rng, prefix="text_model.")
    write_tokenizer(folder / "tokenizer")
    write_tokenizer(folder / "peer-tokenizers" / _PEER_TOKENIZER)
    _write_indexes(folder)


def write_weights(part: nn.Module, path: Path, rng: np.random.Generator, prefix: str = "") -> None:
    """Write random fp32 weights for a part on the meta device, tensor by tensor, as safetensors."""
    shapes = {
        f"{prefix}{name.removeprefix(prefix)}": tuple(tensor.shape)
        for name, tensor in part.state_dict().items()
    }
    write_random_file(shapes, path, rng)


def write_random_file(
    shapes: Mapping[str, tuple[int, ...]], path: Path, rng: np.random.Generator, is_half: bool = False
) -> None:
    """Write random tensors of these shapes as safetensors, in fp32 or fp16, one row in memory at a time."""
    dtype = np.dtype(np.float16 if is_half else np.float32)
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + dtype.itemsize * math.prod(shape)
        header[name] = {"dtype": "F16" if is_half else "F32", "shape": shape, "data_offsets": (start, end)}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)  # so that the numbers lie where a mapping can be read in place
    with path.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for name, shape in shapes.items():
            for values in _random_tensor(name, shape, rng):
                file.write(values.astype(dtype).tobytes())


def _random_tensor(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield a tensor's numbers, drawn so that a signal keeps about its size from layer to layer."""
    if len(shape) == 1:  # a norm's weight, or a bias
        yield np.full(shape, 0.0 if name.endswith("bias") else 1.0, dtype=np.float32)
        return
    scale = 0.02 if "embedding.weight" in name else 1 / math.sqrt(math.prod(shape[1:]))
    for _ in range(shape[0]):
        yield rng.standard_normal(shape[1:], dtype=np.float32) * np.float32(scale)


def write_tokenizer(folder: Path) -> None:
    """Write CLIP's tokenizer as today's file and as the two that older libraries read."""
    load_clip_tokenizer().save_pretrained(folder)
    model = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False), "utf-8")
    merges = (pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), "utf-8")


def _write_indexes(folder: Path) -> None:
    scheduler = {"_class_name": "PNDMScheduler", "_diffusers_version": _DIFFUSERS_VERSION, **SCHEDULER_CONFIG}
    scheduler |= {"clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True}
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": _DIFFUSERS_VERSION,
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler, indent=2))
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))


def main() -> None:
    """Build it in a process of its own: the bench itself stays free of torch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench_dir", type=Path)
    parser.add_argument("--half", action="store_true", help="the same in half precision")
    args = parser.parse_args()
    print(json.dumps({"folder": str((build_half if args.half else build)(args.bench_dir))}))


if __name__ == "__main__":
    main()
