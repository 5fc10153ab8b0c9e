"""Parse the output of sd-scripts: its progress, and why it stopped. Pure."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path

from gpu_worker.errors import BadInput, JobProblem

TAIL_LINES = 40
#: Patterns in the last lines, and the cause of each; the first match wins.
_FAILURE_CAUSES = (
    ("no space left on device", JobProblem.SD_SCRIPTS_DISK_FULL),
    ("out of memory", JobProblem.SD_SCRIPTS_OUT_OF_MEMORY),
    ("outofmemoryerror", JobProblem.SD_SCRIPTS_OUT_OF_MEMORY),
    ("modulenotfounderror", JobProblem.SD_SCRIPTS_LACKS_LIBRARY),
    ("requires a gpu", JobProblem.SD_SCRIPTS_NO_CARD),
)
_PROGRESS_BAR = re.compile(r"steps:\s+\d+%\|.*\|\s*(\d{1,9})/(\d{1,9}) \[[^\]]*\](.*)")


class ProgressParser:
    """The current step, and the last lines of output."""

    def __init__(self, steps: int) -> None:
        self.step = 0
        self._steps = steps
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    def parse_line(self, line: str) -> None:
        """Take a line of output, such as one of sd-scripts' progress bar.

        `steps:  12%|█▏        | 180/1500 [02:06<15:24,  1.43it/s, avr_loss=0.12]`
        """
        match = _PROGRESS_BAR.match(line)
        if match is None or int(match[2]) != self._steps:
            self._tail.append(line)
            return
        self.step = max(self.step, min(int(match[1]), self._steps))
        # A traceback begins on the line of the progress bar.
        if match[3].strip():
            self._tail.append(match[3].strip())

    def format_tail(self, folder: Path) -> str:
        """Return the last lines without progress bars, the folder's path, and the photos' names."""
        text = "\n".join(self._tail).replace(str(folder), "(folder)")
        return re.sub(r"photo-\d+\.\w+", "(photo)", text)


def find_error(status: int, tail: str) -> BadInput:
    """Return the error that says why it ended with this exit status."""
    if status < 0:
        return BadInput(JobProblem.SD_SCRIPTS_KILLED, signal=str(-status))
    lowered_tail = tail.lower()
    for pattern, problem in _FAILURE_CAUSES:
        if pattern in lowered_tail:
            return BadInput(problem)
    return BadInput(JobProblem.SD_SCRIPTS_FAILED, status=str(status))
