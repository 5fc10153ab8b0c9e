"""What every adapter does around a use case: errors become a sentence here, once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TypeVar

from bot import texts
from bot.core.accounts import Identity
from bot.core.errors import UserError
from bot.core.messages import Reply
from bot.services.studio import Studio

log = logging.getLogger(__name__)
#: Longer nobody waits for a language: their app's is good enough.
LOOK_UP_S = 1.0
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


@asynccontextmanager
async def speaking(studio: Studio, who: Identity) -> AsyncIterator[None]:
    """Speak a person's language inside the block, in the sentences that are the adapter's own too."""
    try:
        async with asyncio.timeout(LOOK_UP_S):
            language = await studio.language_of(who)
    except Exception:
        log.exception("a language could not be looked up")  # what is asked for will be answered all the same
        language = who.locale
    with texts.use_language(language):
        yield
