"""Base models as people have them: read, or told by what they are; worker and doctor agree."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.kohya.external.trainer import resolve_base_model
from gpu_worker.models import files
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from gpu_worker.models.sd15 import loading
from gpu_worker.models.sd15 import tiny as models_tiny
from gpu_worker.models.sources.names import resolve_name
from tests.gpu_worker.models.test_base_model import save_folder
from tests.support.ldm_checkpoint import to_ldm

Tensors = dict[str, Tensor]
UNET, TEXT, VAE = "model.diffusion_model.", "cond_stage_model.", "first_stage_model."
CONV_IN = UNET + "input_blocks.0.0.weight"
ATTENTION = UNET + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"


@pytest.fixture(scope="module")
def whole(loaded_tiny: BaseModel) -> Tensors:
    return to_ldm(loaded_tiny.components)


def without(tensors: Tensors, *prefixes: str) -> Tensors:
    return {key: value for key, value in tensors.items() if not key.startswith(prefixes)}


def read(tensors: Tensors, folder: Path, base: BaseModel) -> loading.ModelComponents:
    path = folder / "model.safetensors"
    save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    return loading.read_single_file(path, base.device_config, models_tiny.WIDTHS)


SINGLE_FILES: dict[str, tuple[Callable[[Tensors], Tensors], JobProblem, str]] = {
    "no VAE": (lambda t: without(t, VAE), JobProblem.BASE_MODEL_NO_VAE, "has no VAE"),
    "no text": (lambda t: without(t, TEXT), JobProblem.BASE_MODEL_NO_TEXT_ENCODER, "has no text encoder"),
    "UNet": (lambda t: without(t, TEXT, VAE), JobProblem.BASE_MODEL_UNET_ONLY, "has only a UNet"),
    "bare UNet": (
        lambda t: {key.removeprefix(UNET): value for key, value in without(t, TEXT, VAE).items()},
        JobProblem.BASE_MODEL_UNET_ONLY,
        "has only a UNet",
    ),
    "EMA": (
        lambda t: {**without(t, UNET), "model_ema.diffusion_modelout2bias": torch.ones(1)},
        JobProblem.BASE_MODEL_EMA_ONLY,
        "only averaged weights",
    ),
    "VAE": (
        lambda t: {key.removeprefix(VAE): value for key, value in without(t, TEXT, UNET).items()},
        JobProblem.BASE_MODEL_OTHER_FILE,
        "is a VAE",
    ),
    "VAE with a prefix": (lambda t: without(t, TEXT, UNET), JobProblem.BASE_MODEL_OTHER_FILE, "is a VAE"),
    "LoRA": (
        lambda t: {"lora_unet_x.lora_down.weight": torch.ones(1)},
        JobProblem.BASE_MODEL_OTHER_FILE,
        "is a LoRA",
    ),
    "ControlNet": (
        lambda t: {"control_model.x": torch.ones(1)},
        JobProblem.BASE_MODEL_OTHER_FILE,
        "is a ControlNet",
    ),
    "SD 2": (
        lambda t: {**without(t, TEXT), TEXT + "model.token_embedding.weight": torch.ones(1)},
        JobProblem.BASE_MODEL_OTHER_MODEL,
        "Stable Diffusion 2",
    ),
    "SD 2 by its width": (
        lambda t: {**t, ATTENTION: torch.ones(4, 1024)},
        JobProblem.BASE_MODEL_OTHER_MODEL,
        "Stable Diffusion 2",
    ),
    "FLUX": (
        lambda t: {"double_blocks.0.img_attn.proj.weight": torch.ones(1)},
        JobProblem.BASE_MODEL_OTHER_MODEL,
        "FLUX",
    ),
    "inpainting": (
        lambda t: {**t, CONV_IN: torch.ones(32, 9, 3, 3)},
        JobProblem.BASE_MODEL_OTHER_MODEL,
        "inpainting",
    ),
    "nothing known": (lambda t: {"x": torch.ones(1)}, JobProblem.BASE_MODEL_NOT_SD15, "is not a Stable"),
}


@pytest.mark.parametrize("kind", SINGLE_FILES)
def test_a_single_file_that_is_no_whole_model_is_told_by_what_it_is(
    loaded_tiny: BaseModel, whole: Tensors, tmp_path: Path, kind: str
) -> None:
    edit, problem, sentence = SINGLE_FILES[kind]
    with pytest.raises(BaseModelError, match=sentence) as caught:
        read(edit(whole), tmp_path, loaded_tiny)
    assert caught.value.problem is problem
    if kind not in ("no VAE", "no text", "UNet"):  # the doctor knows only the widths of SD 1.5
        assert files.inspect_model(str(tmp_path / "model.safetensors"))[:2] == ("bad", str(caught.value))


@pytest.mark.parametrize("part", [UNET + "output_blocks.3.0.", VAE + "decoder.up.3.upsample."])
def test_a_single_file_that_lacks_weights_is_told_by_one_of_them(
    loaded_tiny: BaseModel, whole: Tensors, tmp_path: Path, part: str
) -> None:
    with pytest.raises(BaseModelError, match="is incomplete: it has no"):
        read(without(whole, part), tmp_path, loaded_tiny)


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("bytes", {"embedding_manager.flags": torch.ones(3, dtype=torch.uint8)}),
        ("flags", {"x.mask": torch.ones(3, dtype=torch.bool)}),
        ("loss", {VAE + "loss.logvar": torch.ones(())}),
        ("embedding", {"embeddings.me": torch.ones(2, 96)}),
        ("nothing", {"x.empty": torch.ones(0, 3)}),
        ("NaN that is not used", {"x.nan": torch.full((2,), torch.nan)}),
        ("EMA beside it", {"model_ema.decay": torch.ones(()), "model_ema.num_updates": torch.tensor(1)}),
        ("position ids", {TEXT + "transformer.text_model.embeddings.position_ids": torch.arange(77)[None]}),
    ],
)
def test_tensors_that_are_not_needed_refuse_no_file(
    loaded_tiny: BaseModel, whole: Tensors, tmp_path: Path, name: str, extra: Tensors
) -> None:
    parts = read({**whole, **extra}, tmp_path, loaded_tiny)
    assert torch.equal(parts.unet.state_dict()["conv_in.weight"], whole[CONV_IN]), name


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_a_file_stored_in_eight_bits_is_widened(
    loaded_tiny: BaseModel, whole: Tensors, tmp_path: Path, dtype: torch.dtype
) -> None:
    parts = read({key: value.to(dtype) for key, value in whole.items()}, tmp_path, loaded_tiny)
    assert torch.equal(parts.unet.state_dict()["conv_in.weight"], whole[CONV_IN].to(dtype).float())


def test_a_quantised_file_is_told_by_its_numbers(
    loaded_tiny: BaseModel, whole: Tensors, tmp_path: Path
) -> None:
    with pytest.raises(BaseModelError, match=r"\(I8\)"):
        read({key: value.to(torch.int8) for key, value in whole.items()}, tmp_path, loaded_tiny)


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(
    ("key", "part"),
    [
        (CONV_IN, "unet.conv_in.weight"),
        (VAE + "encoder.conv_in.weight", "vae.encoder.conv_in.weight"),
        (TEXT + "transformer.text_model.final_layer_norm.weight", "text_encoder.*final_layer_norm.weight"),
    ],
)
def test_a_weight_that_is_not_finite_names_its_part(
    loaded_tiny: BaseModel, whole: Tensors, tmp_path: Path, key: str, part: str, number: float
) -> None:
    damaged = whole[key].clone()
    damaged.view(-1)[-1] = number
    with pytest.raises(BaseModelError, match=f"numbers that are not finite, in {part}"):
        read({**whole, key: damaged}, tmp_path, loaded_tiny)


@pytest.fixture(scope="module")
def saved(loaded_tiny: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folder(loaded_tiny, tmp_path_factory.mktemp("models") / "model")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def set_config(folder: Path, part: str, **changes: object) -> None:
    path = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    values = {**json.loads(path.read_text("utf-8")), **changes}
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}), "utf-8")


@pytest.mark.parametrize(
    ("changes", "scheduler", "model"),
    [
        ({"in_channels": 9}, {}, "inpainting"),
        ({"in_channels": 8}, {}, "pix2pix"),
        ({"use_linear_projection": True}, {}, "Stable Diffusion 2"),
        ({"cross_attention_dim": 1024}, {}, "Stable Diffusion 2"),
        (
            {"use_linear_projection": True},
            {"prediction_type": "v_prediction"},
            "Stable Diffusion 2, v-prediction",
        ),
    ],
)
def test_a_folder_of_another_model_is_refused_by_worker_and_doctor_alike(
    folder: Path, changes: dict[str, object], scheduler: dict[str, object], model: str
) -> None:
    set_config(folder, "unet", **changes)
    set_config(folder, "scheduler", **scheduler)
    with pytest.raises(BaseModelError, match=r"model is another model \(.*" + model) as caught:
        load_base_model(str(folder), torch.float32)
    assert files.inspect_model(str(folder))[:2] == ("bad", str(caught.value))


@pytest.mark.parametrize("size", [None, [16, 16], 16, 0])
def test_a_folder_without_the_unets_size_has_that_of_its_vae(folder: Path, size: object) -> None:
    set_config(folder, "unet", sample_size=size)
    assert files.inspect_model(str(folder))[0] == "ok"
    assert load_base_model(str(folder), torch.float32).native_px == 128


def test_nan_in_a_folder_is_found(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "conv_in.bias": tensors["conv_in.bias"] * torch.nan}, path)
    with pytest.raises(BaseModelError, match=r"not finite, in unet\.conv_in\.bias"):
        load_base_model(str(folder), torch.float32)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("owner/model", "owner/model"),
        ("https://huggingface.co/owner/model", "owner/model"),
        ("https://huggingface.co/owner/model-v1.5/", "owner/model-v1.5"),
        ("huggingface.co/owner/model", "owner/model"),
        ("https://hf.co/owner/model?library=diffusers", "owner/model"),
        (' "models/x.safetensors" ', "models/x.safetensors"),
        ("tiny", "tiny"),
        ("", ""),
    ],
)
def test_a_name_is_taken_as_it_is_meant(name: str, meant: str) -> None:
    assert resolve_name(name) == meant


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("owner/model@fp16", JobProblem.BASE_MODEL_REVISION),
        ("owner/model:main", JobProblem.BASE_MODEL_REVISION),
        ("owner/model/tree/main", JobProblem.BASE_MODEL_REVISION),
        ("https://civitai.com/models/4201", JobProblem.BASE_MODEL_LINK),
        ("https://huggingface.co/owner/model/blob/main/x.safetensors", JobProblem.BASE_MODEL_LINK),
        (r"C:\models\x.safetensors", JobProblem.BASE_MODEL_OTHER_SYSTEM),
        ("D:/models/x.safetensors", JobProblem.BASE_MODEL_OTHER_SYSTEM),
        (r"\\server\x.safetensors", JobProblem.BASE_MODEL_OTHER_SYSTEM),
    ],
)
def test_a_name_that_cannot_be_taken_is_answered_by_what_to_give(name: str, problem: JobProblem) -> None:
    for ask in (load_base_model, resolve_base_model):
        with pytest.raises(BaseModelError) as caught:
            ask(name)
        assert caught.value.problem is problem
    assert files.inspect_model(name)[:2] == ("bad", str(caught.value))


def test_a_model_in_the_home_folder_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    assert load_base_model("~/model", torch.float32).name == "model"
    assert files.inspect_model("~/model")[0] == "ok"


def test_an_ending_in_capitals_is_a_files_all_the_same(tmp_path: Path) -> None:
    save_file({"lora_unet_x.lora_down.weight": torch.ones(1)}, tmp_path / "X.SAFETENSORS")
    with pytest.raises(BaseModelError, match="is a LoRA"):
        load_base_model(str(tmp_path / "X.SAFETENSORS"), torch.float32)
    with pytest.raises(BaseModelError, match="does not exist"):
        load_base_model(str(tmp_path / "Y.SAFETENSORS"), torch.float32)
