"""Joining one person's accounts on two platforms."""

from __future__ import annotations

from bot.replies import Reply

LINK_IN_PRIVATE = "That is for you alone: open a private chat with me and ask there."
LINK_UNKNOWN = "I do not know that word, or its ten minutes are over. /link shows a new one; type it exactly."
LINK_SAME = "That is the word of this account. Type it to me on the other platform: /link and the word."
LINK_TOO_OFTEN = "That were too many wrong words. Please wait ten minutes, then ask for a new one with /link."


def link_word(word: str) -> Reply:
    """Show the word that joins accounts."""
    return Reply(
        f"Your word is {word}. Within ten minutes, type it to me on the other platform: /link {word}\n"
        "Then your LoraCodes are the same on both. Show it to nobody: whoever types it shares your account."
    )


def linked() -> Reply:
    """Say that two accounts are one."""
    return Reply("Linked: your LoraCodes, pictures and limits are now the same on both platforms.")
