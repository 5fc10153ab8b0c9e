"""Our SDXL LoRA in sd-scripts' own code, where PEER and PEER_PYTHON name a checkout and its Python."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.measure import NotMeasured
from benchmarks.peer import STAND_INS, Peer
from gpu_worker.kohya.network.block_rates import parse_block_rates
from gpu_worker.lora import file as lora_file
from gpu_worker.lora.config import SDXL_BLOCKS, NetworkConfig, get_block_lr_weight
from gpu_worker.lora.layers import Adapter
from gpu_worker.lora.network import init_weights, select_targets
from gpu_worker.lora.weights import LoraWeights
from gpu_worker.models.base import BaseModel
from gpu_worker.models.inputs.conditioning import Conditioning, ImageSize
from gpu_worker.models.sdxl import config as sdxl_config
from gpu_worker.models.sdxl import tiny as models_tiny_xl
from gpu_worker.models.sdxl.config import SdxlWidths
from gpu_worker.models.sdxl.model import SdxlModel
from tests.gpu_worker.models.test_sdxl import true_targets
from tests.support import diffusers_sdxl
from tests.support.ldm_checkpoint import to_sgm

PROGRAM = Path(__file__).parents[2] / "support" / "sd_scripts_sdxl.py"
#: What sd-scripts' UNet can be made: its heads have 64 channels, its norms 32 groups.
WIDTHS = replace(
    models_tiny_xl.WIDTHS, unet=(32, 64, 128), heads=(1, 1, 2), norm_groups=32, vae=(32, 32, 64, 64)
)


def find_peer() -> Peer | None:
    try:
        return Peer.from_environ(os.environ)
    except NotMeasured:
        return None


pytestmark = pytest.mark.skipif(find_peer() is None, reason="PEER names no checkout of sd-scripts")


@pytest.fixture(scope="module")
def base() -> SdxlModel:
    parts = models_tiny_xl.build_components(widths=WIDTHS)
    device_config = diffusers_sdxl.CPU_CONFIG
    return SdxlModel("peer-xl", diffusers_sdxl.FAMILY, parts, device_config)


def random_lora(base: BaseModel) -> dict[str, LoraWeights]:
    stream = torch.Generator().manual_seed(1)
    config = NetworkConfig()
    weights = init_weights(select_targets(base, config, lambda _: True), config, 4, 2.0, stream)
    return {
        name: replace(value, up=torch.randn(value.up.shape, generator=stream) * 0.1)
        for name, value in weights.items()
        if isinstance(value, LoraWeights)
    }


@pytest.fixture(scope="module")
def folder(base: SdxlModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model, a LoRA and inputs, and let sd-scripts have them."""
    peer, folder = find_peer(), tmp_path_factory.mktemp("peer")
    assert peer is not None
    save_file(to_sgm(base.components), folder / "model.safetensors")
    (folder / "lora.safetensors").write_bytes(lora_file.write(random_lora(base), {}, "float"))
    first, second = base._encoders
    captions = ("sks person", "a photo of sks person, at the lake")
    conditioning = base.add_sizes(base.encode_prompts(captions), [ImageSize((90, 70), (13, 2), (64, 64))] * 2)
    stream = torch.Generator().manual_seed(2)
    inputs = {
        "ids": first._tokenize(captions, 75),
        "ids_2": second._tokenize(captions, 75),
        "time_ids": conditioning.tensors["time_ids"],
        "latents": torch.randn(2, 4, 8, 8, generator=stream),
        "timesteps": torch.tensor([17, 803]),
    }
    save_file(inputs, folder / "inputs.safetensors")
    small, true = (
        [sdxl_config.text_encoder_config(widths), sdxl_config.text_encoder_2_config(widths)]
        for widths in (WIDTHS, SdxlWidths())
    )
    context = WIDTHS.text_encoder + WIDTHS.text_encoder_2
    added = sdxl_config.unet_config(WIDTHS)["projection_class_embeddings_input_dim"]
    unet = {"MODEL_CHANNELS": 32, "TIME_EMBED_DIM": 128, "ADM_IN_CHANNELS": added, "CONTEXT_DIM": context}
    config = {"unet": unet, "text_encoders": small, "true_text_encoders": true}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    command = [peer.python, str(PROGRAM), str(peer.folder), str(STAND_INS), str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return folder


def our_outputs(base: SdxlModel, inputs: dict[str, torch.Tensor], adapter: Adapter | None) -> Conditioning:
    if adapter is not None:
        adapter.activate()
    try:
        with torch.no_grad():
            captions = ("sks person", "a photo of sks person, at the lake")
            encoded = base.encode_prompts(captions).tensors
            conditioning = Conditioning({**encoded, "time_ids": inputs["time_ids"]})
            output = base.predict(inputs["latents"], inputs["timesteps"], conditioning)
    finally:
        if adapter is not None:
            adapter.deactivate()
    return Conditioning({**encoded, "output": output})


def test_the_unet_and_both_text_encoders_give_the_same_with_our_file(base: SdxlModel, folder: Path) -> None:
    inputs, theirs = (load_file(folder / f"{name}.safetensors") for name in ("inputs", "outputs"))
    adapter = Adapter(base, lora_file.read((folder / "lora.safetensors").read_bytes(), "SDXL").weights)
    ours, plain = (our_outputs(base, inputs, each).tensors for each in (adapter, None))
    pairs = {"prompt_embeds": "context", "pooled_embeds": "pooled", "output": "output"}
    for our_name, their_name in pairs.items():
        expected = theirs[their_name]
        assert float((plain[our_name] - expected).norm() / expected.norm()) > 0.05  # the LoRA does something
        distance = float((ours[our_name] - expected).norm() / expected.norm())
        assert distance < 1e-5, f"{our_name}: {distance:.1e}"


def test_names_shapes_and_block_rates_of_the_true_shape_are_theirs(folder: Path) -> None:
    rates = {"down_lr_weight": "sine+.1", "mid_lr_weight": "0.5,0.25", "up_lr_weight": "1,0.5,0.25"}
    config = NetworkConfig(block_lr_weights=parse_block_rates(rates, SDXL_BLOCKS))
    theirs = json.loads((folder / "names.json").read_text("utf-8"))
    ours = {
        target.kohya_name: [
            list(target.weight_shape),
            1.0 if target.group.is_text_encoder else get_block_lr_weight(config, target.kohya_name),
        ]
        for targets in true_targets().values()
        for target in targets
    }
    assert len(ours) == 722 + 72 + 192
    assert {name: shape for name, (shape, _) in ours.items()} == {name: s for name, (s, _) in theirs.items()}
    for name, (_, rate) in ours.items():
        assert rate == pytest.approx(theirs[name][1] if name.startswith("lora_unet_") else 1.0), name
