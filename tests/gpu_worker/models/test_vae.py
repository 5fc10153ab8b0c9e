"""A VAE in place of the base model's own: read in every form, told by what it is, kept apart by weights."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from bot.app.settings import Settings
from bot.app.worker_command import make_worker_command
from gpu_worker.errors import BadInput, BaseModelError, JobProblem
from gpu_worker.models import files
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from gpu_worker.models.sd15 import loading, tiny
from gpu_worker.models.sources.hub import Hub
from gpu_worker.models.sources.vae import create_hub, find_vae
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.data import TrainingImage
from gpu_worker.training.latents import LatentCache, encode_photo
from gpu_worker.training.metadata import TrainingRecord, build_metadata
from gpu_worker.training.trainer import TrainingTask, train_photos
from tests.gpu_worker.models.test_base_model import save_folder
from tests.gpu_worker.models.test_recognition import UNET, VAE, whole, without
from tests.gpu_worker.training.test_trainer import checkpoint_at
from tests.support.ldm_checkpoint import to_ldm
from tests.support.model_hub import MODEL, SmallHub, small_hub

__all__ = ["whole"]
Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def another(loaded_tiny: BaseModel) -> Tensors:
    """Another VAE's weights, by diffusers' names."""
    return {key: value * 0.9 + 0.01 for key, value in loaded_tiny.components["vae"].state_dict().items()}


@pytest.fixture(scope="module")
def ldm(loaded_tiny: BaseModel, another: Tensors) -> Tensors:
    """The same weights, by the original names and without their prefix."""
    vae = copy.deepcopy(loaded_tiny.components["vae"])
    vae.load_state_dict(another)
    tensors = to_ldm({**loaded_tiny.components, "vae": vae})
    return {key.removeprefix(VAE): value for key, value in tensors.items() if key.startswith(VAE)}


def write_file(tensors: Tensors, path: Path) -> Path:
    save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    return path


def write_folder(base: BaseModel, tensors: Tensors, folder: Path, **changes: object) -> Path:
    folder.mkdir(parents=True)
    config = {
        **base.components["vae"].config,
        "scaling_factor": 0.18215,
        **changes,
        "_class_name": "AutoencoderKL",
    }
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    write_file(tensors, folder / "diffusion_pytorch_model.safetensors")
    return folder


def weights_of(base: BaseModel) -> Tensors:
    weights: Tensors = base.components["vae"].state_dict()
    return weights


@pytest.mark.parametrize("prefix", ["first_stage_model.", ""])
def test_a_file_in_the_original_layout_replaces_the_vae(
    ldm: Tensors, another: Tensors, tmp_path: Path, prefix: str
) -> None:
    path = write_file({prefix + key: value for key, value in ldm.items()}, tmp_path / "v.safetensors")
    base = load_base_model("tiny", torch.float32, vae_name=str(path))
    assert all(torch.equal(value, another[key]) for key, value in weights_of(base).items())


@pytest.mark.parametrize("prefix", ["vae.", ""])
def test_a_file_with_diffusers_names_replaces_the_vae(another: Tensors, tmp_path: Path, prefix: str) -> None:
    path = write_file({prefix + key: value for key, value in another.items()}, tmp_path / "v.SAFETENSORS")
    base = load_base_model("tiny", torch.float32, vae_name=str(path))
    assert all(torch.equal(value, another[key]) for key, value in weights_of(base).items())


@pytest.mark.parametrize("part", ["", "vae"])
def test_a_folder_or_the_vae_of_a_whole_one_replaces_the_vae(
    loaded_tiny: BaseModel, another: Tensors, tmp_path: Path, part: str
) -> None:
    write_folder(loaded_tiny, another, tmp_path / "mine" / part)
    base = load_base_model("tiny", torch.float32, vae_name=str(tmp_path / "mine"))
    assert all(torch.equal(value, another[key]) for key, value in weights_of(base).items())
    assert base.components["vae"].config.scaling_factor == 0.18215
    assert base.name == "tiny"


def test_a_checkpoint_without_a_vae_works_with_another(
    loaded_tiny: BaseModel, whole: Tensors, another: Tensors, tmp_path: Path
) -> None:
    path = write_file(without(whole, VAE), tmp_path / "model.safetensors")
    vae = copy.deepcopy(loaded_tiny.components["vae"])
    vae.load_state_dict(another)
    parts = loading.read_single_file(path, loaded_tiny.device_config, tiny.WIDTHS, other_vae=vae)
    assert parts.vae is vae
    assert torch.equal(parts.unet.conv_in.weight, loaded_tiny.unet.conv_in.weight)


def test_a_folder_without_a_vae_names_the_setting_and_works_with_another(
    loaded_tiny: BaseModel, another: Tensors, tmp_path: Path
) -> None:
    model = save_folder(loaded_tiny, tmp_path / "model")
    (model / "vae").rename(tmp_path / "away")
    vae = write_folder(loaded_tiny, another, tmp_path / "vae")
    with pytest.raises(BaseModelError, match=r"model has no VAE; give one with BASE_VAE \(by hand: --vae\)"):
        load_base_model(str(model), torch.float32)
    base = load_base_model(str(model), torch.float32, vae_name=str(vae))
    assert all(torch.equal(value, another[key]) for key, value in weights_of(base).items())
    assert files.inspect_model(str(model))[0] == "bad"
    assert files.inspect_model(str(model), needs_vae=False)[0] == "ok"


def test_a_vae_that_is_not_finite_matters_no_more_once_replaced(
    loaded_tiny: BaseModel, another: Tensors, tmp_path: Path
) -> None:
    model = save_folder(loaded_tiny, tmp_path / "model")
    nan = {key: value * float("nan") for key, value in another.items()}
    write_file(nan, model / "vae" / "diffusion_pytorch_model.safetensors")
    vae = write_folder(loaded_tiny, another, tmp_path / "vae")
    with pytest.raises(BaseModelError, match="not finite, in vae"):
        load_base_model(str(model), torch.float32)
    assert load_base_model(str(model), torch.float32, vae_name=str(vae)).other_vae is not None


NOT_VAES: dict[str, tuple[Callable[[Tensors], Tensors], JobProblem, str]] = {
    "LoRA": (lambda _: {"lora_unet_x.lora_down.weight": torch.ones(1)}, JobProblem.VAE_NONE, "has no VAE"),
    "UNet": (lambda _: {UNET + "out.2.bias": torch.ones(4)}, JobProblem.VAE_NONE, "has no VAE"),
    "16 channels": (
        lambda t: {**t, "decoder.conv_in.weight": torch.ones(64, 16, 3, 3)},
        JobProblem.VAE_OTHER_MODEL,
        "16 channels, as of Stable Diffusion 3 or FLUX",
    ),
    "SDXL's checkpoint": (
        lambda t: {**t, "conditioner.embedders.0.x": torch.ones(1)},
        JobProblem.VAE_OTHER_MODEL,
        "SDXL",
    ),
    "three levels": (
        lambda t: {key: value for key, value in t.items() if not key.startswith("encoder.down.3.")},
        JobProblem.VAE_OTHER_MODEL,
        "3 levels",
    ),
    "half": (lambda t: dict(list(t.items())[::2]) | {"decoder.conv_in.weight": t["decoder.conv_in.weight"]},
             JobProblem.VAE_DAMAGED, "damaged or incomplete"),
    "other widths": (
        lambda t: {key: torch.cat([value, value]) for key, value in t.items()},
        JobProblem.VAE_DAMAGED,
        "damaged or incomplete",
    ),
    "NaN": (
        lambda t: {key: value * float("nan") for key, value in t.items()},
        JobProblem.VAE_DAMAGED,
        "damaged or incomplete",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", NOT_VAES)
def test_a_file_that_is_no_vae_of_sd15_is_told_by_what_it_is(ldm: Tensors, tmp_path: Path, kind: str) -> None:
    edit, problem, sentence = NOT_VAES[kind]
    path = write_file(edit(ldm), tmp_path / "v.safetensors")
    with pytest.raises(BaseModelError, match=sentence) as caught:
        load_base_model("tiny", torch.float32, vae_name=str(path))
    assert caught.value.problem is problem
    if problem is not JobProblem.VAE_DAMAGED:  # the doctor does not read weights
        assert files.inspect_vae(str(path), "tiny")[:2] == ("bad", str(caught.value))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scaling_factor": 0.13025}, "SDXL"),
        ({"scaling_factor": 0.75}, "scaling factor 0.75"),
        ({"latent_channels": 16}, "16 channels"),
        ({"_class_name": "AutoencoderTiny"}, None),
        ({"block_out_channels": [16, 32]}, "2 levels"),
    ],
)
def test_a_folders_configuration_tells_other_vaes(
    loaded_tiny: BaseModel, another: Tensors, tmp_path: Path, changes: dict[str, object], sentence: str | None
) -> None:
    folder = write_folder(loaded_tiny, another, tmp_path / "vae", **changes)
    if "_class_name" in changes:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        (folder / "config.json").write_text(json.dumps({**config, **changes}), "utf-8")
    with pytest.raises(BaseModelError, match=sentence or "has no VAE that can be read"):
        find_vae(str(folder))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("vae.pt", JobProblem.VAE_PICKLE),
        ("/nowhere/vae.safetensors", JobProblem.VAE_MISSING),
        ("nowhere", JobProblem.VAE_MISSING),
        ("https://example.org/vae.safetensors", JobProblem.BASE_MODEL_LINK),
    ],
)
def test_a_name_of_nothing_usable_is_one_sentence(name: str, problem: JobProblem) -> None:
    with pytest.raises(BaseModelError) as caught:
        find_vae(name)
    assert caught.value.problem is problem
    assert files.inspect_vae(name, "tiny")[:2] == ("bad", str(caught.value))


def test_the_shipped_model_keeps_its_own() -> None:
    with pytest.raises(BaseModelError, match="drawn works with its own VAE only"):
        load_base_model("drawn", vae_name="vae.safetensors")
    assert files.inspect_vae("vae.safetensors", "drawn")[0] == "bad"


@pytest.fixture
def hub() -> Iterator[SmallHub]:
    with small_hub() as opened:
        yield opened


@pytest.mark.parametrize("folder", ["", "vae/"])
def test_of_a_repository_only_the_vae_is_downloaded(
    loaded_tiny: BaseModel, another: Tensors, hub: SmallHub, tmp_path: Path, folder: str
) -> None:
    source = write_folder(loaded_tiny, another, tmp_path / "source")
    names = ("config.json", "diffusion_pytorch_model.safetensors")
    hub.files = {f"{folder}{name}": (source / name).read_bytes() for name in names}
    hub.files |= {f"{folder}diffusion_pytorch_model.bin": b"pickle", "unet/config.json": b"{}"}
    client = replace(create_hub(), endpoint=hub.url, cache_dir=tmp_path / "models", retry_delay_s=0.0)
    assert files.inspect_vae(MODEL, "tiny", client)[0] == "ok"
    found = find_vae(MODEL, client)
    assert found.name == MODEL
    assert {name for name, _ in hub.asked} == {f"{folder}{name}" for name in names}
    away = Hub(endpoint="http://127.0.0.1:9", cache_dir=tmp_path / "models", layout=client.layout)
    assert find_vae(MODEL, away) == found  # without the hub


def test_latents_and_trainings_belong_to_the_vae(
    loaded_tiny: BaseModel, ldm: Tensors, photos: tuple[bytes, ...], quick: TrainingConfig, tmp_path: Path
) -> None:
    path = write_file(ldm, tmp_path / "v.safetensors")
    own, other = loaded_tiny, load_base_model("tiny", vae_name=str(path))
    cache = LatentCache(tmp_path / "latents")
    first = encode_photo(own, photos[0], (64, 64), cache)
    second = encode_photo(other, photos[0], (64, 64), LatentCache(tmp_path / "latents"))
    assert not torch.equal(first.mean, second.mean)
    assert own.identity == "tiny"  # checkpoints of before still fit

    task = TrainingTask((TrainingImage(photos[0], "sks person"),), quick, name="me")
    checkpoint = checkpoint_at(1, train_photos(own, task))
    resumed = replace(task, resume_checkpoint=checkpoint, must_resume=True)
    with pytest.raises(BadInput, match="other settings or photos"):
        list(train_photos(other, resumed))


def test_metadata_name_the_vae_as_sd_scripts_does(
    loaded_tiny: BaseModel, ldm: Tensors, photos: tuple[bytes, ...], tmp_path: Path
) -> None:
    path = write_file(ldm, tmp_path / "v.safetensors")
    images, record = (TrainingImage(photos[0], "sks person"),), TrainingRecord("me", 1, 0.0, 1.0)
    own = build_metadata(loaded_tiny, images, TrainingConfig(), record)
    assert not [key for key in own if "vae" in key]
    other = build_metadata(load_base_model("tiny", vae_name=str(path)), images, TrainingConfig(), record)
    content = path.read_bytes()
    assert other["ss_vae_name"] == "v.safetensors"
    assert other["ss_vae_hash"] == hashlib.sha256(content[0x100000:0x110000]).hexdigest()[:8]
    assert other["ss_new_vae_hash"] == hashlib.sha256(content).hexdigest()


def test_the_setting_goes_to_the_worker() -> None:
    token = {"TELEGRAM_BOT_TOKEN": "123456:ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghi"}
    command = make_worker_command(Settings.from_environ({**token, "BASE_VAE": "owner/vae"}))
    assert command[command.index("--base-vae") + 1] == "owner/vae"
    assert "--base-vae" not in make_worker_command(Settings.from_environ(token))
