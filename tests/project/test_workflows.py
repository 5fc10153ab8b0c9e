"""The workflows and the list of hooks: they are linted, and they run what `make` runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top is a mapping."""
    document: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return document


def make_recipe(target: str) -> list[str]:
    """Return the commands of a target of the Makefile."""
    rule = re.search(rf"(?m)^{target}:.*\n((?:\t.*\n)+)", MAKEFILE)
    assert rule is not None
    return [line.strip().removeprefix("@").replace("$(BIN)", ".venv/bin") for line in rule[1].splitlines()]


def test_workflows_and_the_dependency_bots_file_pass_the_linter() -> None:
    pytest.importorskip("jactionlint", reason="jactionlint is installed on Linux only")
    command = [sys.executable, "-m", "jactionlint", "--strict-exit", "--shellcheck="]
    files = [*map(str, WORKFLOWS), str(ROOT / ".github" / "dependabot.yml")]
    result = subprocess.run([*command, *files], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(WORKFLOWS) >= 3


def test_the_linter_fails_a_workflow_with_a_mistake(tmp_path: Path) -> None:
    pytest.importorskip("jactionlint", reason="jactionlint is installed on Linux only")
    workflow = tmp_path / "checks.yml"
    pinned = (ROOT / ".github" / "workflows" / "checks.yml").read_text("utf-8")
    workflow.write_text(re.sub(r"actions/checkout@[0-9a-f]{40}", "actions/checkout@v7", pinned), "utf-8")
    command = [sys.executable, "-m", "jactionlint", "--strict-exit", "--shellcheck=", str(workflow)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert "must be pinned to a full-length commit SHA" in result.stdout


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_make_target_and_script_of_a_workflow_exists(workflow: Path) -> None:
    steps = [step for job in read_yaml(workflow)["jobs"].values() for step in job["steps"]]
    commands = "\n".join(step.get("run", "") for step in steps)
    for target in re.findall(r"\bmake ([a-z-]+)", commands):
        assert re.search(rf"(?m)^{target}:", MAKEFILE), target
    for script in re.findall(r"\bpython (\S+\.py)", commands):
        assert (ROOT / script).is_file()


def test_the_checks_run_on_every_python_that_is_supported() -> None:
    jobs = read_yaml(ROOT / ".github" / "workflows" / "checks.yml")["jobs"]
    versions = jobs["test"]["strategy"]["matrix"]["python"]
    (oldest,) = re.findall(r'requires-python = ">=([0-9.]+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert versions == ["3.11", "3.12", "3.13", "3.14"]
    assert versions[0] == oldest
    assert jobs["test"]["steps"][-1]["run"].startswith("make test ")


def test_a_release_builds_every_image_that_is_for_people() -> None:
    jobs = read_yaml(ROOT / ".github" / "workflows" / "images.yml")["jobs"]
    built = {each["target"] for each in jobs["image"]["strategy"]["matrix"]["include"]}
    stages = re.findall(r"(?m)^FROM runtime AS (\S+)$", (ROOT / "Dockerfile").read_text("utf-8"))
    assert built == set(stages)


def test_hooks_before_a_commit_run_the_commands_of_make_check() -> None:
    (repo,) = read_yaml(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repo["repo"] == "local"
    assert [hook["entry"] for hook in repo["hooks"]] == make_recipe("ruff") + make_recipe("mypy")
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in repo["hooks"])


@pytest.mark.parametrize(
    ("failing", "calls", "status"),
    [
        ("nothing", ["audit", "test", "test-cluster"], 0),
        ("audit", ["audit", "test", "test-cluster"], 0),  # advisories are news
        ("test", ["audit", "test"], 1),
        ("test-cluster", ["audit", "test", "test-cluster"], 1),
    ],
)
def test_ci_runs_both_parts_of_the_tests_and_fails_with_either(
    tmp_path: Path, failing: str, calls: list[str], status: int
) -> None:
    make = tmp_path / "make"
    make.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/calls\n[ "$1" != {failing} ]\n', "utf-8")
    make.chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    result = subprocess.run([ROOT / ".ci" / "run"], env=environ, capture_output=True)
    assert (result.returncode, (tmp_path / "calls").read_text("utf-8").split()) == (status, calls)
