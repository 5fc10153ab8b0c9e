"""Drawing on the embedded model, with and without a LoRA."""

from __future__ import annotations

import copy
import io
import threading

import numpy as np
import numpy.typing as npt
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load, save

from gpu_worker.errors import BadInput, BaseModelError
from gpu_worker.generation.generate import generate
from gpu_worker.lora import file as lora_file
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import DoneEvent, ProgressEvent, StartedEvent, TrainRequest
from gpu_worker.serve.engine import TorchEngine
from tests.gpu_worker.conftest import has_adapters
from tests.support.generated_images import ASKED, alone, lora_of, pictures, pixels_of, text_of, use, with_


@pytest.fixture(scope="module")
def lora(loaded_tiny: BaseModel, photos: tuple[bytes, ...]) -> bytes:
    return lora_of(loaded_tiny, photos)


def test_every_denoising_step_yields_progress(tiny: BaseModel) -> None:
    events = list(generate(alone(tiny), with_(count=2, steps=3)))
    assert events[0] == StartedEvent(job_id=5, attempt=1, step=0, steps=6)
    assert [event.step for event in events if isinstance(event, ProgressEvent)] == [1, 2, 3, 3, 4, 5, 6]
    assert isinstance(events[-1], DoneEvent)
    assert len(events[-1].pictures) == 2


def test_a_picture_has_the_size_that_was_asked_for_and_else_the_models_own(tiny: BaseModel) -> None:
    sizes = []
    for generate_request in (with_(width_px=72, height_px=104), with_(width_px=None, height_px=None)):
        with Image.open(io.BytesIO(pictures(tiny, generate_request)[0])) as image:
            sizes.append(image.size)
    assert sizes == [(72, 104), (128, 128)]


def test_each_picture_is_made_by_its_own_seed_alone(tiny: BaseModel) -> None:
    three = pictures(tiny, with_(count=3))
    assert len(set(three)) == 3
    torch.manual_seed(31)  # the global stream has no say
    assert pictures(tiny, with_(seed=9)) == (three[2],)


def test_random_seed_is_in_the_recipe_and_draws_the_same_picture_again(tiny: BaseModel) -> None:
    drawn = pictures(tiny, with_(seed=None))[0]
    seed = int(text_of(drawn).split("Seed: ")[1].split(",")[0])
    assert pictures(tiny, with_(seed=seed))[0] == drawn


def test_the_picture_carries_its_recipe(tiny: BaseModel, lora: bytes) -> None:
    generate_request = with_(loras=(use(lora),), negative_prompt="blurry", guidance_scale=5.5)
    short = lora_file.read(lora).metadata["sshs_model_hash"][:12]
    assert text_of(pictures(tiny, generate_request)[0]) == (
        "sks person, on the moon <lora:04071338:1>\n"
        "Negative prompt: blurry\n"
        "Steps: 2, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5.5, Seed: 7, Size: 64x64, "
        f'Model: tiny, RNG: CPU, Lora hashes: "04071338: {short}", LoraCode: 04071338'
    )


def test_a_lora_negative_prompt_and_guidance_each_change_the_picture(tiny: BaseModel, lora: bytes) -> None:
    variants = [
        with_(),
        with_(loras=(use(lora),)),
        with_(negative_prompt="blurry"),
        with_(guidance_scale=1.0),
    ]
    assert (
        len({pixels_of(pictures(tiny, generate_request)[0]).tobytes() for generate_request in variants}) == 4
    )


def test_the_plain_picture_after_one_with_a_lora_is_the_same_as_before(tiny: BaseModel, lora: bytes) -> None:
    before = pictures(tiny, with_())
    pictures(tiny, with_(loras=(use(lora),)))
    assert pictures(tiny, with_()) == before


def test_two_pictures_in_turn_each_keep_their_own_lora(
    tiny: BaseModel, lora: bytes, photos: tuple[bytes, ...]
) -> None:
    plain, painted = pictures(tiny, with_()), pictures(tiny, with_(loras=(use(lora),)))
    one, other = generate(alone(tiny), with_()), generate(alone(tiny), with_(loras=(use(lora),)))
    in_turn = list(zip(one, other, strict=True))
    last = in_turn[-1]
    assert isinstance(last[0], DoneEvent)
    assert isinstance(last[1], DoneEvent)
    assert list(one) == list(other) == []
    assert (last[0].pictures, last[1].pictures) == (plain, painted)


def test_a_cancelled_picture_leaves_no_lora_behind(tiny: BaseModel, lora: bytes) -> None:
    drawing = generate(alone(tiny), with_(loras=(use(lora),)))
    next(drawing)
    next(drawing)
    assert has_adapters(tiny)
    drawing.close()
    assert not has_adapters(tiny)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside diffusers' sampler
def test_diffusers_draws_the_same_picture_from_the_same_file(tiny: BaseModel, lora: bytes) -> None:
    ours = pixels_of(
        pictures(tiny, with_(loras=(use(lora),), steps=4, guidance_scale=4.0, negative_prompt="blurry"))[0]
    )
    pipeline = StableDiffusionPipeline(
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

    def draw() -> npt.NDArray[np.int16]:
        picture = pipeline(
            "sks person, on the moon", negative_prompt="blurry", width=64, height=64, num_inference_steps=4,
            guidance_scale=4.0, generator=torch.Generator().manual_seed(7),
        ).images[0]  # fmt: skip
        return np.asarray(picture, dtype=np.int16)

    plain = draw()
    pipeline.load_lora_weights({key: value.float() for key, value in load(lora).items()})
    theirs = draw()
    assert np.abs(theirs - plain).max() > 20  # the LoRA does something
    assert np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"width_px": 65}, "Width and height must be multiples of 8"),
        ({"height_px": 8}, "Width and height must be multiples of 8"),
        ({"height_px": 99_999}, "Width and height must be multiples of 8"),
        ({"steps": 0}, "Steps must be 1 to 150"),
        ({"steps": -3}, "Steps must be 1 to 150"),
        ({"count": 0}, "number of pictures must be 1"),
        ({"guidance_scale": float("nan")}, "Guidance must be 0 to 50"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"loras": (use(b"\x80\x04\x95 a pickle"),)}, "damaged, or is not a safetensors"),
    ],
)
def test_impossible_generation_is_refused_in_one_sentence(
    tiny: BaseModel, changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        list(generate(alone(tiny), with_(**changes)))


def test_a_lora_of_another_base_model_is_refused_and_leaves_nothing(tiny: BaseModel, lora: bytes) -> None:
    wider = {k: torch.cat([v, v], 1) if k.endswith("down.weight") else v for k, v in load(lora).items()}
    foreign = {key.replace("lora_te_", "lora_te2_"): value for key, value in load(lora).items()}
    for data, sentence in ((save(wider), "of another size"), (save(foreign), "for SDXL")):
        with pytest.raises(BadInput, match=sentence):
            list(generate(alone(tiny), with_(loras=(use(data),))))


def test_the_performer_loads_its_model_with_the_first_job_and_reports_from_any_thread() -> None:
    engine = TorchEngine("tiny", train_steps=1)
    assert not engine.read_health().base_model_loaded
    done = list(engine.generate(with_(steps=1)))[-1]
    assert isinstance(done, DoneEvent)
    found = []
    thread = threading.Thread(target=lambda: found.append(engine.read_health()))
    thread.start()
    thread.join()
    assert found[0].base_model == "tiny"
    assert found[0].base_model_loaded
    assert found[0].process_memory_bytes > 0


def test_engine_trains_the_configured_number_of_steps(photos: tuple[bytes, ...]) -> None:
    engine = TorchEngine("tiny", train_steps=2)
    events = list(engine.train(TrainRequest(job_id=1, attempt=1, photos=photos[:1])))
    assert events[0] == StartedEvent(job_id=1, attempt=1, step=0, steps=2, family="tiny")
    generate_request = TrainRequest(job_id=1, attempt=1, photos=photos[:1], steps=1)
    assert next(iter(engine.train(generate_request))) == StartedEvent(
        job_id=1, attempt=1, step=0, steps=1, family="tiny"
    )


def test_engine_raises_the_error_of_the_base_model() -> None:
    with pytest.raises(BaseModelError, match="pickle"):
        list(TorchEngine("model.ckpt", None).generate(ASKED))
