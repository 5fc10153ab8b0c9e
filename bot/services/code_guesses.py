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
MOST_OF_ONE, MOST_OF_ALL = 20, 2000
COUNTS_FOR = timedelta(hours=1)
_MOST_KEPT = 10_000  # accounts; the one that was wrong longest ago is forgotten first


class Guesses:
    """Counts wrong codes, in memory: a restart forgives."""

    def __init__(self) -> None:
        self._of_one: OrderedDict[AccountId, deque[datetime]] = OrderedDict()
        self._of_all: deque[datetime] = deque(maxlen=MOST_OF_ALL)

    def wrong(self, account: AccountId, now: datetime) -> bool:
        """Count a wrong code; False when it was one too many."""
        since = now - COUNTS_FOR
        own = self._of_one.setdefault(account, deque(maxlen=MOST_OF_ONE))
        self._of_one.move_to_end(account)
        while len(self._of_one) > _MOST_KEPT:
            self._of_one.popitem(last=False)
        for counted in (own, self._of_all):
            while counted and counted[0] <= since:
                counted.popleft()
        is_one_too_many = len(own) == MOST_OF_ONE or (len(self._of_all) == MOST_OF_ALL and bool(own))
        if len(own) == MOST_OF_ONE - 1:
            log.warning("account %d named %d codes within an hour that are not its own", account, MOST_OF_ONE)
        if not is_one_too_many:
            own.append(now)
            self._of_all.append(now)
        return not is_one_too_many


class Guarded(Protocol):
    """Use cases that take codes."""

    async def wrong_code(self, who: Identity) -> bool:
        """Count a wrong code of somebody; False when it was one too many."""


_Guarded = TypeVar("_Guarded", bound=Guarded)


def counting_wrong_codes(cls: type[_Guarded]) -> type[_Guarded]:
    """Let each public use case of a class count the codes of `who` that are not theirs."""
    for name, method in list(vars(cls).items()):
        if name.startswith("_") or name == "wrong_code" or not inspect.iscoroutinefunction(method):
            continue
        if "who" in inspect.signature(method).parameters:
            setattr(cls, name, _counted(method))
    return cls


def _counted(use_case: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(use_case)
    async def work(studio: Guarded, who: Identity, *args: Any, **kwargs: Any) -> Any:
        try:
            return await use_case(studio, who, *args, **kwargs)
        except UnknownCode as error:
            if await studio.wrong_code(who):
                raise
            raise UserError(texts.TOO_MANY_WRONG_CODES) from error

    return work
