"""`/generate` alone: what a person chooses by buttons, until the next plain message is the prompt."""

from __future__ import annotations

from dataclasses import replace

from bot import texts, wishes
from bot.domain import AccountId, Draft, GenerateWish, LoraCode, LoraState, Place
from bot.errors import UserError
from bot.replies import Reply
from bot.studio import _own
from bot.studio._needs import Tools
from bot.studio._pictures import Pictures
from bot.studio._settings import PersonalSettings


class Drafts:
    """Keeps one draft a person; it survives restarts and is forgotten after an hour."""

    def __init__(self, tools: Tools, pictures: Pictures, settings: PersonalSettings) -> None:
        self._tools = tools
        self._pictures = pictures
        self._settings = settings

    async def open(self, account: AccountId, place: Place) -> Reply:
        """Begin with the only LoraCode that can draw, or ask which."""
        loras = await self._tools.ledger.loras_of(account)
        loras += [lora for lora, _ in await self._tools.ledger.shared_with(account)]
        ready = [lora for lora in loras if lora.state is LoraState.READY]
        if not ready:
            raise UserError(texts.NO_READY_CODE)
        if len(ready) > 1:
            return texts.choose_code(ready)
        return replace(await self.use(account, place, ready[0].code), replaces=False)

    async def use(self, account: AccountId, place: Place, code: LoraCode) -> Reply:
        """Begin with a LoraCode."""
        await _own.drawable(self._tools.ledger, account, code, self._tools.clock())
        wish = await self._settings.applied(account, GenerateWish(""))
        return await self._kept(Draft(account, code, wish, place))

    async def choose(self, account: AccountId, place: Place, choice: str) -> Reply:
        """Do what a button of the draft says: `style`, `style=oil`, `size=portrait`, `n=2`, `drop`."""
        draft = await self._tools.ledger.draft_of(account)
        if draft is None:
            raise UserError(texts.DRAFT_GONE)
        what, _, value = choice.partition("=")
        match what:
            case "drop":
                await self._tools.ledger.drop_draft(account)
                return texts.draft_dropped()
            case "style" if choice == "style":
                return texts.draft_styles(self._tools.styles.like(""), draft.wish.style)
            case "style":
                style = self._tools.styles.read(value).name if value else ""
                wish = replace(draft.wish, style=style)
            case "size":
                wish = wishes.sized(draft.wish, value)
            case "n" if value.isdecimal() and len(value) == 1:
                wish = replace(draft.wish, count=int(value))
            case _:
                raise UserError(texts.STALE_BUTTON)
        return await self._kept(Draft(account, draft.code, wish, place))

    async def take_prompt(self, account: AccountId, place: Place, text: str) -> Reply | None:
        """Draw the draft with these words; None when there is no draft on this platform."""
        draft = await self._tools.ledger.draft_of(account)
        if draft is None or draft.place.platform is not place.platform:
            return None
        wish = wishes.parse_prompt(text, draft.wish)
        return await self._pictures.draw(account, place, draft.code, wish, draft)

    async def _kept(self, draft: Draft) -> Reply:
        await self._tools.ledger.keep_draft(draft)
        style = self._tools.styles.get(draft.wish.style)
        return texts.draft(draft, style.shown if style is not None else "")
