"""Several people's LoRAs on one model, of which each acts in its own region."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from gpu_worker.lora.cache import merge_loras
from gpu_worker.lora.config import NetworkConfig
from gpu_worker.lora.file import LoraFile
from gpu_worker.lora.layers import Adapter, deactivate_all
from gpu_worker.lora.network import init_weights
from gpu_worker.lora.regional import RegionalAdapter
from gpu_worker.lora.weights import ModuleWeights, read_weights
from gpu_worker.models.base import BaseModel
from gpu_worker.models.inputs.conditioning import Conditioning
from gpu_worker.models.inputs.regions import MASKS, TRIGGERS, Regions
from gpu_worker.models.lora_hooks import Reach

#: Image tokens, text tokens, a 1 x 1 convolution and one with a kernel.
MODULES = (
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k",
    "lora_unet_down_blocks_0_attentions_0_proj_in",
    "lora_unet_down_blocks_1_resnets_0_conv1",
)
PLAIN, HADAMARD = NetworkConfig(conv_rank=3), NetworkConfig("loha", conv_rank=3)
HEIGHT, WIDTH = 8, 16


def draw(base: BaseModel, seed: int, config: NetworkConfig = PLAIN) -> dict[str, ModuleWeights]:
    """Return weights of which no factor is zero."""
    stream = torch.Generator().manual_seed(seed)
    weights = init_weights([base.targets_by_name[name] for name in MODULES], config, 2, 1.0, stream)
    return {
        name: read_weights(
            {
                suffix: tensor if tensor.any() else torch.randn(tensor.shape, generator=stream) * 0.3
                for suffix, tensor in values.tensors().items()
            },
            values.alpha,
        )
        for name, values in weights.items()
    }


def merge(*loras: dict[str, ModuleWeights]) -> dict[str, ModuleWeights]:
    return merge_loras([(LoraFile(weights, {}), 0.8) for weights in loras])


def halves() -> Tensor:
    """Return masks of the left and the right half, (people, h, w)."""
    masks = torch.zeros(2, HEIGHT, WIDTH)
    masks[0, :, : WIDTH // 2], masks[1, :, WIDTH // 2 :] = 1, 1
    return masks


def module_of(base: BaseModel, name: str) -> nn.Module:
    module: nn.Module = base.components["unet"].get_submodule(base.targets_by_name[name].path)
    return module


def inputs_of(module: nn.Module, name: str) -> Tensor:
    stream = torch.Generator().manual_seed(8)
    if isinstance(module, nn.Conv2d):
        return torch.randn(2, module.in_channels, HEIGHT // 2, WIDTH // 2, generator=stream)
    assert isinstance(module, nn.Linear)
    num_tokens = 2 * 5 if name.endswith("attn2_to_k") else HEIGHT * WIDTH // 4
    return torch.randn(2, num_tokens, module.in_features, generator=stream)


def split(output: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Return what belongs to the left person, and what to the right one."""
    if output.dim() == 3 and not name.endswith("attn2_to_k"):
        output = output.transpose(1, 2).unflatten(2, (HEIGHT // 2, WIDTH // 2))
    left, right = output.chunk(2, dim=1 if name.endswith("attn2_to_k") else 3)
    return left, right


@pytest.fixture(autouse=True)
def _leave_no_adapter(tiny: BaseModel) -> Iterator[None]:
    yield
    deactivate_all(tiny)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("config", [PLAIN, HADAMARD], ids=["LoRA", "LoHa"])
@torch.no_grad()
def test_a_region_equals_the_answer_of_its_own_lora_alone(
    tiny: BaseModel, config: NetworkConfig, name: str
) -> None:
    loras = draw(tiny, 1), draw(tiny, 2, config)
    module = module_of(tiny, name)
    inputs = inputs_of(module, name)
    single = []
    for weights in loras:
        Adapter(tiny, merge(weights)).activate()
        single.append(module(inputs))
    RegionalAdapter(tiny, merge(*loras), loras, (0, 1)).activate()
    with tiny.regions.use(Regions(halves().expand(2, -1, -1, -1), num_readings=2)):
        together = split(module(inputs), name)
    # A convolution with a kernel sees over the border from inside, but what it adds stays on its side.
    for side in (0, 1):
        torch.testing.assert_close(together[side], split(single[side], name)[side], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(together[side], split(single[1 - side], name)[side], atol=1e-3)


def embed(base: BaseModel, rows: int = 2) -> Conditioning:
    return base.encode_weighted_prompts(["sks person and ohwx person"] * rows)


@torch.no_grad()
def predict(base: BaseModel, conditioning: Conditioning) -> Tensor:
    latents = torch.randn(len(conditioning), 4, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(4))
    return base.predict(latents, torch.full((len(conditioning),), 500), conditioning)


def test_masks_of_one_equal_the_mixture_bit_for_bit(tiny: BaseModel) -> None:
    loras, conditioning = (draw(tiny, 1), draw(tiny, 2)), embed(tiny)
    Adapter(tiny, merge(*loras)).activate()
    mixture = predict(tiny, conditioning)
    RegionalAdapter(tiny, merge(*loras), loras, (0, 1)).activate()
    everywhere = torch.ones(2, 2, HEIGHT, WIDTH)
    assert torch.equal(predict(tiny, Conditioning({**conditioning.tensors, MASKS: everywhere})), mixture)
    regional = Conditioning({**conditioning.tensors, MASKS: halves().expand(2, -1, -1, -1)})
    assert not torch.equal(predict(tiny, regional), mixture)


def test_a_lora_of_no_region_acts_everywhere(tiny: BaseModel) -> None:
    name = MODULES[0]
    person, style = draw(tiny, 1), draw(tiny, 2)
    module = module_of(tiny, name)
    inputs = inputs_of(module, name)
    with torch.no_grad():
        Adapter(tiny, merge(style)).activate()
        alone = module(inputs)
        RegionalAdapter(tiny, merge(person, style), (person, style), (0, None)).activate()
        with tiny.regions.use(Regions(torch.zeros(2, 1, HEIGHT, WIDTH), num_readings=1)):
            torch.testing.assert_close(module(inputs), alone)


def test_attention_to_triggers_equals_diffusers_own(tiny: BaseModel) -> None:
    conditioning = embed(tiny, rows=1)
    triggers = torch.zeros(1, 2, 10)
    triggers[0, 0, [1, 2]], triggers[0, 1, [4, 5]] = 1, 1
    expected: list[Tensor] = []

    def note(module: Attention, inputs: tuple[Tensor], options: dict[str, Tensor]) -> None:
        query, key = module.to_q(inputs[0]), module.to_k(options["encoder_hidden_states"])
        if query.shape[1] < 64:
            return
        scores = module.get_attention_scores(module.head_to_batch_dim(query), module.head_to_batch_dim(key))
        words = torch.stack([scores.mean(0)[:, [1, 2]].sum(1), scores.mean(0)[:, [4, 5]].sum(1)])
        size = (HEIGHT, WIDTH) if words.shape[1] == HEIGHT * WIDTH else (HEIGHT // 2, WIDTH // 2)
        maps = words.unflatten(1, size)[None]
        expected.append(nn.functional.interpolate(maps, (HEIGHT, WIDTH), mode="bilinear"))

    hooks = [
        module.register_forward_pre_hook(note, with_kwargs=True)
        for path, module in tiny.components["unet"].named_modules()
        if path.endswith("attn2")
    ]
    tensors = {**conditioning.tensors, MASKS: torch.ones(1, 2, HEIGHT, WIDTH), TRIGGERS: triggers}
    predict(tiny, Conditioning(tensors))
    for hook in hooks:
        hook.remove()
    assert expected
    found = tiny.regions.take_maps()
    assert found is not None
    torch.testing.assert_close(found, torch.stack(expected).mean(0))
    assert tiny.regions.take_maps() is None


def test_each_region_reads_its_own_words(tiny: BaseModel) -> None:
    one, other = embed(tiny), tiny.encode_weighted_prompts(["a boat"] * 2)
    masks = {MASKS: halves().expand(2, -1, -1, -1)}

    def attend(*readings: Conditioning) -> Tensor:
        """Return what the first attention to text says."""
        outputs: list[Tensor] = []
        module = tiny.components["unet"].get_submodule(
            "down_blocks.0.attentions.0.transformer_blocks.0.attn2"
        )
        hook = module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
        predict(tiny, Conditioning({**tiny.join_readings(readings).tensors, **masks}))
        hook.remove()
        return outputs[0].transpose(1, 2).unflatten(2, (HEIGHT, WIDTH))

    both, only_one, only_other = attend(one, other), attend(one, one), attend(other, other)
    half = WIDTH // 2
    torch.testing.assert_close(both[..., :half], only_one[..., :half], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(both[..., half:], only_other[..., half:], rtol=1e-4, atol=1e-4)


def test_convolutions_are_among_the_modules(tiny: BaseModel) -> None:
    assert tiny.targets_by_name[MODULES[3]].reach is Reach.CONV_BLOCK
    assert tiny.targets_by_name[MODULES[1]].reads_text
    assert not tiny.targets_by_name[MODULES[0]].reads_text
