"""The peer: a checkout of sd-scripts, run on the same model and photos, read from its progress bar."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import NotMeasured
from benchmarks.runs import PeerRun
from benchmarks.work import RANK

STAND_INS = Path(__file__).parent / "stand_ins"
_PROGRAM = "train_network.py"
#: `steps:  25%|██▌       | 1/4 [00:13<00:40, 13.35s/it, avr_loss=0.1]`
_STEP = re.compile(r"steps:[^\r\n]*?\|\s*(\d+)/\d+ \[")


@dataclass
class ProgressBarReader:
    """Notes when each step is first seen in a progress bar that comes in pieces."""

    step_ends: list[float] = field(default_factory=list)
    _partial_line: str = ""

    def feed(self, text: str) -> None:
        """Look at another piece of the output."""
        buffer = self._partial_line + text
        for match in _STEP.finditer(buffer):
            if int(match[1]) > len(self.step_ends):
                self.step_ends.append(time.monotonic())
        # A bar may be cut anywhere; what is after its last ending is looked at again with the next piece.
        line_start = max(buffer.rfind("\r"), buffer.rfind("\n")) + 1
        self._partial_line = buffer[line_start:]


@dataclass(frozen=True)
class PeerWork:
    """What the peer trains, and for how long."""

    model: Path
    data: Path  #: folder of `<repeats>_<caption>` folders
    side_px: int
    steps: int
    program: str = _PROGRAM
    tokenizers: Path | None = None  #: None: beside the model's parts


@dataclass(frozen=True)
class Peer:
    """Where sd-scripts lies and which Python runs it."""

    folder: Path
    python: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Peer:
        """Read PEER and PEER_PYTHON; NotMeasured when there is no peer."""
        if not environ.get("PEER"):
            raise NotMeasured("no peer: set PEER to a checkout of sd-scripts")
        folder = Path(environ["PEER"]).expanduser().resolve()
        if not (folder / _PROGRAM).is_file():
            raise NotMeasured(f"PEER has no {_PROGRAM}")
        return cls(folder, _resolve_program(environ.get("PEER_PYTHON") or "python3"))

    def train(
        self, work: PeerWork, flags: str, launcher: bool = False, environ: Mapping[str, str] | None = None
    ) -> PeerRun:
        """Train for some steps; NotMeasured with the peer's last lines if it fails."""
        progress_bar = ProgressBarReader()
        with tempfile.TemporaryDirectory() as output:
            process = measure.run(
                [*self._launch_command(launcher, work.program), *_flags(work, output), *shlex.split(flags)],
                timeout_s=1800,
                environ={**self._environ(), **(environ or {})},
                cwd=self.folder,
                on_text=progress_bar.feed,
            )
        ends = progress_bar.step_ends
        if len(ends) < 2:
            raise NotMeasured("the peer's progress could not be read")
        return PeerRun(ends[0] - process.spawned_at, measure.gaps(ends), process.peak_bytes)

    def _launch_command(self, launcher: bool, program: str) -> list[str]:
        if not launcher or not _can_import(self.python, "accelerate.commands.launch"):
            return [self.python, program]
        threads = str(os.cpu_count() or 1)  # its own default is one thread, which would be unfair
        return [
            self.python,
            *("-m", "accelerate.commands.launch", "--num_cpu_threads_per_process", threads),
            program,
        ]

    def _environ(self) -> dict[str, str]:
        # No build of torchvision fits every torch; what the peer needs of it is small.
        if _can_import(self.python, "torchvision"):
            return {}
        return {"PYTHONPATH": os.pathsep.join(filter(None, [str(STAND_INS), os.environ.get("PYTHONPATH")]))}


def _resolve_program(name: str) -> str:
    """Return a program by its whole path, as it is started in another folder; one on the PATH by its name."""
    path = Path(name).expanduser()
    return name if path.name == name else str(path.absolute())  # not resolved: a venv's Python is a link


@cache
def _can_import(python: str, module: str) -> bool:
    try:
        measure.run([python, "-c", f"import {module}"], timeout_s=120)
    except NotMeasured:
        return False
    return True


def _flags(work: PeerWork, output: str) -> list[str]:
    """Return what every run of the peer has in common: the same work as in `benchmarks/probes/task.py`."""
    values = {
        "pretrained_model_name_or_path": work.model,
        "train_data_dir": work.data,
        "output_dir": output,
        "tokenizer_cache_dir": work.tokenizers or work.model / "peer-tokenizers",
        "resolution": f"{work.side_px},{work.side_px}",
        "train_batch_size": 1,
        "max_train_steps": work.steps,
        "max_data_loader_n_workers": 0,  # a second process would only take memory from it
        "network_module": "networks.lora",
        "network_dim": RANK,
        "optimizer_type": "AdamW",
        "learning_rate": 1e-4,
        "save_model_as": "safetensors",
        "seed": 1,
    }
    pairs = (part for name, value in values.items() for part in (f"--{name}", str(value)))
    return [*pairs, "--cache_latents"]
