"""Two people in one picture where one transformer sees picture and text together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor

from gpu_worker.generation import regions
from gpu_worker.lora.cache import merge_loras
from gpu_worker.lora.layers import Adapter, deactivate_all, read_lora
from gpu_worker.lora.regional import RegionalAdapter
from gpu_worker.models.flow.model import FlowModel
from gpu_worker.models.inputs.conditioning import Conditioning
from gpu_worker.models.inputs.regions import MASKS, JointTokens, Regions
from gpu_worker.protocol import LoraUse, Place
from tests.support.generated_images import done, make_random_lora, use, with_

PROMPT = "ohwx person and (sks person:1.2) on a tandem"
TRIGGERS = ("sks person", "ohwx person")
SIZE_PX = (96, 64)
#: Tokens of text that a joint layer is shown.
NUM_WORDS = 96


@pytest.fixture(params=["tiny_klein", "tiny_z_image"])
def base(request: pytest.FixtureRequest) -> Iterator[FlowModel]:
    loaded: FlowModel = request.getfixturevalue(request.param)
    yield loaded
    deactivate_all(loaded)


@pytest.fixture
def files(base: FlowModel) -> tuple[bytes, bytes]:
    return make_random_lora(base, seed=1), make_random_lora(base, seed=2)


def place(files: tuple[bytes, bytes], *places: Place) -> tuple[LoraUse, ...]:
    return tuple(
        msgspec.structs.replace(use(file), trigger=trigger, place=each, strength=0.8)
        for file, trigger, each in zip(files, TRIGGERS, places, strict=True)
    )


def predict(base: FlowModel, conditioning: Conditioning) -> Tensor:
    latents = torch.randn(1, *base.latent_shape(SIZE_PX), generator=torch.Generator().manual_seed(4))
    with torch.no_grad(), base.for_pictures():
        return base.predict(latents, torch.full((1,), 500.0), conditioning)


def test_people_in_regions_differ_from_their_mixture_and_from_each_other_way_round(
    base: FlowModel, files: tuple[bytes, bytes]
) -> None:
    layouts = (
        (Place.EVERYWHERE, Place.EVERYWHERE),
        (Place.LEFT, Place.RIGHT),
        (Place.RIGHT, Place.LEFT),
    )
    results = [
        done(base, with_(prompt=PROMPT, loras=place(files, *each), width_px=96, height_px=64, steps=1))
        for each in layouts
    ]
    assert len({result.pictures for result in results}) == 3
    columns = [
        [(round(crop.left, 3), round(crop.width, 3)) for crop in result.regions[0]] for result in results[1:]
    ]
    assert columns == [[(0.0, 0.5), (0.5, 0.5)], [(0.5, 0.5), (0.0, 0.5)]]
    assert results[0].regions == ()


def test_masks_of_one_equal_the_mixture_bit_for_bit(base: FlowModel, files: tuple[bytes, bytes]) -> None:
    loras = [read_lora(base, file) for file in files]
    merged = merge_loras([(lora, 0.8) for lora in loras])
    conditioning = base.encode_weighted_prompts([PROMPT])
    Adapter(base, merged).activate()
    mixture = predict(base, conditioning)
    RegionalAdapter(base, merged, [lora.weights for lora in loras], (0, 1)).activate()
    height, width = base.latent_shape(SIZE_PX)[1:]
    everywhere = torch.ones(1, 2, height, width)
    assert torch.equal(predict(base, Conditioning({**conditioning.tensors, MASKS: everywhere})), mixture)
    regional = regions.place_people(
        base, place(files, Place.LEFT, Place.RIGHT), PROMPT, [conditioning] * 2, (height, width)
    )
    assert not torch.equal(predict(base, regional), mixture)


def mark_words(base: FlowModel, trigger: str) -> Tensor:
    """Return which of the prompt's tokens are a trigger."""
    (places,) = base.find_words(PROMPT, trigger)
    is_trigger = torch.zeros(NUM_WORDS, dtype=torch.bool)
    is_trigger[list(places)] = True
    return is_trigger


def split(output: Tensor, joint_tokens: JointTokens) -> tuple[Tensor, Tensor]:
    """Return what belongs to the picture, without what fills it up, and to the words."""
    num_pixels = joint_tokens.size[0] * joint_tokens.size[1]
    if joint_tokens.is_text_first:
        return output[0, NUM_WORDS:][:num_pixels], output[0, :NUM_WORDS]
    return output[0, :num_pixels], output[0, joint_tokens.num_image_tokens :]


def test_each_half_and_each_trigger_has_its_own_lora_and_other_words_have_both(
    base: FlowModel, files: tuple[bytes, bytes]
) -> None:
    height, width = base.latent_shape(SIZE_PX)[1:]
    conditioning = base.encode_weighted_prompts([PROMPT])
    loras = [read_lora(base, file) for file in files]
    placed = place(files, Place.LEFT, Place.RIGHT)
    regional = regions.place_people(base, placed, PROMPT, [conditioning] * 2, (height, width))
    joint_tokens = base.join_tokens(height, width)
    found = Regions.from_conditioning(regional, conditioning.tensors["prompt_embeds"], joint_tokens)
    assert found is not None
    rows, columns = joint_tokens.size
    words = [mark_words(base, trigger) for trigger in TRIGGERS]
    left = (torch.arange(rows * columns) % columns) < columns // 2

    target = next(
        target
        for target in base.targets_by_name.values()
        if "single" in target.path or "layers.0" in target.path
    )
    module: Any = base.components["transformer"].get_submodule(target.path)
    inputs = torch.randn(
        1,
        joint_tokens.num_image_tokens + NUM_WORDS,
        module.in_features,
        generator=torch.Generator().manual_seed(8),
    )

    with torch.no_grad():
        single = []
        for lora in loras:
            Adapter(base, merge_loras([(lora, 0.8)])).activate()
            single.append(split(module(inputs), joint_tokens))
        merged = merge_loras([(lora, 0.8) for lora in loras])
        Adapter(base, merged).activate()
        mixture = split(module(inputs), joint_tokens)
        RegionalAdapter(base, merged, [lora.weights for lora in loras], (0, 1)).activate()
        with base.regions.use(found):
            picture, text = split(module(inputs), joint_tokens)
    for own, is_own_half, is_own_word in zip(single, (left, ~left), words, strict=True):
        torch.testing.assert_close(picture[is_own_half], own[0][is_own_half], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(text[is_own_word], own[1][is_own_word], rtol=1e-4, atol=1e-5)
    is_shared = ~(words[0] | words[1])
    torch.testing.assert_close(text[is_shared], mixture[1][is_shared], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(picture, mixture[0], atol=1e-3)


def test_triggers_are_found_where_their_letters_are(base: FlowModel) -> None:
    (places,) = base.find_words(PROMPT, "SKS person")
    assert len(places) == len("sks person")  # tokens of the embedded models are bytes
    (first,) = base.find_words(PROMPT, "ohwx person")
    assert places[0] - first[0] == len("ohwx person and ")
    assert base.find_words("asks person", "sks person") == []
