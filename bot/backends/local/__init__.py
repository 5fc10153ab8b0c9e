"""One worker process on this machine, started, watched and restarted here."""

from bot.backends.local._backend import LocalBackend
from bot.backends.local._watch import Patience

__all__ = ["LocalBackend", "Patience"]
