"""A copy of the code that a test may change, and stories that run in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[3]
_COPIED = ("bot", "tests/acceptance", "tests/support", "tests/__init__.py", ".ci", "pyproject.toml")
_LINKED = ("gpu_worker", "drawn", "migrations", "docs")


@dataclass
class CodeCopy:
    """The code in a folder of its own; `changed` lists the files that were changed or added."""

    folder: Path
    changed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in _COPIED:
            source, target = ROOT / name, self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        for name in _LINKED:
            (self.folder / name).symlink_to(ROOT / name)

    def insert(self, file: str, before: str, text: str) -> None:
        """Insert lines before a line of a file, which stands there once."""
        path = self.folder / file
        source = path.read_text(encoding="utf-8")
        assert source.count(before) == 1, f"{before!r} stands {source.count(before)} times in {file}"
        path.write_text(source.replace(before, text + before), encoding="utf-8")
        self._note(file)

    def append(self, file: str, text: str) -> None:
        """Add lines to the end of a file, which may be new."""
        with (self.folder / file).open("a", encoding="utf-8") as stream:
            stream.write(text)
        self._note(file)

    def add(self, file: str, source: Path) -> None:
        """Add a file."""
        shutil.copy(source, self.folder / file)
        self._note(file)

    def run(self, *arguments: str) -> str:
        """Run Python in the copy; return what it printed."""
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _note(self, file: str) -> None:
        if file not in self.changed:
            self.changed.append(file)
