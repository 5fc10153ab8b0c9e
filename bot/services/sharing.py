"""Who draws with whose Lora: requests and what owners decide, links, and taking it back."""

from __future__ import annotations

import re
import secrets
from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta

from bot import texts
from bot.core.accounts import AccountId, Identity, Place
from bot.core.errors import UserError
from bot.core.jobs import JobId
from bot.core.loras import MAX_NAME_CHARS, Allowed, Asker, LoraCode
from bot.core.messages import Reply
from bot.db import MAX_PEOPLE_A_LINK
from bot.services import generation_options, ownership
from bot.services.context import Tools

LINK_DAYS = 7
#: Without letters and digits that look like others, as a word may be read out; 60 bits, which nobody guesses.
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_WORD_CHARS = 12
#: With what Discord puts before an underscore when a message is copied.
_WORD = re.compile(r"share\\?_([A-Za-z0-9]{12})", re.IGNORECASE)
_OF_A_PERSON = re.compile(r"share:([0-9]{1,16}):(show|once|always|no|revoke)")
_OF_A_CODE = re.compile(r"(share|invite|uninvite):([0-9]{8})(?::([0-9]{1,3}))?")
#: Wrong words of one account within ten minutes.
_MAX_WRONG, _WRONG_COUNTS_FOR = 5, timedelta(minutes=10)


def asker(who: Identity, account: AccountId, place: Place) -> Asker:
    """Say who wants something, as its owner will read it."""
    return Asker(account, generation_options.cleaned(who.name)[:MAX_NAME_CHARS], place)


class Sharing:
    """Passes requests on and carries out what owners decide.

    A code is a name and no key: whoever asks for one hears the same, be it somebody's or nobody's.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._wrong: defaultdict[AccountId, list[datetime]] = defaultdict(list)

    async def ask(self, asker: Asker, text: str) -> Reply:
        """Ask the owner of a code, if there is one; the word of a link needs no asking."""
        if not text.strip():
            raise UserError(texts.ASK_WHAT)
        by_word = await self.takes_word(asker, text)
        if by_word is not None:
            return by_word
        code = generation_options.read_code(text)
        if await self._tools.ledger.usable_lora(asker.account, code) is not None:
            await ownership.drawable(self._tools.ledger, asker.account, code, self._tools.clock())
            return texts.usable_already(code, asker.place.platform)
        if not await self._tools.ledger.ask_for(asker, code):
            raise UserError(texts.ASKED_TOO_OFTEN)
        self._tools.mailbox.wake()
        return texts.asked_for(code)

    async def takes_word(self, asker: Asker, text: str) -> Reply | None:
        """Let somebody draw by the word of a link; None when the text is no such word."""
        match = _WORD.fullmatch(text.strip())
        if match is None:
            return None
        now = self._tools.clock()
        wrong = self._wrong[asker.account]
        wrong[:] = [at for at in wrong if now - at < _WRONG_COUNTS_FOR]
        if len(wrong) >= _MAX_WRONG:
            raise UserError(texts.SHARE_WORD_TOO_OFTEN)
        wrong.append(now)  # before the look, so that of many words at once each counts
        code = await self._tools.ledger.accept(asker, match[1].upper())
        if code is None:
            raise UserError(texts.SHARE_WORD_UNKNOWN)
        wrong.remove(now)  # and no other: whoever guesses has a word of their own as well
        self._tools.mailbox.wake()
        return texts.usable_already(code, asker.place.platform)

    async def menu(self, account: AccountId, place: Place, code: LoraCode, page: int = 0) -> Reply:
        """Show who may draw with a Lora."""
        lora = await ownership.lora(self._tools.ledger, account, code)
        _refuse_where_others_read(place)
        until = await self._tools.ledger.invitation_until(code)
        left_s = None if until is None else (until - self._tools.clock()).total_seconds()
        return texts.sharing(lora, await self._tools.ledger.shares_of(code), page, left_s)

    async def invite(self, account: AccountId, place: Place, code: LoraCode) -> Reply:
        """Make a link that lets people draw with a Lora; an earlier one is over then."""
        await ownership.lora(self._tools.ledger, account, code)
        _refuse_where_others_read(place)
        word = "".join(secrets.choice(_LETTERS) for _ in range(_WORD_CHARS))
        until = self._tools.clock() + timedelta(days=LINK_DAYS)
        await self._tools.ledger.invite(code, word, until)
        word = f"share_{word}"
        return texts.share_link(code, word, self._tools.start_link(word), LINK_DAYS, MAX_PEOPLE_A_LINK)

    async def end_link(self, account: AccountId, code: LoraCode) -> Reply:
        """Let a link let in nobody more."""
        await ownership.lora(self._tools.ledger, account, code)
        await self._tools.ledger.end_invitation(code)
        return texts.link_ended(code)

    async def press(self, account: AccountId, place: Place, action: str) -> Reply:
        """Do what a button about a person says, `share:17:once`, or about a Lora, `share:40713386`."""
        if (match := _OF_A_PERSON.fullmatch(action)) is not None:
            return await self._decide(account, int(match[1]), match[2])
        match = _OF_A_CODE.fullmatch(action)
        if match is None:
            raise UserError(texts.STALE_BUTTON)
        code = LoraCode(match[2])
        if match[1] == "invite":
            return await self.invite(account, place, code)
        if match[1] == "uninvite":
            return await self.end_link(account, code)
        return await self.menu(account, place, code, int(match[3] or 0))

    async def _decide(self, account: AccountId, number: int, what: str) -> Reply:
        ledger = self._tools.ledger
        stopped: list[JobId] = []
        match what:
            case "show":
                before = await ledger.share(account, number)
            case "revoke":
                before, stopped = await ledger.revoke(account, number)
            case _:
                before, stopped = await ledger.allow(account, number, Allowed(what))
        if before is None:
            raise UserError(texts.STALE_BUTTON)
        for job_id in stopped:
            await self._tools.queue.stop(job_id)
            self._tools.queue.changed(job_id)
        if what == "show":
            return replace(texts.share_card(before), replaces=True)
        if what == "revoke":
            return texts.share_revoked(before)
        share = replace(before, allowed=Allowed(what))
        if share.may_draw and before.allowed is not share.allowed:
            self._tools.mailbox.wake()  # of a refusal they hear nothing: it would give the code away
        return replace(texts.share_card(share), replaces=True)


def _refuse_where_others_read(place: Place) -> None:
    if not place.is_private:
        raise UserError(texts.SHARE_IN_PRIVATE)
