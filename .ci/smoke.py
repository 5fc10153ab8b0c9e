"""Play the demo in an empty folder and check what it made: `python .ci/smoke.py`.

The same on Linux, macOS and Windows, because it needs neither make nor a shell. Exit status 1 when the demo
failed or its files are not what they should be.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from safetensors import SafetensorError, safe_open

ROOT = Path(__file__).parents[1]
#: The smallest model and a short training: the smoke shows that all parts work together, not that it learns.
SETTINGS = {"BASE_MODEL": "tiny", "TRAIN_STEPS": "4"}
#: What a slow runner may take; the demo takes less than two minutes on two quiet cores.
TIMEOUT_S = 1500
_LAST_LINE = re.compile(r"demo: ok code=([0-9]{8}) lora=(.+) pictures=(.+)")


class SmokeError(Exception):
    """The demo failed, or made something else than it should."""


def main() -> int:
    """Play the demo, check its files, and return the exit status."""
    with tempfile.TemporaryDirectory(prefix="loracode-smoke-") as folder:
        try:
            sys.stdout.write(f"smoke: ok, {check_result(play_demo(Path(folder)), Path(folder))}\n")
        except SmokeError as error:
            sys.stderr.write(f"smoke: {error}\n")
            return 1
    return 0


def play_demo(folder: Path) -> str:
    """Run the demo in a folder and return what it printed. Raise SmokeError when it fails."""
    without_tokens = {name: value for name, value in os.environ.items() if "_BOT_TOKEN" not in name}
    environ = {**without_tokens, **SETTINGS, "DATA_DIR": "data", "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    try:
        demo = subprocess.run(
            [sys.executable, "-m", "bot", "demo"],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise SmokeError(f"the demo took longer than {TIMEOUT_S} s") from None
    if demo.returncode != 0:
        raise SmokeError(f"the demo ended with status {demo.returncode}\n{demo.stdout}{demo.stderr}")
    return demo.stdout


def check_result(output: str, folder: Path) -> str:
    """Check the files that the demo's last line names. Return a summary, or raise SmokeError."""
    lines = output.splitlines()
    named = _LAST_LINE.fullmatch(lines[-1]) if lines else None
    if named is None:
        raise SmokeError(f"the demo's last line names no result\n{output}")
    code, lora, pictures = named[1], folder / named[2], [folder / each for each in named[3].split(",")]
    try:
        with safe_open(lora, "np") as weights:
            tensors = len(list(weights.keys()))
    except (OSError, SafetensorError) as error:
        raise SmokeError(f"the LoRA cannot be read: {error}") from None
    if tensors == 0:
        raise SmokeError("the LoRA holds no tensors")
    for path in pictures:
        try:
            with Image.open(path) as picture:
                recipe = str(picture.info.get("parameters", ""))
        except (OSError, UnidentifiedImageError) as error:
            raise SmokeError(f"a picture cannot be read: {error}") from None
        if code not in recipe:
            raise SmokeError(f"{path.name} does not name LoraCode {code} in its recipe")
    return f"LoraCode {code}, {tensors} tensors, {len(pictures)} pictures"


if __name__ == "__main__":
    sys.exit(main())
