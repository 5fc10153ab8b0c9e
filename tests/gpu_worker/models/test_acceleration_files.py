"""What ACCELERATE means: a name, a file or a hub id; which licences are refused, and which files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file

from bot.app.settings import Settings
from bot.app.worker_command import make_worker_command
from bot.core.errors import SettingsError
from gpu_worker.doctor import diagnose_acceleration
from gpu_worker.models.family import ModelFamily
from gpu_worker.models.flow.klein.family import KLEIN, KLEIN_BASE
from gpu_worker.models.flow.z_image.family import Z_IMAGE
from gpu_worker.models.sd15.family import DRAWN, SD15
from gpu_worker.models.sdxl.family import SDXL
from gpu_worker.models.sources import acceleration
from gpu_worker.models.sources.acceleration import AccelerationError, find_acceleration, inspect_acceleration
from gpu_worker.models.sources.acceleration_recipes import (
    LCM,
    PUBLISHED,
    AccelerationSetting,
    SamplingRecipe,
    is_non_commercial,
    parse_recipe,
)
from gpu_worker.models.sources.hub import Hub
from tests.support.model_hub import MODEL, SmallHub, small_hub

KEY = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"


def lora_tensors(text_width: int = 768) -> dict[str, torch.Tensor]:
    return {f"{KEY}.lora_down.weight": torch.ones(2, text_width), f"{KEY}.lora_up.weight": torch.ones(320, 2)}


def write(path: Path, text_width: int = 768, **metadata: str) -> Path:
    save_file(lora_tensors(text_width), path, metadata or None)
    return path


def setting(name: object, **values: object) -> AccelerationSetting:
    return replace(AccelerationSetting(str(name)), **values)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("Hyper-SD15-8steps-CFG-lora.safetensors", SamplingRecipe("DDIM Trailing", 8, 7.0)),
        ("Hyper-SD15-12steps-CFG-lora.safetensors", SamplingRecipe("DDIM Trailing", 12, 7.0)),
        ("mine.safetensors", LCM),
    ],
)
def test_a_file_has_the_recipe_that_its_name_is_known_for(
    tmp_path: Path, name: str, recipe: SamplingRecipe
) -> None:
    source = find_acceleration(setting(write(tmp_path / name)), SD15)
    assert (source.recipe, source.name, source.licence) == (recipe, name.removesuffix(".safetensors"), "")


def test_a_recipe_that_is_set_stands_above_that_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "Hyper-SD15-8steps-CFG-lora.safetensors")
    source = find_acceleration(setting(path, recipe="LCM / 4 / 1.5"), SD15)
    assert source.recipe == SamplingRecipe("LCM", 4, 1.5)


@pytest.mark.parametrize(
    "text", ["", "lcm", "lcm/8", "lcm/0/1", "lcm/8/0.5", "euler/8/1", "lcm/8/1/2", "lcm/x/1"]
)
def test_a_recipe_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as lcm/8/1"):
        parse_recipe(text)


@pytest.mark.parametrize("name", ["hyper-sd", "LCM"])
def test_a_short_name_is_the_published_lora_of_the_family(name: str) -> None:
    for family in (SD15, SDXL):
        published = PUBLISHED[name.lower(), family.name]
        found, licence = inspect_acceleration(setting(name), family, Hub(cache_dir=Path("/nowhere")))
        assert found.startswith(f"{published.repository}, {published.recipe}")
        assert licence == "openrail++"
    with pytest.raises(AccelerationError, match=r"there is no .* for the shipped base of drawings"):
        find_acceleration(setting(name), DRAWN)


@pytest.mark.parametrize("name", ["hyper-sd", "ByteDance/Hyper-SD/Hyper-FLUX.1-dev-8steps-lora.safetensors"])
@pytest.mark.parametrize(
    ("family", "reason"),
    [
        (KLEIN, "FLUX.2 klein 4B takes no LoRA for fewer steps: its distilled twin already draws in 4"),
        (Z_IMAGE, "Z-Image takes no LoRA for fewer steps: its distilled twin already draws in 8"),
        (KLEIN_BASE, "takes no LoRA for fewer steps: name its distilled twin in BASE_MODEL"),
    ],
)
def test_families_with_a_distilled_twin_take_none_and_nothing_is_downloaded(
    name: str, family: ModelFamily, reason: str
) -> None:
    nowhere = Hub(endpoint="http://127.0.0.1:9", cache_dir=Path("/nowhere"))
    for ask in (find_acceleration, inspect_acceleration):
        with pytest.raises(AccelerationError, match=re.escape(reason)):
            ask(setting(name), family, nowhere)
    diagnosis = diagnose_acceleration(setting(name), family)
    assert diagnosis.verdict == "warn"
    assert reason in diagnosis.detail


@pytest.mark.parametrize(
    ("licence", "is_refused"),
    [
        ("cc-by-nc-4.0", True),
        ("flux-1-dev-non-commercial", True),
        ("openrail++", False),
        ("apache-2.0", False),
    ],
)
def test_a_licence_that_forbids_commercial_use_needs_an_explicit_yes(
    tmp_path: Path, licence: str, is_refused: bool
) -> None:
    path = write(tmp_path / "fast.safetensors", **{"modelspec.license": licence})
    assert is_non_commercial(licence) is is_refused
    if is_refused:
        with pytest.raises(AccelerationError, match=f"{licence}.*ACCELERATE_NON_COMMERCIAL=on"):
            find_acceleration(setting(path), SD15)
    assert find_acceleration(setting(path, allows_non_commercial=True), SD15).licence == licence


def test_a_known_non_commercial_lora_is_refused_before_anything_is_asked_of_the_hub() -> None:
    wanted = setting("tianweiy/DMD2/dmd2_sdxl_4step_lora.safetensors")
    with pytest.raises(AccelerationError, match=r"cc-by-nc-4\.0"):
        find_acceleration(wanted, SDXL, Hub(endpoint="http://127.0.0.1:9"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (save(lora_tensors(2048)), r"^fast\.safetensors is made for SDXL; one for .* is needed$"),
        (save(lora_tensors())[:-4], r"^fast\.safetensors is damaged or no safetensors file$"),
        (save({"conv_in.weight": torch.ones(1)}), r"^fast\.safetensors is not a LoRA$"),
    ],
)
def test_a_file_of_another_kind_is_told_in_one_sentence(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    path = tmp_path / "fast.safetensors"
    path.write_bytes(content)
    with pytest.raises(AccelerationError, match=sentence):
        find_acceleration(setting(path), SD15)


@pytest.mark.parametrize("name", ["/nowhere/fast.safetensors", "fast", "./a/b", "a/b/c", "fast.ckpt"])
def test_a_name_that_is_nothing_is_told(name: str) -> None:
    with pytest.raises(AccelerationError):
        find_acceleration(setting(name), SD15)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[SmallHub, Path]]:
    with small_hub() as small:
        small.files = {
            "README.md": b"---\nlicense: mit\n---\nsteps",
            "a.safetensors": save(lora_tensors()),
            "b.safetensors": save(lora_tensors()),
        }
        yield small, tmp_path / "hub"


def test_a_file_of_a_repository_is_downloaded_with_its_card_once(hub: tuple[SmallHub, Path]) -> None:
    small, cache_dir = hub
    door = replace(acceleration.create_hub("b.safetensors"), endpoint=small.url, cache_dir=cache_dir)
    wanted = setting(f"{MODEL}/b.safetensors")
    found, _ = inspect_acceleration(wanted, SD15, door)
    assert found.endswith("it is downloaded at the next start")
    source = find_acceleration(wanted, SD15, door)
    assert (source.name, source.licence) == ("b", "mit")
    assert inspect_acceleration(wanted, SD15, door)[1] == "mit"
    asked = len(small.asked)
    find_acceleration(wanted, SD15, door)
    assert len(small.asked) == asked
    assert small.starts("a.safetensors") == []


def test_a_repository_with_several_loras_needs_the_name_of_one(hub: tuple[SmallHub, Path]) -> None:
    small, cache_dir = hub
    door = replace(acceleration.create_hub(""), endpoint=small.url, cache_dir=cache_dir)
    with pytest.raises(AccelerationError, match="several LoRAs; name one"):
        find_acceleration(setting(MODEL), SD15, door)


def test_the_doctor_names_the_licence_and_says_what_is_wrong(tmp_path: Path) -> None:
    good = write(tmp_path / "good.safetensors", **{"modelspec.license": "mit"})
    found = diagnose_acceleration(setting(good), SD15)
    assert (found.verdict, found.detail) == ("ok", "good, 8 steps of LCM, guidance 1; mit")
    assert diagnose_acceleration(setting(write(tmp_path / "unknown.safetensors")), SD15).verdict == "warn"
    wrong = diagnose_acceleration(setting(good), SDXL)
    assert wrong.verdict == "warn" and "made for Stable Diffusion 1.x" in wrong.detail


def test_the_worker_is_told_what_is_set() -> None:
    token = {"TELEGRAM_BOT_TOKEN": "1:" + "a" * 30}
    assert "--accelerate" not in make_worker_command(Settings.from_environ(token))
    settings = {"ACCELERATE": "lcm", "ACCELERATE_RECIPE": "lcm/4/1", "ACCELERATE_NON_COMMERCIAL": "on"}
    command = make_worker_command(Settings.from_environ({**token, **settings}))
    assert "--accelerate lcm --accelerate-recipe lcm/4/1 --accelerate-non-commercial" in " ".join(command)
    with pytest.raises(SettingsError, match="ACCELERATE_RECIPE"):
        Settings.from_environ({**token, "ACCELERATE_RECIPE": "euler"})
