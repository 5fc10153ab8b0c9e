"""Pictures of several people: where each one's LoRA acts, from the request to the file."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from gpu_worker.generation.context import GenerationContext
from gpu_worker.generation.generate import generate
from gpu_worker.generation.regions import (
    build_bands,
    find_regions,
    find_triggers,
    list_regions,
    set_masks,
)
from gpu_worker.models.base import BaseModel
from gpu_worker.models.inputs.conditioning import Conditioning, ImageSize
from gpu_worker.protocol import Crop, DoneEvent, GenerateRequest, InitImage, LoraUse, Place, PreviewEvent
from tests.gpu_worker.generation.test_denoiser import Always, in_turn
from tests.support.generated_images import done, lora_of, pictures, pixels_of, use, with_

PROMPT = "sks person and ohwx person on a tandem"


@pytest.fixture(scope="module")
def two_loras(loaded_tiny: BaseModel, photos: tuple[bytes, ...]) -> tuple[LoraUse, LoraUse]:
    one, other = (use(lora_of(loaded_tiny, photos[:2], seed=seed)) for seed in (1, 2))
    return (
        msgspec.structs.replace(one, trigger="sks person", name="04071338"),
        msgspec.structs.replace(other, trigger="ohwx person", name="55556666"),
    )


def ask(loras: tuple[LoraUse, ...], *places: Place, **changes: object) -> GenerateRequest:
    placed = tuple(
        msgspec.structs.replace(lora, place=place) for lora, place in zip(loras, places, strict=True)
    )
    return with_(**{"prompt": PROMPT, "loras": placed, "width_px": 128, **changes})


def test_people_in_regions_differ_from_their_mixture_and_from_each_other_way_round(
    tiny: BaseModel, two_loras: tuple[LoraUse, LoraUse]
) -> None:
    layouts = [
        (Place.EVERYWHERE, Place.EVERYWHERE),
        (Place.LEFT, Place.RIGHT),
        (Place.RIGHT, Place.LEFT),
    ]
    results = [done(tiny, ask(two_loras, *places)) for places in layouts]
    assert len({result.pictures for result in results}) == 3
    assert "04071338" in results[1].recipes[0]
    assert "55556666" in results[1].recipes[0]
    halves = Crop(0.0, 0.0, 0.5, 1.0), Crop(0.5, 0.0, 0.5, 1.0)
    assert [result.regions for result in results] == [(), (halves,), (halves[::-1],)]


def test_one_person_beside_a_style_has_no_region(tiny: BaseModel, two_loras: tuple[LoraUse, LoraUse]) -> None:
    alone = pictures(tiny, ask(two_loras, Place.FOUND, Place.EVERYWHERE))
    assert alone == pictures(tiny, ask(two_loras, Place.EVERYWHERE, Place.EVERYWHERE))


def test_pairs_share_passes_and_equal_those_drawn_alone(
    tiny: BaseModel, two_loras: tuple[LoraUse, LoraUse]
) -> None:
    requests = [
        ask(two_loras, Place.LEFT, Place.RIGHT, steps=3),
        ask(two_loras[::-1], Place.FOUND, Place.FOUND, steps=4, seed=9),
        ask(two_loras, Place.RIGHT, Place.LEFT, steps=2, seed=8, count=2),
    ]
    passes: list[int] = []
    hook = tiny.components["unet"].register_forward_pre_hook(lambda _, inputs: passes.append(len(inputs[0])))
    together = in_turn(GenerationContext(tiny, Always()), requests)
    hook.remove()
    assert max(passes) > 2
    for request, files in zip(requests, together, strict=True):
        for file, alone in zip(files, pictures(tiny, request), strict=True):
            assert np.abs(pixels_of(file) - pixels_of(alone)).max() <= 2


def test_rows_one_by_one_give_the_same_picture(tiny: BaseModel, two_loras: tuple[LoraUse, LoraUse]) -> None:
    request = ask(two_loras, Place.FOUND, Place.FOUND, steps=3)
    context = GenerationContext(tiny)
    context.denoiser.is_sequential = True
    last = list(generate(context, request))[-1]
    assert isinstance(last, DoneEvent)
    assert np.abs(pixels_of(last.pictures[0]) - pixels_of(pictures(tiny, request)[0])).max() <= 2


def test_pairs_have_previews_variations_and_a_picture_to_begin_with(
    tiny: BaseModel, two_loras: tuple[LoraUse, LoraUse]
) -> None:
    first = pictures(tiny, ask(two_loras, Place.FOUND, Place.FOUND))[0]
    larger = ask(
        two_loras,
        Place.FOUND,
        Place.FOUND,
        width_px=160,
        height_px=80,
        init_image=InitImage(data=first, denoising_strength=0.5),
        variation_strength=0.25,
        preview_interval_s=0.0,
        steps=4,
    )
    events = list(generate(GenerationContext(tiny), larger))
    assert any(isinstance(event, PreviewEvent) for event in events)
    assert isinstance(events[-1], DoneEvent)
    assert pixels_of(events[-1].pictures[0]).shape == (80, 160, 3)


def test_a_prompt_read_twice_alike_is_one_prompt_for_sdxl(tiny_xl: BaseModel) -> None:
    size = ImageSize((128, 64), (0, 0), (128, 64))
    reading = tiny_xl.add_sizes(tiny_xl.encode_weighted_prompts([PROMPT], "dark"), [size] * 2)
    *_, height, width = latent_shape = (2, *tiny_xl.latent_shape((128, 64)))
    latents = torch.randn(latent_shape, generator=torch.Generator().manual_seed(3))
    timesteps = torch.full((2,), 500)
    regional = set_masks(
        tiny_xl.join_readings([reading, reading]), build_bands([Place.FOUND] * 2, height, width)
    )
    with torch.no_grad():
        once, twice = (tiny_xl.predict(latents, timesteps, each) for each in (reading, regional))
    torch.testing.assert_close(twice, once, rtol=1e-3, atol=1e-3)


def test_bands_go_by_place_and_else_by_the_words() -> None:
    right, left = build_bands([Place.RIGHT, Place.LEFT], 2, 4)
    assert left[0].tolist() == [1, 1, 0, 0]
    assert right[0].tolist() == [0, 0, 1, 1]
    thirds = build_bands([Place.FOUND] * 3, 1, 6)
    assert thirds[:, 0].tolist() == [[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]]


def test_regions_follow_clear_attention_and_else_the_bands() -> None:
    bands = build_bands([Place.FOUND] * 2, 16, 32)
    attention = torch.full((2, 16, 32), 0.01)
    attention[0, 4:, 18:28] = 0.2  # the first of the words stands right
    attention[1, 4:, 4:14] = 0.2
    masks = find_regions(attention, bands)
    assert masks[:, 10, 22].tolist() == [1, 0]
    assert masks[:, 10, 8].tolist() == [0, 1]
    assert masks[:, 0, 0].tolist() == [1, 1]  # background
    assert torch.equal(find_regions(torch.full((2, 16, 32), 0.01), bands), bands)


def test_a_persons_part_is_the_columns_where_nobody_else_is() -> None:
    masks = torch.zeros(2, 4, 10)
    masks[0, 1:, 1:4], masks[1, :, 6:9], masks[:, 0] = 1, 1, 1
    conditioning = set_masks(Conditioning({"prompt_embeds": torch.zeros(2, 3, 4)}), masks)
    left, right = list_regions(conditioning)
    assert (left.left, left.width) == pytest.approx((0.1, 0.3))
    assert (right.left, right.width) == pytest.approx((0.6, 0.3))
    assert (left.top, left.height) == (0.0, 1.0)


def test_triggers_are_found_among_the_tokens(tiny: BaseModel) -> None:
    found = find_triggers(tiny, "photo of (sks person:1.2) and sks person", ["sks person", "sks person"])
    assert found is not None
    first, second = (row.nonzero().flatten().tolist() for row in found)
    assert len(first) == len(second) > 1
    assert max(first) < min(second)
    assert find_triggers(tiny, "a boat", ["sks person", "ohwx person"]) is None


@pytest.mark.parametrize(
    ("prompt", "later"),
    [("photo of ohwx person and sks person", "sks person"), ("sks person beside ohwx person", "ohwx person")],
)
def test_people_of_two_triggers_are_found_by_their_own(tiny: BaseModel, prompt: str, later: str) -> None:
    triggers = ["sks person", "ohwx person"]
    found = find_triggers(tiny, prompt, triggers)
    assert found is not None
    tokens = {trigger: row.nonzero().flatten().tolist() for trigger, row in zip(triggers, found, strict=True)}
    earlier = next(trigger for trigger in triggers if trigger != later)
    assert max(tokens[earlier]) < min(tokens[later])
    for trigger in triggers:
        assert tuple(tokens[trigger]) == tiny.find_words(prompt, trigger)[0]
    assert find_triggers(tiny, prompt.replace(later, "somebody"), triggers) is None
