"""The ways into a cluster, as far as they need no cluster."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gpu_worker.cluster.actor import strip_secrets
from gpu_worker.cluster.joining import (
    HEALTH_CHECK_ENV,
    ClusterJoinError,
    check_reachable,
    configure_environment,
)
from gpu_worker.cluster.start import build_command


def test_token_is_always_required_and_no_usage_data_are_sent() -> None:
    environ: dict[str, str] = {}
    configure_environment(environ)
    assert environ["RAY_AUTH_MODE"] == "token"
    assert environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_token_file_that_others_can_read_is_refused_with_what_to_do(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch()
    token.chmod(0o644)
    with pytest.raises(ClusterJoinError, match="chmod 600"):
        configure_environment({"RAY_AUTH_TOKEN_PATH": str(token)})
    token.chmod(0o600)
    configure_environment({"RAY_AUTH_TOKEN_PATH": str(token)})


def test_a_token_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ClusterJoinError, match="cannot be read"):
        configure_environment({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "none")})


def test_a_folder_is_no_token(tmp_path: Path) -> None:
    with pytest.raises(ClusterJoinError, match="is no file"):
        configure_environment({"RAY_AUTH_TOKEN_PATH": str(tmp_path)})


def test_head_that_does_not_answer_is_reported_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ClusterJoinError, match="No head answers at"):
            check_reachable(address)


@pytest.mark.parametrize("address", ["head", ":6379", "head:port", ""])
def test_invalid_address_is_refused(address: str) -> None:
    with pytest.raises(ClusterJoinError, match="no address of a head"):
        check_reachable(address)


def test_a_head_is_watchful_and_has_no_web_page(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    environ: dict[str, str] = {}
    line = build_command(["head", "--token-file", str(token), "--num-gpus=0"], environ)
    assert "--include-dashboard=false" in line
    assert line[-1] == "--num-gpus=0"
    assert environ.items() >= HEALTH_CHECK_ENV.items()
    assert environ["RAY_AUTH_TOKEN_PATH"] == str(token)


def test_machine_with_several_addresses_is_known_by_the_given_one() -> None:
    assert "--node-ip-address=10.0.0.1" in build_command(["head"], {"CLUSTER_IP": "10.0.0.1"})
    assert not [word for word in build_command(["head"], {"CLUSTER_IP": ""}) if "ip-address" in word]


def test_a_node_needs_to_know_its_head() -> None:
    with pytest.raises(ClusterJoinError, match="--address"):
        build_command(["node"], {})


def test_the_far_worker_gets_no_tokens_but_the_hub_s() -> None:
    environ = {"RAY_AUTH_TOKEN_PATH": "x", "TELEGRAM_BOT_TOKEN": "y", "HOME": "z", "HF_TOKEN": "for models"}
    assert strip_secrets(environ) == {"HOME": "z", "HF_TOKEN": "for models"}
