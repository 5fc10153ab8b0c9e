"""Say how far weights in 8 and 4 bits are from whole ones: `python -m benchmarks.stored_weights [base]`.

By kinds of layers: norm of the difference by that of the weight, mean and worst. Then the denoiser's whole
prediction, for noise at three timesteps, and the time of a step, forward and backward, in turn.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from dataclasses import replace
from statistics import mean, median

import torch
from torch import Tensor, nn

from gpu_worker.device.memory_profile import WeightStorage
from gpu_worker.memory.quantized_layers import QuantizedLayer, list_layers, select_inner_paths
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model

TIMESTEPS = (100, 500, 900)
REPEATS = 5
STORED = (WeightStorage.INT8, WeightStorage.NF4)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stored_weights", description=__doc__)
    parser.add_argument("base_model", nargs="?", default="drawn")
    args = parser.parse_args()
    torch.set_num_threads(1)
    bases = {storage: load_base_model(args.base_model, memory=storage) for storage in WeightStorage}
    errors = {storage: measure_layers(bases[WeightStorage.WHOLE], bases[storage]) for storage in STORED}
    print("|layers|count|int8 mean|int8 worst|nf4 mean|nf4 worst|\n|---|---|---|---|---|---|")
    for kind, int8_errors in errors[WeightStorage.INT8].items():
        cells = [
            f"{value:.4f}"
            for storage in STORED
            for value in (mean(errors[storage][kind]), max(errors[storage][kind]))
        ]
        print(f"|{kind}|{len(int8_errors)}|{'|'.join(cells)}|")
    whole = predict(bases[WeightStorage.WHOLE])
    for storage in STORED:
        print(f"whole prediction, {storage}: {relative_error(predict(bases[storage]), whole):.4f}")
    times_s = time_steps(bases)
    for storage, seconds in times_s.items():
        print(f"step, {storage}: {seconds:.3f} s, {seconds / times_s[WeightStorage.WHOLE]:.3f} of whole")
    return 0


def measure_layers(whole: BaseModel, stored: BaseModel) -> dict[str, list[float]]:
    """Return the errors of a denoiser's layers by kind."""
    paths = select_inner_paths(whole.family.wide_paths, "unet")
    errors: dict[str, list[float]] = defaultdict(list)
    for path, layer in list_layers(stored.denoiser, paths):
        assert isinstance(layer, QuantizedLayer)  # noqa: S101 - it was loaded so
        weight = whole.denoiser.get_submodule(path).get_parameter("weight")
        errors[name_kind(path, layer)].append(relative_error(layer.widen_weight(torch.float32), weight))
    return errors


def name_kind(path: str, layer: nn.Module) -> str:
    """Return what a layer is for."""
    if ".attn" in path:
        return "attention"
    if ".ff." in path:
        return "feed-forward"
    return "convolution" if isinstance(layer, nn.Conv2d) else "other linear"


def relative_error(value: Tensor, reference: Tensor) -> float:
    """Return the norm of the difference by that of the reference."""
    return float((value.float() - reference.float()).norm() / reference.float().norm())


def predict(base: BaseModel) -> Tensor:
    """Return the prediction for noise."""
    conditioning = base.encode_prompts(["a person"] * len(TIMESTEPS))
    return base.predict(draw_latents(base), torch.tensor(TIMESTEPS), conditioning).detach()


def draw_latents(base: BaseModel) -> Tensor:
    """Return noise of the native size, the same each time."""
    shape = base.latent_shape((base.native_px, base.native_px))
    return torch.randn(len(TIMESTEPS), *shape, generator=torch.Generator().manual_seed(1))


def time_steps(bases: dict[WeightStorage, BaseModel]) -> dict[WeightStorage, float]:
    """Return the median CPU seconds of a forward and a backward pass; the bases take turns."""
    seconds: dict[WeightStorage, list[float]] = defaultdict(list)
    for base in bases.values():
        base.set_memory_mode(replace(base.memory_mode, gradient_checkpointing=False))
    for _ in range(REPEATS):
        for storage, base in bases.items():
            latents = draw_latents(base).requires_grad_()
            conditioning = base.encode_prompts(["a person"] * len(TIMESTEPS))
            started_at = time.process_time()
            base.predict(latents, torch.tensor(TIMESTEPS), conditioning).square().mean().backward()  # type: ignore[no-untyped-call]
            seconds[storage].append(time.process_time() - started_at)
    return {storage: median(times) for storage, times in seconds.items()}


if __name__ == "__main__":
    sys.exit(main())
