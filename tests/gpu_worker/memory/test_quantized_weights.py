"""Weights in 8 and 4 bits: what is computed is that of the rounded weights kept wide, to the bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks import stored_weights
from gpu_worker.device.memory_profile import WeightStorage
from gpu_worker.memory.quantization import NF4_LEVELS, dequantize, nf4_pairs, quantize
from gpu_worker.memory.quantized_layers import QuantizedLayer, list_layers, store_layer, store_layers
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from gpu_worker.models.sources.weights import WeightSource, load_weights
from tests.gpu_worker.training.test_parity import CASES, our_gradients

SMALL = (WeightStorage.INT8, WeightStorage.NF4)
#: Of weights drawn from a normal distribution, as a share of their norm.
MAX_ERROR = {WeightStorage.INT8: 0.012, WeightStorage.NF4: 0.1}


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def round_weight(weight: Tensor, storage: WeightStorage, dtype: torch.dtype = torch.float32) -> Tensor:
    codes, scales = quantize(weight, storage)
    return dequantize(codes, scales, nf4_pairs(codes.device), weight.shape, dtype)


@pytest.mark.parametrize("storage", SMALL)
@pytest.mark.parametrize("shape", [(48, 320), (16, 8, 3, 3), (5, 7)], ids=str)
def test_rounding_is_close_and_rounding_again_changes_nothing(
    storage: WeightStorage, shape: tuple[int, ...]
) -> None:
    weight = draw(*shape)
    rounded = round_weight(weight, storage)
    assert rounded.shape == weight.shape
    assert (rounded - weight).norm() / weight.norm() < MAX_ERROR[storage]
    assert torch.allclose(round_weight(rounded, storage), rounded, rtol=1e-2 * (storage is SMALL[1]) + 1e-6)
    assert torch.equal(round_weight(weight, storage, torch.bfloat16), rounded.bfloat16())
    assert torch.equal(round_weight(torch.zeros(shape), storage), torch.zeros(shape))


def test_nf4_has_the_levels_of_its_paper() -> None:
    assert len(NF4_LEVELS) == 16
    assert NF4_LEVELS[0] == -1 and NF4_LEVELS[7] == 0 and NF4_LEVELS[15] == 1
    assert [round(level, 6) for level in NF4_LEVELS[1:4]] == [-0.696193, -0.525073, -0.394917]
    assert round(NF4_LEVELS[8], 6) == 0.07958


def round_in_place(base: BaseModel, storage: WeightStorage) -> BaseModel:
    """Return the reference: the same weights rounded and kept wide."""
    for name, component in base.components.items():
        if name != "vae":
            inner = [path.removeprefix(f"{name}.") for path in base.family.wide_paths]
            for _, module in list_layers(component, inner):
                weight = module.get_parameter("weight")
                weight.data = round_weight(weight.data, storage)
    return base


@pytest.fixture(scope="module", params=SMALL)
def bases(request: pytest.FixtureRequest) -> tuple[BaseModel, BaseModel]:
    """Return the small base, stored in few bits, and its reference."""
    stored, reference = load_base_model("tiny"), load_base_model("tiny")
    stored.set_memory_mode(replace(stored.memory_mode, storage=request.param))
    return stored, round_in_place(reference, request.param)


@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_gradients_are_those_of_the_rounded_weights_kept_wide(
    bases: tuple[BaseModel, BaseModel], is_checkpointed: bool
) -> None:
    gradients = []
    for base in bases:
        base.set_memory_mode(replace(base.memory_mode, gradient_checkpointing=is_checkpointed))
        gradients.append(our_gradients(base, CASES["plain"])[0])
    stored, reference = gradients
    assert stored.keys() == reference.keys()
    for name, pair in stored.items():
        assert all(torch.equal(one, other) for one, other in zip(pair, reference[name], strict=True)), name


def test_predictions_are_those_of_the_rounded_weights_kept_wide(bases: tuple[BaseModel, BaseModel]) -> None:
    predictions = []
    for base in bases:
        with torch.no_grad():
            words = base.encode_prompts(["a person"])
            latents = draw(1, *base.latent_shape((64, 64)))
            predictions.append(base.predict(latents, torch.tensor([500]), words))
    assert torch.equal(*predictions)


def test_norms_embeddings_and_what_a_family_names_stay_wide(bases: tuple[BaseModel, BaseModel]) -> None:
    stored = bases[0]
    assert not any(isinstance(module, QuantizedLayer) for module in stored.components["vae"].modules())
    unet = stored.components["unet"]
    rounded = {path for path, module in unet.named_modules() if isinstance(module, QuantizedLayer)}
    assert "mid_block.attentions.0.transformer_blocks.0.attn1.to_q" in rounded
    assert "mid_block.resnets.0.conv1" in rounded
    assert not rounded & {"conv_in", "conv_out", "time_embedding.linear_1"}
    assert all(not isinstance(module, nn.Embedding | nn.GroupNorm) or module.weight.dtype is torch.float32
               for module in unet.modules())  # fmt: skip


def test_a_wider_precision_and_back_leaves_the_codes_as_they_are(bases: tuple[BaseModel, BaseModel]) -> None:
    stored = bases[0]
    before = {name: value.clone() for name, value in stored.components["unet"].state_dict().items()}
    mode = stored.memory_mode
    stored.set_memory_mode(replace(mode, dtype=torch.bfloat16))
    with stored.use_precision(is_full=True):
        pass
    stored.set_memory_mode(mode)
    after = stored.components["unet"].state_dict()
    codes = [name for name in before if name.endswith(("_codes", "_scales", "_pairs"))]
    assert codes
    assert all(torch.equal(before[name], after[name]) for name in codes)
    with pytest.raises(ValueError, match="whole again"):
        stored.set_memory_mode(replace(mode, storage=WeightStorage.WHOLE))


def test_a_layer_keeps_no_wide_weight_and_no_input_for_its_backward_pass() -> None:
    layer = nn.Conv2d(4, 8, 3, padding=1).requires_grad_(False)
    store_layers(layer, WeightStorage.INT8)
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = layer(draw(1, 4, 6, 6).requires_grad_())
    assert kept == []
    assert output.requires_grad


def test_rounded_twice_a_weight_is_first_widened() -> None:
    layer = nn.Linear(128, 8)
    weight = layer.weight.detach().clone()
    store_layers(layer, WeightStorage.INT8)
    store_layers(layer, WeightStorage.NF4)
    assert isinstance(layer, QuantizedLayer)
    twice = round_weight(round_weight(weight, WeightStorage.INT8), WeightStorage.NF4)
    assert torch.equal(layer.widen_weight(torch.float32), twice)


def test_a_file_is_rounded_layer_by_layer_as_it_is_read(tmp_path: Path) -> None:
    source = nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.Linear(64, 8))
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.Linear(64, 8))
    weights = WeightSource.open_files([tmp_path / "model.safetensors"])
    missing = load_weights(
        model, weights, torch.device("cpu"), torch.bfloat16, WeightStorage.INT8, wide_paths=["2"]
    )
    assert missing == []
    first, _, last = model
    assert isinstance(first, QuantizedLayer)
    assert torch.equal(
        first.widen_weight(torch.float32), round_weight(source[0].weight.detach(), WeightStorage.INT8)
    )
    assert last.weight.dtype is torch.bfloat16
    assert not any(tensor.is_meta for tensor in model.state_dict().values())


def test_a_layer_stored_small_takes_as_many_bytes_as_are_planned() -> None:
    for storage in SMALL:
        layer = nn.Linear(640, 640, bias=False)
        store_layer(layer, storage, layer.weight)
        taken = sum(layer.get_buffer(name).nbytes for name in ("weight_codes", "weight_scales"))
        planned = storage.bytes_per_weight
        assert planned is not None
        assert abs(taken / (640 * 640 * planned) - 1) < 0.01


def test_a_trained_base_predicts_nearly_the_same_in_few_bits() -> None:
    whole = stored_weights.predict(load_base_model("drawn"))
    for storage, most in ((WeightStorage.INT8, 0.005), (WeightStorage.NF4, 0.06)):
        rounded = stored_weights.predict(load_base_model("drawn", memory=storage))
        assert 0 < stored_weights.relative_error(rounded, whole) < most
