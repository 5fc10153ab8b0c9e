"""What a person can do. Every method gives the Reply to show, or raises UserError with the sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import replace

from bot import texts
from bot.core.accounts import AccountId, Identity, Place, Platform
from bot.core.errors import UnknownCode, UserError
from bot.core.jobs import GenerateWish, JobId
from bot.core.loras import LoraCode, LoraState, format_code
from bot.core.messages import Choice, Reply, SentPhoto, Upload
from bot.services import generation_options, ownership
from bot.services.access import Door
from bot.services.accounts import Accounts
from bot.services.admin import Admins
from bot.services.code_guesses import Guesses, counting_wrong_codes
from bot.services.context import Gate, Tools
from bot.services.continuations import Further
from bot.services.drafts import Drafts
from bot.services.generation import Pictures
from bot.services.jobs import OpenJobs
from bot.services.language import in_their_language
from bot.services.linking import Links
from bot.services.loras import Codes
from bot.services.photo_sets import TRAIN_WORD, Collecting
from bot.services.reports import Reports
from bot.services.results import Results
from bot.services.settings import PersonalSettings
from bot.services.sharing import Sharing, asker
from bot.services.updates import Intake

MAX_CHOICES = 25
_OF_A_JOB = re.compile(r"(cancel|again|edit|recipe|delete|delete!):([0-9]{1,15})")
_OF_A_CODE = re.compile(r"(code|export|likeness|more|rename|remove|remove!):([0-9]{8})")
_OF_A_PICTURE = re.compile(r"(vary|large):([0-9]{1,15}):([1-9])")


@in_their_language
@counting_wrong_codes
class Studio:
    """The use cases. `admins` may ask for `status` and the like."""

    def __init__(self, tools: Tools, gate: Gate, admins: Set[Identity]) -> None:
        tools = replace(tools, rules=replace(tools.rules, admins=tools.rules.admins | admins))
        self._ledger = tools.ledger
        self._styles = tools.styles
        self._clock = tools.clock
        self._admins = tools.rules.admins
        self._guard = tools.guard
        self._guesses = Guesses()
        self.intake = Intake(tools.ledger, tools.queue)
        self._door = Door(tools)
        self._office = Admins(tools)
        self._pictures = Pictures(tools)
        self._results = Results(tools)
        self._settings = PersonalSettings(tools)
        self._drafts = Drafts(tools, self._pictures, self._settings)
        self._open_jobs = OpenJobs(tools)
        self._accounts = Accounts(tools)
        self._links = Links(tools)
        self._sharing = Sharing(tools)
        self._reports = Reports(tools)
        self._collecting = Collecting(tools, gate)
        self._further = Further(tools, self._collecting)
        self._codes = Codes(tools, self._results, self._further)

    async def start(self, who: Identity, place: Place, text: str = "") -> Reply:
        """Say what will happen, and ask for consent where it lacks; `text` may be a word that opens more."""
        await self._door.takes_word(who, text)
        account = await self._door.account_of(who)
        shared = await self._sharing.takes_word(asker(who, account, place), text)
        if shared is None and text.strip() == TRAIN_WORD and await self._ledger.held(account):
            return await self._collecting.train(who, account, place)
        return shared or await self._collecting.start(who, account, place)

    async def wrong_code(self, who: Identity) -> bool:
        """Count a code that is not somebody's own; False when it was one too many."""
        return self._guesses.wrong(await self._ledger.account_of(who), self._clock())

    async def language_of(self, who: Identity) -> str:
        """Give the language, or the locale, that a person is spoken to in."""
        return await self._ledger.language_of(who)

    async def help(self, who: Identity) -> Reply:
        """List the commands."""
        return texts.help_text(who.platform, who in self._admins)

    async def consent_question(self, who: Identity) -> Reply | None:
        """Give the question that comes before any photo; None when it was answered."""
        try:
            must = await self._collecting.must_consent(who, await self._door.account_of(who))
        except UserError as refusal:
            return Reply(refusal.sentence)
        return texts.consent_first(0) if must else None

    async def train(self, who: Identity, place: Place) -> Reply:
        """Say which photos are missing or how to send them; start when exactly five are there."""
        return await self._collecting.train(who, await self._door.account_of(who), place)

    async def admit(self, who: Identity) -> None:
        """UserError for somebody whose photos need not even be fetched: they may not use the bot."""
        await self._door.account_of(who)

    async def open_early(self, who: Identity, upload: Upload) -> SentPhoto:
        """Open a photo while the rest of its album is on its way: `add_photos` has less left to do then."""
        return await self._collecting.open_early(who, await self._door.account_of(who), upload)

    async def add_photos(self, who: Identity, place: Place, uploads: Sequence[SentPhoto]) -> Reply:
        """Take the photos of one message or album; exactly five in the set start its training."""
        return await self._collecting.add(who, await self._door.account_of(who), place, uploads)

    async def use_first_five(self, who: Identity, place: Place) -> Reply:
        """Train on the first five of a set that came too large."""
        return await self._collecting.use_first_five(who, await self._door.account_of(who), place)

    async def forget_photos(self, who: Identity, place: Place) -> Reply:
        """Delete the photos of the set that is being collected."""
        return await self._collecting.start_over(await self._door.account_of(who), place)

    async def set_message(self, who: Identity, place: Place) -> str | None:
        """Name the message in a chat that shows the set which is being collected, if one does."""
        photo_set = await self._ledger.photo_set(await self._ledger.account_of(who))
        return photo_set.card_message_id if photo_set.place == place else None

    async def set_shown(self, who: Identity, message_id: str) -> None:
        """Remember which message shows the set, in the chat where its photos came."""
        await self._ledger.set_shown(await self._ledger.account_of(who), message_id)

    async def set_ended(self, who: Identity) -> str | None:
        """Say what became of the set that was being shown; None when it is still collected."""
        return await self._collecting.ended(await self._ledger.account_of(who))

    async def generate_text(self, who: Identity, place: Place, text: str) -> Reply:
        """Draw what was typed after `/generate`; nothing typed opens a draft."""
        account = await self._door.account_of(who)
        if not generation_options.cleaned(text):
            return await self._drafts.begin(account, place)
        asked = generation_options.parse(text)
        if generation_options.begins_with_two_numbers(text):  # they need not be meant as a code
            try:
                await ownership.drawable(self._ledger, account, asked.code, self._clock())
            except UnknownCode as error:
                raise UnknownCode(texts.unknown_code_of_numbers(asked.code)) from error
        wish = await self._settings.applied(account, asked.wish)
        return await self._pictures.draw(account, place, asked.code, wish)

    async def generate(self, who: Identity, place: Place, code_text: str, wish: GenerateWish) -> Reply:
        """Draw pictures with a LoraCode of one's own; without a code or a prompt, ask for it by buttons."""
        if not (code_text and wish.prompt):
            return await self._drafts.begin(await self._door.account_of(who), place, code_text, wish)
        code, wish = generation_options.read_code(code_text), generation_options.checked(wish)
        account = await self._door.account_of(who)
        wish = await self._settings.applied(account, wish)
        return await self._pictures.draw(account, place, code, wish)

    async def plain_text(self, who: Identity, place: Place, text: str) -> Reply | None:
        """Take a message that is no command: a name, a prompt or a word, if one is waited for; else None."""
        if await self._door.takes_word(who, text):
            return await self.start(who, place)
        account = await self._door.account_of(who)
        shared = await self._sharing.takes_word(asker(who, account, place), text)
        if shared is not None:
            return shared
        answered = await self._answer_to_question(account, place, text)
        return answered or await self._drafts.take_prompt(account, place, text)

    async def show(self, who: Identity, place: Place, text: str) -> Reply:
        """Bring a result of one's own back, by its number."""
        shown = await self._results.show(await self._door.account_of(who), place, text)
        return await self._guard.screened(place, shown)

    async def export(self, who: Identity, place: Place, text: str) -> Reply:
        """Hand the owner of a LoraCode its LoRA file."""
        return await self._results.export(await self._door.account_of(who), place, text)

    async def edit_text(self, who: Identity, job_id: int) -> str:
        """Give the prompt of a result of one's own, to be written anew."""
        return await self._pictures.prompt_of(await self._door.account_of(who), JobId(job_id))

    async def edit(self, who: Identity, place: Place, job_id: int, text: str) -> Reply:
        """Draw a result's wish with other words and another seed."""
        return await self._pictures.edited(await self._door.account_of(who), place, JobId(job_id), text)

    async def draft_text(self, who: Identity) -> str:
        """Give the prompt that the draft has so far."""
        return await self._drafts.prompt_of(await self._door.account_of(who))

    async def write_draft(self, who: Identity, place: Place, text: str) -> Reply:
        """Draw the draft with these words."""
        drawn = await self._drafts.take_prompt(await self._door.account_of(who), place, text)
        if drawn is None:
            raise UserError(texts.DRAFT_GONE)
        return drawn

    async def codes_like(self, who: Identity, typed: str) -> list[Choice]:
        """Offer the LoraCodes that a person can draw with, at most 25: their own first, the newest first."""
        account = await self._ledger.account_of(who)
        digits = "".join(char for char in typed if char.isdigit())
        loras = await self._ledger.loras_of(account)
        loras += [lora for lora, _ in await self._ledger.shared_with(account)]
        ready = [each for each in loras if each.state is LoraState.READY]
        fits = [Choice(format_code(each.code), each.code) for each in ready if digits in each.code]
        return fits[:MAX_CHOICES]

    def styles_like(self, typed: str) -> list[Choice]:
        """Offer styles, at most 25."""
        return self._styles.like(typed)[:MAX_CHOICES]

    async def codes(self, who: Identity, place: Place) -> Reply:
        """List one's LoraCodes."""
        return await self._codes.list(await self._door.account_of(who), place)

    async def more(self, who: Identity, place: Place, text: str) -> Reply:
        """Train a LoraCode further, for so many steps."""
        return await self._further.more(await self._door.account_of(who), place, text)

    async def replace_photo(self, who: Identity, place: Place, text: str) -> Reply:
        """Swap one photo of a LoraCode, by its number, and train it further."""
        return await self._further.replace(await self._door.account_of(who), place, text)

    async def ask(self, who: Identity, place: Place, text: str) -> Reply:
        """Ask the owner of a LoraCode whether one may draw with it; the word of a link may stand for it."""
        account = await self._door.account_of(who)
        return await self._sharing.ask(asker(who, account, place), text)

    async def report(self, who: Identity, place: Place, text: str) -> Reply:
        """Tell the administrators of a LoraCode."""
        return await self._reports.report(who, await self._door.account_of(who), text)

    async def cancel(self, who: Identity, text: str = "") -> Reply:
        """Stop the newest open job, or that of a code."""
        return await self._open_jobs.cancel(await self._door.account_of(who), text)

    async def queue(self, who: Identity) -> Reply:
        """List a person's open jobs, with their places in line."""
        return await self._open_jobs.queue(await self._door.account_of(who))

    async def link(self, who: Identity, place: Place, text: str) -> Reply:
        """Show the word that joins accounts, or join by one."""
        account = await self._door.account_of(who, is_joining=True)
        return await self._links.link(account, place, text)

    async def settings(self, who: Identity) -> Reply:
        """Show what a person set for where they say nothing."""
        return await self._settings.show(await self._door.account_of(who))

    async def privacy(self, who: Identity) -> Reply:
        """Say what is kept of a person."""
        return await self._accounts.privacy(await self._ledger.account_of(who))

    async def forgetme(self, who: Identity) -> Reply:
        """Ask whether everything of a person shall be deleted."""
        return await self._accounts.ask_to_forget(await self._ledger.account_of(who))

    async def admin(self, who: Identity, command: str, text: str = "") -> Reply:
        """Do what an administrator says; to others there is no such command."""
        return await self._office.act(who, command, text)

    def is_admin(self, who: Identity) -> bool:
        """Say whether there are commands of administrators for somebody."""
        return who in self._admins

    def admins_on(self, platform: Platform) -> list[Identity]:
        """List the administrators on a platform."""
        return sorted((who for who in self._admins if who.platform is platform), key=str)

    async def press(self, who: Identity, place: Place, action: str) -> Reply:
        """Do what a button says; what it is about must belong to the person who pressed."""
        if action.startswith("forgetme!:"):
            return await self._accounts.forget(who, action)
        account = await self._door.account_of(who)
        if (match := _OF_A_JOB.fullmatch(action)) is not None:
            return await self._press_of_job(account, place, match[1], JobId(int(match[2])))
        if (match := _OF_A_PICTURE.fullmatch(action)) is not None:
            of_picture = self._pictures.vary if match[1] == "vary" else self._pictures.enlarge
            return await of_picture(account, place, JobId(int(match[2])), int(match[3]))
        if (match := _OF_A_CODE.fullmatch(action)) is not None:
            return await self._codes.press(account, place, match[1], LoraCode(match[2]))
        what, _, value = action.partition(":")
        match what:
            case "use" | "draw":  # the notice that a LoraCode is ready stays as it is
                draft = await self._drafts.use(account, place, LoraCode(value))
                return replace(draft, replaces=what == "use")
            case "draft":
                return await self._drafts.choose(account, place, value)
            case "share" | "invite" | "uninvite":
                return await self._sharing.press(account, place, action)
            case "settings":
                return await self._settings.press(who, account, action)
            case "set":
                return await self._collecting.press(account, place, value)
        return await self._press_of_no_thing(who, account, place, action)

    async def has_card(self, job_id: JobId) -> bool:
        """Say whether a message shows a job's progress already."""
        job = await self._ledger.job(job_id)
        return job is not None and job.card_message_id is not None

    async def card_shown(self, job_id: JobId, message_id: str) -> None:
        """Remember which message shows a job's progress."""
        await self._ledger.card_shown(job_id, message_id)

    async def copy_shown(self, job_id: JobId, place: Place, message_id: str) -> None:
        """Remember a further message that shows a result."""
        await self._results.copy_shown(job_id, place, message_id)

    async def _answer_to_question(self, account: AccountId, place: Place, text: str) -> Reply | None:
        question = await self._ledger.question_of(account)
        if question is None or question.platform is not place.platform:
            return None
        if question.about == "set":
            reply = await self._collecting.name(account, place, text)
        else:
            reply = await self._codes.name(account, question.about, text)
        await self._ledger.drop_question(account)
        return reply

    async def _press_of_no_thing(self, who: Identity, account: AccountId, place: Place, action: str) -> Reply:
        match action:
            case "first5":
                return await self.use_first_five(who, place)
            case "restart":
                return await self.forget_photos(who, place)
            case "codes":
                return await self.codes(who, place)
            case "codes:all":
                return replace(await self.codes(who, place), replaces=True)
            case "consent":
                return await self._collecting.consent(account, place)
        raise UserError(texts.STALE_BUTTON)

    async def _press_of_job(self, account: AccountId, place: Place, what: str, job_id: JobId) -> Reply:
        match what:
            case "again":
                return await self._pictures.again(account, place, job_id)
            case "edit":
                return await self._pictures.draft_to_edit(account, place, job_id)
            case "recipe":
                return await self._results.recipe(account, job_id)
            case "delete":
                return await self._results.ask_to_delete(account, job_id)
            case "delete!":
                return await self._results.delete(account, job_id)
        return await self._open_jobs.cancel_one(account, job_id)
