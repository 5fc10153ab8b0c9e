"""Joining one person's accounts on two platforms."""

from __future__ import annotations

from bot.replies import Reply
from bot.texts._language import say


def link_word(word: str) -> Reply:
    """Show the word that joins accounts."""
    return Reply(say("link-word", word=word))


def linked() -> Reply:
    """Say that two accounts are one."""
    return Reply(say("linked"))
