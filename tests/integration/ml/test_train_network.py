"""The trainer as a program on a kohya-style folder."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gpu_worker import lora_file

PROGRAM = Path(__file__).parents[3] / "kohya-scripts" / "train_network.py"
QUICK = ["--resolution", "64", "--network_dim", "2", "--learning_rate", "1e-3", "--seed", "1"]


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_network", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def data(tmp_path: Path, photos: tuple[bytes, ...]) -> Path:
    subset = tmp_path / "data" / "2_sks person"
    subset.mkdir(parents=True)
    (subset / "one.jpg").write_bytes(photos[0])
    (subset / "two.JPG").write_bytes(photos[1])
    (subset / "one.caption").write_text("sks person, at the lake\n", "utf-8")
    (subset / "notes.txt").write_text("not a picture", "utf-8")
    return tmp_path / "data"


def line(data: Path, out: Path, *more: str) -> list[str]:
    return [
        "--pretrained_model_name_or_path", "tiny", "--train_data_dir", str(data),
        "--output_dir", str(out), *QUICK, *more,
    ]  # fmt: skip


def test_it_trains_as_a_program_and_writes_the_file(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-W", "error", str(PROGRAM), *line(data, out, "--max_train_steps", "2")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    file = lora_file.read((out / "last.safetensors").read_bytes())
    assert len(file.matrices) == 264
    assert file.metadata["ss_steps"] == "2"
    assert file.metadata["ss_network_dim"] == "2"
    assert file.metadata["ss_tag_frequency"] == ('{"2_sks person": {"sks person": 2, "at the lake": 1}}')
    assert [path.name for path in out.iterdir()] == ["last.safetensors"]
    assert str(tmp_path) not in str(file.metadata)


def test_steps_are_repeats_times_pictures_and_intermediate_files_are_written(
    program: ModuleType, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--network_train_unet_only", "--save_every_n_steps", "2", "--output_name", "me")
    assert program.main(line(data, tmp_path / "out", *more)) == 0
    assert "2 pictures, 4 steps at 64 px, seed 1" in capsys.readouterr().out
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["me-step00000002.safetensors", "me.safetensors"]
    half, whole = (lora_file.read((tmp_path / "out" / name).read_bytes()) for name in names)
    assert (half.metadata["ss_steps"], whole.metadata["ss_steps"]) == ("2", "4")
    assert len(half.matrices) == len(whole.matrices) == 192
    assert half.metadata["sshs_model_hash"] != whole.metadata["sshs_model_hash"]


def test_an_unknown_flag_stops_before_anything_starts(
    program: ModuleType, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        program.main(line(data, tmp_path / "out", "--network_dimm", "4"))
    assert stopped.value.code == 2
    assert "--network_dimm" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_epochs_go_before_steps_and_batches_shorten_a_round(program: ModuleType, data: Path) -> None:
    photos = program.read_folder(data, ".caption")
    for more, steps in (
        ((), 4),
        (("--train_batch_size", "3"), 2),
        (("--max_train_steps", "7"), 7),
        (("--max_train_epochs", "3", "--max_train_steps", "7"), 12),
    ):
        asked = program.arguments(line(data, Path("out"), *more))
        assert program.settings(asked, photos, 512).steps == steps


def test_learning_rates_fall_back_on_the_common_one(program: ModuleType, data: Path) -> None:
    photos = program.read_folder(data, ".caption")
    asked = program.arguments(line(data, Path("out"), "--text_encoder_lr", "0.5"))
    settings = program.settings(asked, photos, 512)
    assert (settings.unet_rate, settings.text_rate) == (1e-3, 0.5)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        ("empty", "There are no pictures in"),
        ("missing", "does not exist"),
        ("latin-1", "The caption one.caption is not UTF-8"),
        ("broken", "cannot be read as a picture"),
        ("model", "is a pickle"),
        ("oblong", "--resolution must be square"),
        ("uneven", "multiple of 64"),
    ],
)
def test_bad_input_ends_with_one_sentence_and_status_1(
    program: ModuleType, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    spoil: str, sentence: str,
) -> None:  # fmt: skip
    asked = line(data, tmp_path / "out")
    subset = data / "2_sks person"
    if spoil == "empty":
        asked = line(tmp_path, tmp_path / "out")
    elif spoil == "missing":
        asked = line(tmp_path / "nowhere", tmp_path / "out")
    elif spoil == "latin-1":
        (subset / "one.caption").write_bytes("café".encode("latin-1"))
    elif spoil == "broken":
        (subset / "one.jpg").write_bytes(b"no picture")
    else:
        more = {
            "model": ("--pretrained_model_name_or_path", "old.ckpt"),
            "oblong": ("--resolution", "512,768"),
            "uneven": ("--resolution", "100"),
        }
        asked += more[spoil]
    assert program.main(asked) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert sentence in errors[0]
    assert not list(tmp_path.glob("out/*"))


def test_a_file_that_cannot_be_put_in_place_leaves_no_half_behind(
    program: ModuleType, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_the_way = tmp_path / "out" / "last.safetensors"
    in_the_way.mkdir(parents=True)
    more = ("--max_train_steps", "1", "--network_train_unet_only")
    assert program.main(line(data, tmp_path / "out", *more)) == 1
    assert "last.safetensors" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == [in_the_way]
