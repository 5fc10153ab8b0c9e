"""Translate Telegram's errors into ours, and retry calls that it is too busy for."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import TypeVar

from telegram.error import BadRequest, ChatMigrated, Forbidden, RetryAfter, TelegramError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exception

from bot.core.errors import ChatBusy, ChatUnreachable, PicturesRefused
from bot.core.retry import Sleep

log = logging.getLogger(__name__)

#: When the network failed and Telegram gave no number.
BUSY_RETRY_S = 5.0
#: Somebody waits for a direct answer: so often it is tried, and after a longer pause it would come too late.
MAX_ATTEMPTS = 4
MAX_RETRY_WAIT_S = 60.0
#: Administrators of a group may forbid pictures and files, and let us write.
_PICTURES_REFUSED_PATTERN = re.compile(
    r"not enough rights to send (?!text)|CHAT_SEND_(?:MEDIA|PHOTOS|DOCS)_FORBIDDEN", re.IGNORECASE
)
_T = TypeVar("_T")


@contextlib.contextmanager
def translate_errors() -> Iterator[None]:
    """Turn what Telegram refuses into ChatUnreachable, and what it puts off into ChatBusy."""
    try:
        yield
    except Forbidden as error:
        raise ChatUnreachable("the person has blocked the bot or left") from error
    except ChatMigrated as error:
        raise ChatUnreachable("the group has become another chat") from error
    except RetryAfter as error:
        raise ChatBusy("Telegram asks to wait", retry_after_s(error)) from error
    except BadRequest as error:  # a NetworkError to the library, but trying again would not help
        if _PICTURES_REFUSED_PATTERN.search(error.message):
            raise PicturesRefused(f"Telegram refuses: {error.message}") from error
        raise ChatUnreachable(f"Telegram refuses: {error.message}") from error
    except TelegramError as error:  # such as 401, which comes and goes while Telegram is ill
        raise ChatBusy(f"Telegram could not be reached: {type(error).__name__}", BUSY_RETRY_S) from error


def retry_after_s(error: RetryAfter) -> float:
    """Return how long Telegram wants to be left alone."""
    retry_after = error.retry_after
    return retry_after.total_seconds() if isinstance(retry_after, timedelta) else float(retry_after)


async def retry_when_busy(call: Callable[[], Awaitable[_T]], sleep: Sleep) -> _T:
    """Call until Telegram is not too busy. Raise ChatBusy when that takes too long."""
    retrying = AsyncRetrying(
        retry=retry_if_exception(_is_short_wait),
        wait=wait_exception(_busy_retry_s),
        stop=stop_after_attempt(MAX_ATTEMPTS),
        before_sleep=_log_busy,
        reraise=True,
        sleep=sleep,
    )

    async def attempt() -> _T:  # tenacity does not wait for what a lambda returns
        return await call()

    return await retrying(attempt)


def _is_short_wait(error: BaseException) -> bool:
    return isinstance(error, ChatBusy) and error.retry_after_s <= MAX_RETRY_WAIT_S


def _busy_retry_s(error: BaseException) -> float:
    return error.retry_after_s if isinstance(error, ChatBusy) else BUSY_RETRY_S


def _log_busy(state: RetryCallState) -> None:
    log.info("an answer waits %.1f s: %s", state.upcoming_sleep, get_error(state))


def get_error(state: RetryCallState) -> BaseException | None:
    """Return the error that the last attempt of a retried call ended with."""
    return None if state.outcome is None else state.outcome.exception()
