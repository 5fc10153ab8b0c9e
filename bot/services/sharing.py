"""Who draws with whose Lora: requests and what owners decide, links, taking it back, and reports."""

from __future__ import annotations

import re
import secrets
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bot.core.accounts import PLATFORM_TRAITS, AccountId, ChatAddress, Identity
from bot.core.errors import UserError
from bot.core.jobs import JobId
from bot.core.loras import MAX_NAME_CHARS, LoraCode, Permission, Requester, format_code, split_code
from bot.core.messages import Reply, Request
from bot.db import MAX_PEOPLE_PER_LINK
from bot.services import access, generation_options
from bot.services.context import ServiceContext
from bot.texts import translate
from bot.texts.admin.commands import report_message
from bot.texts.commands import usage_example
from bot.texts.sharing import link_ended, share_card, share_link, share_list, share_revoked
from bot.texts.words import generate_command

LINK_DAYS = 7
#: Without letters and digits that look like others, as a word may be read out; 60 bits, which nobody guesses.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_TOKEN_CHARS = 12
#: With what Discord puts before an underscore when a message is copied.
_TOKEN_PATTERN = re.compile(r"share\\?_([A-Za-z0-9]{12})", re.IGNORECASE)
#: Wrong words of one account within ten minutes.
_MAX_WRONG_TOKENS, _WRONG_TOKEN_WINDOW = 5, timedelta(minutes=10)


def make_requester(request: Request) -> Requester:
    """Return who asks for access, as the owner will read it."""
    name = generation_options.clean_text(request.identity.name)[:MAX_NAME_CHARS]
    return Requester(request.account, name, request.address)


class SharingService:
    """Passes requests on and carries out what owners decide.

    A code is a name and no key: whoever asks for one hears the same, be it somebody's or nobody's.
    """

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._wrong_times: defaultdict[AccountId, list[datetime]] = defaultdict(list)

    async def request_access(self, request: Request) -> Reply:
        """Return the reply that asks the owner of a code, if there is one; the word of a link needs no
        asking.
        """
        platform = request.identity.platform
        if not request.text.strip():
            raise UserError(translate("ask-what", example=usage_example(platform, "ask")))
        reply = await self.redeem_token(request)
        if reply is not None:
            return reply
        requester, code = (
            make_requester(request),
            generation_options.read_code(request.text, usage_example(platform, "ask")),
        )
        if await self._context.database.sharing.get_usable_lora(requester.account, code) is not None:
            await access.require_usable_lora(
                self._context.database, requester.account, code, self._context.clock()
            )
            return Reply(
                translate(
                    "usable-already",
                    code=format_code(code),
                    how=generate_command(requester.address.platform, code),
                )
            )
        if not await self._context.database.sharing.add_request(requester, code, request.idempotency_key):
            raise UserError(translate("asked-too-often"))
        self._context.direct_messages.wake()
        return Reply(translate("asked-for", code=format_code(code)))

    async def redeem_token(self, request: Request) -> Reply | None:
        """Return access to a Lora by the word of a link; return None when the text is no such word."""
        match = _TOKEN_PATTERN.fullmatch(request.text.strip())
        if match is None:
            return None
        requester, now = make_requester(request), self._context.clock()
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
        return Reply(
            translate(
                "usable-already",
                code=format_code(code),
                how=generate_command(requester.address.platform, code),
            )
        )

    async def show_shares(self, request: Request) -> Reply:
        """Return the reply that shows who may generate with a Lora."""
        code, page = LoraCode(request.arguments[0]), int(request.arguments[1] or 0)
        lora = await access.require_lora(self._context.database, request.account, code)
        _require_private_chat(request.address)
        expires_at = await self._context.database.sharing.get_share_link_expiry(code)
        left_s = None if expires_at is None else (expires_at - self._context.clock()).total_seconds()
        return share_list(lora, await self._context.database.sharing.list_shares(code), page, left_s)

    async def create_link(self, request: Request) -> Reply:
        """Make a link that gives people access to a Lora; an earlier one ends."""
        code = LoraCode(request.arguments[0])
        await access.require_lora(self._context.database, request.account, code)
        _require_private_chat(request.address)
        token = "".join(secrets.choice(_ALPHABET) for _ in range(_TOKEN_CHARS))
        expires_at = self._context.clock() + timedelta(days=LINK_DAYS)
        await self._context.database.sharing.save_share_link(code, token, expires_at)
        token = f"share_{token}"
        return share_link(code, token, self._context.start_link(token), LINK_DAYS, MAX_PEOPLE_PER_LINK)

    async def end_link(self, request: Request) -> Reply:
        """End a link: it gives nobody else access."""
        code = LoraCode(request.arguments[0])
        await access.require_lora(self._context.database, request.account, code)
        await self._context.database.sharing.delete_share_link(code)
        return link_ended(code)

    async def show_share(self, request: Request) -> Reply:
        """Return the reply that shows one person's access to a Lora."""
        share = await self._context.database.sharing.get_share(request.account, int(request.arguments[0]))
        if share is None:
            raise UserError(translate("stale-button"))
        return replace(share_card(share), edits_message=True)

    async def revoke_share(self, request: Request) -> Reply:
        """Take one person's access to a Lora back."""
        share, stopped_job_ids = await self._context.database.sharing.revoke_share(
            request.account, int(request.arguments[0])
        )
        await self._stop_jobs(stopped_job_ids)
        if share is None:
            raise UserError(translate("stale-button"))
        return share_revoked(share)

    async def decide(self, request: Request) -> Reply:
        """Store what the owner decided: `once`, `always` or `no`."""
        permission = Permission(request.arguments[1])
        previous_share, stopped_job_ids = await self._context.database.sharing.set_permission(
            request.account, int(request.arguments[0]), permission
        )
        await self._stop_jobs(stopped_job_ids)
        if previous_share is None:
            raise UserError(translate("stale-button"))
        share = replace(previous_share, permission=permission)
        if share.is_granted and previous_share.permission is not share.permission:
            # A refusal is not announced: that would reveal that the code exists.
            self._context.direct_messages.wake()
        return replace(share_card(share), edits_message=True)

    async def _stop_jobs(self, job_ids: Sequence[JobId]) -> None:
        for job_id in job_ids:
            await self._context.queue.abort_job(job_id)
            self._context.queue.notify_changed(job_id)


def _require_private_chat(address: ChatAddress) -> None:
    if not address.is_private:
        raise UserError(translate("share-in-private"))


MAX_REPORT_CHARS = 500


class ReportService:
    """Keeps reports and brings them to administrators."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def report_lora(self, request: Request) -> Reply:
        """Store a person's report of a code and write to the administrators; it may be nobody's code."""
        code_text, reason = split_code(generation_options.clean_text(request.text))
        usage = usage_example(request.identity.platform, "report", words=translate("report-example"))
        if not code_text:
            raise UserError(translate("report-what", example=usage))
        code, reason = generation_options.read_code(code_text, usage), reason[:MAX_REPORT_CHARS]
        message = report_message(code, str(request.identity), reason)
        if not await self._context.database.sharing.add_report(
            request.account,
            code,
            reason,
            recipients=self._list_recipients(),
            message_text=message,
            idempotency_key=request.idempotency_key,
        ):
            raise UserError(translate("reported-too-often"))
        self._context.direct_messages.wake()
        return Reply(translate("reported", code=format_code(code)))

    def _list_recipients(self) -> list[Identity]:
        """List whom to write to: whoever sits at the console reads it only where there is nobody else."""
        admins = sorted(self._context.rules.admins, key=str)
        return [admin for admin in admins if not PLATFORM_TRAITS[admin.platform].is_local] or admins
