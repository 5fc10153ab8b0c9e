"""`/link`: one person's accounts on two platforms become one, by a word that is typed on the other."""

from __future__ import annotations

import secrets
from collections import defaultdict
from datetime import datetime, timedelta

from bot import texts
from bot.core.accounts import AccountId, ChatAddress
from bot.core.errors import UserError
from bot.core.messages import Reply
from bot.services.context import ServiceContext

TOKEN_TTL = timedelta(minutes=10)
#: Letters that are not taken for one another, read aloud or written by hand.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_TOKEN_CHARS = 6
#: Wrong words of one account within the time a word lasts: there are 190 million, and nobody finds one so.
_MAX_WRONG_TOKENS = 5


class AccountLinkService:
    """Gives words and takes them."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._wrong_times: defaultdict[AccountId, list[datetime]] = defaultdict(list)

    async def link_accounts(self, account: AccountId, address: ChatAddress, text: str) -> Reply:
        """Show a word, or join with the account whose word was typed."""
        if not address.is_private:  # whoever reads the word could take the account
            raise UserError(texts.LINK_IN_PRIVATE)
        token = text.strip().upper()
        return await self._join_accounts(account, token) if token else await self._create_token(account)

    async def _create_token(self, account: AccountId) -> Reply:
        token = "".join(secrets.choice(_ALPHABET) for _ in range(_TOKEN_CHARS))
        await self._context.database.save_link_token(account, token, self._context.clock() + TOKEN_TTL)
        return texts.link_token(token)

    async def _join_accounts(self, account: AccountId, token: str) -> Reply:
        now = self._context.clock()
        wrong_times = self._wrong_times[account]
        wrong_times[:] = [at for at in wrong_times if now - at < TOKEN_TTL]
        if len(wrong_times) >= _MAX_WRONG_TOKENS:
            raise UserError(texts.LINK_TOO_OFTEN)
        wrong_times.append(now)  # before the look, so that of many words at once each counts
        owner = await self._context.database.get_link_token_account(token)
        if owner is None:
            raise UserError(texts.LINK_UNKNOWN)
        wrong_times.remove(now)  # and no other: whoever guesses has a word of their own as well
        if owner == account:
            raise UserError(texts.LINK_SAME)
        first, second = sorted((owner, account))  # always in one order: two who join each other must not wait
        async with self._context.locks.get_lock(first), self._context.locks.get_lock(second):
            await self._check_no_mixed_sets(owner, account)
            if not await self._context.database.merge_accounts(token, account):
                raise UserError(texts.LINK_UNKNOWN)
        return texts.accounts_linked()

    async def _check_no_mixed_sets(self, owner: AccountId, account: AccountId) -> None:
        """UserError when photos that train a Lora further would come to lie among others."""
        owner_set, account_set = [await self._context.database.get_set(each) for each in (owner, account)]
        if (
            owner_set.photo_ids
            and account_set.photo_ids
            and (owner_set.code is not None or account_set.code is not None)
        ):
            raise UserError(texts.set_is_open(len(account_set.photo_ids)))
