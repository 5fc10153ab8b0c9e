"""What every adapter does around a use case: errors become a sentence here, once."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import TypeVar

from bot import texts
from bot.errors import UserError
from bot.replies import Reply

log = logging.getLogger(__name__)
_Given = TypeVar("_Given")


async def answered(call: Awaitable[_Given]) -> _Given | Reply:
    """Give a use case's reply, the sentence of a UserError, or an apology for what we did not expect."""
    try:
        return await call
    except UserError as error:
        return Reply(error.sentence)
    except Exception:
        log.exception("a use case failed")  # first of all, so that it is seen even if the apology breaks
        return texts.apology()
