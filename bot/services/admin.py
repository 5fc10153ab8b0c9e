"""What administrators do. Each act is noted before it is done, so that nothing is done unseen."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from bot import texts
from bot.core.accounts import AccountId, Identity, Platform, Quota, Role
from bot.core.errors import UserError
from bot.core.jobs import PAUSED
from bot.core.loras import Lora, parse_code
from bot.core.messages import Reply
from bot.services.access import A_DAY, AN_HOUR, quota_of, role_of
from bot.services.accounts import wiped
from bot.services.context import Tools
from bot.services.overview import Overview

INVITATION_DAYS = 7
#: What Discord takes in one message, with room for whom it is addressed to.
MAX_BROADCAST_CHARS = 1800
#: Of an entry word: without letters and digits that look like others.
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_WORD_CHARS = 8
_MAX_LIMIT = 100_000
#: What is kept of the words after a command.
_MAX_ABOUT_CHARS = 200


@dataclass(frozen=True, slots=True)
class _Person:
    """Whom a command is about; somebody who was never here has no account."""

    people: tuple[Identity, ...]
    account: AccountId | None


class Admins:
    """Answers administrators; to others there is nothing of this."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        overview = Overview(tools, tools.clock())
        self._calls: dict[str, Callable[[str], Awaitable[Reply]]] = {
            "status": lambda _: overview.status(),
            "logs": lambda _: overview.logs(),
            "reports": lambda _: overview.reports(),
            "pause": lambda _: self._pause(),
            "resume": lambda _: self._resume(),
            "drain": lambda _: self._drain(),
            "ban": self._ban,
            "unban": self._unban,
            "quota": self._quota,
            "takedown": self._takedown,
            "broadcast": self._broadcast,
            "invite": lambda _: self._invite(),
        }

    async def act(self, who: Identity, command: str, text: str) -> Reply:
        """Do what a command says; UserError, as for a command that is not there, for anybody else."""
        if who not in self._tools.rules.admins or command not in self._calls:
            raise UserError(texts.UNKNOWN_COMMAND)
        if command != "status":  # which is asked for all the time, and changes nothing
            await self._tools.ledger.note_act(who, command, " ".join(text.split())[:_MAX_ABOUT_CHARS])
        return await self._calls[command](text.strip())

    async def _pause(self) -> Reply:
        await self._tools.ledger.switch(PAUSED, on=True)
        return Reply(texts.PAUSED)

    async def _resume(self) -> Reply:
        await self._tools.ledger.switch(PAUSED, on=False)
        self._tools.queue.wake()
        return Reply(texts.RESUMED)

    async def _drain(self) -> Reply:
        self._tools.queue.finish()
        return texts.draining(len(await self._tools.ledger.running_jobs()))

    async def _ban(self, text: str) -> Reply:
        person = await self._person(text)
        if not self._tools.rules.admins.isdisjoint(person.people):
            raise UserError(texts.NOT_AN_ADMIN)
        await self._tools.ledger.ban(person.people)
        jobs = [] if person.account is None else await self._tools.ledger.open_jobs_of(person.account)
        for job in jobs:
            photos = await self._tools.ledger.names_of(job.id)
            if await self._tools.ledger.cancel(job.id) is not None:
                await self._tools.queue.stop(job.id)
                self._tools.forget(photos)
        return texts.banned(person.people, len(jobs))

    async def _unban(self, text: str) -> Reply:
        person = await self._person(text)
        if not await self._tools.ledger.unban(person.people):
            raise UserError(texts.NOT_BANNED)
        return texts.unbanned(person.people)

    async def _quota(self, text: str) -> Reply:
        who, *changes = _split_person(text)
        person = await self._person(who)
        if person.account is None:
            raise UserError(texts.NO_SUCH_PERSON)
        await self._change_quota(person.account, changes)
        ledger, now = self._tools.ledger, self._tools.clock()
        standing = await ledger.standing_of(person.people[0])
        used = (
            await ledger.trainings_since(person.account, now - A_DAY),
            await ledger.pictures_since(person.account, now - AN_HOUR),
        )
        standing = replace(standing, role=role_of(self._tools, standing, person.people[0]))
        return texts.quota(person.people, standing, await quota_of(self._tools, person.account), used)

    async def _change_quota(self, account: AccountId, changes: list[str]) -> None:
        match changes:
            case []:
                return
            case [role] if role in set(Role):
                await self._tools.ledger.set_role(account, Role(role))
            case [trainings, pictures]:
                own = Quota(_limit(trainings), _limit(pictures))
                await self._tools.ledger.set_quota(account, own)
            case _:
                raise UserError(texts.HOW_TO_QUOTA)

    async def _takedown(self, text: str) -> Reply:
        lora = await self._lora(text)
        async with self._tools.locks.of(lora.account):
            lora = await self._lora(text)  # it may have gone while we waited
            owner = await self._tools.ledger.identities_of(lora.account)
            erased = await self._tools.ledger.erase_lora(lora.code)
            await wiped(self._tools, erased)
        for who in owner[:1]:
            with texts.use_language(await self._tools.ledger.language_of(who)):
                words = texts.your_code_was_taken_down(lora.code)
            await self._tools.ledger.owe_letters([who], words)
        self._tools.mailbox.wake()
        return texts.taken_down(lora.code, len(erased.pictures), len(erased.jobs))

    async def _lora(self, text: str) -> Lora:
        code = parse_code(text)
        lora = None if code is None else await self._tools.ledger.lora(code)
        if lora is None:
            raise UserError(texts.NO_SUCH_CODE)
        return lora

    async def _broadcast(self, text: str) -> Reply:
        if not text or len(text) > MAX_BROADCAST_CHARS:
            raise UserError(texts.BROADCAST_WHAT.format(most=MAX_BROADCAST_CHARS))
        people = await self._tools.ledger.owe_everybody(text)
        self._tools.mailbox.wake()
        return texts.broadcast(people)

    async def _invite(self) -> Reply:
        word = "".join(secrets.choice(_LETTERS) for _ in range(_WORD_CHARS))
        until = self._tools.clock() + timedelta(days=INVITATION_DAYS)
        await self._tools.ledger.give_entry_word(word, until)
        return texts.invitation(word, INVITATION_DAYS)

    async def _person(self, text: str) -> _Person:
        """Read whom a command is about: an identity, or the owner of a LoraCode. UserError when nobody is."""
        ledger = self._tools.ledger
        code = parse_code(text)
        if code is not None:
            lora = await ledger.lora(code)
            if lora is None:
                raise UserError(texts.NO_SUCH_CODE)
            return _Person(tuple(await ledger.identities_of(lora.account)), lora.account)
        platform, _, user_id = text.partition(":")
        if platform not in set(Platform) or not user_id.isascii() or not user_id.isalnum():
            raise UserError(texts.WHICH_PERSON)
        who = Identity(Platform(platform), user_id)
        account = await ledger.known_account(who)
        return _Person((who,) if account is None else tuple(await ledger.identities_of(account)), account)


def _split_person(text: str) -> list[str]:
    """Split what stands after `/quota`; a LoraCode may be written as four and four digits."""
    words = text.split()
    if len(words) > 1 and all(len(each) == 4 and each.isdigit() for each in words[:2]):
        words[:2] = ["".join(words[:2])]
    return words or [""]


def _limit(text: str) -> int | None:
    if text == "-":
        return None
    if not text.isascii() or not text.isdigit() or int(text) > _MAX_LIMIT:
        raise UserError(texts.HOW_TO_QUOTA)
    return int(text)
