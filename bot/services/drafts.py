"""`/generate` alone: what a person chooses by buttons, until the next plain message is the prompt.

`/compare`: one prompt and one seed at several strengths, so that people see which one to choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bot.core.accounts import AccountId
from bot.core.errors import UnknownCode, UserError
from bot.core.jobs import Draft
from bot.core.loras import Lora, LoraCode, LoraState, format_code, parse_code, split_code
from bot.core.messages import Reply, Request
from bot.core.prompts import FACE_PROMPT
from bot.services import access, generation_options
from bot.services.accounts import PreferencesService
from bot.services.context import ServiceContext
from bot.services.generation import GenerationService
from bot.texts import translate
from bot.texts.cards import ask_to_draw, choose_code, draft_card, draft_styles
from bot.texts.commands import usage_example
from bot.texts.words import example_command, reads_like_talk

COMPARED_STRENGTHS = (0.6, 0.8, 1.0)


class DraftService:
    """Keeps one draft for each person; it survives restarts and is forgotten after an hour."""

    def __init__(
        self, context: ServiceContext, generations: GenerationService, preferences: PreferencesService
    ) -> None:
        self._context = context
        self._generations = generations
        self._preferences = preferences

    async def generate_from_text(self, request: Request) -> Reply:
        """Generate what was typed after `/generate`; a code or a prompt that lacks is asked for."""
        labels = self._context.styles.labels
        code_text, prompt_text = generation_options.find_code(request.text)
        code = parse_code(code_text)
        if not code_text or code is not None:
            params = generation_options.parse_draft(prompt_text, style_labels=labels)
            if not code_text or not (params.prompt or params.negative):
                return await self.start_draft(replace(request, text=code or "", params=params))
        usage = example_command(request.identity.platform)
        account, command = request.account, generation_options.parse(request.text, labels, usage)
        if generation_options.starts_with_two_numbers(request.text):  # they need not be meant as a code
            try:
                await access.require_usable_lora(
                    self._context.database, account, command.code, self._context.clock()
                )
            except UnknownCode as error:
                raise UnknownCode(
                    translate(
                        "unknown-code-of-numbers",
                        code=format_code(command.code),
                        first=command.code[:4],
                        second=command.code[4:],
                    )
                ) from error
        params = self._preferences.apply_defaults(request, command.params)
        return await self._generations.generate(request, command.code, params)

    async def generate_from_options(self, request: Request) -> Reply:
        """Generate with typed options, the code as the text; what lacks of code and prompt is asked for."""
        request = self._read_fields(request)
        params = request.params or generation_options.EMPTY_PARAMS
        if not (request.text and params.prompt):
            return await self.start_draft(request)
        code, params = _read_code(request), generation_options.validate(params)
        params = self._preferences.apply_defaults(request, params)
        return await self._generations.generate(request, code, params)

    def _read_fields(self, request: Request) -> Request:
        """Return the request of a form or a command with fields as if it had been typed: options and a code
        may stand in the prompt, and a prompt behind the code.
        """
        params = request.params or generation_options.EMPTY_PARAMS
        code_text, rest = split_code(generation_options.clean_text(request.text))
        code = parse_code(code_text)
        prompt = " ".join(filter(None, (rest if code else "", params.prompt)))
        if not request.text:
            prompt_code, prompt_rest = split_code(generation_options.clean_text(prompt))
            code = parse_code(prompt_code)
            prompt = prompt_rest if code else prompt
        params = generation_options.parse_draft(prompt, params, self._context.styles.labels)
        return replace(request, text=code or request.text, params=params)

    async def start_draft(self, request: Request) -> Reply:
        """Return the reply that asks for the code or the prompt that lacks; the only LoraCode that can draw
        is no question.
        """
        account, address = request.account, request.address
        params = generation_options.validate_draft(request.params or generation_options.EMPTY_PARAMS)
        params = self._preferences.apply_defaults(request, params)
        if params.style and params.style.lower() != generation_options.NO_STYLE:
            params = replace(params, style=self._context.styles.resolve(params.style).name)
        if request.text:
            code = _read_code(request)
        else:
            ready_loras = await self._require_ready_loras(account)
            if len(ready_loras) > 1:
                return await self._ask_code(
                    request, Draft(account, ready_loras[0].code, params, address), ready_loras
                )
            code = ready_loras[0].code
        reply = await self._continue_draft(request, Draft(account, code, params, address))
        return replace(reply, edits_message=False)

    async def start_with_code(self, request: Request) -> Reply:
        """Start a draft with the LoraCode of a button, in the message of the button."""
        params = self._preferences.apply_defaults(request, generation_options.EMPTY_PARAMS)
        draft = Draft(request.account, LoraCode(request.arguments[0]), params, request.address)
        return replace(await self._continue_draft(request, draft), edits_message=True)

    async def start_after_notice(self, request: Request) -> Reply:
        """Start a draft likewise; the notice that a LoraCode is ready stays as it is."""
        return replace(await self.start_with_code(request), edits_message=False)

    async def handle_button(self, request: Request) -> Reply:
        """Do what a button of the draft says: `style`, `style=oil`, `size=…`, `n=2`, `code=…`, `drop`."""
        access.require_own_button(request)
        account, address, action = request.account, request.address, request.arguments[1]
        draft = _require_draft(request)
        option, _, value = action.partition("=")
        match option:
            case "drop":
                return await self.drop_draft(request)
            case "code":
                return await self._continue_draft(
                    request, replace(draft, code=generation_options.read_code(value), address=address)
                )
            case "draw" if draft.params.prompt:
                return await self._generations.generate(request, draft.code, draft.params, draft)
            case "style" if action == "style":
                return draft_styles(draft, self._context.styles.search(""))
            case "style":
                style = self._context.styles.resolve(value).name if value else ""
                params = replace(draft.params, style=style)
            case "size":
                params = generation_options.with_size(draft.params, value)
            case "n" if value.isdecimal() and len(value) == 1:
                params = replace(draft.params, count=int(value), best=False)
            case _:
                raise UserError(translate("stale-button"))
        message_ids = draft.message_ids if draft.address == address else ""
        return await self._save_draft(Draft(account, draft.code, params, address, message_ids))

    async def drop_draft(self, request: Request) -> Reply:
        """Delete the draft."""
        await self._context.database.results.delete_draft(request.account)
        return Reply(translate("draft-dropped"), edits_message=True)

    async def get_prompt(self, request: Request) -> str:
        """Return the prompt that a draft has so far."""
        return _require_draft(request).params.prompt

    async def generate_draft(self, request: Request) -> Reply:
        """Generate the draft with the prompt of a form."""
        draft = request.account_state.draft
        if draft is None or draft.address.platform is not request.address.platform:
            raise UserError(translate("draft-gone"))
        return await self._generate_with_words(request, draft)

    async def generate_with_prompt(self, request: Request) -> Reply | None:
        """Generate the draft with a message; return None when no draft waits for it.

        What reads like talk is asked about first, unless it replies to the draft.
        """
        draft = request.account_state.draft
        if draft is None or not request.answers(draft):
            return None
        if not request.replied_message_id and reads_like_talk(request.text):
            return await self.ask_to_draw(request, draft)
        return await self._generate_with_words(request, draft)

    async def ask_to_draw(self, request: Request, draft: Draft) -> Reply:
        """Return the question whether the words of a message are the prompt of a draft."""
        params = generation_options.parse_prompt(request.text, draft.params, self._context.styles.labels)
        draft = replace(draft, params=params)
        await self._context.database.results.save_draft(draft)
        return ask_to_draw(draft)

    async def _generate_with_words(self, request: Request, draft: Draft) -> Reply:
        code = parse_code(generation_options.clean_text(request.text))
        if code is not None and draft.params.prompt:  # the prompt is there, and the LoraCode was asked for
            reply = await self._continue_draft(request, replace(draft, code=code, address=request.address))
            return replace(reply, edits_message=False)
        params = generation_options.parse_prompt(request.text, draft.params, self._context.styles.labels)
        return await self._generations.generate(request, draft.code, params, draft)

    async def _require_ready_loras(self, account: AccountId) -> list[Lora]:
        loras = await self._context.database.loras.list_for_account(account)
        loras += [lora for lora, _ in await self._context.database.sharing.list_shared_with(account)]
        ready_loras = [lora for lora in loras if lora.state is LoraState.READY]
        if not ready_loras:
            raise UserError(translate("no-ready-code"))
        return ready_loras

    async def _ask_code(self, request: Request, draft: Draft, ready_loras: Sequence[Lora]) -> Reply:
        """Return the reply that asks for the code; what was said besides waits in the draft for it."""
        if draft.params == self._preferences.apply_defaults(request, generation_options.EMPTY_PARAMS):
            return choose_code(request.account, ready_loras)
        await self._context.database.results.save_draft(draft)
        return choose_code(request.account, ready_loras, is_draft=True)

    async def _continue_draft(self, request: Request, draft: Draft) -> Reply:
        """Generate a draft that has its code and its prompt; otherwise ask for the prompt."""
        await access.require_usable_lora(
            self._context.database, draft.account, draft.code, self._context.clock()
        )
        if not draft.params.prompt:
            return await self._save_draft(draft)
        await self._context.database.results.save_draft(draft)
        return await self._generations.generate(request, draft.code, draft.params, draft)

    async def _save_draft(self, draft: Draft) -> Reply:
        await self._context.database.results.save_draft(draft)
        style = self._context.styles.get(draft.params.style)
        return draft_card(draft, style.localized_label if style is not None else "")


class ComparisonService:
    """Queues a picture that shows a LoraCode at several strengths."""

    def __init__(
        self, context: ServiceContext, generations: GenerationService, preferences: PreferencesService
    ) -> None:
        self._context, self._generations, self._preferences = context, generations, preferences

    async def compare_strengths(self, request: Request) -> Reply:
        """Draw what was typed after `/compare` at each strength, as one picture."""
        if not self._context.rules.allows_compare:
            raise UserError(translate("compare-off"))
        code_text, prompt = generation_options.find_code(request.text)
        usage = usage_example(request.identity.platform, "compare")
        code = generation_options.read_code(code_text, usage)
        params = generation_options.parse_draft(prompt, style_labels=self._context.styles.labels)
        params = replace(
            self._preferences.apply_defaults(request, params),
            prompt=params.prompt or FACE_PROMPT,
            strengths=COMPARED_STRENGTHS,
            strength=None,
            count=len(COMPARED_STRENGTHS),
            best=False,
        )
        return await self._generations.generate(request, code, generation_options.validate(params))


def _read_code(request: Request) -> LoraCode:
    return generation_options.read_code(request.text, example_command(request.identity.platform))


def _require_draft(request: Request) -> Draft:
    draft = request.account_state.draft
    if draft is None:
        raise UserError(translate("draft-gone"))
    return draft
