"""What a person can do. Every method gives the Reply to show, or raises UserError with the sentence."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence, Set
from datetime import datetime
from pathlib import Path
from weakref import WeakValueDictionary

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
    Lora,
    LoraCode,
    LoraState,
    NewPhoto,
    Place,
    TrainWish,
    format_code,
)
from bot.errors import UserError
from bot.eta import estimate
from bot.ledger import Ledger
from bot.replies import Choice, Reply, Upload
from bot.studio import _status
from bot.studio._album import after, refusals
from bot.studio._needs import Gate, JobQueue

MAX_OPEN_TRAININGS = 2
MAX_OPEN_GENERATIONS = 4
_CANCEL = re.compile(r"cancel:([0-9]{1,15})")


class Studio:
    """The use cases. `admins` may ask for `status`; `clock` tells the time in UTC."""

    def __init__(
        self,
        ledger: Ledger,
        gate: Gate,
        queue: JobQueue,
        admins: Set[Identity],
        clock: Callable[[], datetime],
        data_dir: Path = Path("data"),
    ) -> None:
        self._ledger = ledger
        self._gate = gate
        self._queue = queue
        self._admins = admins
        self._clock = clock
        self._data_dir = data_dir
        self._since = clock()
        # One person's photos and requests are taken one after another; a lock lives while someone holds it.
        self._locks: WeakValueDictionary[AccountId, asyncio.Lock] = WeakValueDictionary()

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
        async with self._lock(account):
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
        async with self._lock(account):
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
        async with self._lock(account):
            forgotten = await self._ledger.forget_photos(account)
            self._queue.forget(forgotten)
        return texts.photos_forgotten(len(forgotten), who.platform)

    async def generate_text(self, who: Identity, place: Place, text: str) -> Reply:
        """Draw what was typed after `/generate`; nothing typed opens a draft."""
        asked = wishes.parse(text)
        return await self._generate(who, place, asked.code, asked.wish)

    async def generate(self, who: Identity, place: Place, code_text: str, wish: GenerateWish) -> Reply:
        """Draw pictures with a LoraCode of one's own."""
        return await self._generate(who, place, wishes.read_code(code_text), wishes.checked(wish))

    async def plain_text(self, who: Identity, place: Place, text: str) -> Reply | None:
        """Take a message that is no command: the prompt, when a draft waits for it; None when none does."""
        return None

    async def show(self, who: Identity, place: Place, text: str) -> Reply:
        """Bring a result of one's own back, by its number."""
        raise UserError(texts.STALE_BUTTON)

    async def export(self, who: Identity, place: Place, text: str) -> Reply:
        """Hand the owner of a LoraCode its LoRA file."""
        raise UserError(texts.UNKNOWN_CODE)

    async def edit_text(self, who: Identity, job_id: int) -> str:
        """Give the prompt of a result of one's own, to be written anew."""
        raise UserError(texts.STALE_BUTTON)

    async def edit(self, who: Identity, place: Place, job_id: int, text: str) -> Reply:
        """Draw a result's wish with other words and another seed."""
        raise UserError(texts.STALE_BUTTON)

    async def codes_like(self, who: Identity, typed: str) -> list[Choice]:
        """Offer one's own LoraCodes that can draw, at most 25, the newest first."""
        account = await self._ledger.account_of(who)
        digits = "".join(char for char in typed if char.isdigit())
        ready = [each for each in await self._ledger.loras_of(account) if each.state is LoraState.READY]
        return [Choice(format_code(each.code), each.code) for each in ready if digits in each.code][:25]

    def styles_like(self, typed: str) -> list[Choice]:
        """Offer styles, at most 25."""
        return []

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
            lora = await self._own_lora(account, wishes.read_code(text))
            jobs = [job for job in jobs if job.code == lora.code]
            nothing = texts.nothing_open_for(lora.code)
        if not jobs:
            raise UserError(nothing)
        return await self._cancelled(max(jobs, key=lambda job: job.id))

    async def status(self, who: Identity) -> Reply:
        """Tell an administrator how the machine is doing; to others there is no such command."""
        if who not in self._admins:
            raise UserError(texts.UNKNOWN_COMMAND)
        now = self._clock()
        host = _status.Host(self._data_dir, now - self._since, self._queue.health())
        return await _status.status(self._ledger, host, now)

    async def press(self, who: Identity, place: Place, action: str) -> Reply:
        """Do what a button says; what it is about must belong to the person who pressed."""
        match = _CANCEL.fullmatch(action)
        if match is not None:
            return await self._cancel_pressed(who, JobId(int(match[1])))
        match action:
            case "first5":
                return await self.use_first_five(who, place)
            case "restart":
                return await self.forget_photos(who)
            case "codes":
                return await self.codes(who)
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

    async def _generate(self, who: Identity, place: Place, code: LoraCode, wish: GenerateWish) -> Reply:
        account = await self._ledger.account_of(who)
        lora = await self._own_lora(account, code)
        await self._refuse_unless_ready(lora)
        async with self._lock(account):
            if await self._open(account, JobKind.GENERATE) >= MAX_OPEN_GENERATIONS:
                raise UserError(texts.too_many_generations(MAX_OPEN_GENERATIONS))
            job = await self._ledger.add_generation(account, code, wish, place)
        self._queue.wake()
        guess = await estimate(self._ledger, job, self._clock())
        return texts.card(job, guess.left_s, guess.position)

    async def _own_lora(self, account: AccountId, code: LoraCode) -> Lora:
        # "No such code" and "not yours" are one answer from one look-up: a code says nothing to strangers.
        lora = await self._ledger.lora(code)
        if lora is None or lora.account != account:
            raise UserError(texts.UNKNOWN_CODE)
        return lora

    async def _refuse_unless_ready(self, lora: Lora) -> None:
        if lora.state is LoraState.READY:
            return
        job = await self._ledger.training_of(lora.code)
        if lora.state is LoraState.TRAINING and job is not None:
            guess = await estimate(self._ledger, job, self._clock())
            raise UserError(texts.still_training(lora.code, guess))
        raise UserError(texts.not_usable(lora))

    async def _cancel_pressed(self, who: Identity, job_id: JobId) -> Reply:
        account = await self._ledger.account_of(who)
        job = await self._ledger.job(job_id)
        if job is None or job.account != account:
            raise UserError(texts.STALE_BUTTON)
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

    def _lock(self, account: AccountId) -> asyncio.Lock:
        lock = self._locks.get(account)
        if lock is None:
            lock = self._locks[account] = asyncio.Lock()
        return lock
