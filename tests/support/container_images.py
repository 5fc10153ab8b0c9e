"""Where images are built and run without a Docker daemon: buildah and podman, on debootstrap's base."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("buildah", "podman", "debootstrap")
BASE = "localhost/loracode-base"
#: For pip inside a build, as it is set up here: where packages come from, and whom to believe.
PIP_SOURCES = ("index-url", "extra-index-url", "find-links")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_LONGEST_S, _WITH_TESTS_S = 1200.0, 6600.0


def why_not() -> str | None:
    """Return why no image can be built here; None when one can."""
    missing = [name for name in TOOLS if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)} on this machine"
    if os.geteuid() != 0:
        return "debootstrap and builds in a chroot need root"
    return None


class Yard:
    """Images and containers of their own, that are gone afterwards."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        #: What the image was built from.
        self.context = folder / "context"
        self._store = ["--root", str(folder / "root"), "--runroot", str(folder / "run")]

    def ran(
        self, *command: str, timeout_s: float = _LONGEST_S, stdin: int | None = subprocess.DEVNULL
    ) -> subprocess.CompletedProcess[str]:
        """Run a tool, whatever comes of it."""
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, stdin=stdin)

    def buildah(self, *arguments: str) -> str:
        ran = self.ran("buildah", *self._store, *arguments)
        assert ran.returncode == 0, f"buildah {arguments[0]}: {ran.stderr[-3000:]}{ran.stdout[-3000:]}"
        return ran.stdout.strip()

    def podman(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.ran("podman", *self._store, *arguments)

    def make_base(self, *packages: str) -> None:
        """Make a bare Debian of this machine's release, with packages; skips where no mirror answers."""
        tree = self._folder / "debian"
        release = platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
        wanted = f"--include={','.join(['ca-certificates', *packages])}"
        ran = self.ran("debootstrap", "--variant=minbase", wanted, release, str(tree))
        if ran.returncode != 0:
            pytest.skip(f"debootstrap cannot make a base here: {ran.stdout.strip().splitlines()[-1:]}")
        shutil.rmtree(tree / "var/cache/apt")
        (tree / "etc/pip.conf").write_text(_pip_conf(self), "utf-8")
        shutil.copy(CERTIFICATES, tree / "etc/ssl/certs" / CERTIFICATES.name)
        working = self.buildah("from", "scratch")
        self.buildah("add", "--quiet", working, str(tree), "/")
        self.buildah("commit", "--quiet", "--rm", "--format", "docker", working, BASE)
        shutil.rmtree(tree)

    def build(self, context: Path, tag: str, *options: str) -> None:
        """Build the Dockerfile on that base."""
        self.buildah(
            *("bud", "--isolation", "chroot", "--network", "host", "--format", "docker"),
            *("--build-arg", f"BASE_IMAGE={BASE}", *_package_mounts(self), *options),
            *("--tag", tag, str(context)),
        )

    def on_bare_debian(self, program: str, sources: Path) -> subprocess.CompletedProcess[str]:
        """Run lines of a shell on that base, where `sources` is /src."""
        working = self.buildah("from", BASE)
        mounts = ["--volume", f"{sources}:/src:ro", *_package_mounts(self)]
        run = ["run", "--isolation", "chroot", "--network", "host", *mounts, working]
        command = ["buildah", *self._store, *run, "--", "bash", "-ec", program]
        return self.ran(*command, timeout_s=_WITH_TESTS_S)

    def run_line(self, *options: str) -> list[str]:
        """Return the command that runs a container as compose.yaml does: disk read-only, no rights."""
        # runc may not raise limits here; there is no systemd to hold a health check's timer.
        limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096", "--no-healthcheck")
        little = (
            "--read-only",
            "--tmpfs",
            "/tmp",
            "--cap-drop",
            "all",
            "--security-opt",
            "no-new-privileges",
        )
        # crun asks for cgroups that a machine of containers may not have.
        runtime = ["--runtime", "runc"] if shutil.which("runc") is not None else []
        return ["podman", *self._store, *runtime, "run", "--network", "host", *limits, *little, *options]

    def run(
        self, image: str, *arguments: str, options: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a container to its end."""
        return self.ran(*self.run_line("--rm", *options), image, *arguments)

    def added_bytes(self, image: str) -> int:
        """Return how much an image adds to its base."""
        sizes = [int(self.podman("inspect", "--format", "{{.Size}}", each).stdout) for each in (image, BASE)]
        return sizes[0] - sizes[1]

    def health_check(self, image: str) -> list[str]:
        """Return the command that an image says it is asked with."""
        told = self.podman("inspect", "--format", "{{json .HealthCheck.Test}}", image).stdout
        kind, *command = json.loads(told)
        assert kind == "CMD"
        return [str(word) for word in command]

    def clear(self) -> None:
        """Remove everything, mounts first."""
        self.podman("rm", "--all", "--force", "--time", "1")
        self.ran("buildah", *self._store, "rm", "--all")
        self.ran("buildah", *self._store, "rmi", "--all", "--force")


@contextlib.contextmanager
def yard() -> Iterator[Yard]:
    with tempfile.TemporaryDirectory(prefix="loracode-yard-", ignore_cleanup_errors=True) as folder:
        opened = Yard(Path(folder))
        try:
            yield opened
        finally:
            opened.clear()


def copy_of_checkout(folder: Path) -> Path:
    """Copy what git knows of, or would take, into a folder."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607 - whichever git this checkout came by
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def _pip_settings(yard: Yard) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in yard.ran(sys.executable, "-m", "pip", "config", "list").stdout.splitlines():
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        if name in PIP_SOURCES:
            found[name] = value.strip("'\"").replace("\\n", " ").split()
    return found


def _pip_conf(yard: Yard) -> str:
    lines = [f"{name} = {' '.join(values)}" for name, values in _pip_settings(yard).items()]
    return "\n".join(["[global]", f"cert = {CERTIFICATES}", *lines, ""])


def _package_mounts(yard: Yard) -> list[str]:
    found = set()
    for name, values in _pip_settings(yard).items():
        for value in values:
            folder = Path(value.removeprefix("file://"))
            if folder.is_absolute() and folder.is_dir():
                # An index has its files beside it.
                found.add(str(folder if name == "find-links" else folder.parent))
    return [word for folder in sorted(found) for word in ("--volume", f"{folder}:{folder}:ro")]
