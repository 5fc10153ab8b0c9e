"""`/generate` alone: what a person chooses by buttons, until the next plain message is the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bot import texts
from bot.core.accounts import AccountId, Place
from bot.core.errors import UserError
from bot.core.jobs import Draft, GenerateWish
from bot.core.loras import Lora, LoraCode, LoraState
from bot.core.messages import Reply
from bot.services import generation_options, ownership
from bot.services.context import Tools
from bot.services.generation import NO_STYLE, Pictures
from bot.services.settings import PersonalSettings

#: A wish that says nothing yet.
EMPTY = GenerateWish("")


class Drafts:
    """Keeps one draft a person; it survives restarts and is forgotten after an hour."""

    def __init__(self, tools: Tools, pictures: Pictures, settings: PersonalSettings) -> None:
        self._tools = tools
        self._pictures = pictures
        self._settings = settings

    async def begin(
        self, account: AccountId, place: Place, code_text: str = "", wish: GenerateWish = EMPTY
    ) -> Reply:
        """Ask for what a wish lacks, code or words; the only LoraCode that can draw is no question."""
        wish = await self._settings.applied(account, generation_options.checked_but_words(wish))
        if wish.style and wish.style.lower() != NO_STYLE:
            wish = replace(wish, style=self._tools.styles.read(wish.style).name)
        if code_text:
            code = generation_options.read_code(code_text)
        else:
            ready = await self._ready(account)
            if len(ready) > 1:
                return await self._which(Draft(account, ready[0].code, wish, place), ready)
            code = ready[0].code
        return replace(await self._next(Draft(account, code, wish, place)), replaces=False)

    async def use(self, account: AccountId, place: Place, code: LoraCode) -> Reply:
        """Begin with a LoraCode."""
        wish = await self._settings.applied(account, EMPTY)
        return await self._next(Draft(account, code, wish, place))

    async def choose(self, account: AccountId, place: Place, choice: str) -> Reply:
        """Do what a button of the draft says: `style`, `style=oil`, `size=…`, `n=2`, `code=…`, `drop`."""
        draft = await self._open_of(account)
        what, _, value = choice.partition("=")
        match what:
            case "drop":
                await self._tools.ledger.drop_draft(account)
                return texts.draft_dropped()
            case "code":
                return await self._next(replace(draft, code=generation_options.read_code(value), place=place))
            case "style" if choice == "style":
                return texts.draft_styles(self._tools.styles.like(""), draft.wish.style)
            case "style":
                style = self._tools.styles.read(value).name if value else ""
                wish = replace(draft.wish, style=style)
            case "size":
                wish = generation_options.sized(draft.wish, value)
            case "n" if value.isdecimal() and len(value) == 1:
                wish = replace(draft.wish, count=int(value), best=False)
            case _:
                raise UserError(texts.STALE_BUTTON)
        return await self._kept(Draft(account, draft.code, wish, place))

    async def prompt_of(self, account: AccountId) -> str:
        """Give the words that a draft has so far."""
        return (await self._open_of(account)).wish.prompt

    async def take_prompt(self, account: AccountId, place: Place, text: str) -> Reply | None:
        """Draw the draft with these words; None when there is no draft on this platform."""
        draft = await self._tools.ledger.draft_of(account)
        if draft is None or draft.place.platform is not place.platform:
            return None
        wish = generation_options.parse_prompt(text, draft.wish)
        return await self._pictures.draw(account, place, draft.code, wish, draft)

    async def _open_of(self, account: AccountId) -> Draft:
        draft = await self._tools.ledger.draft_of(account)
        if draft is None:
            raise UserError(texts.DRAFT_GONE)
        return draft

    async def _ready(self, account: AccountId) -> list[Lora]:
        loras = await self._tools.ledger.loras_of(account)
        loras += [lora for lora, _ in await self._tools.ledger.shared_with(account)]
        ready = [lora for lora in loras if lora.state is LoraState.READY]
        if not ready:
            raise UserError(texts.NO_READY_CODE)
        return ready

    async def _which(self, draft: Draft, ready: Sequence[Lora]) -> Reply:
        """Ask for the code; what was said besides waits in the draft for it."""
        if draft.wish == await self._settings.applied(draft.account, EMPTY):
            return texts.choose_code(ready)
        await self._tools.ledger.keep_draft(draft)
        return texts.choose_code(ready, of_draft=True)

    async def _next(self, draft: Draft) -> Reply:
        """Draw what has its code and its words; ask for the words otherwise."""
        await ownership.drawable(self._tools.ledger, draft.account, draft.code, self._tools.clock())
        if not draft.wish.prompt:
            return await self._kept(draft)
        await self._tools.ledger.keep_draft(draft)
        return await self._pictures.draw(draft.account, draft.place, draft.code, draft.wish, draft)

    async def _kept(self, draft: Draft) -> Reply:
        await self._tools.ledger.keep_draft(draft)
        style = self._tools.styles.get(draft.wish.style)
        return texts.draft(draft, style.shown if style is not None else "")
