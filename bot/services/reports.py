"""`/report`: people tell the administrators of a code."""

from __future__ import annotations

from bot import texts
from bot.core.accounts import AccountId, Identity, Platform
from bot.core.errors import UserError
from bot.core.loras import split_code
from bot.core.messages import Reply
from bot.services import generation_options
from bot.services.context import ServiceContext

MAX_REPORT_CHARS = 500


class ReportService:
    """Keeps reports and brings them to administrators."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def report_lora(self, identity: Identity, account: AccountId, text: str) -> Reply:
        """Keep what a person tells of a code, and write to the administrators; it may be nobody's code."""
        code_text, reason = split_code(generation_options.clean_text(text))
        if not code_text:
            raise UserError(texts.REPORT_WHAT)
        code, reason = generation_options.read_code(code_text), reason[:MAX_REPORT_CHARS]
        message = texts.report_message(code, str(identity), reason)
        if not await self._context.database.add_report(
            account, code, reason, self._list_recipients(), message
        ):
            raise UserError(texts.REPORTED_TOO_OFTEN)
        self._context.direct_messages.wake()
        return texts.report_received(code)

    def _list_recipients(self) -> list[Identity]:
        """List whom to write to: whoever sits at the console reads it only where there is nobody else."""
        admins = sorted(self._context.rules.admins, key=str)
        return [admin for admin in admins if admin.platform is not Platform.CONSOLE] or admins
