"""Tells Discord our commands, but only when they changed: there is a daily limit."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import discord
from discord import app_commands

from bot.chats.discord.sender import NETWORK_ERRORS

log = logging.getLogger(__name__)


async def sync_commands(tree: app_commands.CommandTree, hash_path: Path | None) -> None:
    """Send the commands unless `mark` says that Discord has them; a failure is logged and tried next time."""
    fingerprint = await _fingerprint(tree)
    if hash_path is not None and _read_hash(hash_path) == fingerprint:
        return
    try:
        await tree.sync()
    except (discord.DiscordException, *NETWORK_ERRORS):
        log.exception("Discord did not take the commands; the old ones stay until the next start")
        return
    if hash_path is not None:
        _write_hash(hash_path, fingerprint)


async def _fingerprint(tree: app_commands.CommandTree) -> str:
    commands = sorted(
        [await _payload(each, tree) for each in tree.get_commands()], key=lambda each: each["name"]
    )
    # With the application: another token is another bot, which has no commands yet.
    text = json.dumps([tree.client.application_id, commands], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


async def _payload(command: Any, tree: app_commands.CommandTree) -> dict[str, Any]:
    # With its names in other languages: they are part of what Discord is told.
    if tree.translator is None:
        return dict(command.to_dict(tree))
    return dict(await command.get_translated_payload(tree, tree.translator))


def _read_hash(hash_path: Path) -> str:
    try:
        return hash_path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""  # then they are sent once more, which does no harm


def _write_hash(hash_path: Path, fingerprint: str) -> None:
    try:
        hash_path.write_text(fingerprint, encoding="ascii")
    except OSError:
        log.exception("the mark of the commands could not be written")
