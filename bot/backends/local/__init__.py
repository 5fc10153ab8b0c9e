"""One worker process on this machine, started, watched and restarted here."""

from bot.backends.local._backend import LocalBackend
from bot.backends.local._watch import AMONG_OTHERS, Patience

__all__ = ["AMONG_OTHERS", "LocalBackend", "Patience"]
