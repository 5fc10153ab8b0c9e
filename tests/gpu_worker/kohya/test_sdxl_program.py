"""`sdxl_train_network.py`: sd-scripts' flags for SDXL, on a kohya-style folder."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
from safetensors.torch import load

from gpu_worker.errors import BadInput
from gpu_worker.kohya import flags
from gpu_worker.lora import file as lora_file
from gpu_worker.lora.config import get_block_lr_weight
from tests.support.programs import loaded

SCRIPTS = Path(__file__).parents[3] / "kohya-scripts"
NEEDED = ("--pretrained_model_name_or_path", "tiny-xl", "--train_data_dir", "x", "--output_dir", "y")
UNET_ONLY = "--network_train_unet_only"


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--cache_text_encoder_outputs",), "needs --network_train_unet_only"),
        (("--clip_skip", "2"), "leave --clip_skip out"),
        (("--network_args", "mid_lr_weight=1,1,1,1"), "has 4 values for 3 blocks"),
    ],
)
def test_what_sdxl_cannot_do_is_refused_by_its_reason(more: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        flags.parse_arguments([*NEEDED, *more], is_sdxl=True)


def test_argumentsof_sdxl_are_taken_as_sd_scripts_takes_them() -> None:
    args = flags.parse_arguments(
        [*NEEDED, UNET_ONLY, "--cache_text_encoder_outputs", "--no_half_vae"], is_sdxl=True
    )
    assert args.network_train_unet_only
    rates = flags.parse_arguments([*NEEDED, "--text_encoder_lr", "1e-5", "2e-5"], is_sdxl=True)
    assert rates.text_encoder_lrs == (1e-5, 2e-5)
    with pytest.raises(BadInput, match="cache_text_encoder_outputs is not supported"):
        flags.parse_arguments([*NEEDED, UNET_ONLY, "--cache_text_encoder_outputs"])


def test_blocks_of_sdxl_have_the_numbers_of_sd_scripts() -> None:
    rates = ("down_lr_weight=linear", "mid_lr_weight=0,0.5", "up_lr_weight=reverse_linear+1")
    config = flags.parse_arguments([*NEEDED, "--network_args", *rates], is_sdxl=True).network.config
    assert len(config.block_lr_weights) == 23
    found = {
        name: get_block_lr_weight(config, f"lora_unet_{name}_1_proj_in")
        for name in ("input_blocks_4", "middle_block_1", "output_blocks_0", "output_blocks_6")
    }
    assert found == {
        "input_blocks_4": 0.5,
        "middle_block_1": 0.5,
        "output_blocks_0": 2.0,
        "output_blocks_6": 1.25,
    }
    assert get_block_lr_weight(config, "lora_te1_text_model_encoder_layers_0_mlp_fc1") == 1.0


def line(model: str, folder: Path, *more: str) -> list[str]:
    return [
        *("--pretrained_model_name_or_path", model, "--train_data_dir", str(folder / "data")),
        *("--output_dir", str(folder / "out"), "--seed", "1", "--resolution", "64", "--network_dim", "2"),
        *("--learning_rate", "1e-3", "--max_train_steps", "1", "--mixed_precision", "no", *more),
    ]


@pytest.fixture
def folder(tmp_path: Path, photos: tuple[bytes, ...]) -> Path:
    subset = tmp_path / "data" / "1_sks person"
    subset.mkdir(parents=True)
    (subset / "photo.jpg").write_bytes(photos[0])
    return tmp_path


def test_the_program_writes_the_names_and_metadata_of_sd_scripts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = line("tiny-xl", folder, "--text_encoder_lr", "1e-4", "1e-5")
    # Here instead of in a Python of its own, which test_train_network.py starts for the program of SD 1.5.
    monkeypatch.setattr(sys, "argv", ["sdxl_train_network.py", *arguments])
    monkeypatch.syspath_prepend(SCRIPTS)
    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_path(str(SCRIPTS / "sdxl_train_network.py"), run_name="__main__")
    data = (folder / "out" / "last.safetensors").read_bytes()
    keys = load(data).keys()
    counts = [
        len({key.split(".")[0] for key in keys if key.startswith(prefix)})
        for prefix in ("lora_unet_", "lora_te1_", "lora_te2_")
    ]
    assert counts == [722, 72, 192]
    metadata = lora_file.read(data, "SDXL").metadata
    assert metadata["ss_base_model_version"] == "sdxl_base_v1-0"
    assert metadata["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
    assert metadata["ss_text_encoder_lr"] == "[0.0001, 1e-05]"


@pytest.mark.parametrize(("is_sdxl", "model"), [(False, "tiny-xl"), (True, "tiny")])
def test_a_base_of_the_other_program_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], is_sdxl: bool, model: str
) -> None:
    assert loaded(SCRIPTS / "train_network.py").main(line(model, folder), is_sdxl=is_sdxl) == 1
    assert "is a base model for" in capsys.readouterr().err
