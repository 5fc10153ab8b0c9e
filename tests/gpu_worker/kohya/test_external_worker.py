"""A worker that trains with sd-scripts: told by the settings, cancelled, killed and started again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from bot.app.settings import Settings
from bot.app.worker_command import make_worker_command
from gpu_worker import protocol
from gpu_worker.kohya.external.trainer import SdScriptsTrainer
from gpu_worker.protocol import (
    CancelledEvent,
    CancelRequest,
    DoneEvent,
    FailedEvent,
    JobProblem,
    ProgressEvent,
    ReadyMessage,
)
from tests.support.sd_scripts_checkout import Checkout, is_gone, request

Worker = subprocess.Popen[bytes]
StartWorker = Callable[..., Worker]

#: A worker at the moment of its death: photos in its workspace, a training in a process beside it.
DYING = """
import os, pathlib, signal, sys
from gpu_worker.kohya.external.process import ExternalProcess
from gpu_worker.kohya.external.workspace import create_workspace, workspaces_root
with create_workspace(workspaces_root()) as folder:
    (folder / "photo-1.jpg").write_bytes(b"somebody")
    command = [sys.executable, sys.argv[1], f"--output_dir={folder}"]
    def on_line(line):
        print(folder, line, flush=True)
    process = ExternalProcess(command, folder, os.environ, on_line)
    signal.pause()
"""


def talk(worker: Worker, *requests: protocol.ProtocolMessage) -> None:
    assert worker.stdin is not None
    for each in requests:
        worker.stdin.write(protocol.encode_frame(each))
    worker.stdin.flush()


def answers(worker: Worker) -> Iterator[protocol.WorkerMessage]:
    stream = cast("BinaryIO", worker.stdout)
    while (body := protocol.read_frame(stream)) is not None:
        yield protocol.decode_message(body)


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[StartWorker]:
    started = []

    def start(**settings: str) -> Worker:
        environ = {**os.environ, "TMPDIR": str(tmp_path)}
        command = make_worker_command(Settings.from_environ(settings))
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.kill()
        worker.communicate()


def test_settings_make_the_worker_train_with_sd_scripts(tmp_path: Path, start_worker: StartWorker) -> None:
    checkout = Checkout(tmp_path)
    checkout.behave("well")
    worker = start_worker(
        TRAINER="sd-scripts", SD_SCRIPTS_DIR=str(checkout.folder), SD_SCRIPTS_PYTHON=sys.executable,
        BASE_MODEL=str(checkout.model), TRAIN_STEPS="5",
    )  # fmt: skip
    heard = answers(worker)
    talk(worker, request())
    last = next(each for each in heard if isinstance(each, DoneEvent | FailedEvent))
    assert isinstance(last, DoneEvent), last
    checkout.behave("crash")
    talk(worker, request(attempt=3))
    last = next(each for each in heard if isinstance(each, DoneEvent | FailedEvent))
    problem = JobProblem.SD_SCRIPTS_FAILED
    assert last == FailedEvent(job_id=7, attempt=3, problem=problem, values={"status": "1"})
    checkout.behave("hang")
    talk(worker, request(attempt=4))
    next(each for each in heard if isinstance(each, ProgressEvent) and each.step == 2)
    talk(worker, CancelRequest(job_id=7, attempt=4))
    end = next(each for each in heard if isinstance(each, DoneEvent | FailedEvent | CancelledEvent))
    assert end == CancelledEvent(job_id=7, attempt=4)
    assert checkout.is_quiet()


def test_a_start_removes_remains_of_killed_workers_and_not_those_of_living_ones(
    tmp_path: Path, start_worker: StartWorker
) -> None:
    program = tmp_path / "train_network.py"
    program.write_text("import os, signal; print(os.getpid(), flush=True); signal.pause()")
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", DYING, str(program)]
    dying = subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, text=True)
    assert dying.stdout is not None
    folder, stray = dying.stdout.readline().split()
    dying.kill()
    dying.communicate()
    assert (Path(folder) / "photo-1.jpg").exists()

    checkout = Checkout(tmp_path)
    checkout.behave("hang")
    workspaces = tmp_path / f"loracode-sd-scripts-{os.getuid()}"
    training = SdScriptsTrainer(checkout.folder, None, str(checkout.model), 5, workspaces).train(request())
    next(event for event in training if isinstance(event, ProgressEvent) and event.step == 2)
    assert Path(folder).exists(), "a training removes nothing"

    assert isinstance(next(answers(start_worker())), ReadyMessage)
    assert not Path(folder).exists()
    assert is_gone(int(stray))
    assert next(training) == ProgressEvent(job_id=7, attempt=2, step=2, steps=5)
    training.close()
    assert not list(workspaces.iterdir())
    assert checkout.is_quiet()
