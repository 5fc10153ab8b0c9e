"""Files of finished pictures are written while the next ones are denoised."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from gpu_worker.generation import image_file
from gpu_worker.generation.context import GenerationContext
from gpu_worker.generation.denoiser import BatchSizeTuner
from gpu_worker.generation.generate import generate
from gpu_worker.generation.image_file import Recipe
from gpu_worker.generation.picture_files import EncodePng, PictureFiles, can_decode_beside
from gpu_worker.generation.recipes import resolve_recipes
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from gpu_worker.protocol import DoneEvent
from tests.support.generated_images import pictures, with_

#: So long one thread waits for the other before the test fails.
PATIENCE_S = 60
TWO = with_(count=2, steps=2)


def draw_alone(base: BaseModel, encode_png: EncodePng, decodes_beside: bool = False) -> GenerationContext:
    tuner = BatchSizeTuner(max_batch_size=1)
    return GenerationContext(base, tuner, encode_png=encode_png, can_decode_beside=lambda _: decodes_beside)


def test_a_file_is_written_while_the_next_picture_is_denoised(tiny: BaseModel) -> None:
    begun, denoised = threading.Event(), threading.Event()
    overlapped: list[bool] = []

    def encode_png(pixels: Tensor, recipe: Recipe, upscale_factor: int) -> bytes:
        begun.set()
        overlapped.append(denoised.wait(PATIENCE_S))
        return image_file.encode_png(pixels, recipe, upscale_factor)

    def note_step(*_: object) -> None:
        if begun.is_set():
            denoised.set()

    hook = tiny.components["unet"].register_forward_pre_hook(note_step)
    try:
        last = list(generate(draw_alone(tiny, encode_png), TWO))[-1]
    finally:
        denoised.set()
        hook.remove()
    assert isinstance(last, DoneEvent)
    assert overlapped == [True, True]
    assert last.pictures == pictures(tiny, TWO)


def test_a_picture_is_decoded_while_the_next_one_is_denoised(tiny: BaseModel) -> None:
    begun, denoised = threading.Event(), threading.Event()
    overlapped: list[bool] = []

    def wait_for_step(*_: object) -> None:
        begun.set()
        overlapped.append(denoised.wait(PATIENCE_S))

    def note_step(*_: object) -> None:
        if begun.is_set():
            denoised.set()

    hooks = [
        tiny.components["vae"].decoder.register_forward_pre_hook(wait_for_step),
        tiny.components["unet"].register_forward_pre_hook(note_step),
    ]
    try:
        last = list(generate(draw_alone(tiny, image_file.encode_png, decodes_beside=True), TWO))[-1]
    finally:
        denoised.set()
        for hook in hooks:
            hook.remove()
    assert isinstance(last, DoneEvent)
    assert overlapped == [True, True]
    assert last.pictures == pictures(tiny, TWO)


def test_a_picture_beside_a_step_in_full_precision_is_decoded_as_ever() -> None:
    base = load_base_model("tiny", torch.bfloat16)
    pixels: list[Tensor] = []

    def encode_png(decoded: Tensor, *_: object) -> bytes:
        pixels.append(decoded)
        return b""

    latents = torch.randn(1, *base.latent_shape((64, 64)), generator=torch.Generator().manual_seed(1))
    recipe = resolve_recipes(base, TWO)[0]
    for is_full_precision in (False, True):
        files = PictureFiles(base, encode_png, decodes_beside=True)
        with base.use_precision(is_full_precision):
            files.add(0, latents, recipe)
            base.predict(latents, torch.full((1,), 500), base.encode_prompts(["a boat"]))
        files.collect()
        files.close()
    assert torch.equal(*pixels)


def test_a_processor_decodes_between_the_steps(tiny: BaseModel) -> None:
    assert not can_decode_beside(tiny)


def test_a_request_that_ends_early_leaves_no_thread(tiny: BaseModel) -> None:
    begun = threading.Event()

    def encode_png(pixels: Tensor, recipe: Recipe, upscale_factor: int) -> bytes:
        begun.set()
        return image_file.encode_png(pixels, recipe, upscale_factor)

    before = set(threading.enumerate())
    events = generate(draw_alone(tiny, encode_png), TWO)
    while not begun.is_set():
        next(events)
    assert set(threading.enumerate()) > before
    events.close()
    assert set(threading.enumerate()) <= before


def test_an_error_in_a_file_is_the_requests(tiny: BaseModel) -> None:
    def encode_png(pixels: Tensor, recipe: Recipe, upscale_factor: int) -> bytes:
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        list(generate(draw_alone(tiny, encode_png), TWO))
