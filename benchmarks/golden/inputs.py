"""The photos, prompts and random models that the cases are run with."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

_SEED = 20
_PROMPTS = f"""
sks person --w 64 --h 64 --s 4 --d 1
(sks person:1.3) at the [lake], \\(day\\) --n blurry, (dark:1.2) --w 96 --h 64 --s 5 --l 3 --d 2
((((sks person)))) [[[at the lake]]] in a ((red shirt)) --w 64 --h 64 --s 8 --l 9 --d 5
{"sks person, a red shirt, " * 16} in the snow --n night --w 64 --h 128 --s 3 --d 3
"""
_PROMPTS_TOML = """
[prompt]
width = 64
height = 64
sample_steps = 3
[[prompt.subset]]
prompt = "sks person"
seed = 4
[[prompt.subset]]
prompt = "person"
negative_prompt = "sks"
scale = 2.5
"""
_DATASET = """
[general]
resolution = 64
batch_size = 2
caption_extension = ".caption"
[[datasets]]
enable_bucket = true
min_bucket_reso = 64
bucket_no_upscale = false
[[datasets.subsets]]
image_dir = '{data}/photos/3_sks person'
conditioning_data_dir = '{data}/masks'
class_tokens = "sks person"
num_repeats = 2
flip_aug = true
[[datasets.subsets]]
image_dir = '{data}/class/1_person'
class_tokens = "person"
is_reg = true
"""


_UNET: dict[str, Any] = {
    "sample_size": 16,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "block_out_channels": (32, 48, 64, 64),
    "norm_num_groups": 8,
    "cross_attention_dim": 48,
    "attention_head_dim": 4,
}
_VAE: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (16, 24, 32, 32),
    "layers_per_block": 2,
    "norm_num_groups": 8,
    "sample_size": 128,
}
_TEXT: dict[str, Any] = {
    "vocab_size": 514,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "hidden_act": "quick_gelu",
    "bos_token_id": 512,
    "eos_token_id": 513,
    "pad_token_id": 513,
}
_SCHEDULER: dict[str, Any] = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
}


def write_inputs(folder: Path) -> dict[str, str]:
    """Write photos, prompts and models, and return the SHA-256 of each file by its path."""
    rng = np.random.default_rng(_SEED)
    photos_dir, class_dir, masks_dir = (
        folder / "photos/3_sks person",
        folder / "class/1_person",
        folder / "masks",
    )
    for directory in (photos_dir, class_dir, masks_dir):
        directory.mkdir(parents=True)
    for name, size in {"one": (80, 80), "two": (120, 70), "three": (64, 96)}.items():
        _draw_picture(photos_dir / f"{name}.png", size, "RGBA" if name == "two" else "RGB", rng)
        _draw_picture(masks_dir / f"{name}.png", size, "L", rng)
    (photos_dir / "one.caption").write_text("sks person, at the lake, in a red shirt\n", "utf-8")
    for name in ("four", "five"):
        _draw_picture(class_dir / f"{name}.png", (72, 90), "RGB", rng)
    (folder / "prompts.txt").write_text(_PROMPTS, "utf-8")
    (folder / "prompts.toml").write_text(_PROMPTS_TOML, "utf-8")
    for name, prediction_type in (("model", "epsilon"), ("velocity", "v_prediction")):
        _write_model(folder / name, prediction_type)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    hashes = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    # Not hashed: it holds the path of the folder, which is another one each time.
    (folder / "dataset.toml").write_text(_DATASET.format(data=folder), "utf-8")
    return hashes


def _draw_picture(path: Path, size: tuple[int, int], mode: str, rng: np.random.Generator) -> None:
    """Write a picture: a colour gradient with four shapes, and an alpha gradient for RGBA."""
    x, y = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    slopes = rng.uniform(-1, 1, (len(mode), 2))
    bands = [x * slope_x + y * slope_y for slope_x, slope_y in slopes]
    values = [255 * (band - band.min()) / (band.max() - band.min()) for band in bands]
    image = Image.fromarray(np.stack(values, axis=-1).squeeze().astype(np.uint8), mode)
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        corner = rng.uniform(0, 0.7, 2) * size
        colour = tuple(int(value) for value in rng.integers(0, 256, len(mode)))
        box = (*corner, *(corner + rng.uniform(0.1, 0.3, 2) * size))
        draw_shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        draw_shape(tuple(map(float, box)), fill=colour if len(mode) > 1 else colour[0])
    image.save(path)


def _write_model(folder: Path, prediction_type: str) -> None:
    """Write a narrow Stable Diffusion 1.5 with random weights as a diffusers folder."""
    with torch.device("meta"):  # shapes only: the weights are drawn below
        unet, vae = UNet2DConditionModel(**_UNET), AutoencoderKL(**_VAE)
        text_encoder = CLIPTextModel(CLIPTextConfig(**_TEXT))
    unet.save_config(folder / "unet")
    vae.save_config(folder / "vae")
    text_encoder.config.save_pretrained(folder / "text_encoder")
    generator = torch.Generator().manual_seed(_SEED)
    for name, component in (("unet", unet), ("vae", vae), ("text_encoder", text_encoder)):
        file_stem = "model" if name == "text_encoder" else "diffusion_pytorch_model"
        _write_weights(component, folder / name / file_stem, generator)
    (folder / "scheduler").mkdir()
    scheduler = json.dumps(_SCHEDULER | {"prediction_type": prediction_type})
    (folder / "scheduler" / "scheduler_config.json").write_text(scheduler, "utf-8")
    _write_tokenizer(folder / "tokenizer")


def _write_weights(component: nn.Module, stem: Path, generator: torch.Generator) -> None:
    """Write random weights that keep the scale of activations from layer to layer, in fp32 and fp16."""
    weights = {}
    for name, tensor in component.state_dict().items():
        shape = tensor.shape
        if len(shape) == 1:  # a bias, or the weight of a norm
            weights[name] = torch.full(shape, 0.0 if name.endswith("bias") else 1.0)
        else:
            scale = 0.02 if "embedding.weight" in name else 1 / math.sqrt(math.prod(shape[1:]))
            weights[name] = torch.randn(shape, generator=generator) * scale
    save_file(weights, f"{stem}.safetensors")
    save_file({name: tensor.half() for name, tensor in weights.items()}, f"{stem}.fp16.safetensors")


def _write_tokenizer(folder: Path) -> None:
    """Write a CLIP tokenizer whose tokens are single bytes."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    letters = [*map(chr, visible), *(chr(256 + number) for number in range(256 - len(visible)))]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77).save_pretrained(folder)
