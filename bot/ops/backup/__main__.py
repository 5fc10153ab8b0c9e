"""One backup, by a process of its own: `python -m bot.ops.backup DATA_DIR FOLDER TIME`."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path

from bot.core.errors import LoraCodeError
from bot.ops.backup import create_backup


def main(data_dir: Path, folder: Path, now: datetime) -> int:
    """Back up and say so in one line, whatever becomes of it; 1 when there is no backup."""
    if os.name == "posix":
        os.nice(10)
    try:
        backup = create_backup(data_dir, folder, now)
    except LoraCodeError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{backup.folder}: {backup}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), datetime.fromisoformat(sys.argv[3])))
