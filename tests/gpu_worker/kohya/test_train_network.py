"""The trainer as a program on a kohya-style folder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gpu_worker.lora import file as lora_file
from tests.support.programs import loaded

ROOT = Path(__file__).parents[3]
PROGRAM = ROOT / "kohya-scripts" / "train_network.py"
FOUR_STEPS = ("--max_train_steps", "4")
QUICK = ["--resolution", "64", "--network_dim", "2", "--learning_rate", "1e-3", "--seed", "1"]


@pytest.fixture(scope="module")
def program() -> ModuleType:
    return loaded(PROGRAM)


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


def test_program_trains_and_writes_the_file(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-W", "error", str(PROGRAM), *line(data, out, "--max_train_steps", "2")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    file = lora_file.read((out / "last.safetensors").read_bytes())
    assert len(file.weights) == 264
    assert file.metadata["ss_steps"] == "2"
    assert file.metadata["ss_network_dim"] == "2"
    assert file.metadata["ss_tag_frequency"] == ('{"2_sks person": {"sks person": 2, "at the lake": 1}}')
    assert [path.name for path in out.iterdir()] == ["last.safetensors"]
    assert str(tmp_path) not in str(file.metadata)


def test_intermediate_files_are_named_by_their_steps(
    program: ModuleType, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--network_train_unet_only", "--save_every_n_steps", "2", "--output_name", "me", *FOUR_STEPS)
    assert program.main(line(data, tmp_path / "out", *more)) == 0
    assert "2 pictures, 4 steps, 4 an epoch, seed 1" in capsys.readouterr().out
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["me-step00000002.safetensors", "me.safetensors"]
    half, whole = (lora_file.read((tmp_path / "out" / name).read_bytes()) for name in names)
    assert (half.metadata["ss_steps"], whole.metadata["ss_steps"]) == ("2", "4")
    assert len(half.weights) == len(whole.weights) == 192
    assert half.metadata["sshs_model_hash"] != whole.metadata["sshs_model_hash"]


def test_intermediate_files_are_named_by_their_epochs_if_asked(
    program: ModuleType, data: Path, tmp_path: Path
) -> None:
    more = ("--network_train_unet_only", "--save_every_n_epochs", "1", "--max_train_epochs", "2")
    assert program.main(line(data, tmp_path / "out", *more)) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "last-000001.safetensors",
        "last.safetensors",
    ]


def test_a_saved_state_goes_on_to_the_same_lora(program: ModuleType, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert program.main(line(data, out, "--output_name", "whole", *FOUR_STEPS)) == 0
    assert (
        program.main(line(data, out, "--output_name", "half", "--max_train_steps", "2", "--save_state")) == 0
    )
    resume = ("--output_name", "rest", "--resume", str(out / "half-state"), *FOUR_STEPS)
    assert program.main(line(data, out, *resume)) == 0
    whole, rest = (lora_file.read((out / f"{name}.safetensors").read_bytes()) for name in ("whole", "rest"))
    assert rest.metadata["ss_steps"] == "4"
    assert rest.metadata["sshs_model_hash"] == whole.metadata["sshs_model_hash"]


def test_a_state_brings_its_own_seed(program: ModuleType, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    unseeded = [word for word in line(data, out, "--network_train_unet_only") if word not in ("--seed", "1")]
    more = ("--save_state", "--save_every_n_steps", "1")
    assert program.main([*unseeded, "--output_name", "whole", "--max_train_steps", "2", *more]) == 0
    resume = ("--output_name", "rest", "--max_train_steps", "2")
    state = str(out / "whole-step00000001-state")
    assert program.main([*unseeded, *resume, "--resume", state]) == 0
    whole, rest = (lora_file.read((out / f"{name}.safetensors").read_bytes()) for name in ("whole", "rest"))
    assert rest.metadata["ss_seed"] == whole.metadata["ss_seed"]
    assert rest.metadata["sshs_model_hash"] == whole.metadata["sshs_model_hash"]


def test_a_state_of_another_training_is_refused(
    program: ModuleType, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert program.main(line(data, out, "--max_train_steps", "1", "--save_state_on_train_end")) == 0
    more = ("--resume", str(out / "last-state"), "--network_alpha", "2", *FOUR_STEPS)
    assert program.main(line(data, out, *more)) == 1
    assert "made with other settings or photos" in capsys.readouterr().err


def test_modules_that_a_new_file_will_lack_are_warned_of(
    program: ModuleType, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert program.main(line(data, out, "--max_train_steps", "1")) == 0
    more = ("--network_weights", str(out / "last.safetensors"), "--network_train_unet_only")
    assert program.main(line(data, out, "--output_name", "on", "--max_train_steps", "1", *more)) == 0
    assert "72 modules of --network_weights are not trained here" in capsys.readouterr().out


def test_a_finished_lora_is_trained_on_with_its_own_rank(
    program: ModuleType, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert program.main(line(data, out, "--max_train_steps", "1")) == 0
    more = ("--network_weights", str(out / "last.safetensors"), "--dim_from_weights", "--output_name", "on")
    assert program.main([*line(data, out, *more, "--network_dim", "9"), "--max_train_steps", "1"]) == 0
    on = lora_file.read((out / "on.safetensors").read_bytes())
    assert on.metadata["ss_network_dim"] == "2"
    # What had learnt once begins with an effect, so even the first step moves `down`.
    before = lora_file.read((out / "last.safetensors").read_bytes())
    name = "lora_unet_mid_block_attentions_0_proj_in"
    assert not on.weights[name].down.equal(before.weights[name].down)


@pytest.mark.parametrize(
    ("network", "count", "suffixes", "network_module"),
    [
        (
            ("--network_args", "conv_dim=3", "down_lr_weight=linear", "mid_lr_weight=0"),
            332, {"lora_down.weight", "lora_up.weight"}, "networks.lora",
        ),
        pytest.param(  # test_continued_training.py has it in `make test`
            ("--network_module", "lycoris.kohya", "--network_args", "algo=lokr", "factor=4"),
            354, {"lokr_w1", "lokr_w2_a", "lokr_w2_b"}, "lycoris.kohya", marks=pytest.mark.soak,
        ),
        (
            ("--network_args", "algo=loha", "rank_dropout=0.1", "module_dropout=0.1"),
            264, {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}, "lycoris.kohya",
        ),
    ],
)  # fmt: skip
def test_another_kind_is_trained_resumed_and_trained_on(
    program: ModuleType, data: Path, tmp_path: Path,
    network: tuple[str, ...], count: int, suffixes: set[str], network_module: str,
) -> None:  # fmt: skip
    out = tmp_path / "out"
    more = (*network, "--scale_weight_norms", "1", "--max_token_length", "150", "--max_train_steps", "2")
    assert (
        program.main(
            line(data, out, "--output_name", "whole", *more, "--save_state", "--save_every_n_steps", "1")
        )
        == 0
    )
    resume = ("--output_name", "rest", *more, "--resume", str(out / "whole-step00000001-state"))
    assert program.main(line(data, out, *resume)) == 0
    whole, rest = (lora_file.read((out / f"{name}.safetensors").read_bytes()) for name in ("whole", "rest"))
    assert rest.metadata["sshs_model_hash"] == whole.metadata["sshs_model_hash"]
    assert len(whole.weights) == count
    assert {suffix for values in whole.weights.values() for suffix in values.tensors()} == suffixes
    assert whole.metadata["ss_network_module"] == network_module
    assert whole.metadata["ss_network_alpha"] == "1"
    weights = ("--network_weights", str(out / "whole.safetensors"), "--dim_from_weights")
    assert program.main(line(data, out, "--output_name", "on", *weights, "--max_train_steps", "1")) == 0
    on = lora_file.read((out / "on.safetensors").read_bytes())
    assert {name: type(values) for name, values in on.weights.items()} == {
        name: type(values) for name, values in whole.weights.items()
    }


def test_samples_and_logs_are_written(
    program: ModuleType, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("sks person --w 64 --h 64 --s 2\na person --w 64 --h 64 --s 2\n", "utf-8")
    more = (
        "--sample_prompts", str(prompts), "--sample_every_n_steps", "2", "--sample_at_first",
        "--logging_dir", str(tmp_path / "logs"), "--cache_latents_to_disk",
        "--max_data_loader_n_workers", "0", *FOUR_STEPS,
    )  # fmt: skip
    assert program.main(line(data, tmp_path / "out", *more)) == 0
    assert "--max_data_loader_n_workers is not needed here" in capsys.readouterr().out
    names = sorted(path.name for path in (tmp_path / "out" / "sample").iterdir())
    assert names == [f"last_{step:06d}_{number:02d}.png" for step in (0, 2, 4) for number in (0, 1)]
    assert len(list((tmp_path / "out" / "latents").iterdir())) == 2
    [log] = (tmp_path / "logs").rglob("events.out.tfevents.*")
    found = EventAccumulator(str(log)).Reload()
    assert [event.step for event in found.Scalars("loss/current")] == [1, 2, 3, 4]
    assert found.Scalars("lr/unet")[0].value == pytest.approx(1e-3)
    group, unet = (
        [(each.step, each.value) for each in found.Scalars(f"lr/{name}")] for name in ("group1", "unet")
    )
    assert group == unet
    assert [event.step for event in found.Scalars("loss/epoch_average")] == [1]


def test_all_options_together_train(program: ModuleType, data: Path, tmp_path: Path) -> None:
    (tmp_path / "reg" / "1_person").mkdir(parents=True)
    (tmp_path / "reg" / "1_person" / "r.png").write_bytes((data / "2_sks person" / "one.jpg").read_bytes())
    more = (
        "--reg_data_dir", str(tmp_path / "reg"), "--enable_bucket", "--min_bucket_reso", "64",
        "--flip_aug", "--shuffle_caption", "--caption_dropout_rate", "0.3", "--masked_loss", "--alpha_mask",
        "--train_batch_size", "2", "--gradient_accumulation_steps", "2", "--noise_offset", "0.05",
        "--multires_noise_iterations", "4", "--min_snr_gamma", "5", "--clip_skip", "2",
        "--network_dropout", "0.1", "--network_args", "rank_dropout=0.1", "module_dropout=0.1",
        "--optimizer_type", "Lion", "--lr_scheduler", "cosine", "--lr_warmup_steps", "50%",
        "--gradient_checkpointing", "--training_comment", "for the wall", "--mixed_precision", "bf16",
        "--save_precision", "fp16", "--max_train_steps", "2",
    )  # fmt: skip
    assert program.main(line(data, tmp_path / "out", *more)) == 0
    file = lora_file.read((tmp_path / "out" / "last.safetensors").read_bytes())
    metadata = file.metadata
    assert metadata["ss_training_comment"] == "for the wall"
    assert metadata["ss_optimizer"] == "lion_pytorch.lion_pytorch.Lion"
    assert metadata["ss_num_reg_images"] == "1"
    assert metadata["ss_mixed_precision"] == "bf16"
    assert metadata["ss_network_args"] == ('{"rank_dropout": "0.1", "module_dropout": "0.1", "dropout": 0.1}')
    assert (metadata["ss_learning_rate"], metadata["ss_unet_lr"]) == ("0.001", "None")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--pretrained_model_name_or_path", "old.ckpt"), "is a pickle"),
        (("--resolution", "100"), "multiples of 64"),
        (("--network_dimm", "4"), "did you mean --network_dim"),
        (("--vae", "nowhere"), "The VAE nowhere does not exist"),
        (("--network_weights", "{damaged}"), "damaged, or is not a safetensors"),
        (("--pretrained_model_name_or_path", "{damaged}"), "is damaged, or is not a safetensors file"),
        (("--network_weights", "{another}"), "made for another kind of base model"),
        (("--resume", "{damaged}"), "checkpoint of this training is damaged"),
        (("--resume", "nowhere"), "nowhere cannot be read"),
        (("--clip_skip", "13"), "the text encoder has 12 layers"),
        (("--output_dir", "{damaged}"), "damaged.safetensors cannot be written to"),
    ],
)
def test_bad_input_ends_with_one_sentence_and_status_1(
    program: ModuleType, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...], sentence: str,
) -> None:  # fmt: skip
    truncated = save({"a.lora_down.weight": torch.zeros(64, 64)})[:5000]
    (tmp_path / "damaged.safetensors").write_bytes(truncated)
    pair = {
        "lora_unet_x.lora_down.weight": torch.zeros(2, 4),
        "lora_unet_x.lora_up.weight": torch.zeros(4, 2),
    }
    (tmp_path / "another.safetensors").write_bytes(save(pair))
    places = {name: str(tmp_path / f"{name}.safetensors") for name in ("damaged", "another")}
    assert program.main([*line(data, tmp_path / "out"), *(each.format(**places) for each in more)]) == 1
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
    assert "last.safetensors could not be written" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == [in_the_way]


@contextmanager
def files_limited(limit_bytes: int) -> Iterator[None]:
    """Stop each write to a file beyond a size, as a full disk does; Python ignores the signal of it."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
def test_a_disk_that_fills_up_while_saving_leaves_no_half_behind(
    program: ModuleType, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    step = line(data, out, "--max_train_steps", "1")
    cached = [*step, "--cache_latents", "--cache_latents_to_disk"]
    with files_limited(20_000):
        assert program.main(step) == 1
    assert "last.safetensors could not be written: File too large" in capsys.readouterr().err
    with files_limited(500):
        assert program.main(cached) == 1
    of_latents = capsys.readouterr().err
    assert ".safetensors could not be written: File too large" in of_latents
    assert "last" not in of_latents
    assert [path for path in out.rglob("*") if path.name != "latents"] == []
