"""What a training takes on a machine, told before anything is downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from bot.app.settings import Settings
from bot.app.worker_command import make_worker_command
from gpu_worker.device.memory_modes import MemoryMode
from gpu_worker.device.memory_profile import GIB, SD15_MEMORY, WeightStorage
from gpu_worker.device.placement import DeviceConfig
from gpu_worker.doctor import diagnose_plan
from gpu_worker.errors import BaseModelError
from gpu_worker.memory.plan import (
    UNCOUNTED_BYTES,
    MemoryPlan,
    PlanProblem,
    PlanRefused,
    TrainingMachine,
    list_storages,
    plan_memory,
)
from gpu_worker.memory.selection import fit_device
from gpu_worker.models.family import ModelFamily
from gpu_worker.models.flow.klein.family import KLEIN
from gpu_worker.models.flow.z_image.family import Z_IMAGE
from gpu_worker.models.registry import load_base_model
from gpu_worker.models.sdxl.family import SDXL
from gpu_worker.protocol import DoneEvent, TrainRequest
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.trainer import train
from tests.support.card.cuda import play
from tests.support.card.tensors import PlayedCard

WHOLE, INT8, NF4 = WeightStorage
PLENTY_BYTES = 64 * GIB


def plan_sdxl(
    card_gb: float, ram_bytes: float = PLENTY_BYTES, storages: Sequence[WeightStorage] = tuple(WeightStorage)
) -> MemoryPlan:
    return plan_memory(SDXL.memory, 1024, TrainingMachine(card_gb * GIB, ram_bytes, 10.0), storages)


def test_the_first_that_fits_is_chosen_in_its_order() -> None:
    chosen = [plan_sdxl(card_gb) for card_gb in (24, 8, 5, 3.4, 1.9, 1.5)]
    assert [plan.storage for plan in chosen] == [WHOLE, WHOLE, INT8, INT8, NF4, NF4]
    assert [plan.gradient_checkpointing for plan in chosen] == [False, True, True, True, True, True]
    assert [bool(plan.streamed_blocks) for plan in chosen] == [False, False, False, True, True, True]
    assert [plan.size_px for plan in chosen] == [1024, 1024, 1024, 1024, 1024, 768]
    assert 0 < chosen[3].streamed_blocks < SDXL.memory.block_count


@pytest.mark.parametrize("card_gb", [1.5, 2, 3, 4, 6, 8, 12, 16, 24])
def test_a_plan_never_takes_more_than_there_is(card_gb: float) -> None:
    plan = plan_sdxl(card_gb)
    assert plan.card_bytes <= card_gb * GIB
    assert plan.memory_bytes <= PLENTY_BYTES
    assert plan.step_s > 0


def test_more_memory_never_makes_a_plan_smaller() -> None:
    plans = [plan_sdxl(card_gb / 4) for card_gb in range(6, 60)]
    ranks = [(plan.size_px, -list(WeightStorage).index(plan.storage)) for plan in plans]
    assert ranks == sorted(ranks)


def test_a_refusal_names_the_least_that_would_help() -> None:
    with pytest.raises(PlanRefused) as refused:
        plan_sdxl(1)
    assert refused.value.problem is PlanProblem.CARD
    assert plan_sdxl(refused.value.needed_bytes / GIB).storage is NF4
    with pytest.raises(PlanRefused, match=r"it needs \d\.\d GB of RAM") as refused:
        plan_sdxl(8, ram_bytes=3 * GIB)
    assert plan_sdxl(8, ram_bytes=refused.value.needed_bytes).memory_bytes == refused.value.needed_bytes


def test_what_the_operator_asks_for_is_all_that_is_tried() -> None:
    assert plan_sdxl(24, storages=list_storages("int8")).storage is INT8
    with pytest.raises(PlanRefused):
        plan_sdxl(4, storages=list_storages("whole"))
    assert list_storages("auto") == tuple(WeightStorage)


def test_sides_are_those_that_latents_and_buckets_have() -> None:
    for card_gb in range(10, 100):
        try:
            plan = plan_memory(SD15_MEMORY, 512, TrainingMachine(card_gb / 30 * GIB, PLENTY_BYTES, 1.0))
        except PlanRefused:
            continue
        assert plan.size_px % 64 == 0


def plan_flow(family: ModelFamily, card_gb: float, ram_gb: float = 64) -> MemoryPlan:
    machine = TrainingMachine(card_gb * GIB - UNCOUNTED_BYTES, ram_gb * GIB, 10.0)
    return plan_memory(family.memory, family.native_px, machine, sides=(0.5,))


@pytest.mark.parametrize(
    ("family", "card_gb", "is_on_processor"), [(KLEIN, 8, True), (KLEIN, 12, True), (Z_IMAGE, 8, True),
     (Z_IMAGE, 12, False), (KLEIN, 24, False)],
)  # fmt: skip
def test_a_text_encoder_that_does_not_fit_beside_the_weights_is_planned_on_the_processor(
    family: ModelFamily, card_gb: float, is_on_processor: bool
) -> None:
    plan = plan_flow(family, card_gb)
    assert plan.text_encoder_offload is is_on_processor
    assert ("text encoder on the processor" in str(plan)) is is_on_processor


def test_ram_holds_text_encoder_twin_and_what_makes_room_for_the_twin() -> None:
    swapped, both = plan_flow(KLEIN, 12), plan_flow(KLEIN, 24)
    assert swapped.storage is both.storage is WHOLE
    twin_bytes = KLEIN.memory.twin.parameters * 2
    assert swapped.memory_bytes - both.memory_bytes == pytest.approx(twin_bytes)
    assert both.memory_bytes > KLEIN.memory.text_encoders.parameters * 2 + twin_bytes
    streamed = plan_flow(Z_IMAGE, 6)
    assert streamed.streamed_blocks > 2
    assert streamed.memory_bytes >= plan_flow(Z_IMAGE, 8).memory_bytes
    with pytest.raises(PlanRefused) as refused:
        plan_flow(KLEIN, 12, ram_gb=8)
    assert refused.value.problem is PlanProblem.MEMORY


def test_the_smaller_of_two_classes_of_blocks_are_streamed_first() -> None:
    smaller, larger = KLEIN.memory.blocks
    assert smaller.parameters < larger.parameters
    plans = [
        plan_memory(
            KLEIN.memory, 1024, TrainingMachine(gb / 10 * GIB, PLENTY_BYTES, 9.0), (INT8,), sides=(0.5,)
        )
        for gb in range(18, 48)
    ]
    counts = [plan.streamed_blocks for plan in plans]
    assert counts == sorted(counts, reverse=True)
    assert max(counts) > smaller.count > min(count for count in counts if count)


CARD = DeviceConfig(torch.device("cuda"), MemoryMode(torch.float16), "for a test")


def test_a_measured_card_is_used_as_planned() -> None:
    fitted, plan = fit_device(replace(CARD, free_bytes=5.2 * GIB, tflops=3.0), SDXL.memory, 1024)
    assert plan is not None
    assert (fitted.memory_mode.storage, fitted.memory_mode.gradient_checkpointing) == (INT8, True)
    assert fitted.memory_mode.storage is plan.storage


def test_a_card_that_is_too_small_is_refused_with_what_would_do() -> None:
    with pytest.raises(PlanRefused, match=r"it needs \d\.\d GB of free memory on the card") as refused:
        fit_device(replace(CARD, free_bytes=1.3 * GIB, tflops=3.0), SDXL.memory, 1024)
    enough = replace(CARD, free_bytes=refused.value.needed_bytes + 0.41 * GIB, tflops=3.0)
    assert fit_device(enough, SDXL.memory, 1024)[1] is not None


def test_a_flow_is_planned_and_refused_before_anything_is_downloaded() -> None:
    with play(PlayedCard()) as card:
        card.capability, card.capacity_bytes = (8, 6), 1.0 * GIB
        with pytest.raises(BaseModelError, match=r"klein-4b needs .* and 1\.0 GiB are free"):
            load_base_model("klein-4b")


def test_where_memory_is_not_measured_only_the_operator_s_word_counts() -> None:
    assert fit_device(CARD, SDXL.memory, 1024) == (replace(CARD, storages=tuple(WeightStorage)), None)
    assert fit_device(CARD, SDXL.memory, 1024, "whole")[0].storages == (WHOLE,)
    assert fit_device(CARD, SDXL.memory, 1024, "nf4")[0].memory_mode.storage is NF4


@pytest.mark.parametrize(
    ("base_model", "card_gb", "ram_gb", "verdict", "detail"),
    [
        (
            "sdxl",
            6,
            16,
            "ok",
            "SDXL on a card of 6 GB, 16 GB of RAM: weights int8, gradient checkpointing, 1024",
        ),
        ("sd15", 6, 16, "ok", "Stable Diffusion 1.x on a card of 6 GB, 16 GB of RAM: weights whole, 512 px"),
        # They are trained on half their native side.
        ("klein-4b", 8, 32, "ok", "FLUX.2 klein 4B on a card of 8 GB, 32 GB of RAM: weights int8, gradient"),
        ("klein-4b", 8, 32, "ok", "512 px"),
        ("z-image", 12, 32, "ok", "Z-Image on a card of 12 GB, 32 GB of RAM: weights int8, gradient"),
        ("sdxl", 8, 2, "bad", "A training does not fit: it needs "),
        ("sdxl", 2, 16, "bad", "GB of free memory on the card."),
        ("not-there", 8, 16, "bad", "The base model not-there does not exist"),
    ],
)
def test_the_doctor_plans_without_card_and_weights(
    base_model: str, card_gb: float, ram_gb: float, verdict: str, detail: str
) -> None:
    diagnosis = diagnose_plan(base_model, card_gb, ram_gb)
    assert diagnosis.verdict == verdict
    assert detail in diagnosis.detail
    assert diagnosis.detail.count("\n") == 0


@pytest.mark.parametrize(
    ("base_model", "card_gb", "choice", "advice"),
    [
        ("sdxl", 6, "whole", "Set MEMORY=auto."),
        ("sdxl", 2, "auto", "Take a smaller base: sd15 fits."),
        ("sd15", 1, "auto", ""),
    ],
)
def test_a_refused_plan_comes_with_the_smallest_change_that_helps(
    base_model: str, card_gb: float, choice: str, advice: str
) -> None:
    diagnosis = diagnose_plan(base_model, card_gb, 16, choice)
    assert (diagnosis.verdict, diagnosis.advice) == ("bad", advice)


def test_the_worker_is_started_as_the_setting_says() -> None:
    token = {"TELEGRAM_BOT_TOKEN": f"123456:{'A' * 35}"}
    command = make_worker_command(Settings.from_environ({**token, "MEMORY": "int8"}))
    assert command[command.index("--memory") + 1] == "int8"
    assert "--memory" not in make_worker_command(Settings.from_environ(token))


def test_a_small_base_stored_in_few_bits_says_so_and_trains(
    photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    base = load_base_model("tiny", memory="nf4")
    assert str(base.memory_mode) == "float32, weights in nf4"
    events = list(train(base, TrainRequest(job_id=1, attempt=1, photos=photos[:1]), quick))
    assert isinstance(events[-1], DoneEvent)
