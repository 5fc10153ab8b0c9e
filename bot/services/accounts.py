"""What a person may know and decide about all that is kept of them."""

from __future__ import annotations

import re
from datetime import timedelta

from bot import texts
from bot.core.accounts import AccountId, Identity
from bot.core.errors import UserError
from bot.core.messages import Reply
from bot.db import ErasureResult
from bot.services.context import ServiceContext

#: A question whether everything shall be deleted is not to be answered by accident, a year later.
CONFIRM_WITHIN = timedelta(hours=1)
_ERASE_ACTION = re.compile(r"forgetme!:([0-9]{1,15}):([0-9]{1,12})")


class AccountService:
    """Tells what is kept, and deletes it."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def show_privacy(self, account: AccountId) -> Reply:
        """Say what is kept, how long, and who sees it."""
        return texts.privacy_summary(await self._context.database.count_stored_data(account))

    async def ask_to_erase(self, account: AccountId) -> Reply:
        """Ask once; the button knows whose question it is and until when it may be answered."""
        expires_s = int((self._context.clock() + CONFIRM_WITHIN).timestamp())
        stored_data = await self._context.database.count_stored_data(account)
        return texts.erasure_question(stored_data, account, expires_s)

    async def erase_account(self, identity: Identity, action: str) -> Reply:
        """Delete everything of whoever pressed, if the question was theirs; gives the receipt."""
        match = _ERASE_ACTION.fullmatch(action)
        account = await self._context.database.find_by_identity(identity)  # whoever is unknown stays so
        if match is None or account is None or int(match[1]) != account:
            raise UserError(texts.STALE_BUTTON)
        if self._context.clock().timestamp() > int(match[2]):
            raise UserError(texts.FORGET_TOO_LATE)
        async with self._context.locks.get_lock(
            account
        ):  # photos of theirs that are just looked at come first
            if (
                await self._context.database.find_by_identity(identity) != account
            ):  # it was joined with another meanwhile
                raise UserError(texts.STALE_BUTTON)
            erasure = await self._context.database.erase_account(account)
            await delete_erased_data(self._context, erasure)
        return texts.erasure_receipt(erasure, self._context.clock())


async def delete_erased_data(context: ServiceContext, erasure: ErasureResult) -> None:
    """End the attempts of what was erased, then delete its files and the last traces of its rows."""
    for job_id in erasure.open_jobs:  # first: what an attempt writes late is deleted after it
        await context.queue.abort_job(job_id)
    context.forget_photos(erasure.photos)
    for code in erasure.codes:
        await context.storage.delete_lora(code)
    await context.storage.delete_pictures(erasure.pictures)
    for job_id in erasure.jobs:
        await context.storage.delete_work(job_id)
    await context.database.checkpoint_wal()
