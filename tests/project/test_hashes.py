"""`make hashes`: images are pinned to what the lock pins, by every file of it that Linux may take."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.programs import loaded

ROOT = Path(__file__).parents[2]
hashes = loaded(ROOT / ".ci" / "hashes.py")


def test_pinned_packages_but_torch_have_hashes_for_images() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8").split()
    lines = (ROOT / "requirements.hashes").read_text("utf-8").splitlines()
    pinned = {line.split()[0] for line in lines}
    assert len(pinned) == len(lines) > 100
    meant = {*lock, *hashes.IMAGE_PINS}
    assert meant - pinned == {pin for pin in lock if pin.startswith("torch==")}
    assert pinned <= meant
    assert [line for line in lines if not re.fullmatch(r"\S+==\S+( --hash=sha256:[0-9a-f]{64})+", line)] == []


def test_an_image_installs_nothing_unchecked_but_torch() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    installs = re.findall(r"-m pip install ([^&\n]+)", dockerfile)
    assert len(installs) == 5
    unchecked = [each for each in installs if "--require-hashes" not in each]
    assert [each.split()[-1] for each in unchecked] == ["torch"]


@pytest.mark.parametrize(
    ("file", "is_meant"),
    [
        ("some-1.2-py3-none-any.whl", True),
        ("some-1.2-py2.py3-none-any.whl", True),
        ("some-1.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("some-1.2-cp39-abi3-manylinux_2_28_aarch64.whl", True),
        ("some-1.2-cp310-cp310-manylinux_2_28_x86_64.whl", False),  # older than what the bot needs
        ("some-1.2-cp312-cp312-win_amd64.whl", False),
        ("some-1.2-cp312-cp312-macosx_11_0_arm64.whl", False),
        ("some-1.2-cp312-cp312-musllinux_1_2_x86_64.whl", False),  # torch has none either
        ("some-1.20-py3-none-any.whl", False),
        ("some-1.2.tar.gz", False),  # there are wheels
    ],
)
def test_the_wheels_for_linux_of_a_release_are_taken(file: str, is_meant: bool) -> None:
    assert (
        file in hashes.select_files("some==1.2", [file, "some-1.2-cp313-cp313-linux_x86_64.whl"])
    ) is is_meant


def test_a_package_without_a_wheel_is_built_from_source() -> None:
    assert hashes.select_files("some==1.2", ["some-1.2.tar.gz", "some-1.1-py3-none-any.whl"]) == [
        "some-1.2.tar.gz"
    ]
