"""Files of other kinds and other shapes, trained further by hand and drawn with."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from safetensors.torch import load_file, save_file

from gpu_worker.lora import file as lora_file
from gpu_worker.models.base import BaseModel
from tests.gpu_worker.kohya.test_train_network import data, line, program
from tests.support.generated_images import pictures, pixels_of, use, with_
from tests.support.variants import with_soak

__all__ = ["data", "program"]
LYCORIS = ("--network_module", "lycoris.kohya", "--network_args")
KINDS = {
    "LoCon": ("--network_args", "conv_dim=2"),
    "LoHa": (*LYCORIS, "algo=loha"),
    "LoKr": (*LYCORIS, "algo=lokr", "factor=4"),
}


def train(program: ModuleType, data: Path, out: Path, *more: str) -> Path:
    assert program.main(line(data, out, "--max_train_steps", "2", *more)) == 0
    return out / "last.safetensors"


@pytest.mark.parametrize("kind", with_soak(KINDS, kept=("LoKr",)))
def test_a_file_of_any_kind_is_trained_further_and_drawn_with(
    program: ModuleType, data: Path, tmp_path: Path, tiny: BaseModel, kind: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    first = train(program, data, tmp_path / "first", *KINDS[kind])
    started = lora_file.read(first.read_bytes()).weights
    weights_flag = ("--network_weights", str(first))
    for more in (KINDS[kind], ("--dim_from_weights",)):
        capsys.readouterr()
        second = train(program, data, tmp_path / more[0].strip("-"), *weights_flag, *more)
        assert "are not trained here" not in capsys.readouterr().out
        file = lora_file.read(second.read_bytes())
        assert file.weights.keys() == started.keys()
        assert {values.kind for values in file.weights.values()} == {"LoRA" if kind == "LoCon" else kind}
        module = "networks.lora" if kind == "LoCon" else "lycoris.kohya"
        assert file.metadata["ss_network_module"] == module
    plain = pictures(tiny, with_())
    assert pictures(tiny, with_(loras=(use(second.read_bytes()),))) != plain


def test_a_file_of_another_kind_than_is_trained_is_named(
    program: ModuleType, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = train(program, data, tmp_path / "first", *KINDS["LoKr"])
    arguments = line(data, tmp_path / "out", "--network_weights", str(first), "--max_train_steps", "1")
    assert program.main(arguments) == 1
    error = capsys.readouterr().err
    assert "The LoRA to continue from is a LoKr, and this training makes a LoRA" in error


def test_linear_weights_of_four_sides_and_convolutions_of_two_are_trained_further(
    program: ModuleType, data: Path, tmp_path: Path, tiny: BaseModel
) -> None:
    first = train(program, data, tmp_path / "first")
    tensors = load_file(first)
    reshaped = {
        key: value if value.dim() == 0 else (value.flatten(1) if value.dim() == 4 else value[..., None, None])
        for key, value in tensors.items()
    }
    save_file({key: value.contiguous() for key, value in reshaped.items()}, tmp_path / "reshaped.safetensors")
    again = train(program, data, tmp_path / "again", "--network_weights", str(first))
    other = train(
        program, data, tmp_path / "other", "--network_weights", str(tmp_path / "reshaped.safetensors")
    )
    expected = load_file(again)
    assert all((value == expected[key]).all() for key, value in load_file(other).items())
    data_of = [path.read_bytes() for path in (first, tmp_path / "reshaped.safetensors")]
    alone, as_written = (pixels_of(pictures(tiny, with_(loras=(use(each),)))[0]) for each in data_of)
    assert (alone == as_written).all()
    together = pictures(tiny, with_(loras=tuple(use(each, strength=0.5) for each in data_of)))
    assert len(together) == 1  # the two shapes in one picture
