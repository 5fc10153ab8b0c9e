"""What a person can do. Every method gives the Reply to show, or raises UserError with the sentence."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence, Set

from bot import texts, wishes
from bot.domain import (
    MAX_PHOTOS_HELD,
    PHOTOS_PER_LORA,
    TERMINAL,
    AccountId,
    GenerateWish,
    Identity,
    Job,
    JobId,
    JobKind,
    LoraCode,
    LoraState,
    NewPhoto,
    Place,
    TrainWish,
    format_code,
)
from bot.errors import UserError
from bot.eta import estimate
from bot.replies import Choice, Reply, Upload
from bot.studio import _own, _status
from bot.studio._account import Accounts
from bot.studio._album import after, refusals
from bot.studio._drafts import Drafts
from bot.studio._needs import Gate, Tools
from bot.studio._pictures import Pictures
from bot.studio._results import Results

MAX_OPEN_TRAININGS = 2
MAX_CHOICES = 25
_OF_A_JOB = re.compile(r"(cancel|again|edit|recipe|delete|delete!):([0-9]{1,15})")
_OF_A_PICTURE = re.compile(r"(vary|large):([0-9]{1,15}):([1-9])")


class Studio:
    """The use cases. `admins` may ask for `status`."""

    def __init__(self, tools: Tools, gate: Gate, admins: Set[Identity]) -> None:
        self._ledger = tools.ledger
        self._queue = tools.queue
        self._files = tools.files
        self._styles = tools.styles
        self._clock = tools.clock
        self._locks = tools.locks
        self._gate = gate
        self._admins = admins
        self._since = tools.clock()
        self._pictures = Pictures(tools)
        self._results = Results(tools)
        self._drafts = Drafts(tools, self._pictures)
        self._accounts = Accounts(tools)

    async def start(self, who: Identity, place: Place) -> Reply:
        """Say what will happen."""
        return texts.start(place.platform)

    async def help(self, who: Identity) -> Reply:
        """List the commands."""
        return texts.help_text(who.platform, who in self._admins)

    async def train(self, who: Identity, place: Place) -> Reply:
        """Say which photos are missing or how to send them; start when exactly five are there."""
        account = await self._ledger.account_of(who)
        await self._refuse_a_third_training(account)
        held = await self._ledger.held(account)
        if held == PHOTOS_PER_LORA:
            return await self.use_first_five(who, place)
        return texts.collecting(held, place.platform)

    async def add_photos(self, who: Identity, place: Place, uploads: Sequence[Upload]) -> Reply:
        """Take the photos of one message or album; exactly five in the set start its training."""
        if not uploads:
            raise UserError(texts.NO_PHOTO_SENT)
        if len(uploads) > MAX_PHOTOS_HELD:
            raise UserError(texts.too_many_files(len(uploads), MAX_PHOTOS_HELD))
        account = await self._ledger.account_of(who)
        async with self._locks.of(account):
            await self._refuse_a_third_training(account)
            checked = await asyncio.gather(*(self._checked(upload) for upload in uploads))
            photos = [each for each in checked if isinstance(each, NewPhoto)]
            added = await self._ledger.add_photos(account, photos, place, TrainWish())
            # Encoded while the next one is on its way, so that the training can begin with the fifth.
            taken = zip(photos, added.accepted, strict=True)
            self._queue.prepare(photo.data for photo, was_taken in taken if was_taken)
        if added.job is not None:
            reply = await self._started(added.job)
        else:
            reply = texts.collecting(added.held, place.platform)
        return after(refusals(checked, added), reply)

    async def use_first_five(self, who: Identity, place: Place) -> Reply:
        """Train on the first five of a set that came too large."""
        account = await self._ledger.account_of(who)
        async with self._locks.of(account):
            await self._refuse_a_third_training(account)
            held = await self._ledger.held_names(account)
            job = await self._ledger.start_training(account, place, TrainWish())
            if job is not None:
                self._queue.forget(held[PHOTOS_PER_LORA:])
        if job is not None:
            return await self._started(job)
        return texts.collecting(len(held), place.platform) if held else Reply(texts.NO_PHOTOS_HELD)

    async def forget_photos(self, who: Identity) -> Reply:
        """Delete the photos of the set that is being collected."""
        account = await self._ledger.account_of(who)
        async with self._locks.of(account):
            forgotten = await self._ledger.forget_photos(account)
            self._queue.forget(forgotten)
        return texts.photos_forgotten(len(forgotten), who.platform)

    async def generate_text(self, who: Identity, place: Place, text: str) -> Reply:
        """Draw what was typed after `/generate`; nothing typed opens a draft."""
        account = await self._ledger.account_of(who)
        if not wishes.cleaned(text):
            return await self._drafts.open(account, place)
        asked = wishes.parse(text)
        return await self._pictures.draw(account, place, asked.code, asked.wish)

    async def generate(self, who: Identity, place: Place, code_text: str, wish: GenerateWish) -> Reply:
        """Draw pictures with a LoraCode of one's own."""
        code, wish = wishes.read_code(code_text), wishes.checked(wish)
        return await self._pictures.draw(await self._ledger.account_of(who), place, code, wish)

    async def plain_text(self, who: Identity, place: Place, text: str) -> Reply | None:
        """Take a message that is no command: the prompt, when a draft waits for it; None when none does."""
        return await self._drafts.take_prompt(await self._ledger.account_of(who), place, text)

    async def show(self, who: Identity, place: Place, text: str) -> Reply:
        """Bring a result of one's own back, by its number."""
        return await self._results.show(await self._ledger.account_of(who), text)

    async def export(self, who: Identity, place: Place, text: str) -> Reply:
        """Hand the owner of a LoraCode its LoRA file."""
        return await self._results.export(await self._ledger.account_of(who), place, text)

    async def edit_text(self, who: Identity, job_id: int) -> str:
        """Give the prompt of a result of one's own, to be written anew."""
        return await self._pictures.prompt_of(await self._ledger.account_of(who), JobId(job_id))

    async def edit(self, who: Identity, place: Place, job_id: int, text: str) -> Reply:
        """Draw a result's wish with other words and another seed."""
        return await self._pictures.edited(await self._ledger.account_of(who), place, JobId(job_id), text)

    async def codes_like(self, who: Identity, typed: str) -> list[Choice]:
        """Offer one's own LoraCodes that can draw, at most 25, the newest first."""
        account = await self._ledger.account_of(who)
        digits = "".join(char for char in typed if char.isdigit())
        ready = [each for each in await self._ledger.loras_of(account) if each.state is LoraState.READY]
        fits = [Choice(format_code(each.code), each.code) for each in ready if digits in each.code]
        return fits[:MAX_CHOICES]

    def styles_like(self, typed: str) -> list[Choice]:
        """Offer styles, at most 25."""
        return self._styles.like(typed)[:MAX_CHOICES]

    async def codes(self, who: Identity) -> Reply:
        """List one's LoraCodes."""
        account = await self._ledger.account_of(who)
        return texts.codes(await self._ledger.loras_of(account), self._clock(), who.platform)

    async def cancel(self, who: Identity, text: str = "") -> Reply:
        """Stop the newest open job, or that of a code."""
        account = await self._ledger.account_of(who)
        jobs = await self._ledger.open_jobs_of(account)
        nothing = texts.NOTHING_OPEN
        if text.strip():
            lora = await _own.lora(self._ledger, account, wishes.read_code(text))
            jobs = [job for job in jobs if job.code == lora.code]
            nothing = texts.nothing_open_for(lora.code)
        if not jobs:
            raise UserError(nothing)
        return await self._cancelled(max(jobs, key=lambda job: job.id))

    async def privacy(self, who: Identity) -> Reply:
        """Say what is kept of a person."""
        return await self._accounts.privacy(await self._ledger.account_of(who))

    async def forgetme(self, who: Identity) -> Reply:
        """Ask whether everything of a person shall be deleted."""
        return await self._accounts.ask_to_forget(await self._ledger.account_of(who))

    async def status(self, who: Identity) -> Reply:
        """Tell an administrator how the machine is doing; to others there is no such command."""
        if who not in self._admins:
            raise UserError(texts.UNKNOWN_COMMAND)
        now = self._clock()
        host = _status.Host(self._files.root, now - self._since, self._queue.health())
        return await _status.status(self._ledger, host, now)

    async def press(self, who: Identity, place: Place, action: str) -> Reply:
        """Do what a button says; what it is about must belong to the person who pressed."""
        if action.startswith("forgetme!:"):
            return await self._accounts.forget(who, action)
        account = await self._ledger.account_of(who)
        if (match := _OF_A_JOB.fullmatch(action)) is not None:
            return await self._press_of_job(account, place, match[1], JobId(int(match[2])))
        if (match := _OF_A_PICTURE.fullmatch(action)) is not None:
            of_picture = self._pictures.vary if match[1] == "vary" else self._pictures.enlarge
            return await of_picture(account, place, JobId(int(match[2])), int(match[3]))
        match action.partition(":"):
            case ("first5", "", ""):
                return await self.use_first_five(who, place)
            case ("restart", "", ""):
                return await self.forget_photos(who)
            case ("codes", "", ""):
                return await self.codes(who)
            case ("use", ":", value):
                return await self._drafts.use(account, place, LoraCode(value))
            case ("draft", ":", value):
                return await self._drafts.choose(account, place, value)
        raise UserError(texts.STALE_BUTTON)

    async def card_shown(self, job_id: JobId, message_id: str) -> None:
        """Remember which message shows a job's progress."""
        await self._ledger.card_shown(job_id, message_id)

    async def _checked(self, upload: Upload) -> NewPhoto | UserError:
        try:
            return await self._gate.check(upload)
        except UserError as refusal:
            return refusal

    async def _started(self, job: Job) -> Reply:
        self._queue.wake()
        return texts.training_started(job, await estimate(self._ledger, job, self._clock()))

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
        return await self._cancel_pressed(account, job_id)

    async def _cancel_pressed(self, account: AccountId, job_id: JobId) -> Reply:
        job = await _own.job(self._ledger, account, job_id, texts.STALE_BUTTON)
        if job.status in TERMINAL:
            raise UserError(texts.ALREADY_ENDED)
        return await self._cancelled(job)

    async def _cancelled(self, job: Job) -> Reply:
        photos = await self._ledger.names_of(job.id)
        ended = await self._ledger.cancel(job.id)
        if ended is None:  # it finished between the look and the stop
            raise UserError(texts.ALREADY_ENDED)
        await self._queue.stop(job.id)
        self._queue.forget(photos)
        return texts.cancelled(ended)

    async def _refuse_a_third_training(self, account: AccountId) -> None:
        if await self._open(account, JobKind.TRAIN) >= MAX_OPEN_TRAININGS:
            raise UserError(texts.too_many_trainings(MAX_OPEN_TRAININGS))

    async def _open(self, account: AccountId, kind: JobKind) -> int:
        return sum(job.kind is kind for job in await self._ledger.open_jobs_of(account))
