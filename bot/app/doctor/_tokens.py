"""Asking the platforms who the bot is; a token never gets into what is shown."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

from bot.app.doctor._table import Diagnosis

DISCORD_API = "https://discord.com/api/v10"
_REFUSED_STATUSES = (401, 403, 404)


def check_telegram_token(token: str, api_url: str, timeout_s: float, is_online: bool = True) -> Diagnosis:
    """Ask Telegram."""
    advice = "Get a new one: in Telegram write /token to @BotFather, and put it into .env."
    return _check_token(
        "Telegram token",
        urllib.request.Request(f"{api_url}/bot{token}/getMe"),  # noqa: S310 - settings allow http(s) only
        (timeout_s, is_online),
        advice,
    )


def check_discord_token(token: str, api_url: str, timeout_s: float, is_online: bool = True) -> Diagnosis:
    """Ask Discord."""
    advice = "Get a new one: discord.com/developers, your application, Bot, Reset Token; put it into .env."
    # Discord turns away who does not say who they are.
    headers = {"Authorization": f"Bot {token}", "User-Agent": "DiscordBot (loracode, 1)"}
    request = urllib.request.Request(f"{api_url}/users/@me", headers=headers)  # noqa: S310 - https
    return _check_token("Discord token", request, (timeout_s, is_online), advice)


def _check_token(
    name: str, request: urllib.request.Request, options: tuple[float, bool], advice: str
) -> Diagnosis:
    timeout_s, is_online = options
    if not is_online:
        return Diagnosis(name, "warn", "set, not asked about (--offline)")
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310 - http(s)
            body: dict[str, Any] = json.load(response)
        bot = body.get("result", body)
        return Diagnosis(name, "ok", f"belongs to {bot['username']}")
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in _REFUSED_STATUSES:
            return Diagnosis(name, "bad", f"refused ({error.code})", advice)
        return Diagnosis(name, "warn", f"could not be asked about: the answer was {error.code}", "Try again.")
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        reason_text = type(reason).__name__ if not str(reason) or "/bot" in str(reason) else str(reason)
        detail = f"could not be asked about: offline? ({reason_text})"
        return Diagnosis(name, "warn", detail, f"Is {request.host} reachable from this machine?")
    except (ValueError, KeyError, AttributeError):
        return Diagnosis(name, "warn", "got an answer that is none", f"Is {request.host} the right API?")
