"""`/link`: one person's accounts on two platforms become one, by a word that is typed on the other."""

from __future__ import annotations

import secrets
from collections import defaultdict
from datetime import datetime, timedelta

from bot import texts
from bot.core.accounts import AccountId, Place
from bot.core.errors import UserError
from bot.core.messages import Reply
from bot.services.context import Tools

WORD_LASTS = timedelta(minutes=10)
#: Letters that are not taken for one another, read aloud or written by hand.
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_WORD_LETTERS = 6
#: Wrong words of one account within the time a word lasts: there are 190 million, and nobody finds one so.
_MAX_WRONG = 5


class Links:
    """Gives words and takes them."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._wrong: defaultdict[AccountId, list[datetime]] = defaultdict(list)

    async def link(self, account: AccountId, place: Place, text: str) -> Reply:
        """Show a word, or join with the account whose word was typed."""
        if not place.is_private:  # whoever reads the word could take the account
            raise UserError(texts.LINK_IN_PRIVATE)
        word = text.strip().upper()
        return await self._joined(account, word) if word else await self._word(account)

    async def _word(self, account: AccountId) -> Reply:
        word = "".join(secrets.choice(_LETTERS) for _ in range(_WORD_LETTERS))
        await self._tools.ledger.give_link_word(account, word, self._tools.clock() + WORD_LASTS)
        return texts.link_word(word)

    async def _joined(self, account: AccountId, word: str) -> Reply:
        now = self._tools.clock()
        wrong = self._wrong[account]
        wrong[:] = [at for at in wrong if now - at < WORD_LASTS]
        if len(wrong) >= _MAX_WRONG:
            raise UserError(texts.LINK_TOO_OFTEN)
        wrong.append(now)  # before the look, so that of many words at once each counts
        owner = await self._tools.ledger.owner_of_link_word(word)
        if owner is None:
            raise UserError(texts.LINK_UNKNOWN)
        wrong.remove(now)  # and no other: whoever guesses has a word of their own as well
        if owner == account:
            raise UserError(texts.LINK_SAME)
        first, second = sorted((owner, account))  # always in one order: two who join each other must not wait
        async with self._tools.locks.of(first), self._tools.locks.of(second):
            await self._refuse_mixed_photos(owner, account)
            if not await self._tools.ledger.join_accounts(word, account):
                raise UserError(texts.LINK_UNKNOWN)
        return texts.linked()

    async def _refuse_mixed_photos(self, owner: AccountId, account: AccountId) -> None:
        """UserError when photos that train a Lora further would come to lie among others."""
        there, here = [await self._tools.ledger.photo_set(each) for each in (owner, account)]
        if there.photos and here.photos and (there.code is not None or here.code is not None):
            raise UserError(texts.set_is_open(len(here.photos)))
