"""docs/install.md says only what is so, and the unit for systemd is one that systemd takes."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bot.app.cli import EXIT_ERROR, loracode
from bot.app.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs/install.md"
UNIT = ROOT / "docs/ops/loracode.service"
#: Names in capitals that are neither settings nor Compose's: pip's, Docker's and the hub's.
OTHERS = {"BASE_IMAGE", "HF_TOKEN"}


class Unit(configparser.RawConfigParser):
    """A unit file: names keep their case; of a name that comes again the last is kept."""

    def __init__(self) -> None:
        super().__init__(strict=False, interpolation=None)

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def unit() -> Unit:
    read = Unit()
    read.read_string(UNIT.read_text("utf-8"))
    return read


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    text = UNIT.read_text("utf-8").replace("/opt/loracode/.venv/bin/loracode", sys.executable)
    (tmp_path / UNIT.name).write_text(text, "utf-8")
    ran = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / UNIT.name)],  # noqa: S607 - where it is depends on the system
        capture_output=True,
        text=True,
    )
    about_ours = [line for line in (ran.stdout + ran.stderr).splitlines() if UNIT.name in line]
    assert about_ours == []


def test_the_service_is_not_started_again_where_that_cannot_help() -> None:
    service = unit()["Service"]
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == str(EXIT_ERROR)
    assert service["ExecStart"].endswith("/loracode run")
    assert service["MemoryMax"] == "6G"


def test_the_service_makes_the_cuda_device_before_it_gives_up_rights() -> None:
    service = unit()["Service"]
    assert service["NoNewPrivileges"] == "true"
    # `-`: where there is no card there is no such program; `+`: as root.
    assert service["ExecStartPre"].startswith("-+/usr/bin/nvidia-modprobe ")


def test_each_command_of_the_guide_exists() -> None:
    text = GUIDE.read_text("utf-8")
    code = " | ".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))
    said = set(re.findall(r"loracode (?=([a-z]+)\b)", code))
    # The service's name twice over, the user's, and a disk's.
    assert said - set(loracode.commands) <= {"loracode", "env"}
    assert set(loracode.commands) - said == {"run"}  # what the image and the unit do by themselves


def test_each_setting_of_the_guide_exists() -> None:
    text = GUIDE.read_text("utf-8")
    compose = (ROOT / "compose.yaml").read_text("utf-8")
    said = set(re.findall(r"\b([A-Z]+(?:_[A-Z]+)+)\b", text))
    known = (
        {name.upper() for name in Settings.model_fields} | set(re.findall(r"\$\{([A-Z_]+)", compose)) | OTHERS
    )
    assert said - known == {"COMPOSE_PROFILES"}  # Compose's own


def test_each_link_of_the_guide_leads_somewhere() -> None:
    text = GUIDE.read_text("utf-8")
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"(?m)^#+ (.*)$", text)
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target.removeprefix("#") in anchors or (GUIDE.parent / target).exists(), target
    for named in re.findall(r"docs/[a-z./]+[a-z]", text):
        assert (ROOT / named).exists(), named


def test_the_forms_of_the_guide_are_those_of_compose() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"].values()
    profiles = {profile for service in services for profile in service.get("profiles", ())}
    assert {"default", "cpu", "cluster"} <= profiles
    (row,) = re.findall(r"(?m)^- forms: .*$", GUIDE.read_text("utf-8"))
    assert [profile for profile in sorted(profiles) if f"`{profile}`" not in row] == []


def test_install_commands_of_extras_are_editable() -> None:
    told = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for folder in ("bot", "gpu_worker", "kohya-scripts"):
        told += (ROOT / folder).rglob("*.py")
    lines = [
        (path.name, line)
        for path in told
        for line in path.read_text("utf-8").splitlines()
        if "pip install" in line and "[" in line
    ]
    assert len(lines) > 5
    for name, line in lines:
        assert "--editable '.[" in line, f"{name}: {line}"
