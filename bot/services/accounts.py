"""What a person may know and decide about all that is kept of them."""

from __future__ import annotations

import re
from datetime import timedelta

from bot import texts
from bot.core.accounts import AccountId, Identity
from bot.core.errors import UserError
from bot.core.messages import Reply
from bot.db import Erased
from bot.services.context import Tools

#: A question whether everything shall be deleted is not to be answered by accident, a year later.
ANSWER_WITHIN = timedelta(hours=1)
_FORGET = re.compile(r"forgetme!:([0-9]{1,15}):([0-9]{1,12})")


class Accounts:
    """Tells what is kept, and deletes it."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def privacy(self, account: AccountId) -> Reply:
        """Say what is kept, how long, and who sees it."""
        return texts.privacy(await self._tools.ledger.belongings_of(account))

    async def ask_to_forget(self, account: AccountId) -> Reply:
        """Ask once; the button knows whose question it is and until when it may be answered."""
        until_s = int((self._tools.clock() + ANSWER_WITHIN).timestamp())
        belongings = await self._tools.ledger.belongings_of(account)
        return texts.ask_to_forget(belongings, account, until_s)

    async def forget(self, who: Identity, action: str) -> Reply:
        """Delete everything of whoever pressed, if the question was theirs; gives the receipt."""
        match = _FORGET.fullmatch(action)
        account = await self._tools.ledger.known_account(who)  # whoever is unknown stays so
        if match is None or account is None or int(match[1]) != account:
            raise UserError(texts.STALE_BUTTON)
        if self._tools.clock().timestamp() > int(match[2]):
            raise UserError(texts.FORGET_TOO_LATE)
        async with self._tools.locks.of(account):  # photos of theirs that are just looked at come first
            if await self._tools.ledger.known_account(who) != account:  # it was joined with another meanwhile
                raise UserError(texts.STALE_BUTTON)
            erased = await self._tools.ledger.erase_account(account)
            await wiped(self._tools, erased)
        return texts.forgotten(erased, self._tools.clock())


async def wiped(tools: Tools, erased: Erased) -> None:
    """End the attempts of what was erased, then delete its files and the last traces of its rows."""
    for job_id in erased.open_jobs:  # first: what an attempt writes late is deleted after it
        await tools.queue.stop(job_id)
    tools.forget(erased.photos)
    for code in erased.codes:
        await tools.files.forget_lora(code)
    await tools.files.forget_pictures(erased.pictures)
    for job_id in erased.jobs:
        await tools.files.forget_work(job_id)
    await tools.ledger.compact()
