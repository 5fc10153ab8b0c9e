"""One worker process on this machine, started, watched and restarted here."""

from bot.jobs.backends.local._backend import LocalBackend
from bot.jobs.backends.local._validator import AMONG_OTHERS, Patience

__all__ = ["AMONG_OTHERS", "LocalBackend", "Patience"]
