"""`/report`: people tell the administrators of a code."""

from __future__ import annotations

from bot import texts
from bot.core.accounts import AccountId, Identity, Platform
from bot.core.errors import UserError
from bot.core.loras import split_code
from bot.core.messages import Reply
from bot.services import generation_options
from bot.services.context import Tools

MAX_REPORT_CHARS = 500


class Reports:
    """Keeps reports and brings them to administrators."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def report(self, who: Identity, account: AccountId, text: str) -> Reply:
        """Keep what a person tells of a code, and write to the administrators; it may be nobody's code."""
        code_text, words = split_code(generation_options.cleaned(text))
        if not code_text:
            raise UserError(texts.REPORT_WHAT)
        code, words = generation_options.read_code(code_text), words[:MAX_REPORT_CHARS]
        letter = texts.report_letter(code, str(who), words)
        if not await self._tools.ledger.report(account, code, words, self._readers(), letter):
            raise UserError(texts.REPORTED_TOO_OFTEN)
        self._tools.mailbox.wake()
        return texts.reported(code)

    def _readers(self) -> list[Identity]:
        """List whom to write to: whoever sits at the console reads it only where there is nobody else."""
        admins = sorted(self._tools.rules.admins, key=str)
        return [who for who in admins if who.platform is not Platform.CONSOLE] or admins
