"""Which ports the bot opens or calls, and whether they are to be had."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from bot.app.doctor._table import Diagnosis
from bot.app.settings import Settings

_TIMEOUT_S = 5.0


def check_ports(settings: Settings) -> Iterator[Diagnosis]:
    """Return a diagnosis of each needed port: whether it is free, or whether a head answers."""
    listeners = []
    if settings.metrics_listen is not None:
        listeners.append((settings.metrics_listen, "METRICS_LISTEN"))
    if settings.telegram_webhook_url:
        listeners.append((settings.telegram_webhook_listen, "TELEGRAM_WEBHOOK_LISTEN"))
    listeners_text = " and ".join(f"{address} for {name}" for address, name in listeners)
    detail = f"{listeners_text} can be opened" if listeners_text else "none is opened"
    taken_listeners = [
        (address, name) for address, name in listeners if not is_port_free(address.host, address.port)
    ]
    if taken_listeners:
        detail = " and ".join(f"{address} is taken" for address, _ in taken_listeners)
        setting_names = " and ".join(name for _, name in taken_listeners)
        yield Diagnosis(
            "ports", "warn", detail, f"By the bot itself if it runs; else set {setting_names} to others."
        )
    else:
        yield Diagnosis("ports", "ok", f"{detail}; the bot calls out by HTTPS (443)")
    if settings.backend == "ray" and settings.ray_address is not None:
        yield check_ray_head(settings.ray_address)


def is_port_free(host: str, port: int) -> bool:
    """Return whether a port of this machine can be opened now."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return True
    except OSError:
        return False


def check_ray_head(address: str) -> Diagnosis:
    """Return whether a cluster's head can be reached."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=_TIMEOUT_S):
            return Diagnosis("cluster", "ok", f"a head answers at {address}")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        advice = "Start it (docs/scale.md), or set RAY_ADDRESS to where it is."
        return Diagnosis("cluster", "bad", f"no head answers at {address} ({reason})", advice)
