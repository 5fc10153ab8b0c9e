"""`make audit`: a licence that does not fit or an advisory fails it; not looked up is not called clean."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.support.programs import loaded

ROOT = Path(__file__).parents[2]
audit = loaded(ROOT / ".ci" / "audit.py")
FINE = audit.Licence("fine", "MIT", True)
CLEAN = {"name": "fine", "version": "1", "vulns": []}
ILL = {"name": "ill", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
SKIPPED = {"name": "far", "skip_reason": "Dependency not found on PyPI and could not be audited: far (1)"}


@pytest.mark.parametrize(
    ("licence", "fits"),
    [
        ("MIT", True),
        ("Apache-2.0 AND MIT", True),
        ("Apache-2.0 OR GPL-2.0-only", False),  # needs a reason of its own
        ("ISC License (ISCL)", True),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0", True),
        ("Mozilla Public License 2.0 (MPL 2.0)", True),
        ("LGPL-3.0-only", False),
        ("MIT; GNU Affero General Public License v3", False),
        ("MIT AND AGPL-3.0", False),
        ("Proprietary, without limit", False),
        ("", False),
    ],
)
def test_licences_that_fit_mit_distribution_are_accepted(licence: str, fits: bool) -> None:
    assert audit.is_allowed(licence) is fits


def test_pinned_packages_have_licences_that_fit() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    found = audit.read_licences([line.split("==")[0] for line in lock])
    assert len(found) > 50
    assert [each for each in found if each.is_allowed is False] == []


def test_a_package_not_installed_is_reported_without_failure() -> None:
    (found,) = audit.read_licences(["surely-not-installed"])
    lines, status = audit.summarize([FINE, found], {"dependencies": [CLEAN]})
    assert found.is_allowed is None
    assert "licences: 1 not installed here, so not read" in lines
    assert status == 0


@pytest.mark.parametrize(
    ("report", "status", "line"),
    [
        ({"dependencies": [CLEAN]}, 0, "advisories: 0 for 1 packages"),
        ({"dependencies": [ILL]}, 1, "ADVISORY: ill 1: PYSEC-1, fixed in 2"),
        ({"dependencies": [SKIPPED]}, 3, "advisories: NOT CHECKED for 1 of 1 packages"),
        ({"dependencies": [ILL, SKIPPED]}, 1, "advisories: NOT CHECKED for"),
        ({"dependencies": []}, 3, "advisories: NOT CHECKED for 1 of 1 packages"),
        (None, 3, "advisories: NOT CHECKED for 1 of 1 packages"),
    ],
)
def test_a_package_not_looked_up_is_not_called_clean(
    report: dict[str, object] | None, status: int, line: str
) -> None:
    lines, said = audit.summarize([FINE], report)
    assert said == status
    assert any(each.startswith(line) for each in lines)


def test_a_licence_that_does_not_fit_fails_it() -> None:
    lines, status = audit.summarize([audit.Licence("far", "AGPL-3.0", False)], {"dependencies": [CLEAN]})
    assert status == 1
    assert "LICENCE: far says AGPL-3.0" in lines


@pytest.mark.parametrize("script", [None, "echo no connection >&2; exit 1"])
def test_a_pip_audit_that_does_not_run_is_no_report(
    tmp_path: Path, script: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "pip-audit"
    if script is not None:
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert audit.run_pip_audit(str(program), ROOT / "requirements.lock") is None
    assert capsys.readouterr().out.startswith("pip-audit: ")
