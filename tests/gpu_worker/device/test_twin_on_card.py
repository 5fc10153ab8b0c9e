"""A base and its distilled twin on a played card: together where both fit, else one at a time."""

from __future__ import annotations

import pytest
import torch

from gpu_worker.device.memory_modes import MemoryMode
from gpu_worker.device.placement import DeviceConfig
from gpu_worker.memory.plan import STEP_RESERVE_BYTES
from gpu_worker.models.base import BaseModel
from gpu_worker.models.family import TRANSFORMERS
from gpu_worker.models.flow.klein import tiny
from gpu_worker.models.flow.klein.family import TINY_KLEIN
from gpu_worker.models.flow.klein.model import KleinModel
from gpu_worker.models.flow.model import EMBEDS
from gpu_worker.models.inputs.conditioning import Conditioning
from gpu_worker.models.text.qwen3.config import SMALL
from tests.support.card.cuda import play
from tests.support.card.tensors import PlayedCard

CARD = torch.device("cuda", 0)
BASE, TWIN = TRANSFORMERS


def load_tiny_klein() -> KleinModel:
    """Return a model whose twin and text encoder wait in system memory, as they are read."""
    parts = tiny.build_components()
    parts.transformer.to(CARD)
    parts.vae.to(CARD)
    device_config = DeviceConfig(CARD, MemoryMode(torch.float32), "played")
    return KleinModel("played-klein", TINY_KLEIN, parts, device_config, SMALL.max_tokens)


def watch_card(base: BaseModel) -> list[tuple[str, set[str]]]:
    """Return a list that gets each transformer that predicts, and those on the card meanwhile."""
    seen: list[tuple[str, set[str]]] = []

    def note(name: str) -> None:
        seen.append((name, {each for each in TRANSFORMERS if base.components[each].device.type == "cuda"}))

    for name in TRANSFORMERS:
        base.components[name].register_forward_pre_hook(lambda *_, name=name: note(name))
    return seen


def predict(base: BaseModel) -> None:
    width = base.denoiser.config.joint_attention_dim
    conditioning = Conditioning({EMBEDS: torch.zeros(1, 2, width, device=CARD)})
    latents = torch.zeros(1, *base.latent_shape((32, 32)), device=CARD)
    base.predict(latents, torch.tensor([300.0], device=CARD), conditioning)


@pytest.mark.parametrize("fits_both", [True, False])
@torch.no_grad()
def test_both_are_on_the_card_only_where_both_fit(fits_both: bool) -> None:
    card = PlayedCard()
    with play(card):
        base = load_tiny_klein()
        seen = watch_card(base)
        room_bytes = sum(each.nbytes for each in base.components[TWIN].parameters()) + STEP_RESERVE_BYTES
        card.capacity_bytes = card.live_bytes + (2 * room_bytes if fits_both else room_bytes - 1)
        predict(base)  # as a training does
        for _ in range(2):
            with base.for_pictures():
                predict(base)
        predict(base)
    expected = [{BASE}, *[{BASE, TWIN} if fits_both else {name} for name in (TWIN, TWIN, BASE)]]
    assert seen == list(zip((BASE, TWIN, TWIN, BASE), expected, strict=True))
