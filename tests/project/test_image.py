"""The image holds what is needed and nothing else, and runs on a read-only disk with no rights."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import tomllib
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.acceptance.telegram_server import TOKEN, TelegramServer, telegram_server, until
from tests.support.container_images import ROOT, Yard, copy_of_checkout, why_not, yard

CANARY = "canary-that-must-not-get-into-an-image"
BOT, ALL = "localhost/loracode:bot", "localhost/loracode:all"
MIB = 2**20
NEEDLESS = ("gcc", "cc", "make", "pip", "git", "curl")
LOOK = """
import json, os, pathlib, shutil, sys
app = pathlib.Path("/app")
files = [str(path.relative_to(app)) for path in app.rglob("*") if path.is_file()]
def writable(path):
    return os.access(path, os.W_OK)
print(json.dumps({
    "uid": os.getuid(),
    "found": [name for name in NEEDLESS if shutil.which(name)],
    "canaries": [name for name in files if CANARY in (app / name).read_text("utf-8", "replace")],
    "tops": sorted({name.split("/")[0] for name in files}),
    "torch": any(path.name == "torch" for place in sys.path for path in pathlib.Path(place).glob("torch")),
    "writable": [place for place in ("/app", "/opt/loracode", "/usr/bin", "/data", "/models", "/backups")
                 if writable(place)],
    "uncompiled": [name for name in files if name.endswith(".py")
                   and not list((app / name).parent.glob(f"__pycache__/{pathlib.Path(name).stem}.*.pyc"))],
}))
"""

# The first of them builds the image.
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """The bot's image, from a checkout in which secrets and litter lie around."""
    context = copy_of_checkout(tmp_path_factory.mktemp("context"))
    for name in (".env", "bot/.env.old", "data/ledger.sqlite3", "bot/__pycache__/old.py", ".venv/old.py"):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text(CANARY, "utf-8")
    with yard() as opened:
        opened.make_base("python3", "python3-venv")
        opened.build(context, BOT, "--target", "bot")
        shutil.move(context, opened.context)
        yield opened


def looked_at(yard: Yard, image: str) -> dict[str, object]:
    program = f"NEEDLESS, CANARY = {NEEDLESS!r}, {CANARY!r}\n{LOOK}"
    ran = yard.run(image, "-c", program, options=["--entrypoint", "python"])
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)  # type: ignore[no-any-return]


def test_the_image_holds_the_code_and_nothing_else(built: Yard) -> None:
    seen = looked_at(built, BOT)
    assert seen["canaries"] == [] and seen["found"] == [] and seen["torch"] is False
    assert seen["uid"] == 10001
    assert seen["writable"] == ["/data", "/models", "/backups"]
    assert seen["uncompiled"] == []
    assert seen["tops"] == [
        *("LICENSE", "README.md", "bot", "drawn", "gpu_worker", "imaging", "kohya-scripts", "migrations"),
        *("pyproject.toml", "requirements.hashes", "requirements.lock"),
    ]
    assert built.added_bytes(BOT) < 450 * MIB


def test_the_image_without_a_token_says_what_is_missing_and_ends(built: Yard) -> None:
    ran = built.run(BOT)
    assert ran.returncode == 2
    assert "TELEGRAM_BOT_TOKEN or DISCORD_BOT_TOKEN has to be set" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_version_is_the_one_of_the_checkout(built: Yard) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert built.run(BOT, "--version").stdout == f"loracode, version {project['version']}\n"


async def test_the_bot_starts_is_healthy_and_stops_on_request(built: Yard) -> None:
    async with telegram_server() as telegram, container(built, telegram) as name:
        await until(lambda: telegram.commands, timeout_s=120)  # it has greeted the platform
        check = built.health_check(BOT)
        await becomes_well(built, name, check)

        told = await asyncio.to_thread(built.podman, "stop", "--time", "30", name)

        assert told.returncode == 0, told.stderr
        state = built.podman("inspect", "--format", "{{.State.ExitCode}}", name).stdout.strip()
        assert state == "0"
        log = built.podman("logs", name)
        assert TOKEN not in log.stdout + log.stderr
        assert built.run(BOT, "status", "--health", options=[f"--volumes-from={name}"]).returncode == 1


async def becomes_well(yard: Yard, name: str, check: list[str]) -> None:
    async with asyncio.timeout(120):
        while (asked := await asyncio.to_thread(yard.podman, "exec", name, *check)).returncode != 0:
            assert asked.returncode == 1, asked.stderr  # not well yet


@contextlib.asynccontextmanager
async def container(yard: Yard, telegram: TelegramServer) -> AsyncIterator[str]:
    name = "bot"
    settings = {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_URL": telegram.base_url, "BASE_MODEL": "tiny"}
    options = [word for key, value in settings.items() for word in ("--env", f"{key}={value}")]
    line = yard.run_line("--detach", "--name", name, *options)
    started = await asyncio.to_thread(yard.ran, *line, BOT)
    assert started.returncode == 0, started.stderr
    try:
        yield name
    finally:
        await asyncio.to_thread(yard.podman, "rm", "--force", "--time", "5", name)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_the_whole_image_plays_the_demo(built: Yard) -> None:
    built.build(built.context, ALL, "--build-arg", "TORCH_INDEX=")
    seen = looked_at(built, ALL)
    assert seen["torch"] is True and seen["canaries"] == [] and seen["found"] == []

    doctor = built.run(ALL, "doctor", "--offline")
    assert doctor.returncode == 0, doctor.stdout
    demo = built.run(ALL, "demo", options=["--interactive", "--env", "OMP_NUM_THREADS=1"])
    assert demo.returncode == 0 and "demo: ok code=" in demo.stdout, demo.stdout[-2000:] + demo.stderr[-2000:]
