"""Training with sd-scripts: the same events, its own process, nothing left behind. The checkout is a fake."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest
import torch

from gpu_worker.device.memory_modes import MemoryMode
from gpu_worker.errors import BadInput, BaseModelError
from gpu_worker.kohya.external import trainer
from gpu_worker.kohya.external.output import ProgressParser
from gpu_worker.kohya.external.trainer import SdScriptsTrainer
from gpu_worker.lora import file as lora_file
from gpu_worker.protocol import DoneEvent, ProgressEvent, StartedEvent, WorkerEvent
from tests.gpu_worker.training.test_data import torn_png
from tests.support.sd_scripts_checkout import Checkout, is_gone, request

BF16 = MemoryMode(torch.bfloat16)


class Prepare(Protocol):
    def __call__(self, how: str, **changes: Any) -> SdScriptsTrainer: ...


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.fixture
def prepare(checkout: Checkout, tmp_path: Path) -> Iterator[Prepare]:
    """Yield a trainer on a fake checkout; afterwards none of its processes and folders may be there."""
    workspaces = tmp_path / "workspaces"

    def build(how: str, **changes: Any) -> SdScriptsTrainer:
        checkout.behave(how)
        trainer = SdScriptsTrainer(
            checkout_dir=checkout.folder,
            python=None,
            base_model=str(checkout.model),
            train_steps=5,
            workspaces_dir=workspaces,
            measure=lambda: BF16,
        )
        return replace(trainer, **changes)

    yield build
    assert not workspaces.exists() or not list(workspaces.iterdir())
    assert checkout.is_quiet()


def until(steps: Generator[WorkerEvent, None, None], wanted: Callable[[WorkerEvent], bool]) -> WorkerEvent:
    return next(event for event in steps if wanted(event))


def failure(training: Generator[WorkerEvent, None, None]) -> BadInput:
    with pytest.raises(BadInput) as caught:
        list(training)
    return caught.value


def test_the_events_are_those_of_our_own_trainer(prepare: Prepare) -> None:
    events = list(prepare("well").train(request()))
    first, *between, last = events
    assert first == StartedEvent(job_id=7, attempt=2, step=0, steps=5, family="sd15")
    assert all(isinstance(event, ProgressEvent) and event.steps == 5 for event in between)
    steps = [event.step for event in between if isinstance(event, ProgressEvent)]
    assert steps == sorted(steps)
    assert steps[-1] == 5
    assert isinstance(last, DoneEvent)
    assert last.lora is not None
    assert lora_file.read(last.lora).metadata["ss_steps"] == "5"
    assert last.elapsed_s > 0
    assert {(event.job_id, event.attempt) for event in events} == {(7, 2)}


def test_finished_lora_is_trained_further(prepare: Prepare, checkout: Checkout) -> None:
    list(prepare("well").train(request()))
    assert checkout.seen["args"]["network_weights"] is None
    list(prepare("well").train(request(initial_lora=b"a LoRA", start_step=1500)))
    assert Path(checkout.seen["args"]["network_weights"]).name == "start.safetensors"


def test_sd_scripts_runs_with_the_default_settings_on_a_private_folder(
    prepare: Prepare, checkout: Checkout
) -> None:
    list(prepare("well", train_steps=None).train(request()))
    found = checkout.seen
    args = found["args"]
    assert found["photos"] == [
        "300_sks person/photo-1.jpg",
        "300_sks person/photo-2.png",
        "300_sks person/photo-3.webp",
        "300_sks person/photo-4.jpg",
        "300_sks person/photo-5.jpg",
    ]
    assert found["mode"] == 0o700
    assert found["cwd"] == str(checkout.folder)
    assert found["tmp"] == str(Path(args.pop("train_data_dir")).parent / "tmp")
    assert Path(args.pop("output_dir")).parent == Path(found["tmp"]).parent
    assert args == {
        "pretrained_model_name_or_path": str(checkout.model),
        "output_name": "lora", "save_model_as": "safetensors", "save_precision": "fp16",
        "resolution": "512,512", "train_batch_size": 1, "max_train_steps": 1500, "seed": 11,
        "network_module": "networks.lora", "network_dim": 16, "network_alpha": 8.0,
        "optimizer_type": "AdamW", "learning_rate": 1e-4, "unet_lr": 1e-4, "text_encoder_lr": [5e-5],
        "lr_scheduler": "constant", "max_grad_norm": 1.0, "min_snr_gamma": 5.0,
        "mixed_precision": "bf16", "max_data_loader_n_workers": 0,
        "sdpa": True, "cache_latents": True, "network_weights": None, "vae": None,
        "gradient_checkpointing": False, "network_train_unet_only": False,
    }  # fmt: skip


def test_another_vae_is_given_as_files_and_never_as_a_pickle(
    prepare: Prepare, checkout: Checkout, tmp_path: Path
) -> None:
    part = tmp_path / "model" / "vae"
    part.mkdir(parents=True)
    (part / "config.json").write_text('{"block_out_channels": [1, 2, 3, 4]}', "utf-8")
    (part / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    list(prepare("well", base_vae=str(tmp_path / "model")).train(request()))
    assert checkout.seen["args"]["vae"] == str(part)
    with pytest.raises(BaseModelError, match="is a pickle"):
        list(prepare("well", base_vae="vae.pt").train(request()))


def test_precision_and_memory_are_as_measured(prepare: Prepare, checkout: Checkout) -> None:
    list(
        prepare("well", measure=lambda: MemoryMode(torch.float16, gradient_checkpointing=True)).train(
            request()
        )
    )
    assert checkout.seen["args"]["mixed_precision"] == "fp16"
    assert checkout.seen["args"]["gradient_checkpointing"]
    list(prepare("well", measure=lambda: MemoryMode(torch.float32)).train(request()))
    assert checkout.seen["args"]["mixed_precision"] == "no"


def test_the_request_s_steps_go_before_and_each_photo_comes_equally_often(
    prepare: Prepare, checkout: Checkout
) -> None:
    list(prepare("well").train(request(steps=20, token="ohwx", class_word="dog")))
    assert checkout.seen["args"]["max_train_steps"] == 20
    assert {Path(path).parent.name for path in checkout.seen["photos"]} == {"4_ohwx dog"}


def test_an_interpreter_of_its_own_is_used_without_our_paths(
    prepare: Prepare, checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere/of/ours")
    python = tmp_path / "their-python"
    python.write_text(f'#!/bin/sh\ntouch "{tmp_path}/was-used"\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    list(prepare("well", python=python).train(request()))
    assert (tmp_path / "was-used").exists()
    assert checkout.seen["pythonpath"] is None
    list(prepare("well").train(request()))
    assert checkout.seen["pythonpath"] == "/somewhere/of/ours"


def test_progress_is_yielded_also_while_no_step_is_done(prepare: Prepare) -> None:
    training = prepare("hang").train(request())
    until(training, lambda event: isinstance(event, ProgressEvent) and event.step == 2)
    again = [next(training), next(training)]
    assert again == [ProgressEvent(job_id=7, attempt=2, step=2, steps=5)] * 2
    training.close()


@pytest.mark.parametrize("how", ["hang", "stubborn"])
def test_cancel_ends_the_program_with_its_children_and_removes_its_folder(
    prepare: Prepare, checkout: Checkout, tmp_path: Path, how: str
) -> None:
    training = prepare(how).train(request())
    until(training, lambda event: isinstance(event, ProgressEvent) and event.step == 2)
    assert len(list((tmp_path / "workspaces").iterdir())) == 1
    training.close()
    assert not list((tmp_path / "workspaces").iterdir())
    assert len(checkout.seen["pids"]) == 2
    assert all(is_gone(pid) for pid in checkout.seen["pids"])


def test_cancel_before_the_start_leaves_nothing(prepare: Prepare, checkout: Checkout) -> None:
    training = prepare("hang").train(request())
    assert isinstance(next(training), StartedEvent)
    training.close()
    assert not checkout.was_started


def test_a_child_that_stays_does_not_keep_the_lora_from_the_person(
    prepare: Prepare, checkout: Checkout
) -> None:
    events = list(prepare("linger").train(request()))
    assert isinstance(events[-1], DoneEvent)
    assert is_gone(checkout.seen["pids"][1])


def test_noise_in_the_output_is_no_progress(prepare: Prepare) -> None:
    events = list(prepare("garbage").train(request()))
    assert isinstance(events[-1], DoneEvent)
    assert all(event.step <= 5 for event in events if isinstance(event, ProgressEvent))


def test_a_crash_is_one_sentence_and_its_last_lines_are_for_the_log(
    prepare: Prepare, checkout: Checkout, caplog: pytest.LogCaptureFixture
) -> None:
    error = failure(prepare("crash").train(request()))
    assert str(error) == "sd-scripts stopped with status 1; the log of the worker says more."
    (note,) = error.__notes__
    for text in (note, caplog.text):
        assert "Traceback (most recent call last)" in text
        assert "RuntimeError: cannot open (folder)/photos/1_sks person/(photo) / (photo)" in text
        assert "it/s" not in text.split("Traceback")[1]
        assert checkout.seen["tmp"].removesuffix("/tmp") not in text


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("memory", "ran out of memory on the card"),
        ("module", "A library that sd-scripts needs is missing"),
        ("killed", "was killed (signal 9)"),
        ("nothing", "ended without writing a LoRA"),
        ("damaged", "wrote a LoRA that is damaged"),
        ("nan", "went out of bounds"),
    ],
)
def test_each_failure_has_its_sentence(prepare: Prepare, how: str, sentence: str) -> None:
    error = failure(prepare(how).train(request()))
    assert sentence in str(error)
    assert "\n" not in str(error)


def test_a_program_that_says_nothing_any_more_is_ended(prepare: Prepare) -> None:
    assert "said nothing for too long" in str(failure(prepare("hang", silence_s=0.5).train(request())))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"photos": ()}, "There are no photos"),
        ({"photos": (b"no picture",)}, "cannot be read as a picture"),
        ({"photos": (torn_png(),)}, "cannot be read as a picture"),
        ({"token": "../../etc"}, "cannot have a slash"),
    ],
)
def test_bad_input_is_refused_before_it_starts(
    prepare: Prepare, checkout: Checkout, changes: dict[str, Any], sentence: str
) -> None:
    assert sentence in str(failure(prepare("well").train(request(**changes))))
    assert not checkout.was_started


def test_a_missing_interpreter_is_one_sentence(prepare: Prepare, tmp_path: Path) -> None:
    error = failure(prepare("well", python=tmp_path / "nowhere").train(request()))
    assert str(error) == "The Python for sd-scripts cannot be started (No such file or directory)."


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tiny", "needs a real Stable Diffusion 1.5"),
        ("drawn", "needs a real Stable Diffusion 1.5"),
        ("model.ckpt", "does not exist"),
        ("/nowhere/model.safetensors", "does not exist"),
        ("here.ckpt", "is a pickle, which can run code"),
        ("link.safetensors", "is a pickle, which can run code"),
        ("folder", "has no .safetensors weights in unet"),
        ("half", "has no .safetensors weights in text_encoder"),
    ],
)
def test_base_model_that_is_not_usable_or_would_be_unpickled_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.ckpt").write_bytes(b"")
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "here.ckpt")
    (tmp_path / "folder").mkdir()
    for part in ("unet", "vae"):
        (tmp_path / "half" / part).mkdir(parents=True)
        (tmp_path / "half" / part / "model.safetensors").write_bytes(b"")
    with pytest.raises(BaseModelError, match=sentence):
        trainer.resolve_base_model(name)


def test_hub_ids_folders_and_files_are_distinguished_and_given_as_absolute_paths(
    tmp_path: Path, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for part in ("unet", "vae", "text_encoder"):
        (tmp_path / "folder" / part).mkdir(parents=True)
        (tmp_path / "folder" / part / "model.safetensors").write_bytes(b"")
    assert trainer.resolve_base_model("owner/name") == "owner/name"
    assert trainer.resolve_base_model("folder") == str(tmp_path / "folder")
    assert trainer.resolve_base_model(checkout.model.name) == str(checkout.model)


def test_progress_bar_is_read_and_the_text_after_it_stays(tmp_path: Path) -> None:
    listener = ProgressParser(1500)
    listener.parse_line("steps:  12%|█▏        | 180/1500 [02:06<15:24,  1.43it/s, avr_loss=0.12]Traceback:")
    listener.parse_line("steps:   0%|          | 7/9 [00:00<?, ?it/s]")
    listener.parse_line("steps:  11%|█         | 179/1500 [02:06<15:24,  1.43it/s]")
    assert listener.step == 180
    assert listener.format_tail(tmp_path) == "Traceback:\nsteps:   0%|          | 7/9 [00:00<?, ?it/s]"
