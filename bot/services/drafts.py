"""`/generate` alone: what a person chooses by buttons, until the next plain message is the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bot.core.accounts import AccountId, ChatAddress
from bot.core.errors import UserError
from bot.core.jobs import Draft, GenerationParams
from bot.core.loras import Lora, LoraCode, LoraState
from bot.core.messages import Reply
from bot.services import access, generation_options
from bot.services.accounts import PreferencesService
from bot.services.context import ServiceContext
from bot.services.generation import NO_STYLE, GenerationService
from bot.texts import translate
from bot.texts.results import choose_code, draft_card, draft_styles

#: A wish that says nothing yet.
EMPTY_PARAMS = GenerationParams("")


class DraftService:
    """Keeps one draft a person; it survives restarts and is forgotten after an hour."""

    def __init__(
        self, context: ServiceContext, generations: GenerationService, preferences: PreferencesService
    ) -> None:
        self._context = context
        self._generations = generations
        self._preferences = preferences

    async def start_draft(
        self,
        account: AccountId,
        address: ChatAddress,
        code_text: str = "",
        params: GenerationParams = EMPTY_PARAMS,
    ) -> Reply:
        """Ask for what a wish lacks, code or words; the only LoraCode that can draw is no question."""
        params = await self._preferences.apply_defaults(account, generation_options.validate_draft(params))
        if params.style and params.style.lower() != NO_STYLE:
            params = replace(params, style=self._context.styles.resolve(params.style).name)
        if code_text:
            code = generation_options.read_code(code_text)
        else:
            ready_loras = await self._require_ready_loras(account)
            if len(ready_loras) > 1:
                return await self._ask_code(Draft(account, ready_loras[0].code, params, address), ready_loras)
            code = ready_loras[0].code
        return replace(await self._continue_draft(Draft(account, code, params, address)), edits_message=False)

    async def start_with_code(self, account: AccountId, address: ChatAddress, code: LoraCode) -> Reply:
        """Begin with a LoraCode."""
        params = await self._preferences.apply_defaults(account, EMPTY_PARAMS)
        return await self._continue_draft(Draft(account, code, params, address))

    async def handle_button(self, account: AccountId, address: ChatAddress, action: str) -> Reply:
        """Do what a button of the draft says: `style`, `style=oil`, `size=…`, `n=2`, `code=…`, `drop`."""
        draft = await self._require_draft(account)
        option, _, value = action.partition("=")
        match option:
            case "drop":
                await self._context.database.results.delete_draft(account)
                return Reply(translate("draft-dropped"), edits_message=True)
            case "code":
                return await self._continue_draft(
                    replace(draft, code=generation_options.read_code(value), address=address)
                )
            case "style" if action == "style":
                return draft_styles(self._context.styles.search(""), draft.params.style)
            case "style":
                style = self._context.styles.resolve(value).name if value else ""
                params = replace(draft.params, style=style)
            case "size":
                params = generation_options.with_size(draft.params, value)
            case "n" if value.isdecimal() and len(value) == 1:
                params = replace(draft.params, count=int(value), best=False)
            case _:
                raise UserError(translate("stale-button"))
        return await self._save_draft(Draft(account, draft.code, params, address))

    async def get_prompt(self, account: AccountId) -> str:
        """Give the words that a draft has so far."""
        return (await self._require_draft(account)).params.prompt

    async def generate_with_prompt(self, account: AccountId, address: ChatAddress, text: str) -> Reply | None:
        """Draw the draft with these words; None when there is no draft on this platform."""
        draft = await self._context.database.results.get_draft(account)
        if draft is None or draft.address.platform is not address.platform:
            return None
        params = generation_options.parse_prompt(text, draft.params)
        return await self._generations.generate(account, address, draft.code, params, draft)

    async def _require_draft(self, account: AccountId) -> Draft:
        draft = await self._context.database.results.get_draft(account)
        if draft is None:
            raise UserError(translate("draft-gone"))
        return draft

    async def _require_ready_loras(self, account: AccountId) -> list[Lora]:
        loras = await self._context.database.loras.list_for_account(account)
        loras += [lora for lora, _ in await self._context.database.sharing.list_shared_with(account)]
        ready_loras = [lora for lora in loras if lora.state is LoraState.READY]
        if not ready_loras:
            raise UserError(translate("no-ready-code"))
        return ready_loras

    async def _ask_code(self, draft: Draft, ready_loras: Sequence[Lora]) -> Reply:
        """Ask for the code; what was said besides waits in the draft for it."""
        if draft.params == await self._preferences.apply_defaults(draft.account, EMPTY_PARAMS):
            return choose_code(ready_loras)
        await self._context.database.results.save_draft(draft)
        return choose_code(ready_loras, is_draft=True)

    async def _continue_draft(self, draft: Draft) -> Reply:
        """Draw what has its code and its words; ask for the words otherwise."""
        await access.require_usable_lora(
            self._context.database, draft.account, draft.code, self._context.clock()
        )
        if not draft.params.prompt:
            return await self._save_draft(draft)
        await self._context.database.results.save_draft(draft)
        return await self._generations.generate(draft.account, draft.address, draft.code, draft.params, draft)

    async def _save_draft(self, draft: Draft) -> Reply:
        await self._context.database.results.save_draft(draft)
        style = self._context.styles.get(draft.params.style)
        return draft_card(draft, style.localized_label if style is not None else "")
