"""Which ports the bot opens or calls, and whether they are to be had."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from bot.app.doctor._table import Finding
from bot.app.settings import Settings

_LONGEST_S = 5.0


def port_findings(settings: Settings) -> Iterator[Finding]:
    """Say which ports are needed, of each that is opened whether it is free, and whether a head answers."""
    opened = []
    if settings.metrics_listen is not None:
        opened.append((settings.metrics_listen, "METRICS_LISTEN"))
    if settings.telegram_webhook_url:
        opened.append((settings.telegram_webhook_listen, "TELEGRAM_WEBHOOK_LISTEN"))
    shown = " and ".join(f"{address} for {name}" for address, name in opened)
    told = f"{shown} can be opened" if shown else "none is opened"
    taken = [(address, name) for address, name in opened if not is_free(address.host, address.port)]
    if taken:
        told = " and ".join(f"{address} is taken" for address, _ in taken)
        names = " and ".join(name for _, name in taken)
        yield Finding("ports", "warn", told, f"By the bot itself if it runs; else set {names} to others.")
    else:
        yield Finding("ports", "ok", f"{told}; the bot calls out by HTTPS (443)")
    if settings.backend == "ray" and settings.ray_address is not None:
        yield head_finding(settings.ray_address)


def is_free(host: str, port: int) -> bool:
    """Say whether a port of this machine can be opened now."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return True
    except OSError:
        return False


def head_finding(address: str) -> Finding:
    """Say whether a cluster's head can be reached."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=_LONGEST_S):
            return Finding("cluster", "ok", f"a head answers at {address}")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        advice = "Start it (docs/scale.md), or set RAY_ADDRESS to where it is."
        return Finding("cluster", "bad", f"no head answers at {address} ({reason})", advice)
