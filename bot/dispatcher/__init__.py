"""Takes jobs from the ledger to the card and writes down what comes back."""

from bot.dispatcher._dispatcher import MAX_AHEAD, Dispatcher
from bot.dispatcher._outcomes import Watcher

__all__ = ["MAX_AHEAD", "Dispatcher", "Watcher"]
