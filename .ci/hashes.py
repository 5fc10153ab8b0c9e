"""`make hashes`: writes requirements.hashes, what an image's packages have to be, byte by byte.

One line for each pin of requirements.lock and of what only an image needs: the SHA-256 of each of its files
that may be installed on Linux. torch is not among them: its files differ with the index that a card may need.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).parents[1]
INDEX = "https://pypi.org/simple"
TIMEOUT_S = 60
#: What installs and builds there, and what Python lacks from 3.13 on.
IMAGE_PINS = ("pip==26.3", "setuptools==84.2.1", "audioop-lts==0.2.2")
NOT_HASHED = frozenset({"torch"})
_PYTHON_TAGS = re.compile(r"py3|cp31[1-4]")
_LINUX_TAGS = re.compile(r"any|(many)?linux(1|\d+|_\d+_\d+)?_(x86_64|aarch64)")


def main() -> None:
    """Ask the index, and write."""
    pins = [*(ROOT / "requirements.lock").read_text("utf-8").split(), *IMAGE_PINS]
    with ThreadPoolExecutor(8) as pool:
        lines = pool.map(hash_pin, [each for each in pins if package_name(each) not in NOT_HASHED])
    (ROOT / "requirements.hashes").write_text(
        "".join(f"{each}\n" for each in sorted(lines, key=str.lower)), "utf-8"
    )


def package_name(pin: str) -> str:
    """Return a pin's package, as indexes write it."""
    return canonicalize_name(pin.partition("==")[0])


def hash_pin(pin: str) -> str:
    """Return a pin with the hashes of its files."""
    headers = {"Accept": "application/vnd.pypi.simple.v1+json"}
    response = httpx.get(
        f"{INDEX}/{package_name(pin)}/", headers=headers, timeout=TIMEOUT_S, follow_redirects=True
    )
    files = {
        each["filename"]: each["hashes"]["sha256"] for each in response.raise_for_status().json()["files"]
    }
    hashes = sorted(files[each] for each in select_files(pin, files))
    if not hashes:
        raise SystemExit(f"{pin}: the index has no file of it for Linux")
    return " ".join([pin, *(f"--hash=sha256:{each}" for each in hashes)])


def select_files(pin: str, files: Iterable[str]) -> list[str]:
    """Choose a release's wheels for Linux; its source where it has none."""
    version = pin.partition("==")[2]
    wheels, sources = [], []
    for file in files:
        if file.endswith((f"-{version}.tar.gz", f"-{version}.zip")):
            sources.append(file)
        elif file.endswith(".whl") and _is_linux_wheel(file, version):
            wheels.append(file)
    return wheels or sources


def _is_linux_wheel(file: str, version: str) -> bool:
    try:
        _, wheel_version, _, tags = parse_wheel_filename(file)
    except InvalidWheelFilename:  # of a time before there was a form
        return False
    # Of one ABI for all, the Python it was built with is the oldest that takes it.
    has_matching_tag = any(
        (tag.abi == "abi3" or _PYTHON_TAGS.fullmatch(tag.interpreter)) and _LINUX_TAGS.fullmatch(tag.platform)
        for tag in tags
    )
    return has_matching_tag and str(wheel_version) == version


if __name__ == "__main__":
    main()
