"""compose.yaml by the real Compose, the Dockerfile by hadolint, and the files that go with them."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.app.env_file import read_environ
from bot.app.settings import Settings
from gpu_worker.cluster.start import build_command

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
GIB = 2**30
TELEGRAM = "123456:canary-token-of-telegram-1234567890"
#: What .env says to Compose and not to the bot.
FOR_COMPOSE = {
    *("COMPOSE_PROFILES", "MEMORY_LIMIT", "TORCH_INDEX", "MODELS_DIR"),
    *("CLUSTER_IP", "CLUSTER_TOKEN_FILE"),
}
ALONE = ["default", "cpu"]
EVERY_FORM = [*ALONE, "cluster"]
#: The head of a cluster does no work.
HEAD_LIMIT = 2 * GIB


def tool(name: str) -> str:
    """Give a tool that the development extra installs; where there is no wheel of it, skip."""
    if not (BIN / name).exists():
        pytest.skip(f"{name} has no package for this platform")
    return str(BIN / name)


class Composition:
    """compose.yaml in a folder of its own, with an .env."""

    def __init__(self, folder: Path, env: str | None) -> None:
        self._folder = folder
        shutil.copy(ROOT / "compose.yaml", folder)
        if env is not None:
            (folder / ".env").write_text(env, "utf-8")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "SYSTEMROOT"}}
        return subprocess.run(
            [tool("docker-compose"), *arguments], cwd=self._folder, env=clean, capture_output=True, text=True
        )

    def config(self, *profiles: str) -> dict[str, Any]:
        asked = [word for profile in profiles for word in ("--profile", profile)]
        ran = self.run(*asked, "config", "--format", "json")
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)


def with_example(tmp_path: Path, **changed: str) -> Composition:
    """Fill .env.example in as a person would."""
    text = (ROOT / ".env.example").read_text("utf-8")
    for name, value in changed.items():
        text, count = re.subn(rf"(?m)^#?{name}=.*$", lambda _, n=name, v=value: f"{n}={v}", text)
        assert count == 1, f"{name} is not in .env.example"
    return Composition(tmp_path, text)


def services(config: dict[str, Any]) -> dict[str, Any]:
    return config["services"]  # type: ignore[no-any-return]


def cards(service: dict[str, Any]) -> list[dict[str, Any]]:
    deploy = service.get("deploy") or {}
    return deploy.get("resources", {}).get("reservations", {}).get("devices", [])  # type: ignore[no-any-return]


def test_the_example_brings_up_one_container_with_the_card(tmp_path: Path) -> None:
    config = with_example(tmp_path, TELEGRAM_BOT_TOKEN=TELEGRAM).config()

    (service,) = services(config).values()
    assert cards(service) == [{"driver": "nvidia", "count": -1, "capabilities": ["gpu"]}]
    assert service["environment"]["TELEGRAM_BOT_TOKEN"] == TELEGRAM
    assert service["build"]["args"]["TORCH_INDEX"].endswith("/cu126")


def test_the_cpu_form_asks_for_no_card(tmp_path: Path) -> None:
    (service,) = services(with_example(tmp_path, COMPOSE_PROFILES="cpu").config()).values()
    assert cards(service) == []
    assert service["build"]["args"]["TORCH_INDEX"].endswith("/cpu")


@pytest.mark.parametrize("form", EVERY_FORM)
def test_every_container_of_ours_is_limited_restarted_and_may_little(tmp_path: Path, form: str) -> None:
    found = services(with_example(tmp_path).config(form))
    ours = {name: each for name, each in found.items() if each["image"].startswith("loracode")}
    assert ours
    for name, service in ours.items():
        limit = HEAD_LIMIT if name == "cluster-head" else 6 * GIB
        assert int(service["mem_limit"]) == int(service["memswap_limit"]) == limit
        assert service["restart"] == "unless-stopped"
        assert service["logging"] == {
            "driver": "json-file",
            "options": {"max-size": "10m", "max-file": "3"},
        }
        assert service["cap_drop"] == ["ALL"] and service["read_only"] and service["init"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "ports" not in service and "privileged" not in service
        # The image's own health check holds, or one that fits.
        assert not (service.get("healthcheck") or {}).get("disable")


@pytest.mark.parametrize("form", ALONE)
def test_data_is_in_a_volume_whatever_env_says_of_the_host(tmp_path: Path, form: str) -> None:
    backups = tmp_path / "other disk"
    composition = with_example(tmp_path, DATA_DIR="/srv/loracode", BACKUP_DIR=str(backups))
    config = composition.config(form)
    for service in services(config).values():
        places = {each["target"]: (each["type"], each["source"]) for each in service["volumes"]}
        assert places == {
            "/data": ("volume", "data"),
            "/models": ("volume", "models"),
            "/backups": ("bind", str(backups)),
        }
        assert service["networks"]["default"]["aliases"] == ["bot"]
        inside = {name: service["environment"][name] for name in ("DATA_DIR", "BACKUP_DIR", "HF_HOME")}
        assert inside == {"DATA_DIR": "/data", "BACKUP_DIR": "/backups", "HF_HOME": "/models"}


def test_a_cluster_is_a_head_a_slim_bot_and_a_worker_with_the_card(tmp_path: Path) -> None:
    token_file = tmp_path / "the token"
    settings = {"TELEGRAM_BOT_TOKEN": TELEGRAM, "CLUSTER_TOKEN_FILE": str(token_file)}
    config = with_example(tmp_path, COMPOSE_PROFILES="cluster", **settings).config()
    found = services(config)
    head, bot, worker = (found[f"cluster-{name}"] for name in ("head", "bot", "worker"))

    assert len(found) == 3
    assert [bool(cards(each)) for each in (head, bot, worker)] == [False, False, True]
    assert [each["build"].get("target") for each in (head, bot, worker)] == ["bot", "bot", None]
    assert all(each["build"]["args"]["EXTRAS"] == "faces,safety,ray" for each in found.values())
    # Ray's nodes call each other at any port, and Docker's bridge lets nobody in.
    assert all(each["network_mode"] == "host" and "networks" not in each for each in found.values())
    assert bot["environment"]["METRICS_LISTEN"].startswith("127.0.0.1:")
    # The bot joins through the head beside it, whose sockets it has to see.
    assert all(
        {"cluster", "/cluster"} <= {v for m in each["volumes"] for v in m.values() if isinstance(v, str)}
        for each in (head, bot)
    )

    assert config["secrets"]["cluster-token"]["file"] == str(token_file)
    assert all(each["secrets"][0]["source"] == "cluster-token" for each in found.values())
    assert bot["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/cluster-token"
    assert all("--token-file=/run/secrets/cluster-token" in each["command"] for each in (head, worker))
    # No node is given what would let it speak as the bot.
    assert bot["environment"]["TELEGRAM_BOT_TOKEN"] == TELEGRAM
    assert all(TELEGRAM not in json.dumps(each) for each in (head, worker))


def test_another_machine_brings_its_card_to_the_head_by_one_service(tmp_path: Path) -> None:
    there = with_example(tmp_path, RAY_ADDRESS="10.0.0.1:6379", CLUSTER_IP="10.0.0.2")
    with (tmp_path / ".env").open("a") as env:
        env.write("HF_TOKEN=hub\n")
    ran = there.run("config", "--format", "json", "cluster-worker")
    assert ran.returncode == 0, ran.stderr
    (worker,) = services(json.loads(ran.stdout)).values()
    assert "--address=10.0.0.1:6379" in worker["command"]
    assert worker["environment"] == {"HF_HOME": "/models", "CLUSTER_IP": "10.0.0.2", "HF_TOKEN": "hub"}
    assert cards(worker) and "depends_on" not in worker


@pytest.mark.parametrize("role", ["head", "worker"])
def test_the_arguments_of_a_node_are_those_the_program_takes(tmp_path: Path, role: str) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        service = services(with_example(tmp_path, RAY_ADDRESS=address).config("cluster"))[f"cluster-{role}"]
        words = [word.replace("/run/secrets/cluster-token", str(token)) for word in service["command"]]
        environ = dict(service["environment"])
        line = build_command(words, environ)
    assert service["entrypoint"] == ["python", "-m", "gpu_worker.cluster.start"]
    assert line[1] == "start" and environ["RAY_AUTH_TOKEN_PATH"] == str(token)


def test_monitoring_watches_whichever_form_runs_by_our_rules(tmp_path: Path) -> None:
    config = with_example(tmp_path).config("cpu", "monitoring")
    bot, prometheus = (services(config)[name] for name in ("loracode-cpu", "prometheus"))
    watched = yaml.safe_load(config["configs"]["prometheus"]["content"])
    by_hand = yaml.safe_load((ROOT / "docs/ops/prometheus.yml").read_text("utf-8"))

    (job,) = watched["scrape_configs"]
    host, port = job["static_configs"][0]["targets"][0].split(":")
    assert host in bot["networks"]["default"]["aliases"]
    assert bot["environment"]["METRICS_LISTEN"] == f"0.0.0.0:{port}"
    assert (job["job_name"], watched["rule_files"]) == (
        by_hand["scrape_configs"][0]["job_name"],
        by_hand["rule_files"],
    )
    assert config["configs"]["rules"]["file"].endswith("docs/ops/loracode.rules.yml")
    assert [each["host_ip"] for each in prometheus["ports"]] == ["127.0.0.1"]
    assert prometheus["mem_limit"] and prometheus["restart"] == "unless-stopped"


def test_a_missing_env_starts_nothing_by_guess(tmp_path: Path) -> None:
    ran = Composition(tmp_path, None).run("up")
    assert (ran.stdout, ran.stderr.strip()) == ("", "no service selected")


def test_the_compose_file_holds_no_secret() -> None:
    text = (ROOT / "compose.yaml").read_text("utf-8")
    assert "BOT_TOKEN" not in text
    assert not re.search(r"[0-9a-f]{32}", text)


def test_the_example_is_a_valid_env_whose_names_are_all_read(tmp_path: Path) -> None:
    text = (ROOT / ".env.example").read_text("utf-8")
    names = set(re.findall(r"(?m)^#?([A-Z_]+)=", text))
    known = {name.upper() for name in Settings.model_fields}
    assert names - known == FOR_COMPOSE
    compose = (ROOT / "compose.yaml").read_text("utf-8")
    assert all(name in compose for name in FOR_COMPOSE)
    (tmp_path / ".env").write_text(text, "utf-8")
    assert Settings.from_environ(read_environ({}, tmp_path / ".env")) == Settings()


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    ran = subprocess.run(
        [tool("hadolint"), "--failure-threshold", "info", str(ROOT / "Dockerfile")],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout
