"""LoCon, LoHa and LoKr beside their formulas, which are written out here, and beside LyCORIS' own layers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpu_worker.lora import cache
from gpu_worker.lora import file as lora_file
from gpu_worker.lora.config import NetworkConfig, get_block_index
from gpu_worker.lora.dropout import DropoutRates
from gpu_worker.lora.file import LoraFile
from gpu_worker.lora.layers import Adapter
from gpu_worker.lora.network import init_weights, select_targets
from gpu_worker.lora.weights import (
    HadamardWeights,
    KroneckerWeights,
    LoraWeights,
    ModuleWeights,
    read_weights,
)
from gpu_worker.models.base import BaseModel
from gpu_worker.models.lora_hooks import Reach

#: A linear layer, a 1 x 1 convolution, a 3 x 3 one, and one with a stride.
MODULES = (
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
    "lora_unet_down_blocks_0_attentions_0_proj_in",
    "lora_unet_down_blocks_1_resnets_0_conv1",
    "lora_unet_down_blocks_0_downsamplers_0_conv",
)
CASES = {
    "LoCon": NetworkConfig(conv_rank=3),
    "LoHa": NetworkConfig("loha", conv_rank=3),
    "LoKr": NetworkConfig("lokr", conv_rank=2),
    "LoKr, factor 4": NetworkConfig("lokr", conv_rank=2, factor=4),
    "LoKr, both decomposed": NetworkConfig("lokr", conv_rank=2, decompose_both=True, factor=16),
    "LoKr, full": NetworkConfig("lokr", conv_rank=2, full_matrix=True),
}


def draw(config: NetworkConfig, base: BaseModel, rank: int = 2, seed: int = 3) -> dict[str, ModuleWeights]:
    """Return weights of which no factor is zero."""
    stream = torch.Generator().manual_seed(seed)
    targets = [each for each in select_targets(base, config, lambda _: True) if each.kohya_name in MODULES]
    weights = init_weights(targets, config, rank, 1.0, stream)
    assert set(weights) == set(MODULES)
    return {
        name: read_weights(
            {
                suffix: tensor if tensor.any() else torch.randn(tensor.shape, generator=stream) * 0.1
                for suffix, tensor in values.tensors().items()
            },
            values.alpha,
        )
        for name, values in weights.items()
    }


def kron(left: Tensor, right: Tensor) -> Tensor:
    """Return a Kronecker product block by block."""
    rows = [torch.cat([value * right for value in row], dim=1) for row in left]
    return torch.cat(rows, dim=0)


def formula(values: ModuleWeights, shape: tuple[int, ...]) -> Tensor:
    """Return the effect on a weight as the papers write it."""
    tensors = values.tensors()
    match values:
        case LoraWeights():
            down, up = tensors["lora_down.weight"], tensors["lora_up.weight"]
            return (up.flatten(1) @ down.flatten(1) * (values.alpha / down.shape[0])).view(shape)
        case HadamardWeights():
            one, two = (tensors[f"hada_w{n}_a"] @ tensors[f"hada_w{n}_b"] for n in (1, 2))
            return (one * two * (values.alpha / tensors["hada_w1_b"].shape[0])).view(shape)
        case KroneckerWeights():
            ranks = [tensors[f"lokr_w{n}_b"].shape[0] for n in (1, 2) if f"lokr_w{n}_b" in tensors]
            one, two = (
                tensors[f"lokr_w{n}"].flatten(1)
                if f"lokr_w{n}" in tensors
                else tensors[f"lokr_w{n}_a"] @ tensors[f"lokr_w{n}_b"]
                for n in (1, 2)
            )
            return kron(one, two).view(shape) * (values.alpha / ranks[0] if ranks else 1.0)
    raise AssertionError(values)


def modules_of(base: BaseModel) -> dict[str, nn.Module]:
    targets = (*base.list_targets("unet"), *base.list_targets("unet", reach=Reach.CONV_BLOCK))
    return {each.kohya_name: base.components["unet"].get_submodule(each.path) for each in targets}


def inputs_of(module: nn.Module) -> Tensor:
    stream = torch.Generator().manual_seed(8)
    if isinstance(module, nn.Conv2d):
        return torch.randn(2, module.in_channels, 6, 8, generator=stream)
    assert isinstance(module, nn.Linear)
    return torch.randn(2, 5, module.in_features, generator=stream)


def apply(module: nn.Module, inputs: Tensor, weight: Tensor) -> Tensor:
    if isinstance(module, nn.Conv2d):
        return F.conv2d(inputs, weight, module.bias, module.stride, module.padding)
    assert isinstance(module, nn.Linear)
    return F.linear(inputs, weight, module.bias)


@pytest.fixture
def adapted(tiny: BaseModel) -> Iterator[Any]:
    """Return what makes an adapter active; it is taken off after the test."""
    adapters: list[Adapter] = []

    def activate(weights: dict[str, ModuleWeights], **options: Any) -> Adapter:
        adapters.append(Adapter(tiny, weights, **options))
        adapters[-1].activate()
        return adapters[-1]

    yield activate
    for adapter in adapters:
        adapter.deactivate()


@pytest.mark.parametrize("is_trainable", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_a_kind_adds_the_product_of_its_formula(
    tiny: BaseModel, adapted: Any, name: str, is_trainable: bool
) -> None:
    weights = draw(CASES[name], tiny)
    adapted(weights, is_trainable=is_trainable)
    for module_name, values in weights.items():
        module = modules_of(tiny)[module_name]
        inputs = inputs_of(module)
        effect = formula(values, tuple(module.weight.shape))
        assert effect.norm() > 1e-3
        with torch.set_grad_enabled(is_trainable):
            found = module(inputs)
        assert torch.allclose(found, apply(module, inputs, module.weight + effect), atol=1e-5), module_name


@pytest.mark.parametrize("name", CASES)
def test_a_kind_has_the_gradients_of_its_formula(tiny: BaseModel, adapted: Any, name: str) -> None:
    weights = draw(CASES[name], tiny)
    adapter = adapted(weights, is_trainable=True)
    for module_name, values in weights.items():
        module = modules_of(tiny)[module_name]
        inputs = inputs_of(module)
        with torch.enable_grad():
            module(inputs).square().sum().backward()
            leaves = {suffix: tensor.clone().requires_grad_() for suffix, tensor in values.tensors().items()}
            effect = formula(read_weights_with_grad(values, leaves), tuple(module.weight.shape))
            apply(module, inputs, module.weight + effect).square().sum().backward()  # type: ignore[no-untyped-call]
        for parameter, leaf in zip(adapter.parameters(module_name), leaves.values(), strict=True):
            assert leaf.grad is not None
            assert torch.allclose(parameter.grad, leaf.grad, rtol=1e-3, atol=1e-4), module_name


def read_weights_with_grad(values: ModuleWeights, leaves: dict[str, Tensor]) -> ModuleWeights:
    if isinstance(values, LoraWeights):
        return LoraWeights(leaves["lora_down.weight"], leaves["lora_up.weight"], values.alpha)
    assert isinstance(values, HadamardWeights | KroneckerWeights)
    return type(values)(leaves, values.alpha)


@pytest.mark.parametrize("name", CASES)
def test_a_new_lora_of_any_kind_has_no_effect_and_a_gradient(tiny: BaseModel, name: str) -> None:
    targets = select_targets(tiny, CASES[name], lambda _: True)
    weights = init_weights(targets, CASES[name], 2, 1.0, torch.Generator().manual_seed(1))
    assert len(weights) > 264
    for target in targets:
        assert weights[target.kohya_name].fit(target.weight_shape) is not None
        assert not formula(weights[target.kohya_name], target.weight_shape).any()


@pytest.mark.parametrize("name", CASES)
def test_a_file_gives_every_kind_back(tiny: BaseModel, name: str) -> None:
    weights = draw(CASES[name], tiny)
    found = lora_file.read(lora_file.write(weights, {}, "float")).weights
    assert found.keys() == weights.keys()
    for module_name, values in weights.items():
        assert type(found[module_name]) is type(values)
        assert found[module_name].alpha == values.alpha
        for suffix, tensor in values.tensors().items():
            assert torch.equal(found[module_name].tensors()[suffix], tensor)


def test_loras_of_different_kinds_are_drawn_together(tiny: BaseModel, adapted: Any) -> None:
    parts = [draw(CASES[name], tiny, seed=seed) for seed, name in enumerate(("LoCon", "LoHa", "LoKr, full"))]
    strengths = (0.5, -1.0, 2.0)
    files = [LoraFile(part, {}) for part in parts]
    adapted(cache.merge_loras(list(zip(files, strengths, strict=True))))
    for module_name, module in modules_of(tiny).items():
        if module_name in MODULES:
            inputs = inputs_of(module)
            shape = tuple(module.weight.shape)
            effects = [
                strength * formula(part[module_name], shape)
                for part, strength in zip(parts, strengths, strict=True)
            ]
            with torch.no_grad():
                found = module(inputs)
            assert torch.allclose(found, apply(module, inputs, module.weight + sum(effects)), atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_a_norm_above_the_limit_is_scaled_to_it(tiny: BaseModel, adapted: Any, name: str) -> None:
    weights = draw(CASES[name], tiny)
    adapter = adapted(weights, is_trainable=True)
    shapes = {module_name: tuple(module.weight.shape) for module_name, module in modules_of(tiny).items()}
    norms = {each: float(formula(values, shapes[each]).norm()) for each, values in weights.items()}
    limit = sorted(norms.values())[1] * 1.01  # two are above, two are not
    adapter.limit_norms(limit)
    for module_name, values in adapter.copy_weights().items():
        found = float(formula(values, shapes[module_name]).norm())
        assert found == pytest.approx(min(norms[module_name], limit), rel=1e-4)


def test_ranks_and_modules_are_dropped_at_their_rates(tiny: BaseModel, adapted: Any) -> None:
    """The first rank too: one draw must not decide both about a module and about its first rank."""
    name = MODULES[0]
    values = LoraWeights(torch.eye(4, 32), torch.eye(32, 4), 4.0)
    adapter = adapted({name: values}, is_trainable=True, dropout_rates=DropoutRates(rank=0.3, modules=0.3))
    module, inputs = modules_of(tiny)[name], torch.ones(1, 1, 32)
    kept, steps = torch.zeros(4), 2000
    with torch.no_grad():
        bare = apply(module, inputs, module.weight)
        for step in range(steps):
            adapter.seed_dropout(step)
            kept += ((module(inputs) - bare)[0, 0, :4] > 0.5).float()
    assert torch.allclose(kept / steps, torch.full((4,), 0.7 * 0.7), atol=0.05)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("lora_unet_down_blocks_0_attentions_0_proj_in", 1),
        ("lora_unet_down_blocks_2_resnets_1_conv1", 8),
        ("lora_unet_down_blocks_0_downsamplers_0_conv", 3),
        ("lora_unet_mid_block_attentions_0_proj_in", 12),
        ("lora_unet_up_blocks_0_upsamplers_0_conv", 15),
        ("lora_unet_up_blocks_3_attentions_2_proj_in", 24),
        ("lora_unet_time_embedding_linear_1", None),
    ],
)
def test_a_block_has_the_number_that_sd_scripts_gives_it(name: str, index: int | None) -> None:
    assert get_block_index(name) == index


LYCORIS_OPTIONS: dict[str, dict[str, Any]] = {
    "LoHa": {},
    "LoKr": {},
    "LoKr, factor 4": {"factor": 4},
    "LoKr, both decomposed": {"decompose_both": True, "factor": 16},
    "LoKr, full": {"full_matrix": True},
}


@pytest.mark.parametrize("name", LYCORIS_OPTIONS)
def test_a_kind_equals_the_layers_of_lycoris(tiny: BaseModel, adapted: Any, name: str) -> None:
    """Compare shapes, output and gradients with the package, where it is installed."""
    lycoris = pytest.importorskip("lycoris.modules")
    weights = draw(CASES[name], tiny)
    adapter = adapted(weights, is_trainable=True)
    for module_name, values in weights.items():
        module: Any = modules_of(tiny)[module_name]
        inputs = inputs_of(module)
        with torch.enable_grad():
            ours = module(inputs)
            ours.square().sum().backward()
        # Its own layer replaces the forward of a module, so it gets a copy without our hook.
        copy: Any = type(module)(*module_arguments(module))
        copy.load_state_dict(module.state_dict())
        layer_class = lycoris.LohaModule if CASES[name].algorithm == "loha" else lycoris.LokrModule
        rank = CASES[name].conv_rank if module_name in MODULES[2:] else 2
        layer = layer_class("x", copy, 1.0, rank, values.alpha, **LYCORIS_OPTIONS[name])
        theirs = {key: parameter for key, parameter in layer.named_parameters() if "org" not in key}
        assert {key: tuple(tensor.shape) for key, tensor in theirs.items()} == {
            key: tuple(tensor.shape) for key, tensor in values.tensors().items()
        }
        layer.load_state_dict({**layer.state_dict(), **values.tensors()}, strict=False)
        assert float(layer.alpha) == values.alpha
        layer.apply_to()
        with torch.enable_grad():
            expected = copy(inputs)
            expected.square().sum().backward()
        assert torch.allclose(ours, expected, atol=1e-5), module_name
        for key, parameter in zip(values.tensors(), adapter.parameters(module_name), strict=True):
            assert torch.allclose(parameter.grad, theirs[key].grad, rtol=1e-3, atol=1e-4), (
                f"{module_name} {key}"
            )


def module_arguments(module: nn.Module) -> tuple[Any, ...]:
    if isinstance(module, nn.Conv2d):
        sizes = (module.in_channels, module.out_channels, module.kernel_size, module.stride, module.padding)
        return (*sizes, 1, 1, module.bias is not None)
    assert isinstance(module, nn.Linear)
    return module.in_features, module.out_features, module.bias is not None


def test_a_lokr_without_a_rank_ignores_its_alpha() -> None:
    one, two = torch.randn(2, 2), torch.randn(3, 3)
    values = read_weights({"lokr_w1": one, "lokr_w2": two}, 7.0)
    assert isinstance(values, KroneckerWeights)
    assert (values.scale, values.rank) == (1.0, None)
    assert math.isclose(float(formula(values, (6, 6)).norm()), float(one.norm() * two.norm()), rel_tol=1e-5)
