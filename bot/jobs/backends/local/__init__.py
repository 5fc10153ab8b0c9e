"""One worker process on this machine, started, watched and restarted by the bot."""

from bot.jobs.backends.local._backend import ProcessBackend
from bot.jobs.backends.local._validator import POOL_TIMEOUTS, WorkerTimeouts

__all__ = ["POOL_TIMEOUTS", "ProcessBackend", "WorkerTimeouts"]
