"""Who draws with whose Lora: requests and what owners decide, links, taking it back, and reports."""

from __future__ import annotations

import re
import secrets
from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta

from bot.core.accounts import AccountId, ChatAddress, Identity, Platform
from bot.core.errors import UserError
from bot.core.jobs import JobId
from bot.core.loras import MAX_NAME_CHARS, LoraCode, Permission, Requester, format_code, split_code
from bot.core.messages import Reply
from bot.db import MAX_PEOPLE_PER_LINK
from bot.services import access, generation_options
from bot.services.context import ServiceContext
from bot.texts import translate
from bot.texts.admin import report_message
from bot.texts.sharing import link_ended, share_card, share_link, share_list, share_revoked
from bot.texts.words import generate_command

LINK_DAYS = 7
#: Without letters and digits that look like others, as a word may be read out; 60 bits, which nobody guesses.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_TOKEN_CHARS = 12
#: With what Discord puts before an underscore when a message is copied.
_TOKEN_PATTERN = re.compile(r"share\\?_([A-Za-z0-9]{12})", re.IGNORECASE)
_SHARE_ACTION = re.compile(r"share:([0-9]{1,16}):(show|once|always|no|revoke)")
_LINK_ACTION = re.compile(r"(share|invite|uninvite):([0-9]{8})(?::([0-9]{1,3}))?")
#: Wrong words of one account within ten minutes.
_MAX_WRONG_TOKENS, _WRONG_TOKEN_WINDOW = 5, timedelta(minutes=10)


def make_requester(identity: Identity, account: AccountId, address: ChatAddress) -> Requester:
    """Say who wants something, as its owner will read it."""
    return Requester(account, generation_options.clean_text(identity.name)[:MAX_NAME_CHARS], address)


class SharingService:
    """Passes requests on and carries out what owners decide.

    A code is a name and no key: whoever asks for one hears the same, be it somebody's or nobody's.
    """

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._wrong_times: defaultdict[AccountId, list[datetime]] = defaultdict(list)

    async def request_access(self, requester: Requester, text: str) -> Reply:
        """Ask the owner of a code, if there is one; the word of a link needs no asking."""
        if not text.strip():
            raise UserError(translate("ask-what"))
        reply = await self.redeem_token(requester, text)
        if reply is not None:
            return reply
        code = generation_options.read_code(text)
        if await self._context.database.sharing.get_usable_lora(requester.account, code) is not None:
            await access.require_usable_lora(
                self._context.database, requester.account, code, self._context.clock()
            )
            return _format_usable(code, requester.address.platform)
        if not await self._context.database.sharing.add_request(requester, code):
            raise UserError(translate("asked-too-often"))
        self._context.direct_messages.wake()
        return Reply(translate("asked-for", code=format_code(code)))

    async def redeem_token(self, requester: Requester, text: str) -> Reply | None:
        """Let somebody draw by the word of a link; None when the text is no such word."""
        match = _TOKEN_PATTERN.fullmatch(text.strip())
        if match is None:
            return None
        now = self._context.clock()
        wrong_times = self._wrong_times[requester.account]
        wrong_times[:] = [at for at in wrong_times if now - at < _WRONG_TOKEN_WINDOW]
        if len(wrong_times) >= _MAX_WRONG_TOKENS:
            raise UserError(translate("share-word-too-often"))
        wrong_times.append(now)  # before the look, so that of many words at once each counts
        code = await self._context.database.sharing.accept_share_link(requester, match[1].upper())
        if code is None:
            raise UserError(translate("share-word-unknown"))
        wrong_times.remove(now)  # and no other: whoever guesses has a word of their own as well
        self._context.direct_messages.wake()
        return _format_usable(code, requester.address.platform)

    async def show_shares(
        self, account: AccountId, address: ChatAddress, code: LoraCode, page: int = 0
    ) -> Reply:
        """Show who may draw with a Lora."""
        lora = await access.require_lora(self._context.database, account, code)
        _require_private_chat(address)
        expires_at = await self._context.database.sharing.get_share_link_expiry(code)
        left_s = None if expires_at is None else (expires_at - self._context.clock()).total_seconds()
        return share_list(lora, await self._context.database.sharing.list_shares(code), page, left_s)

    async def create_link(self, account: AccountId, address: ChatAddress, code: LoraCode) -> Reply:
        """Make a link that lets people draw with a Lora; an earlier one is over then."""
        await access.require_lora(self._context.database, account, code)
        _require_private_chat(address)
        token = "".join(secrets.choice(_ALPHABET) for _ in range(_TOKEN_CHARS))
        expires_at = self._context.clock() + timedelta(days=LINK_DAYS)
        await self._context.database.sharing.save_share_link(code, token, expires_at)
        token = f"share_{token}"
        return share_link(code, token, self._context.start_link(token), LINK_DAYS, MAX_PEOPLE_PER_LINK)

    async def end_link(self, account: AccountId, code: LoraCode) -> Reply:
        """Let a link let in nobody more."""
        await access.require_lora(self._context.database, account, code)
        await self._context.database.sharing.delete_share_link(code)
        return link_ended(code)

    async def handle_button(self, account: AccountId, address: ChatAddress, action: str) -> Reply:
        """Do what a button about a person says, `share:17:once`, or about a Lora, `share:40713386`."""
        if (match := _SHARE_ACTION.fullmatch(action)) is not None:
            return await self._handle_share_button(account, int(match[1]), match[2])
        match = _LINK_ACTION.fullmatch(action)
        if match is None:
            raise UserError(translate("stale-button"))
        code = LoraCode(match[2])
        if match[1] == "invite":
            return await self.create_link(account, address, code)
        if match[1] == "uninvite":
            return await self.end_link(account, code)
        return await self.show_shares(account, address, code, int(match[3] or 0))

    async def _handle_share_button(self, account: AccountId, share_number: int, action: str) -> Reply:
        database = self._context.database
        stopped_job_ids: list[JobId] = []
        match action:
            case "show":
                previous_share = await database.sharing.get_share(account, share_number)
            case "revoke":
                previous_share, stopped_job_ids = await database.sharing.revoke_share(account, share_number)
            case _:
                previous_share, stopped_job_ids = await database.sharing.set_permission(
                    account, share_number, Permission(action)
                )
        if previous_share is None:
            raise UserError(translate("stale-button"))
        for job_id in stopped_job_ids:
            await self._context.queue.abort_job(job_id)
            self._context.queue.notify_changed(job_id)
        if action == "show":
            return replace(share_card(previous_share), edits_message=True)
        if action == "revoke":
            return share_revoked(previous_share)
        share = replace(previous_share, permission=Permission(action))
        if share.is_granted and previous_share.permission is not share.permission:
            # A refusal is not announced: that would reveal that the code exists.
            self._context.direct_messages.wake()
        return replace(share_card(share), edits_message=True)


def _require_private_chat(address: ChatAddress) -> None:
    if not address.is_private:
        raise UserError(translate("share-in-private"))


MAX_REPORT_CHARS = 500


class ReportService:
    """Keeps reports and brings them to administrators."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def report_lora(self, identity: Identity, account: AccountId, text: str) -> Reply:
        """Keep what a person tells of a code, and write to the administrators; it may be nobody's code."""
        code_text, reason = split_code(generation_options.clean_text(text))
        if not code_text:
            raise UserError(translate("report-what"))
        code, reason = generation_options.read_code(code_text), reason[:MAX_REPORT_CHARS]
        message = report_message(code, str(identity), reason)
        if not await self._context.database.sharing.add_report(
            account, code, reason, self._list_recipients(), message
        ):
            raise UserError(translate("reported-too-often"))
        self._context.direct_messages.wake()
        return Reply(translate("reported", code=format_code(code)))

    def _list_recipients(self) -> list[Identity]:
        """List whom to write to: whoever sits at the console reads it only where there is nobody else."""
        admins = sorted(self._context.rules.admins, key=str)
        return [admin for admin in admins if admin.platform is not Platform.CONSOLE] or admins


def _format_usable(code: LoraCode, platform: Platform) -> Reply:
    return Reply(translate("usable-already", code=format_code(code), how=generate_command(platform, code)))
