"""Who is let in, and how much they may ask for. Administrators are always let in, without limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

from bot import texts
from bot.core.accounts import Access, AccountId, Identity, Place, Quota, Role, Standing
from bot.core.errors import UserError
from bot.core.jobs import Job, estimate
from bot.core.logging import note
from bot.services.context import Tools

A_DAY, AN_HOUR = timedelta(days=1), timedelta(hours=1)
#: Of a full line: so many jobs are asked when they end; told when none of them knows; never told less.
_MOST_GUESSED, _UNKNOWN_S, _SOONEST_S = 5, 600.0, 60.0


class Door:
    """Looks at everybody who asks for something."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def account_of(self, who: Identity, is_joining: bool = False) -> AccountId:
        """Give the account of whoever may use the bot; UserError says why somebody else may not.

        `is_joining` is for a member who comes on another platform, where they are not known yet.
        """
        rules, ledger = self._tools.rules, self._tools.ledger
        if who not in rules.admins:
            standing = await ledger.standing_of(who)
            if standing.is_banned:
                raise UserError(texts.BANNED)
            is_guest = role_of(self._tools, standing, who) is Role.GUEST
            is_closed = rules.access is not Access.OPEN and is_guest and not is_joining
            if is_closed and not await self._is_named(who):
                raise UserError(_refusal(rules.access, who))
        account = await ledger.account_of(who)
        note(account=account)
        return account

    async def _is_named(self, who: Identity) -> bool:
        """Say whether the settings name somebody as they are known on another platform."""
        account = await self._tools.ledger.known_account(who)
        people = [] if account is None else await self._tools.ledger.identities_of(account)
        return not (self._tools.rules.admins | self._tools.rules.allowed).isdisjoint(people)

    async def takes_word(self, who: Identity, text: str) -> bool:
        """Let somebody in by the word they wrote, where there are such words; False when it is none."""
        word = text.strip().upper()
        rules, ledger = self._tools.rules, self._tools.ledger
        if rules.access is not Access.INVITATION or who in rules.admins or not word.isalnum():
            return False
        standing = await ledger.standing_of(who)
        if standing.is_banned or role_of(self._tools, standing, who) is not Role.GUEST:
            return False
        return await ledger.enter(await ledger.account_of(who), word)


async def refuse_when_full(tools: Tools, account: AccountId, place: Place) -> None:
    """UserError, with a time, when there is no room in line: in all, or for one group or channel."""
    rules, ledger = tools.rules, tools.ledger
    if not rules.admins.isdisjoint(await ledger.identities_of(account)):
        return
    waiting = sum((await ledger.waiting()).values())
    if rules.most_waiting is not None and waiting >= rules.most_waiting:
        raise UserError(texts.queue_full(waiting, await _room_in_s(tools, await ledger.running_jobs())))
    if rules.most_in_a_chat is not None and place.is_shared:
        jobs = await ledger.open_jobs_in(place, rules.most_in_a_chat)
        if len(jobs) >= rules.most_in_a_chat:
            raise UserError(texts.chat_full(len(jobs), await _room_in_s(tools, jobs)))


async def _room_in_s(tools: Tools, jobs: Sequence[Job]) -> float:
    """Guess when the first of some jobs ends and leaves its place."""
    now = tools.clock()
    left = [(await estimate(tools.ledger, job, now)).left_s for job in jobs[:_MOST_GUESSED]]
    return max(
        _SOONEST_S,
        min((each for each in left if each is not None and math.isfinite(each)), default=_UNKNOWN_S),
    )


async def refuse_trainings(tools: Tools, account: AccountId, place: Place) -> None:
    """UserError when a person has had as many trainings as they may, or there is no room in line."""
    await refuse_when_full(tools, account, place)
    most = (await quota_of(tools, account)).trainings_a_day
    if most is not None:
        used = await tools.ledger.trainings_since(account, tools.clock() - A_DAY)
        if used >= most:
            raise UserError(texts.trainings_used_up(most))


async def refuse_pictures(tools: Tools, account: AccountId, place: Place, count: int) -> None:
    """UserError when so many pictures are more than a person may have, or there is no room in line."""
    await refuse_when_full(tools, account, place)
    most = (await quota_of(tools, account)).pictures_an_hour
    if most is not None:
        used = await tools.ledger.pictures_since(account, tools.clock() - AN_HOUR)
        if used + count > most:
            raise UserError(texts.pictures_used_up(most))


async def quota_of(tools: Tools, account: AccountId) -> Quota:
    """Give a person's limits: their own ones stand above those of their role."""
    people = await tools.ledger.identities_of(account)
    if not people or not tools.rules.admins.isdisjoint(people):
        return Quota()
    standing = await tools.ledger.standing_of(people[0])
    role = max((role_of(tools, standing, who) for who in people), key=list(Role).index)
    of_role = tools.rules.quotas.get(role, Quota())
    own = standing.own
    return Quota(
        of_role.trainings_a_day if own.trainings_a_day is None else own.trainings_a_day,
        of_role.pictures_an_hour if own.pictures_an_hour is None else own.pictures_an_hour,
    )


def role_of(tools: Tools, standing: Standing, who: Identity) -> Role:
    """Tell what somebody is: whom the settings name is a member at least."""
    if standing.role is Role.GUEST and who in tools.rules.allowed:
        return Role.MEMBER
    return standing.role


def _refusal(access: Access, who: Identity) -> str:
    if access is Access.INVITATION:
        return texts.invitation_first(who.platform)
    return texts.not_on_the_list(who)
