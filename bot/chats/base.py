"""What every adapter does around a use case: errors become a sentence here, once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TypeVar

from bot.core.accounts import Identity
from bot.core.errors import UserError
from bot.core.messages import Reply
from bot.services import Services
from bot.texts import translate, use_language

log = logging.getLogger(__name__)
#: Longer nobody waits for a language: their app's is good enough.
LANGUAGE_TIMEOUT_S = 1.0
_Result = TypeVar("_Result")


async def run_use_case(use_case: Awaitable[_Result]) -> _Result | Reply:
    """Give a use case's reply, the sentence of a UserError, or an apology for what we did not expect."""
    try:
        return await use_case
    except UserError as error:
        return Reply(error.message)
    except Exception:
        log.exception("a use case failed")  # first of all, so that it is seen even if the apology breaks
        return Reply(translate("apology"))


@asynccontextmanager
async def use_language_of(services: Services, identity: Identity) -> AsyncIterator[None]:
    """Speak a person's language inside the block, in the sentences that are the adapter's own too."""
    try:
        async with asyncio.timeout(LANGUAGE_TIMEOUT_S):
            language = await services.language_of(identity)
    except Exception:
        log.exception("a language could not be looked up")  # what is asked for will be answered all the same
        language = identity.locale
    with use_language(language):
        yield
