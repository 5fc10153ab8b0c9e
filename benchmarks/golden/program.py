"""Programs of a checkout, run in an environment that makes them repeatable."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Limit for one program; most take a tenth of it.
TIMEOUT_S = 300
#: Imported by each program at its start. It hides an editable install of another checkout, and fixes what
#: the bot draws (seeds and LoraCodes). It also stops the clock by which the worker chooses how many pictures
#: to denoise together: the last bits of a picture depend on that number.
_SITECUSTOMIZE = """
import os, secrets, sys, time
own = (sys.prefix, sys.base_prefix, *os.environ["PYTHONPATH"].split(os.pathsep))
sys.meta_path[:] = [it for it in sys.meta_path if "__editable__" not in str(getattr(it, "__module__", ""))]
sys.path[:] = [path for path in sys.path if path.startswith(own)]
secrets.randbelow = lambda below: 20261130 % below
time.perf_counter = lambda: 0.0
"""
_PASSED_ON = ("PATH", "HOME", "LD_LIBRARY_PATH")


class CaseError(Exception):
    """A case could not be carried out; the message has the last lines of its program."""


@dataclass(frozen=True)
class Checkout:
    """The code that is run, the Python that runs it, and a folder for what is made."""

    repo: Path
    python: str
    work_dir: Path

    def read_pyproject(self) -> dict[str, Any]:
        """Return the contents of `pyproject.toml`."""
        return tomllib.loads((self.repo / "pyproject.toml").read_text("utf-8"))


@dataclass
class ProgramOutput:
    """The lines of a running program, and those that were read so far."""

    lines: Iterator[str]
    seen_lines: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[str]:
        for line in self.lines:
            self.seen_lines.append(line)
            yield line


@contextlib.contextmanager
def run_program(
    command: Sequence[str],
    checkout: Checkout,
    settings: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
) -> Iterator[ProgramOutput]:
    """Yield the output of a started program, and wait for its end. Closes `stdin` if it is a descriptor.

    Raises CaseError if the program ends with an error or takes longer than TIMEOUT_S.
    """
    with subprocess.Popen(
        command,
        cwd=checkout.work_dir,
        env=_build_environ(checkout, settings or {}),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        if stdin >= 0:
            os.close(stdin)
        timeout = threading.Timer(TIMEOUT_S, process.kill)
        timeout.start()
        output = ProgramOutput(line.rstrip() for line in process.stdout or ())
        try:
            yield output
            exit_status = process.wait()
        finally:
            timeout.cancel()
            process.kill()
    if exit_status:
        raise CaseError(f"exit status {exit_status}: {' | '.join(output.seen_lines[-2:])}")


def _build_environ(checkout: Checkout, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program: of the caller's only what it needs to start, and no GPU."""
    site_dir = checkout.work_dir / "site"
    site_dir.mkdir(exist_ok=True)
    (site_dir / "sitecustomize.py").write_text(_SITECUSTOMIZE, "utf-8")
    find_options = checkout.read_pyproject()["tool"]["setuptools"]["packages"].get("find", {})
    roots = [checkout.repo, *(checkout.repo / path for path in find_options.get("where", ()))]
    return {
        **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        "PYTHONPATH": os.pathsep.join(map(str, (site_dir, *roots))),
        "PYTHONUNBUFFERED": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "1",  # with two threads, no two trainings were equal
        "BACKUP_DAYS": "0",
        **settings,
    }
