"""The use cases as a chat reaches them, with a method for each thing that people do in the tests."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from typing import Any

from bot.chats.base import enter, handle, handle_action, handle_command
from bot.chats.commands import find_command
from bot.core.accounts import ChatAddress, Identity
from bot.core.errors import UserError
from bot.core.jobs import GenerationParams, JobId
from bot.core.messages import PhotoInput, Reply, Request, Suggestion, Upload, UseCase
from bot.services import Services, make_services
from bot.services.access import AccessLevel
from bot.services.context import PhotoDecoder, ServiceContext
from bot.texts import translate_to


class Apology(AssertionError):
    """The answer to a request that failed unexpectedly: the log says why."""


class Studio:
    """The use cases behind the entry of all requests; a refusal is raised, so that a test can expect it."""

    def __init__(self, context: ServiceContext, decoder: PhotoDecoder, admins: Set[Identity]) -> None:
        rules = replace(context.rules, admins=context.rules.admins | admins)
        self.services = make_services(replace(context, rules=rules), decoder)

    @classmethod
    def over(cls, services: Services) -> Studio:
        """Return the use cases of a front end that runs."""
        studio = cls.__new__(cls)
        studio.services = services
        return studio

    async def ask(
        self,
        use_case: UseCase,
        who: Identity,
        place: ChatAddress | None = None,
        level: AccessLevel = AccessLevel.PERSON,
        **details: Any,
    ) -> Reply:
        request = Request(who, place or who.private_address, **details)
        return checked(await handle(self.services, use_case, request, level))

    async def say(
        self, who: Identity, place: ChatAddress | None, name: str, text: str = "", key: str = ""
    ) -> Reply:
        """Send a command."""
        command = find_command(name)
        if command is None:
            raise UserError(translate_to("en", "unknown-command"))
        request = Request(who, place or who.private_address, text=text, idempotency_key=key)
        return checked(await handle_command(self.services, command, request))

    async def start_chat(self, who: Identity, place: ChatAddress, text: str = "") -> Reply:
        return await self.say(who, place, "start", text)

    async def show_help(self, who: Identity) -> Reply:
        return await self.say(who, None, "help")

    async def start_training(self, who: Identity, place: ChatAddress) -> Reply:
        return await self.say(who, place, "train")

    async def generate_from_text(self, who: Identity, place: ChatAddress, text: str) -> Reply:
        return await self.say(who, place, "generate", text)

    async def show_result(self, who: Identity, place: ChatAddress, text: str) -> Reply:
        return await self.say(who, place, "show", text)

    async def export_lora(self, who: Identity, place: ChatAddress, text: str) -> Reply:
        return await self.say(who, place, "export", text)

    async def list_loras(self, who: Identity, place: ChatAddress) -> Reply:
        return await self.say(who, place, "codes")

    async def continue_training(self, who: Identity, place: ChatAddress, text: str) -> Reply:
        return await self.say(who, place, "more", text)

    async def replace_photo(self, who: Identity, place: ChatAddress, text: str) -> Reply:
        return await self.say(who, place, "replace", text)

    async def request_access(self, who: Identity, place: ChatAddress, text: str, key: str = "") -> Reply:
        return await self.say(who, place, "ask", text, key)

    async def report_lora(self, who: Identity, place: ChatAddress, text: str, key: str = "") -> Reply:
        return await self.say(who, place, "report", text, key)

    async def cancel_job(self, who: Identity, text: str = "") -> Reply:
        return await self.say(who, None, "cancel", text)

    async def show_queue(self, who: Identity) -> Reply:
        return await self.say(who, None, "queue")

    async def link_accounts(self, who: Identity, place: ChatAddress, text: str) -> Reply:
        return await self.say(who, place, "link", text)

    async def show_settings(self, who: Identity) -> Reply:
        return await self.say(who, None, "settings")

    async def show_privacy(self, who: Identity) -> Reply:
        return await self.say(who, None, "privacy")

    async def ask_to_erase(self, who: Identity) -> Reply:
        return await self.say(who, None, "forgetme")

    async def run_admin_command(self, who: Identity, name: str, text: str = "") -> Reply:
        return await self.say(who, None, name, text)

    async def handle_button(self, who: Identity, place: ChatAddress, action: str) -> Reply:
        return checked(await handle_action(self.services, action, Request(who, place)))

    async def add_photos(self, who: Identity, place: ChatAddress, uploads: Sequence[PhotoInput]) -> Reply:
        return await self.ask(self.services.photo_sets.add_photos, who, place, uploads=tuple(uploads))

    async def train_first_five(self, who: Identity, place: ChatAddress) -> Reply:
        return await self.handle_button(who, place, "first5")

    async def discard_photos(self, who: Identity, place: ChatAddress) -> Reply:
        return await self.handle_button(who, place, "restart")

    async def generate(
        self, who: Identity, place: ChatAddress, code_text: str, params: GenerationParams
    ) -> Reply:
        use_case = self.services.drafts.generate_from_options
        return await self.ask(use_case, who, place, text=code_text, params=params)

    async def generate_draft(self, who: Identity, place: ChatAddress, text: str) -> Reply:
        return await self.ask(self.services.drafts.generate_draft, who, place, text=text)

    async def generate_edited(self, who: Identity, place: ChatAddress, job_id: int, text: str) -> Reply:
        use_case = self.services.generation.generate_edited
        return await self.ask(use_case, who, place, text=text, arguments=(str(job_id),))

    async def handle_text(self, who: Identity, place: ChatAddress, text: str, **details: Any) -> Reply | None:
        async def answer_text(request: Request) -> Reply:
            return await self.services.messages.answer_text(request) or Reply("")

        reply = await self.ask(answer_text, who, place, AccessLevel.INVITED, text=text, **details)
        return reply if reply != Reply("") else None

    async def predecode_photo(self, who: Identity, upload: Upload) -> PhotoInput:
        async with enter(self.services, Request(who, who.private_address, uploads=(upload,))) as entered:
            return await self.services.photo_sets.predecode_photo(entered)

    async def get_prompt(self, who: Identity, job_id: int) -> str:
        request = Request(who, who.private_address, arguments=(str(job_id),))
        async with enter(self.services, request) as entered:
            return await self.services.generation.get_prompt(entered)

    async def get_draft_prompt(self, who: Identity) -> str:
        async with enter(self.services, Request(who, who.private_address)) as entered:
            return await self.services.drafts.get_prompt(entered)

    async def suggest_codes(self, who: Identity, query: str) -> list[Suggestion]:
        return await self.services.loras.suggest_codes(who, query)

    def suggest_styles(self, query: str) -> list[Suggestion]:
        return self.services.generation.suggest_styles(query)

    async def get_set_message(self, who: Identity, place: ChatAddress) -> str | None:
        return (await self.services.photo_sets.cards.read(who, place)).message_id

    async def record_set_message(self, who: Identity, message_id: str) -> None:
        await self.services.photo_sets.cards.record(who, message_id)

    async def record_card(self, job_id: JobId, message_id: str) -> None:
        await self.services.jobs.record_card(job_id, message_id)

    async def record_copy(self, job_id: JobId, place: ChatAddress, message_id: str) -> None:
        await self.services.results.record_copy(job_id, place, message_id)


def checked(reply: Reply) -> Reply:
    """Return a reply that is no refusal."""
    if reply.text == translate_to("en", "apology"):
        raise Apology("it broke: see the log")
    if reply.is_refusal:
        raise UserError(reply.text)
    return reply
