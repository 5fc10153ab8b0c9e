"""`loracode doctor`: one thing that is wrong hides no other, each says what to do; a token is never shown."""

from __future__ import annotations

import json
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bot.app import doctor
from bot.app.doctor import Diagnosis, Endpoints, _checks
from bot.app.doctor._checks import (
    check_data_folder,
    check_disk,
    check_moderation,
    check_python,
    check_worker,
    find_file_system,
)
from bot.app.doctor._ports import check_ports
from bot.app.settings import Settings
from bot.media.moderation import is_installed
from tests.support.services import Clock

TELEGRAM = "123456:canary-token-of-telegram-1234567890"
DISCORD = "canaryMTIzNDU2Nzg5MDEyMzQ1Njc4.GabcdE.canary-secret-of-discord"


class Answer(BaseHTTPRequestHandler):
    """Both platforms at once: tells the bot's name to whom has the token."""

    def do_GET(self) -> None:
        if self.path == f"/bot{TELEGRAM}/getMe":
            self._say(200, {"ok": True, "result": {"username": "lora_bot"}})
        elif self.path == "/users/@me" and self.headers["Authorization"] == f"Bot {DISCORD}":
            assert self.headers["User-Agent"].startswith("DiscordBot")
            self._say(200, {"username": "lora on discord"})
        elif self.path.startswith("/busy"):
            self._say(503, {})
        elif self.path.startswith("/odd"):
            self._say(200, [])
        else:
            self._say(401, {"ok": False})

    def _say(self, code: int, what: object) -> None:
        body = json.dumps(what).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def platforms() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def url() -> Iterator[str]:
    with platforms() as each:
        yield each


def by_name(findings: list[Diagnosis]) -> dict[str, Diagnosis]:
    return {each.name: each for each in findings}


def test_the_doctor_looks_at_everything_and_says_what_is_right(tmp_path: Path, url: str) -> None:
    environ = {
        "DATA_DIR": str(tmp_path / "new"),
        "BASE_MODEL": "tiny",
        "TELEGRAM_BOT_TOKEN": TELEGRAM,
        "DISCORD_BOT_TOKEN": DISCORD,
        "TELEGRAM_API_URL": url,
    }
    findings = doctor.run_checks(environ, Endpoints(discord_url=url))
    names = [each.name for each in findings if each.name != "user"]  # who runs the tests may be root
    assert names == [
        *("Python", "settings", "torch", "card", "computing", "memory", "family"),
        *("base model", "data folder", "disk"),
        *("Telegram token", "Discord token", "ports"),
    ]
    found = by_name(findings)
    assert found["Telegram token"] == Diagnosis("Telegram token", "ok", "belongs to lora_bot")
    assert found["Discord token"] == Diagnosis("Discord token", "ok", "belongs to lora on discord")
    assert found["base model"].verdict == "ok"
    assert not doctor.has_problems(each for each in findings if each.name != "card")
    assert not (tmp_path / "new").exists(), "looking changes nothing"


def test_one_thing_that_is_wrong_hides_no_other(tmp_path: Path, url: str) -> None:
    (tmp_path / "ledger.sqlite3").write_bytes(b"no ledger at all" * 500)
    findings = doctor.run_checks(
        {"DATA_DIR": str(tmp_path), "TRAIN_STEPS": "canary"}, Endpoints(discord_url=url)
    )
    found = by_name(findings)
    assert found["settings"].verdict == "bad"
    assert found["settings"].detail.startswith("TRAIN_STEPS: ")
    assert found["database"].verdict == "bad"
    assert "restore" in found["database"].advice
    assert found["tokens"].verdict == "warn"
    assert doctor.has_problems(findings)


def test_a_model_that_is_not_there_is_one_line() -> None:
    found = by_name(check_worker("/nowhere/model.safetensors"))["base model"]
    assert found.verdict == "bad"
    assert "model.safetensors" in found.detail


@pytest.mark.parametrize(
    ("token", "path", "verdict", "words"),
    [
        ("999:canary", "", "bad", "refused (401)"),
        (TELEGRAM, "/busy", "warn", "503"),
        (TELEGRAM, "/odd", "warn", "an answer that is none"),
    ],
)
def test_a_token_is_bad_when_refused_and_not_when_the_platform_is_busy(
    url: str, token: str, path: str, verdict: str, words: str
) -> None:
    found = _checks.check_telegram_token(token, url + path, 5.0)
    assert (found.verdict, words in found.detail) == (verdict, True)
    assert "canary" not in f"{found}"


def test_a_token_is_not_called_wrong_without_a_network() -> None:
    with platforms() as url:
        pass  # nobody listens there any more
    for found in (
        _checks.check_telegram_token(TELEGRAM, url, 5.0),
        _checks.check_discord_token(DISCORD, url, 5.0),
    ):
        assert found.verdict == "warn"
        assert "offline?" in found.detail
        assert "canary" not in f"{found}"
    assert "--offline" in _checks.check_telegram_token(TELEGRAM, url, 5.0, is_online=False).detail


def test_a_windows_folder_is_refused_for_the_database() -> None:
    mounts = "rootfs / ext4 rw 0 0\nC:\\134 /mnt/c 9p rw 0 0\nx /mnt/c/with\\040space cifs rw 0 0\n"
    assert find_file_system(Path("/mnt/c/Users/me"), mounts) == "9p"
    assert find_file_system(Path("/mnt/c/with space/me"), mounts) == "cifs"
    assert find_file_system(Path("/mnt/cc"), mounts) == "ext4"
    assert find_file_system(Path("/home"), "") == ""


def test_versions_and_sizes_have_their_lines() -> None:
    assert check_python((3, 12, 1)).verdict == "ok"
    assert check_python((3, 10, 1)).verdict == "bad"
    assert check_python((4, 0, 0)).verdict == "warn"
    assert [check_disk(size * 2**30).verdict for size in (0, 5, 50)] == ["bad", "warn", "ok"]


async def test_a_database_in_use_is_whole_and_reported_as_in_use(tmp_path: Path) -> None:
    from bot.app.doctor._checks import _check_database
    from bot.db import Database

    path = tmp_path / "ledger.sqlite3"
    ledger = await Database.open(path, Clock())
    assert _check_database(path).detail == "whole, 0 running, 0 waiting; a bot runs on it"
    await ledger.close()
    assert "no bot runs on it" in _check_database(path).detail
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA writable_schema=ON")
        db.execute("UPDATE sqlite_master SET rootpage = 9999 WHERE name = 'jobs'")
    db.close()
    assert _check_database(path).verdict == "bad"


def test_the_table_puts_what_to_do_under_each_finding() -> None:
    findings = [Diagnosis("a", "ok", "fine"), Diagnosis("longer", "bad", "broken", "word " * 40)]
    lines = doctor.format_table(findings).splitlines()
    assert lines[0] == "ok    a       fine"
    assert lines[1] == "BAD   longer  broken"
    assert all(line.startswith("              -> word") for line in lines[2:-1])
    assert max(map(len, lines)) <= 110
    assert lines[-1] == "To be done before it can run: 1."


def test_a_content_check_that_is_wanted_is_looked_for() -> None:
    wanted = Settings.from_environ({"CONTENT_CHECK": "photos:refuse"})
    (finding,) = check_moderation(wanted)
    assert finding.verdict == ("ok" if is_installed() else "bad")
    assert list(check_moderation(Settings.from_environ({}))) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other rights")
def test_a_data_folder_that_others_may_look_into_is_told_of(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    assert "warn" in [each.verdict for each in check_data_folder(tmp_path) if each.name == "data folder"]
    tmp_path.chmod(0o700)
    assert [each.verdict for each in check_data_folder(tmp_path) if each.name == "data folder"] == ["ok"]


def test_a_data_folder_that_cannot_be_looked_into_is_a_finding(tmp_path: Path) -> None:
    (finding,) = check_data_folder(tmp_path / ("x" * 300))  # nobody can, not even root
    assert finding.verdict == "bad"
    assert "cannot be looked into (File name too long)" in finding.detail


def test_a_taken_port_and_a_missing_head_are_findings() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environ = {
            "METRICS_LISTEN": f"127.0.0.1:{port}",
            "BACKEND": "ray",
            "RAY_ADDRESS": f"127.0.0.1:{port}",
        }
        ports, head = check_ports(Settings.from_environ(environ))
        assert (ports.verdict, ports.detail) == ("warn", f"127.0.0.1:{port} is taken")
        assert "METRICS_LISTEN" in ports.advice
        assert head == Diagnosis("cluster", "ok", f"a head answers at 127.0.0.1:{port}")
    ports, head = check_ports(Settings.from_environ(environ))
    assert ports.verdict == "ok" and f"127.0.0.1:{port} for METRICS_LISTEN can be opened" in ports.detail
    assert (head.name, head.verdict) == ("cluster", "bad")
