"""From consent to the fifth photo: the set a person collects, shown by one message that is edited."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

from bot import texts
from bot.core.accounts import AccountId, Identity, Place, Platform, Question
from bot.core.errors import UserError
from bot.core.jobs import Job, JobKind, TrainWish, estimate
from bot.core.loras import CLASS_WORDS, MAX_NAME_CHARS, PEOPLE, LoraCode
from bot.core.messages import EndedSet, Reply, SentPhoto, Upload
from bot.core.photos import MAX_PHOTOS_HELD, PHOTOS_PER_LORA, NewPhoto, PhotoSet
from bot.media import contact_sheet
from bot.media.example_set import Examples
from bot.services import coaching, generation_options
from bot.services.access import refuse_trainings, refuse_when_full
from bot.services.album import after, refusals
from bot.services.context import Gate, Tools
from gpu_worker.protocol import Crop

MAX_OPEN_TRAININGS = 2
#: Photos are looked at as if they were of somebody: whose they are may be chosen after they came.
SOMEBODY = PEOPLE[0]
#: What a link to the private chat hands over, so that it goes on with the set.
TRAIN_WORD = "train"
_OF_A_SET = re.compile(r"([0-9]{1,15}):(name|anew|class=[a-z]{1,10}|drop=[0-9]{1,15})")


class Collecting:
    """Takes photos of people who agreed to what they must be, until five begin a training."""

    def __init__(self, tools: Tools, gate: Gate) -> None:
        self._tools = tools
        self._gate = gate
        self._examples = Examples(tools.files)
        self._early = asyncio.Semaphore(1)

    async def must_consent(self, who: Identity, account: AccountId) -> bool:
        """Say whether a person is still to be asked; whoever sits at the console runs this machine."""
        return who.platform is not Platform.CONSOLE and not await self._tools.ledger.has_consented(account)

    async def start(self, who: Identity, account: AccountId, place: Place) -> Reply:
        """Say what will happen, show what makes a good set, and ask for consent once."""
        must = await self.must_consent(who, account)
        welcome = texts.welcome(who.platform, must, await self._examples.picture())
        return self._said_in(place, welcome)

    async def consent(self, account: AccountId, place: Place) -> Reply:
        """Take a person's word, and tell them to send photos."""
        await self._tools.ledger.consent(account)
        photo_set = await self._tools.ledger.photo_set(account)
        reply = texts.consented(photo_set, place.platform, await self._examples.picture())
        return replace(self._said_in(place, reply), replaces=True)

    async def train(self, who: Identity, account: AccountId, place: Place) -> Reply:
        """Say which photos are missing or how to send them; start when exactly five are there."""
        if await self.must_consent(who, account):
            return texts.consent_first(0)
        await self._refuse_a_third_training(account, place)
        held = await self._tools.ledger.held(account)
        if held == PHOTOS_PER_LORA and await self._may_begin(account):
            return await self.use_first_five(who, account, place)
        if held == 0:
            return await self.card(account, place)
        return await self.below(account, place)

    async def below(self, account: AccountId, place: Place) -> Reply:
        """Show the set anew, below what its person wrote, and no longer above."""
        before = await self._tools.ledger.photo_set(account)
        await self._tools.ledger.set_touched(account, place)
        await self._tools.ledger.set_shown(account, None)
        return replace(await self.card(account, place), ends_set=_ended(before, place, texts.set_below()))

    async def open_early(self, who: Identity, account: AccountId, upload: Upload) -> SentPhoto:
        """Open a photo before it is taken; whoever has not agreed yet finds it as it came."""
        if await self.must_consent(who, account):
            return upload
        async with self._early:  # one at a time: nobody waits for it yet, but somebody does for the gate
            return await self._checked(upload)

    async def add(
        self, who: Identity, account: AccountId, place: Place, uploads: Sequence[SentPhoto]
    ) -> Reply:
        """Take the photos of one message or album; exactly five in the set start its training."""
        if not uploads:
            raise UserError(texts.NO_PHOTO_SENT)
        if len(uploads) > MAX_PHOTOS_HELD:
            raise UserError(texts.too_many_files(len(uploads), MAX_PHOTOS_HELD))
        if await self.must_consent(who, account):
            return texts.consent_first(len(uploads))
        ledger, queue = self._tools.ledger, self._tools.queue
        async with self._tools.locks.of(account):
            await self._refuse_a_third_training(account, place)
            checked = await asyncio.gather(*(self._checked(upload) for upload in uploads))
            photos = [each for each in checked if isinstance(each, NewPhoto)]
            class_word = (await ledger.photo_set(account)).class_word
            photos, crops = await self._seen(photos, class_word)
            begins = await self._may_begin(account, [photo.data for photo in photos])
            async with self._tools.admission:
                await refuse_when_full(self._tools, account, place)  # it may have become so meanwhile
                added = await ledger.add_photos(account, photos, place, TrainWish() if begins else None)
            # Encoded while the next one is on its way, so that the training can begin with the fifth.
            queue.prepare(
                compress((photo.data for photo in photos), added.accepted), compress(crops, added.accepted)
            )
            if added.job is None and added.held:
                await ledger.set_touched(account, place)
                reply = await self.card(account, place)
            elif added.job is None:
                reply = texts.collecting(0, place.platform)
        if added.job is not None:
            reply = await self._started(added.job, added.before, place)
        return after(refusals(checked, added), reply)

    async def use_first_five(self, who: Identity, account: AccountId, place: Place) -> Reply:
        """Train on the first five of a set that came too large."""
        if await self.must_consent(who, account):
            return texts.consent_first(0)
        ledger = self._tools.ledger
        async with self._tools.locks.of(account):
            held, before = await ledger.held_names(account), await ledger.photo_set(account)
            async with self._tools.admission:
                await self._refuse_a_third_training(account, place)
                job = await ledger.start_training(account, place, TrainWish())
            if job is not None:
                self._tools.forget(held[PHOTOS_PER_LORA:])
        if job is not None:
            return await self._started(job, before, place)
        return await self.card(account, place) if held else Reply(texts.NO_PHOTOS_HELD)

    async def ended(self, account: AccountId) -> str | None:
        """Say what became of the photos that a message has just shown; None while they are collected."""
        if await self._tools.ledger.held(account):
            return None
        jobs = await self._tools.ledger.open_jobs_of(account)
        trainings = [job for job in jobs if job.kind is JobKind.TRAIN]
        return texts.set_complete(trainings[-1]) if trainings else texts.set_deleted()

    async def start_over(self, account: AccountId, place: Place) -> Reply:
        """Delete the photos of the set that is being collected."""
        async with self._tools.locks.of(account):
            before = await self._tools.ledger.photo_set(account)
            forgotten = await self._tools.ledger.forget_photos(account)
            self._tools.forget(forgotten)
        reply = texts.photos_forgotten(len(forgotten), place.platform)
        return replace(reply, ends_set=_ended(before, place, texts.set_deleted()))

    async def press(self, account: AccountId, place: Place, action: str) -> Reply:
        """Do what a button of the set says: `5:class=dog`, `5:drop=17`, `5:name`; 5 is whose it is."""
        match = _OF_A_SET.fullmatch(action)
        if match is None or int(match[1]) != account:
            raise UserError(texts.STALE_BUTTON)
        what, _, value = match[2].partition("=")
        if what == "anew":
            return replace(await self._anew(account, place), replaces=True)
        if what == "name":
            await self._tools.ledger.ask(account, Question("set", place.platform))
            return texts.ask_name()
        if what == "class":
            if value not in CLASS_WORDS:
                raise UserError(texts.STALE_BUTTON)
            await self._tools.ledger.choose(account, class_word=value)
        elif (job := await self._dropped(account, place, int(value))) is not None:
            return job
        return replace(await self.card(account, place), replaces=True)

    async def name(self, account: AccountId, place: Place, text: str) -> Reply:
        """Keep the name a person wrote for the Lora to be."""
        await self._tools.ledger.choose(account, name=read_name(text))
        return await self.card(account, place)

    async def card(self, account: AccountId, place: Place) -> Reply:
        """Show the set: a numbered contact sheet where its person alone reads, and what can be done."""
        photo_set = await self._tools.ledger.photo_set(account)
        photos = await self._tools.ledger.set_photos(account) if photo_set.photos else ()
        report = await self._tools.coach.look(photos, photo_set.class_word) if photos else None
        sheet = b""
        if photos and place.is_private:
            sheet = await asyncio.to_thread(
                contact_sheet.compose, photos, coaching.marks(report), self._tools.tiles
            )
        remarks, may_begin = coaching.remarks(report), coaching.may_begin(report)
        card = texts.set_card(photo_set, place.platform, sheet, remarks, may_begin)
        return self._said_in(place, card)

    def _said_in(self, place: Place, reply: Reply) -> Reply:
        # What a person sent alone may be in the set too: nothing of it is shown where others read along.
        link = "" if place.is_private else self._tools.start_link(TRAIN_WORD)
        return texts.in_a_group(reply, link) if link else reply

    async def _seen(
        self, photos: Sequence[NewPhoto], class_word: str
    ) -> tuple[list[NewPhoto], list[Crop | None]]:
        """Give photos with what the coach saw on them, and the parts of them that are trained on."""
        report = await self._tools.coach.look([photo.data for photo in photos], SOMEBODY) if photos else None
        feeds = [None] * len(photos) if report is None else report.feeds
        seen = [
            replace(photo, hint="" if feed is None else feed.written())
            for photo, feed in zip(photos, feeds, strict=True)
        ]
        return seen, [feed.crop() if feed and class_word in PEOPLE else None for feed in feeds]

    async def _may_begin(
        self, account: AccountId, more: Sequence[bytes] = (), without: int | None = None
    ) -> bool:
        """Say whether five photos begin a training by themselves: not before a person knows of a bad one."""
        photo_set = await self._tools.ledger.photo_set(account)
        held = zip(photo_set.photos, await self._tools.ledger.set_photos(account), strict=True)
        # A photo that is there already is refused and not added; five may be left of more.
        photos = list(dict.fromkeys([*(data for photo, data in held if photo != without), *more]))
        if len(photos) < PHOTOS_PER_LORA:
            return True
        return coaching.may_begin(await self._tools.coach.look(photos, photo_set.class_word))

    async def _anew(self, account: AccountId, place: Place) -> Reply:
        """Let what is collected be for a new Lora."""
        async with self._tools.locks.of(account):
            self._tools.forget(await self._tools.ledger.collect_anew(account))
        return await self.card(account, place)

    async def _dropped(self, account: AccountId, place: Place, photo: int) -> Reply | None:
        async with self._tools.locks.of(account):
            before = await self._tools.ledger.photo_set(account)
            wish = TrainWish() if await self._may_begin(account, without=photo) else None
            async with self._tools.admission:
                if len(before.photos) == PHOTOS_PER_LORA + 1:  # five will be left, which begin a training
                    await self._refuse_a_third_training(account, place)
                name, job = await self._tools.ledger.drop_photo(account, photo, place, wish)
            if name is None:
                raise UserError(texts.PHOTO_GONE)
            self._tools.forget([name])
        return None if job is None else await self._started(job, before, place)

    async def _checked(self, upload: SentPhoto) -> NewPhoto | UserError:
        if not isinstance(upload, Upload):
            return upload
        try:
            return await self._gate.check(upload)
        except UserError as refusal:
            return refusal

    async def _started(self, job: Job, before: PhotoSet, place: Place) -> Reply:
        self._tools.queue.wake()
        self._tools.forget_looks(await self._tools.ledger.names_of(job.id))
        guess = await estimate(self._tools.ledger, job, self._tools.clock())
        started = texts.further_started if job.goes_further else texts.training_started
        reply = started(job, guess)
        return replace(reply, ends_set=_ended(before, place, texts.set_complete(job)))

    async def refuse_a_third_training(
        self, account: AccountId, place: Place, code: LoraCode | None = None
    ) -> None:
        """UserError when a person has had enough trainings, or `code` is trained already."""
        jobs = await self._tools.ledger.open_jobs_of(account)
        trainings = [job for job in jobs if job.kind is JobKind.TRAIN]
        for job in trainings:
            if job.code == code:
                guess = await estimate(self._tools.ledger, job, self._tools.clock())
                raise UserError(texts.still_training(job.code, guess))
        if len(trainings) >= MAX_OPEN_TRAININGS:
            raise UserError(texts.too_many_trainings(MAX_OPEN_TRAININGS))
        await refuse_trainings(self._tools, account, place)

    async def _refuse_a_third_training(self, account: AccountId, place: Place) -> None:
        photo_set = await self._tools.ledger.photo_set(account)
        await self.refuse_a_third_training(account, place, photo_set.code)


def read_name(text: str) -> str:
    """Read the name of a Lora; UserError when it is empty or too long."""
    name = generation_options.cleaned(text)
    if not name or len(name) > MAX_NAME_CHARS:
        raise UserError(texts.wrong_name(MAX_NAME_CHARS))
    return name


def _ended(before: PhotoSet, place: Place, text: str) -> EndedSet | None:
    if before.card_message_id is None or before.place is None or not place.edits_in(before.place):
        return None
    return EndedSet(before.card_message_id, text)
