"""The limit of wrong codes.

A LoraCode is a name and no key: naming one gives nothing, whoever it belongs to. So the limit keeps nobody's
picture safe; it keeps machines that try numbers from being answered for ever.
"""

from __future__ import annotations

import logging
from collections import deque
from datetime import datetime, timedelta

from cachetools import LRUCache

from bot.core.accounts import AccountId

log = logging.getLogger(__name__)

#: Wrong codes within an hour: of one account, and of all together.
MAX_PER_ACCOUNT, MAX_IN_TOTAL = 20, 2000
WINDOW = timedelta(hours=1)
_MAX_ACCOUNTS = 10_000  # accounts; the one that was wrong longest ago is forgotten first


class CodeGuessLimiter:
    """Counts wrong codes, in memory: a restart forgives."""

    def __init__(self) -> None:
        self._by_account: LRUCache[AccountId, deque[datetime]] = LRUCache(_MAX_ACCOUNTS)
        self._in_total: deque[datetime] = deque(maxlen=MAX_IN_TOTAL)

    def record_wrong_code(self, account: AccountId, now: datetime) -> bool:
        """Count a wrong code; False when it was one too many."""
        window_start = now - WINDOW
        account_times = self._by_account.setdefault(account, deque(maxlen=MAX_PER_ACCOUNT))
        for times in (account_times, self._in_total):
            while times and times[0] <= window_start:
                times.popleft()
        is_over_limit = len(account_times) == MAX_PER_ACCOUNT or (
            len(self._in_total) == MAX_IN_TOTAL and bool(account_times)
        )
        if len(account_times) == MAX_PER_ACCOUNT - 1:
            log.warning(
                "account %d named %d codes within an hour that are not its own", account, MAX_PER_ACCOUNT
            )
        if not is_over_limit:
            account_times.append(now)
            self._in_total.append(now)
        return not is_over_limit
