"""What a person can ask of a picture: samplers, shapes, several LoRAs, variations, an earlier picture."""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionImg2ImgPipeline
from PIL import Image

from gpu_worker.device.memory_modes import MemoryMode
from gpu_worker.errors import BadInput
from gpu_worker.generation import generate, recipes
from gpu_worker.lora import file as lora_file
from gpu_worker.lora.cache import merge_loras
from gpu_worker.lora.layers import Adapter
from gpu_worker.models.base import BaseModel
from gpu_worker.models.inputs.conditioning import Conditioning
from gpu_worker.models.registry import load_base_model
from gpu_worker.protocol import SAMPLERS, DoneEvent, InitImage, PreviewEvent, ProgressEvent, WorkerEvent
from tests.gpu_worker.conftest import weights_hash
from tests.support.generated_images import (
    alone,
    done,
    lora_of,
    pictures,
    pixels_of,
    size_of,
    text_of,
    use,
    with_,
)
from tests.support.variants import with_soak


@pytest.fixture(scope="module")
def two(loaded_tiny: BaseModel, photos: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    return lora_of(loaded_tiny, photos[:2], seed=1), lora_of(loaded_tiny, photos[2:4], seed=2)


@pytest.fixture(scope="module")
def drawn_model() -> BaseModel:
    return load_base_model("drawn")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_draws_and_draws_the_same_again(tiny: BaseModel, sampler: str) -> None:
    torch.manual_seed(1)
    first = pictures(tiny, with_(sampler=sampler, steps=4))
    torch.manual_seed(2)  # the global stream has no say
    assert pictures(tiny, with_(sampler=sampler.upper(), steps=4)) == first
    assert pixels_of(first[0]).std() > 1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_takes_every_allowed_number_of_steps(tiny: BaseModel, sampler: str) -> None:
    for steps in (recipes.STEPS.start, 50, 51, 100, recipes.STEPS.stop - 1):
        [recipe] = recipes.resolve_recipes(tiny, with_(sampler=sampler, steps=steps))
        nothing = Conditioning({"prompt_embeds": torch.zeros(1, 77, 96)})
        image = generate.create_image(tiny, recipe, None, nothing)
        assert image.total_steps == steps
        while not image.is_done:
            guess = torch.randn(image.latents.shape, generator=image.generator)
            image.latents = image.scheduler.step(guess, image.timestep, image.latents, image.generator)
            image.steps_done += 1
        assert image.latents.isfinite().all()
        assert image.latents.std() > 0.1


def test_samplers_differ_and_the_recipe_names_the_one_used(tiny: BaseModel) -> None:
    drawn_pictures = [pictures(tiny, with_(sampler=sampler, steps=4))[0] for sampler in SAMPLERS]
    assert len({pixels_of(png).tobytes() for png in drawn_pictures}) == len(SAMPLERS)
    named = [text_of(png).split("Sampler: ")[1].split(",")[0] for png in drawn_pictures]
    assert named == ["DPM++ 2M", "Euler a", "UniPC", "LCM"]


def test_shape_is_in_proportion_to_the_native_size(tiny: BaseModel, drawn_model: BaseModel) -> None:
    sizes = {
        shape: [size_of(pictures(base, with_(shape=shape, width_px=None, height_px=None, steps=1))[0])
                for base in (tiny, drawn_model)]
        for shape in ("square", "portrait", "landscape")
    }  # fmt: skip
    assert sizes == {
        "square": [(128, 128), (256, 256)],
        "portrait": [(128, 192), (256, 384)],
        "landscape": [(192, 128), (384, 256)],
    }


def test_a_size_in_pixels_is_that_of_the_file_also_where_pictures_are_enlarged(
    drawn_model: BaseModel,
) -> None:
    png = pictures(drawn_model, with_(width_px=512, height_px=250 // 8 * 8, steps=1))[0]
    assert size_of(png) == (512, 256)  # as near as steps of 32 come
    assert "Size: 512x256" in text_of(png)


def test_two_loras_have_the_effect_of_both(tiny: BaseModel, two: tuple[bytes, bytes]) -> None:
    one, other = (lora_file.read(each) for each in two)
    both = Adapter(tiny, merge_loras([(one, 0.5), (other, 1.5)]))
    words = torch.randn(1, 77, tiny.components["unet"].config.cross_attention_dim)
    noise, timestep = torch.randn(1, 4, 8, 8), torch.tensor([500])

    def answer(adapter: Adapter | None) -> torch.Tensor:
        with torch.no_grad():
            if adapter is not None:
                adapter.activate()
            noise_pred: torch.Tensor = tiny.components["unet"](noise, timestep, words).sample
        if adapter is not None:
            adapter.deactivate()
        return noise_pred

    plain = answer(None)
    together = answer(both)
    summed = copy.deepcopy(tiny.components["unet"])
    for file, strength in ((one, 0.5), (other, 1.5)):
        for target in tiny.list_targets("unet"):
            each = file.weights[target.kohya_name]
            product = each.up.flatten(1) @ each.down.flatten(1) * (each.alpha / each.down.shape[0] * strength)
            summed.get_submodule(target.path).weight.data += product.view(target.weight_shape)
    with torch.no_grad():
        expected = summed(noise, timestep, words).sample
    assert (expected - plain).abs().max() > 1e-3
    assert torch.allclose(together, expected, atol=2e-5)


def test_strength_zero_is_the_base_model_and_the_recipe_tells_each_lora(
    tiny: BaseModel, two: tuple[bytes, bytes]
) -> None:
    nothing = pictures(tiny, with_(loras=(use(two[0], strength=0.0),)))[0]
    assert np.array_equal(pixels_of(nothing), pixels_of(pictures(tiny, with_())[0]))
    both = done(tiny, with_(loras=(use(two[0], "00000001"), use(two[1], "00000002", 0.75))))
    hashes = [lora_file.read(each).metadata["sshs_model_hash"][:12] for each in two]
    assert "<lora:00000001:1> <lora:00000002:0.75>" in both.recipes[0]
    assert f'Lora hashes: "00000001: {hashes[0]}, 00000002: {hashes[1]}"' in both.recipes[0]
    assert text_of(both.pictures[0]) == both.recipes[0]


def test_variations_differ_and_stay_closer_to_their_picture_than_another_seed_does(tiny: BaseModel) -> None:
    original = pixels_of(pictures(tiny, with_())[0])
    varied = [
        pixels_of(png) for png in pictures(tiny, with_(variation_strength=0.25, variation_seed=50, count=3))
    ]
    stranger = pixels_of(pictures(tiny, with_(seed=99))[0])

    def distance(one: npt.NDArray[np.int16], other: npt.NDArray[np.int16]) -> float:
        return float(np.abs(one - other).mean())

    assert len({each.tobytes() for each in varied}) == 3
    assert all(0 < distance(each, original) < distance(stranger, original) for each in varied)
    again = pictures(tiny, with_(variation_strength=0.25, variation_seed=51))
    assert np.array_equal(pixels_of(again[0]), varied[1])


def test_a_variation_by_the_picture_s_own_seed_is_the_picture(tiny: BaseModel) -> None:
    original = pixels_of(pictures(tiny, with_(seed=50))[0])
    same = pictures(tiny, with_(seed=50, variation_strength=0.25, variation_seed=50))
    assert np.array_equal(pixels_of(same[0]), original)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside diffusers' sampler
def test_diffusers_draws_the_same_picture_from_an_earlier_one(tiny: BaseModel) -> None:
    earlier = pictures(tiny, with_(seed=3))[0]
    ours = pixels_of(
        pictures(
            tiny,
            with_(steps=6, guidance_scale=4.0, init_image=InitImage(data=earlier, denoising_strength=0.5)),
        )[0]
    )
    pipeline = StableDiffusionImg2ImgPipeline(
        vae=copy.deepcopy(tiny.components["vae"]),
        unet=copy.deepcopy(tiny.components["unet"]),
        text_encoder=copy.deepcopy(tiny.components["text_encoder"]),
        tokenizer=tiny.tokenizer,
        scheduler=DPMSolverMultistepScheduler.from_config(
            tiny.noise_process.scheduler_config, use_karras_sigmas=True
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    pixels = torch.from_numpy(pixels_of(earlier)).permute(2, 0, 1).float() / 127.5 - 1
    latents = tiny.encode_image(pixels).mean[None]
    theirs = pipeline(
        "sks person, on the moon", negative_prompt="", image=latents, strength=0.5, num_inference_steps=6,
        guidance_scale=4.0, generator=torch.Generator().manual_seed(7),
    ).images[0]  # fmt: skip
    assert np.abs(ours - np.asarray(theirs, dtype=np.int16)).max() <= 1


@pytest.mark.parametrize("sampler", with_soak(SAMPLERS, kept=("dpm++ 2m karras",)))
def test_the_less_is_drawn_again_the_more_a_picture_stays(drawn_model: BaseModel, sampler: str) -> None:
    own_size = {"width_px": None, "height_px": None, "steps": 10, "prompt": "a person in the snow"}
    earlier = pictures(drawn_model, with_(**own_size, seed=3))[0]
    changed = [
        float(np.abs(pixels_of(png) - pixels_of(earlier)).mean())
        for start in (
            InitImage(data=earlier, denoising_strength=0.1),
            InitImage(data=earlier, denoising_strength=0.9),
        )
        for png in pictures(drawn_model, with_(**own_size, sampler=sampler, init_image=start))
    ]
    assert changed[0] < changed[1] / 2


def test_a_picture_twice_as_large_as_the_models_own_is_drawn_from_an_earlier_one(
    drawn_model: BaseModel,
) -> None:
    earlier = pictures(drawn_model, with_(width_px=256, height_px=256, steps=4))[0]
    generate_request = with_(
        width_px=512, height_px=512, steps=6, init_image=InitImage(data=earlier, denoising_strength=0.35)
    )
    large = pictures(drawn_model, generate_request)[0]
    assert size_of(large) == (512, 512)
    small_again = Image.fromarray(pixels_of(large).astype(np.uint8)).resize((256, 256))
    difference = np.abs(np.asarray(small_again, dtype=np.int16) - pixels_of(earlier)).mean()
    stranger = pictures(drawn_model, with_(width_px=256, height_px=256, steps=4, seed=123))[0]
    assert difference < np.abs(pixels_of(stranger) - pixels_of(earlier)).mean() / 2


def test_a_preview_comes_no_oftener_than_asked_and_shows_the_colours_of_the_picture(
    drawn_model: BaseModel,
) -> None:
    generate_request = with_(
        prompt="a person in the snow", width_px=None, height_px=None, steps=8, preview_interval_s=0.0
    )
    events = list(generate.generate(alone(drawn_model), generate_request))
    previews = [event.png for event in events if isinstance(event, PreviewEvent)]
    assert len(previews) == 7, "after the second step and each later one"
    assert size_of(previews[-1]) == (192, 192)
    finished = Image.fromarray(pixels_of(events[-1].pictures[0]).astype(np.uint8)).resize((192, 192))  # type: ignore[union-attr]
    likeness = np.corrcoef(pixels_of(previews[-1]).ravel(), np.asarray(finished).ravel())[0, 1]
    assert likeness > 0.85
    rarely = with_(steps=4, preview_interval_s=3600.0)
    events = list(generate.generate(alone(drawn_model), rarely))
    steps_done = [event.step for event in events if isinstance(event, ProgressEvent)]
    [place] = [place for place, event in enumerate(events) if isinstance(event, PreviewEvent)]
    assert isinstance(before := events[place - 1], ProgressEvent) and before.step == steps_done[1] == 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sampler": "magic"}, "'magic' is not a sampler; the samplers are DPM"),
        ({"shape": "round"}, "'round' is not a shape; the shapes are square"),
        ({"variation_strength": 1.5}, "The variation must be 0 to 1"),
        ({"init_image": InitImage(data=b"no picture")}, "The picture to start from is damaged"),
        (
            {"init_image": InitImage(data=b"", denoising_strength=float("nan"))},
            "How much is drawn again must be 0 to 1",
        ),
        ({"loras": (use(b"", strength=9.0),)}, "The strength must be -2 to 2"),
        ({"loras": tuple(use(b"", str(n)) for n in range(5))}, "One picture takes 4 LoraCodes"),
    ],
)
def test_impossible_generation_is_refused_in_one_sentence(
    tiny: BaseModel, changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        list(generate.generate(alone(tiny), with_(**changes)))


def test_first_oom_runs_rows_one_by_one_and_a_second_fails_in_one_sentence(tiny: BaseModel) -> None:
    expected = pixels_of(pictures(tiny, with_())[0])
    context = alone(tiny)

    def short_of_memory(_: object, given: tuple[torch.Tensor, ...]) -> None:
        if len(given[0]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    hook = tiny.components["unet"].register_forward_pre_hook(short_of_memory)
    events = list(generate.generate(context, with_()))
    hook.remove()
    assert context.denoiser.is_sequential
    assert np.abs(pixels_of(events[-1].pictures[0]) - expected).max() <= 1  # type: ignore[union-attr]
    hook = tiny.components["unet"].register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(BadInput, match="too much for the graphics card"):
        list(generate.generate(context, with_()))
    hook.remove()


def overflow(_: object, __: object, output: torch.Tensor) -> torch.Tensor:
    """Return NaN in half precision, as a forward hook."""
    return output * float("nan") if output.dtype is torch.bfloat16 else output


def test_a_vae_out_of_bounds_is_widened_alone_and_for_that_picture_only() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    base = load_base_model("tiny")
    base.set_memory_mode(MemoryMode(torch.bfloat16))

    before = weights_hash(base)
    unet_dtypes: set[torch.dtype] = set()
    base.denoiser.conv_in.register_forward_hook(lambda _, __, output: unet_dtypes.add(output.dtype))
    base.components["vae"].decoder.conv_out.register_forward_hook(overflow)
    png = pictures(base, with_())[0]
    assert pixels_of(png).std() > 1
    assert unet_dtypes == {torch.bfloat16}
    assert base.memory_mode == MemoryMode(torch.bfloat16)
    assert weights_hash(base) == before
    base.components["vae"].decoder.conv_out.register_forward_hook(lambda _, __, output: output * float("nan"))
    with pytest.raises(BadInput, match="out of bounds"):
        pictures(base, with_())
    assert base.memory_mode == MemoryMode(torch.bfloat16)
    assert weights_hash(base) == before
    torch.set_num_threads(threads)


def test_a_preview_out_of_bounds_costs_no_picture() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    base = load_base_model("tiny")
    base.set_memory_mode(MemoryMode(torch.bfloat16))

    base.components["vae"].encoder.conv_out.register_forward_hook(overflow)
    events = list(generate.generate(alone(base), with_(preview_interval_s=0.0)))
    assert any(isinstance(event, PreviewEvent) for event in events)
    assert isinstance(events[-1], DoneEvent)
    torch.set_num_threads(threads)


def test_two_pictures_out_of_bounds_at_once_are_both_drawn_again_in_a_wider_precision() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    base = load_base_model("tiny")
    base.set_memory_mode(MemoryMode(torch.bfloat16))

    def overflow(_: object, __: object, output: object) -> None:
        if base.dtype is torch.bfloat16:
            output.sample.mul_(float("nan"))  # type: ignore[attr-defined]

    base.components["unet"].register_forward_hook(overflow)
    context = alone(base)
    in_turn = [generate.generate(context, with_(seed=seed)) for seed in (1, 2)]
    last: list[WorkerEvent] = []
    while in_turn:
        for each in list(in_turn):
            event = next(each)
            if isinstance(event, DoneEvent):
                in_turn.remove(each)
                last.append(event)
    assert all(pixels_of(event.pictures[0]).std() > 1 for event in last if isinstance(event, DoneEvent))
    assert len(last) == 2
    assert base.memory_mode == MemoryMode(torch.bfloat16)
    torch.set_num_threads(threads)


def test_a_training_may_go_on_between_two_finished_pictures(tiny: BaseModel) -> None:
    events = list(generate.generate(alone(tiny), with_(count=3, steps=1)))
    assert [e.step for e in events if isinstance(e, ProgressEvent)] == [1, 1, 2, 2, 3]


def test_pictures_of_several_strengths_are_those_of_each_alone(
    tiny: BaseModel, photos: tuple[bytes, ...]
) -> None:
    lora = lora_of(tiny, photos[:2])
    compared = done(tiny, with_(loras=(use(lora),), strengths=(0.0, 0.8)))
    single = [done(tiny, with_(loras=(use(lora, strength=strength),))) for strength in (0.0, 0.8)]
    assert compared.pictures == tuple(each.pictures[0] for each in single)
    assert compared.recipes == tuple(each.recipes[0] for each in single)
