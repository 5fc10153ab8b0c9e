"""Encoded prompts are kept: what was read once is not read again, and what differs is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import torch

from gpu_worker.generation.generate import generate
from gpu_worker.generation.prompts import PromptCache, encode_recipe_prompts
from gpu_worker.generation.recipes import resolve_recipes
from gpu_worker.lora.layers import Adapter, deactivate_all
from gpu_worker.lora.weights import LoraWeights
from gpu_worker.models.base import BaseModel
from tests.support.generated_images import ASKED, alone, done, with_


@dataclass
class Readings:
    """How often the text encoder was asked."""

    count: int = 0


@pytest.fixture
def readings(tiny: BaseModel) -> Iterator[Readings]:
    counted = Readings()

    def count(*_: object) -> None:
        counted.count += 1

    hook = tiny.components["text_encoder"].register_forward_pre_hook(count)
    yield counted
    hook.remove()
    deactivate_all(tiny)


def adapter_on(base: BaseModel, part: str) -> Adapter:
    target = base.list_targets(part)[0]
    out_features, in_features, *kernel = target.weight_shape
    ones = [1 for _ in kernel]
    weights = LoraWeights(torch.ones(1, in_features, *ones), torch.ones(out_features, 1, *ones), 1.0)
    return Adapter(base, {target.kohya_name: weights})


def test_prompts_of_a_second_picture_are_not_encoded_again(tiny: BaseModel, readings: Readings) -> None:
    context = alone(tiny)
    first = list(generate(context, ASKED))[-1]
    assert readings.count == 2, "the prompt and the negative one"
    again = list(generate(context, with_(job_id=6)))[-1]
    assert readings.count == 2
    assert again.pictures == first.pictures == done(tiny, ASKED).pictures  # type: ignore[union-attr]
    list(generate(context, with_(prompt="sks person, at sea")))
    list(generate(context, with_(guidance_scale=1.0)))
    assert readings.count == 2 + 2 + 2 + 1, "the other two readings are those of the second context"


@pytest.mark.parametrize(("part", "count"), [("unet", 2), ("text_encoder", 4)])
def test_a_lora_counts_only_where_it_adapts_the_text_encoder(
    tiny: BaseModel, readings: Readings, part: str, count: int
) -> None:
    [recipe] = resolve_recipes(tiny, ASKED)
    cache, adapter = PromptCache(), adapter_on(tiny, part)
    plain = cache.encode(tiny, recipe, None, ())
    adapted = cache.encode(tiny, recipe, adapter, ("a", 1.0))
    assert readings.count == count
    assert cache.encode(tiny, recipe, adapter, ("a", 1.0)).tensors.keys() == plain.tensors.keys()
    assert readings.count == count
    expected = encode_recipe_prompts(tiny, recipe, adapter)
    for name, tensor in expected.tensors.items():
        assert torch.equal(adapted.tensors[name], tensor)
        assert torch.equal(plain.tensors[name], tensor) is (part == "unet")


def test_the_least_recently_used_prompts_leave_when_their_bytes_are_too_many(
    tiny: BaseModel, readings: Readings
) -> None:
    [recipe] = resolve_recipes(tiny, ASKED)
    size = sum(each.nbytes for each in encode_recipe_prompts(tiny, recipe, None).tensors.values())
    others = [replace(recipe, prompt=f"person {number}") for number in range(3)]
    cache, readings.count = PromptCache(max_bytes=2 * size), 0
    for each in (others[0], others[1], others[0], others[2], others[0]):
        cache.encode(tiny, each, None, ())
    assert readings.count == 2 * 3
    cache.encode(tiny, others[1], None, ())
    assert readings.count == 2 * 4
    too_small = PromptCache(max_bytes=size - 1)
    too_small.encode(tiny, recipe, None, ())
