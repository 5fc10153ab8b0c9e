"""LoraCodes that are not one's own: a code is a name and no key, and who tries many is told to wait.

Naming one gives nothing whoever it belongs to, so this keeps nobody's picture safe; it keeps machines that
try numbers from being answered for ever. Whoever never named a wrong code is not in its way.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from bot import texts
from bot.core.accounts import AccountId, Identity
from bot.core.errors import UnknownCode, UserError

log = logging.getLogger(__name__)

#: Wrong codes within an hour: of one account, and of all together.
MAX_PER_ACCOUNT, MAX_IN_TOTAL = 20, 2000
WINDOW = timedelta(hours=1)
_MAX_ACCOUNTS = 10_000  # accounts; the one that was wrong longest ago is forgotten first


class CodeGuessLimiter:
    """Counts wrong codes, in memory: a restart forgives."""

    def __init__(self) -> None:
        self._by_account: OrderedDict[AccountId, deque[datetime]] = OrderedDict()
        self._in_total: deque[datetime] = deque(maxlen=MAX_IN_TOTAL)

    def record_wrong_code(self, account: AccountId, now: datetime) -> bool:
        """Count a wrong code; False when it was one too many."""
        window_start = now - WINDOW
        account_times = self._by_account.setdefault(account, deque(maxlen=MAX_PER_ACCOUNT))
        self._by_account.move_to_end(account)
        while len(self._by_account) > _MAX_ACCOUNTS:
            self._by_account.popitem(last=False)
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


class WrongCodeCounter(Protocol):
    """Use cases that take codes."""

    async def count_wrong_code(self, who: Identity) -> bool:
        """Count a wrong code of somebody; False when it was one too many."""


_CounterT = TypeVar("_CounterT", bound=WrongCodeCounter)


def limit_wrong_codes(cls: type[_CounterT]) -> type[_CounterT]:
    """Let each public use case of a class count the codes of `who` that are not theirs."""
    for name, method in list(vars(cls).items()):
        if name.startswith("_") or name == "count_wrong_code" or not inspect.iscoroutinefunction(method):
            continue
        if "who" in inspect.signature(method).parameters:
            setattr(cls, name, _wrap_limited(method))
    return cls


def _wrap_limited(use_case: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(use_case)
    async def wrapper(services: WrongCodeCounter, who: Identity, *args: Any, **kwargs: Any) -> Any:
        try:
            return await use_case(services, who, *args, **kwargs)
        except UnknownCode as error:
            if await services.count_wrong_code(who):
                raise
            raise UserError(texts.TOO_MANY_WRONG_CODES) from error

    return wrapper
