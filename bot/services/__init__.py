"""What a person can do. Every method gives the Reply to show, or raises UserError with the sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import replace

from bot.core.accounts import AccountId, ChatAddress, Identity, Platform
from bot.core.errors import UnknownCode, UserError
from bot.core.jobs import GenerationParams, JobId
from bot.core.loras import LoraCode, LoraState, format_code
from bot.core.messages import PhotoInput, Reply, Suggestion, Upload
from bot.services import access, generation_options
from bot.services.access import AccessPolicy, CodeGuessLimiter, limit_wrong_codes
from bot.services.accounts import AccountLinkService, AccountService, PreferencesService, use_user_language
from bot.services.admin import AdminService
from bot.services.context import ServiceContext, UploadDecoder
from bot.services.drafts import DraftService
from bot.services.generation import GenerationService
from bot.services.jobs import ContinuationService, JobService
from bot.services.loras import LoraService
from bot.services.photo_sets import TRAIN_PAYLOAD, PhotoSetService
from bot.services.results import ResultService
from bot.services.sharing import ReportService, SharingService, make_requester
from bot.services.updates import UpdateInbox
from bot.texts import translate
from bot.texts.commands import help_text
from bot.texts.photo_sets import consent_question

MAX_CHOICES = 25
_JOB_ACTION = re.compile(r"(cancel|again|edit|recipe|delete|delete!):([0-9]{1,15})")
_LORA_ACTION = re.compile(r"(code|export|likeness|more|rename|remove|remove!):([0-9]{8})")
_PICTURE_ACTION = re.compile(r"(vary|large):([0-9]{1,15}):([1-9])")


@use_user_language
@limit_wrong_codes
class Services:
    """The use cases. `admins` may ask for `status` and the like."""

    def __init__(self, context: ServiceContext, decoder: UploadDecoder, admins: Set[Identity]) -> None:
        context = replace(context, rules=replace(context.rules, admins=context.rules.admins | admins))
        self._database = context.database
        self._styles = context.styles
        self._clock = context.clock
        self._admins = context.rules.admins
        self._moderator = context.moderator
        self._guess_limiter = CodeGuessLimiter()
        self.update_inbox = UpdateInbox(context.database, context.queue)
        self._access_policy = AccessPolicy(context)
        self._admin_service = AdminService(context)
        self._generations = GenerationService(context)
        self._results = ResultService(context)
        self._preferences = PreferencesService(context)
        self._drafts = DraftService(context, self._generations, self._preferences)
        self._jobs = JobService(context)
        self._accounts = AccountService(context)
        self._account_links = AccountLinkService(context)
        self._sharing = SharingService(context)
        self._reports = ReportService(context)
        self._photo_sets = PhotoSetService(context, decoder)
        self._continuation = ContinuationService(context, self._photo_sets)
        self._loras = LoraService(context, self._results, self._continuation)

    async def start_chat(self, who: Identity, address: ChatAddress, text: str = "") -> Reply:
        """Say what will happen, and ask for consent where it lacks; `text` may be a word that opens more."""
        await self._access_policy.redeem_invite_token(who, text)
        account = await self._access_policy.require_account(who)
        share_reply = await self._sharing.redeem_token(make_requester(who, account, address), text)
        if (
            share_reply is None
            and text.strip() == TRAIN_PAYLOAD
            and await self._database.photos.count_collected(account)
        ):
            return await self._photo_sets.start_training(who, account, address)
        return share_reply or await self._photo_sets.show_welcome(who, account, address)

    async def count_wrong_code(self, who: Identity) -> bool:
        """Count a code that is not somebody's own; False when it was one too many."""
        return self._guess_limiter.record_wrong_code(
            await self._database.accounts.get_or_create(who), self._clock()
        )

    async def language_of(self, who: Identity) -> str:
        """Give the language, or the locale, that a person is spoken to in."""
        return await self._database.accounts.get_language(who)

    async def show_help(self, who: Identity) -> Reply:
        """List the commands."""
        return help_text(who.platform, who in self._admins)

    async def get_consent_question(self, who: Identity) -> Reply | None:
        """Give the question that comes before any photo; None when it was answered."""
        try:
            needs_consent = await self._photo_sets.needs_consent(
                who, await self._access_policy.require_account(who)
            )
        except UserError as error:
            return Reply(error.message)
        return consent_question(0) if needs_consent else None

    async def start_training(self, who: Identity, address: ChatAddress) -> Reply:
        """Say which photos are missing or how to send them; start when exactly five are there."""
        return await self._photo_sets.start_training(
            who, await self._access_policy.require_account(who), address
        )

    async def require_access(self, who: Identity) -> None:
        """UserError for somebody whose photos need not even be fetched: they may not use the bot."""
        await self._access_policy.require_account(who)

    async def predecode_photo(self, who: Identity, upload: Upload) -> PhotoInput:
        """Open a photo while the rest of its album is on its way: `add_photos` has less left to do then."""
        return await self._photo_sets.predecode_photo(
            who, await self._access_policy.require_account(who), upload
        )

    async def add_photos(self, who: Identity, address: ChatAddress, uploads: Sequence[PhotoInput]) -> Reply:
        """Take the photos of one message or album; exactly five in the set start its training."""
        return await self._photo_sets.add_photos(
            who, await self._access_policy.require_account(who), address, uploads
        )

    async def train_first_five(self, who: Identity, address: ChatAddress) -> Reply:
        """Train on the first five of a set that came too large."""
        return await self._photo_sets.train_first_five(
            who, await self._access_policy.require_account(who), address
        )

    async def discard_photos(self, who: Identity, address: ChatAddress) -> Reply:
        """Delete the photos of the set that is being collected."""
        return await self._photo_sets.discard_photos(await self._access_policy.require_account(who), address)

    async def get_set_message(self, who: Identity, address: ChatAddress) -> str | None:
        """Name the message in a chat that shows the set which is being collected, if one does."""
        photo_set = await self._database.photos.get_set(await self._database.accounts.get_or_create(who))
        return photo_set.card_message_id if photo_set.address == address else None

    async def record_set_message(self, who: Identity, message_id: str) -> None:
        """Remember which message shows the set, in the chat where its photos came."""
        await self._database.photos.save_set_message(
            await self._database.accounts.get_or_create(who), message_id
        )

    async def describe_ended_set(self, who: Identity) -> str | None:
        """Say what became of the set that was being shown; None when it is still collected."""
        return await self._photo_sets.describe_ended_set(await self._database.accounts.get_or_create(who))

    async def generate_from_text(self, who: Identity, address: ChatAddress, text: str) -> Reply:
        """Draw what was typed after `/generate`; nothing typed opens a draft."""
        account = await self._access_policy.require_account(who)
        if not generation_options.clean_text(text):
            return await self._drafts.start_draft(account, address)
        command = generation_options.parse(text)
        if generation_options.starts_with_two_numbers(text):  # they need not be meant as a code
            try:
                await access.require_usable_lora(self._database, account, command.code, self._clock())
            except UnknownCode as error:
                raise UnknownCode(
                    translate(
                        "unknown-code-of-numbers",
                        code=format_code(command.code),
                        first=command.code[:4],
                        second=command.code[4:],
                    )
                ) from error
        params = await self._preferences.apply_defaults(account, command.params)
        return await self._generations.generate(account, address, command.code, params)

    async def generate(
        self, who: Identity, address: ChatAddress, code_text: str, params: GenerationParams
    ) -> Reply:
        """Draw pictures with a LoraCode of one's own; without a code or a prompt, ask for it by buttons."""
        if not (code_text and params.prompt):
            return await self._drafts.start_draft(
                await self._access_policy.require_account(who), address, code_text, params
            )
        code, params = generation_options.read_code(code_text), generation_options.validate(params)
        account = await self._access_policy.require_account(who)
        params = await self._preferences.apply_defaults(account, params)
        return await self._generations.generate(account, address, code, params)

    async def handle_text(self, who: Identity, address: ChatAddress, text: str) -> Reply | None:
        """Take a message that is no command: a name, a prompt or a word, if one is waited for; else None."""
        if await self._access_policy.redeem_invite_token(who, text):
            return await self.start_chat(who, address)
        account = await self._access_policy.require_account(who)
        share_reply = await self._sharing.redeem_token(make_requester(who, account, address), text)
        if share_reply is not None:
            return share_reply
        answer_reply = await self._answer_question(account, address, text)
        return answer_reply or await self._drafts.generate_with_prompt(account, address, text)

    async def show_result(self, who: Identity, address: ChatAddress, text: str) -> Reply:
        """Bring a result of one's own back, by its number."""
        reply = await self._results.show_result(await self._access_policy.require_account(who), address, text)
        return await self._moderator.filter_reply(address, reply)

    async def export_lora(self, who: Identity, address: ChatAddress, text: str) -> Reply:
        """Hand the owner of a LoraCode its LoRA file."""
        return await self._results.export_lora(await self._access_policy.require_account(who), address, text)

    async def get_prompt(self, who: Identity, job_id: int) -> str:
        """Give the prompt of a result of one's own, to be written anew."""
        return await self._generations.get_prompt(
            await self._access_policy.require_account(who), JobId(job_id)
        )

    async def generate_edited(self, who: Identity, address: ChatAddress, job_id: int, text: str) -> Reply:
        """Draw a result's wish with other words and another seed."""
        return await self._generations.generate_edited(
            await self._access_policy.require_account(who), address, JobId(job_id), text
        )

    async def get_draft_prompt(self, who: Identity) -> str:
        """Give the prompt that the draft has so far."""
        return await self._drafts.get_prompt(await self._access_policy.require_account(who))

    async def generate_draft(self, who: Identity, address: ChatAddress, text: str) -> Reply:
        """Draw the draft with these words."""
        reply = await self._drafts.generate_with_prompt(
            await self._access_policy.require_account(who), address, text
        )
        if reply is None:
            raise UserError(translate("draft-gone"))
        return reply

    async def suggest_codes(self, who: Identity, query: str) -> list[Suggestion]:
        """Offer the LoraCodes that a person can draw with, at most 25: their own first, the newest first."""
        account = await self._database.accounts.get_or_create(who)
        digits = "".join(char for char in query if char.isdigit())
        loras = await self._database.loras.list_for_account(account)
        loras += [lora for lora, _ in await self._database.sharing.list_shared_with(account)]
        ready_loras = [each for each in loras if each.state is LoraState.READY]
        choices = [
            Suggestion(format_code(each.code), each.code) for each in ready_loras if digits in each.code
        ]
        return choices[:MAX_CHOICES]

    def suggest_styles(self, query: str) -> list[Suggestion]:
        """Offer styles, at most 25."""
        return self._styles.search(query)[:MAX_CHOICES]

    async def list_loras(self, who: Identity, address: ChatAddress) -> Reply:
        """List one's LoraCodes."""
        return await self._loras.list_loras(await self._access_policy.require_account(who), address)

    async def continue_training(self, who: Identity, address: ChatAddress, text: str) -> Reply:
        """Train a LoraCode further, for so many steps."""
        return await self._continuation.continue_from_text(
            await self._access_policy.require_account(who), address, text
        )

    async def replace_photo(self, who: Identity, address: ChatAddress, text: str) -> Reply:
        """Swap one photo of a LoraCode, by its number, and train it further."""
        return await self._continuation.replace_photo(
            await self._access_policy.require_account(who), address, text
        )

    async def request_access(self, who: Identity, address: ChatAddress, text: str) -> Reply:
        """Ask the owner of a LoraCode whether one may draw with it; the word of a link may stand for it."""
        account = await self._access_policy.require_account(who)
        return await self._sharing.request_access(make_requester(who, account, address), text)

    async def report_lora(self, who: Identity, address: ChatAddress, text: str) -> Reply:
        """Tell the administrators of a LoraCode."""
        return await self._reports.report_lora(who, await self._access_policy.require_account(who), text)

    async def cancel_job(self, who: Identity, text: str = "") -> Reply:
        """Stop the newest open job, or that of a code."""
        return await self._jobs.cancel_latest(await self._access_policy.require_account(who), text)

    async def show_queue(self, who: Identity) -> Reply:
        """List a person's open jobs, with their places in line."""
        return await self._jobs.show_queue(await self._access_policy.require_account(who))

    async def link_accounts(self, who: Identity, address: ChatAddress, text: str) -> Reply:
        """Show the word that joins accounts, or join by one."""
        account = await self._access_policy.require_account(who, is_linking=True)
        return await self._account_links.link_accounts(account, address, text)

    async def show_settings(self, who: Identity) -> Reply:
        """Show what a person set for where they say nothing."""
        return await self._preferences.show_settings(await self._access_policy.require_account(who))

    async def show_privacy(self, who: Identity) -> Reply:
        """Say what is kept of a person."""
        return await self._accounts.show_privacy(await self._database.accounts.get_or_create(who))

    async def ask_to_erase(self, who: Identity) -> Reply:
        """Ask whether everything of a person shall be deleted."""
        return await self._accounts.ask_to_erase(await self._database.accounts.get_or_create(who))

    async def run_admin_command(self, who: Identity, command: str, text: str = "") -> Reply:
        """Do what an administrator says; to others there is no such command."""
        return await self._admin_service.run_command(who, command, text)

    def is_admin(self, identity: Identity) -> bool:
        """Say whether there are commands of administrators for somebody."""
        return identity in self._admins

    def list_admins(self, platform: Platform) -> list[Identity]:
        """List the administrators on a platform."""
        return sorted((identity for identity in self._admins if identity.platform is platform), key=str)

    async def handle_button(self, who: Identity, address: ChatAddress, action: str) -> Reply:
        """Do what a button says; what it is about must belong to the person who pressed."""
        if action.startswith("forgetme!:"):
            return await self._accounts.erase_account(who, action)
        account = await self._access_policy.require_account(who)
        if (match := _JOB_ACTION.fullmatch(action)) is not None:
            return await self._handle_job_button(account, address, match[1], JobId(int(match[2])))
        if (match := _PICTURE_ACTION.fullmatch(action)) is not None:
            generate_from_picture = (
                self._generations.generate_variations if match[1] == "vary" else self._generations.enlarge
            )
            return await generate_from_picture(account, address, JobId(int(match[2])), int(match[3]))
        if (match := _LORA_ACTION.fullmatch(action)) is not None:
            return await self._loras.handle_button(account, address, match[1], LoraCode(match[2]))
        action_name, _, value = action.partition(":")
        match action_name:
            case "use" | "draw":  # the notice that a LoraCode is ready stays as it is
                reply = await self._drafts.start_with_code(account, address, LoraCode(value))
                return replace(reply, edits_message=action_name == "use")
            case "draft":
                return await self._drafts.handle_button(account, address, value)
            case "share" | "invite" | "uninvite":
                return await self._sharing.handle_button(account, address, action)
            case "settings":
                return await self._preferences.handle_button(who, account, action)
            case "set":
                return await self._photo_sets.handle_button(account, address, value)
        return await self._handle_plain_button(who, account, address, action)

    async def has_card(self, job_id: JobId) -> bool:
        """Say whether a message shows a job's progress already."""
        job = await self._database.jobs.get(job_id)
        return job is not None and job.card_message_id is not None

    async def record_card(self, job_id: JobId, message_id: str) -> None:
        """Remember which message shows a job's progress."""
        await self._database.results.save_card_message(job_id, message_id)

    async def record_copy(self, job_id: JobId, address: ChatAddress, message_id: str) -> None:
        """Remember a further message that shows a result."""
        await self._results.record_copy(job_id, address, message_id)

    async def _answer_question(self, account: AccountId, address: ChatAddress, text: str) -> Reply | None:
        question = await self._database.accounts.get_question(account)
        if question is None or question.platform is not address.platform:
            return None
        if question.subject == "set":
            reply = await self._photo_sets.set_name(account, address, text)
        else:
            reply = await self._loras.rename_lora(account, question.subject, text)
        await self._database.accounts.delete_question(account)
        return reply

    async def _handle_plain_button(
        self, identity: Identity, account: AccountId, address: ChatAddress, action: str
    ) -> Reply:
        match action:
            case "first5":
                return await self.train_first_five(identity, address)
            case "restart":
                return await self.discard_photos(identity, address)
            case "codes":
                return await self.list_loras(identity, address)
            case "codes:all":
                return replace(await self.list_loras(identity, address), edits_message=True)
            case "consent":
                return await self._photo_sets.record_consent(account, address)
        raise UserError(translate("stale-button"))

    async def _handle_job_button(
        self, account: AccountId, address: ChatAddress, action_name: str, job_id: JobId
    ) -> Reply:
        match action_name:
            case "again":
                return await self._generations.generate_again(account, address, job_id)
            case "edit":
                return await self._generations.start_edit(account, address, job_id)
            case "recipe":
                return await self._results.show_recipe(account, job_id)
            case "delete":
                return await self._results.ask_to_delete(account, job_id)
            case "delete!":
                return await self._results.delete_result(account, job_id)
        return await self._jobs.cancel_job(account, job_id)
