"""Run by sd-scripts' own Python: what its SDXL makes of a LoRA file, and what it adapts in the true shape.

    python sd_scripts_sdxl.py <checkout> <folder for stand-ins> <folder>

The folder has `model.safetensors` in sgm's names, `lora.safetensors`, `inputs.safetensors`, and the widths in
`config.json`; `outputs.safetensors` and `names.json` are written into it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    checkout, stand_ins, folder = (Path(argument) for argument in sys.argv[1:])
    sys.path.insert(0, str(checkout))
    sys.path.append(str(stand_ins))  # of torchvision, unless there is a real one
    os.chdir(checkout)
    torch: Any = importlib.import_module("torch")
    safetensors: Any = importlib.import_module("safetensors.torch")
    lora: Any = importlib.import_module("networks.lora")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    with torch.device("meta"):
        names = list_names(lora, make_unet({}), make_text_encoders(config["true_text_encoders"]))
    (folder / "names.json").write_text(json.dumps(names), "utf-8")

    unet, encoders = make_unet(config["unet"]), make_text_encoders(config["text_encoders"])
    load_model(unet, encoders, safetensors.load_file(folder / "model.safetensors"))
    network, weights = lora.create_network_from_weights(
        1.0, str(folder / "lora.safetensors"), None, encoders, unet
    )
    network.apply_to(encoders, unet)
    network.load_state_dict(weights)
    with torch.no_grad():
        outputs = run(unet, encoders, safetensors.load_file(folder / "inputs.safetensors"))
    safetensors.save_file(outputs, folder / "outputs.safetensors")


def make_unet(widths: dict[str, int]) -> Any:
    """Return its UNet; its widths are constants, which are set to a small model's."""
    module: Any = importlib.import_module("library.sdxl_original_unet")
    for name, width in widths.items():
        setattr(module, name, width)
    if "CONTEXT_DIM" in widths:
        original = module.Transformer2DModel

        def make_narrow(**arguments: Any) -> Any:
            return original(**{**arguments, "cross_attention_dim": widths["CONTEXT_DIM"]})

        module.Transformer2DModel = make_narrow
        try:
            return module.SdxlUNet2DConditionModel().eval()
        finally:
            module.Transformer2DModel = original
    return module.SdxlUNet2DConditionModel().eval()


def make_text_encoders(configs: list[dict[str, Any]]) -> list[Any]:
    transformers: Any = importlib.import_module("transformers")
    classes = (transformers.CLIPTextModel, transformers.CLIPTextModelWithProjection)
    return [
        model(transformers.CLIPTextConfig(**config)).eval()
        for model, config in zip(classes, configs, strict=True)
    ]


def list_names(lora: Any, unet: Any, encoders: list[Any]) -> dict[str, Any]:
    """Return every module that a new network has, with the shape of its weight and its block's rate."""
    rates = {"down_lr_weight": "sine+.1", "mid_lr_weight": "0.5,0.25", "up_lr_weight": "1,0.5,0.25"}
    network = lora.create_network(1.0, 4, 1.0, None, encoders, unet, **rates)
    return {
        module.lora_name: [
            list(module.org_module.weight.shape),
            network.get_lr_weight(lora.get_block_index(module.lora_name, True)),
        ]
        for module in network.unet_loras + network.text_encoder_loras
    }


def load_model(unet: Any, encoders: list[Any], tensors: dict[str, Any]) -> None:
    util: Any = importlib.import_module("library.sdxl_model_util")
    parts: list[dict[str, Any]] = [{}, {}, {}]
    prefixes = (
        "model.diffusion_model.",
        "conditioner.embedders.0.transformer.",
        "conditioner.embedders.1.model.",
    )
    for key, value in tensors.items():
        for part, prefix in zip(parts, prefixes, strict=True):
            if key.startswith(prefix):
                part[key if "embedders.1" in prefix else key.removeprefix(prefix)] = value
    unet.load_state_dict(parts[0])
    encoders[0].load_state_dict(parts[1], strict=False)  # without the numbers of positions
    converted, _ = util.convert_sdxl_text_encoder_2_checkpoint(parts[2], 77)
    # sgm multiplies by the projection from the right; sd-scripts takes it for a layer's weight as it is.
    converted["text_projection.weight"] = converted["text_projection.weight"].t()
    encoders[1].load_state_dict(converted, strict=False)


def run(unet: Any, encoders: list[Any], inputs: dict[str, Any]) -> dict[str, Any]:
    torch: Any = importlib.import_module("torch")
    train_util: Any = importlib.import_module("library.sdxl_train_util")
    first = encoders[0](inputs["ids"], output_hidden_states=True).hidden_states[-2]
    second = encoders[1](inputs["ids_2"], output_hidden_states=True)
    context = torch.cat([first, second.hidden_states[-2]], dim=-1)
    width = (unet.adm_in_channels - second.text_embeds.shape[-1]) // 6
    sizes = train_util.get_timestep_embedding(inputs["time_ids"], width)
    added = torch.cat([second.text_embeds, sizes], dim=-1)
    output = unet(inputs["latents"], inputs["timesteps"], context, added)
    return {"context": context.contiguous(), "pooled": second.text_embeds, "output": output.contiguous()}


if __name__ == "__main__":
    main()
