"""Asking the platforms who the bot is; a token never gets into what is shown."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

from bot.app.doctor._table import Finding

DISCORD_API = "https://discord.com/api/v10"
_REFUSED = (401, 403, 404)


def telegram(token: str, api_url: str, timeout_s: float, is_online: bool = True) -> Finding:
    """Ask Telegram."""
    advice = "Get a new one: in Telegram write /token to @BotFather, and put it into .env."
    return _ask(
        "Telegram token",
        urllib.request.Request(f"{api_url}/bot{token}/getMe"),  # noqa: S310 - settings allow http(s) only
        (timeout_s, is_online),
        advice,
    )


def discord(token: str, api_url: str, timeout_s: float, is_online: bool = True) -> Finding:
    """Ask Discord."""
    advice = "Get a new one: discord.com/developers, your application, Bot, Reset Token; put it into .env."
    # Discord turns away who does not say who they are.
    headers = {"Authorization": f"Bot {token}", "User-Agent": "DiscordBot (loracode, 1)"}
    request = urllib.request.Request(f"{api_url}/users/@me", headers=headers)  # noqa: S310 - https
    return _ask("Discord token", request, (timeout_s, is_online), advice)


def _ask(name: str, request: urllib.request.Request, how: tuple[float, bool], advice: str) -> Finding:
    timeout_s, is_online = how
    if not is_online:
        return Finding(name, "warn", "set, not asked about (--offline)")
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - http(s)
            told: dict[str, Any] = json.load(answer)
        bot = told.get("result", told)
        return Finding(name, "ok", f"belongs to {bot['username']}")
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in _REFUSED:
            return Finding(name, "bad", f"refused ({error.code})", advice)
        return Finding(name, "warn", f"could not be asked about: the answer was {error.code}", "Try again.")
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        why = type(reason).__name__ if not str(reason) or "/bot" in str(reason) else str(reason)
        line = f"could not be asked about: offline? ({why})"
        return Finding(name, "warn", line, f"Is {request.host} reachable from this machine?")
    except (ValueError, KeyError, AttributeError):
        return Finding(name, "warn", "got an answer that is none", f"Is {request.host} the right API?")
