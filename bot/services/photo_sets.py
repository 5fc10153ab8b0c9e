"""From consent to the fifth photo: the set a person collects, shown by one message that is edited."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

from bot.core.accounts import AccountId, ChatAddress, Identity, PendingQuestion, Platform
from bot.core.errors import UserError
from bot.core.jobs import Job, JobKind, TrainingParams, estimate_job
from bot.core.loras import CLASS_WORDS, MAX_NAME_CHARS, PERSON_CLASSES, LoraCode, format_code
from bot.core.messages import ClosedPhotoSet, PhotoInput, Reply, Upload, current_request
from bot.core.photos import MAX_PHOTOS_IN_SET, PHOTOS_PER_LORA, NewPhoto, PhotoSet
from bot.db import AddPhotosResult
from bot.media import contact_sheet
from bot.media.example_set import ExampleSheet
from bot.media.quality import can_start_training, list_overlays, list_remarks
from bot.services import generation_options
from bot.services.access import check_queue_limit, check_training_quota, make_still_training_error
from bot.services.context import ServiceContext, UploadDecoder
from bot.texts import translate
from bot.texts.photo_sets import (
    consent_question,
    consent_recorded,
    continuation_started,
    photo_line,
    photo_set_status,
    photos_discarded,
    set_card,
    training_started,
    welcome,
    with_group_hint,
)
from gpu_worker.protocol import Crop

MAX_OPEN_TRAININGS = 2
#: Photos are looked at as if they were of somebody: whose they are may be chosen after they came.
ANY_PERSON_CLASS = PERSON_CLASSES[0]
#: What a link to the private chat hands over, so that it goes on with the set.
TRAIN_PAYLOAD = "train"
_SET_ACTION = re.compile(r"([0-9]{1,15}):(name|anew|class=[a-z]{1,10}|drop=[0-9]{1,15})")


class PhotoSetService:
    """Takes photos of people who agreed to what they must be, until five begin a training."""

    def __init__(self, context: ServiceContext, decoder: UploadDecoder) -> None:
        self._context = context
        self._decoder = decoder
        self._example_sheet = ExampleSheet(context.storage)
        self._predecode_limit = asyncio.Semaphore(1)

    async def needs_consent(self, identity: Identity, account: AccountId) -> bool:
        """Say whether a person is still to be asked; whoever sits at the console runs this machine."""
        return (
            identity.platform is not Platform.CONSOLE
            and not await self._context.database.accounts.has_consented(account)
        )

    async def show_welcome(self, identity: Identity, account: AccountId, address: ChatAddress) -> Reply:
        """Say what will happen, show what makes a good set, and ask for consent once."""
        needs_consent = await self.needs_consent(identity, account)
        reply = welcome(identity.platform, needs_consent, await self._example_sheet.get_picture())
        return self._add_group_hint(address, reply)

    async def record_consent(self, account: AccountId, address: ChatAddress) -> Reply:
        """Take a person's word, and tell them to send photos."""
        await self._context.database.accounts.record_consent(account)
        photo_set = await self._context.database.photos.get_set(account)
        reply = consent_recorded(photo_set, address.platform, await self._example_sheet.get_picture())
        return replace(self._add_group_hint(address, reply), edits_message=True)

    async def start_training(self, identity: Identity, account: AccountId, address: ChatAddress) -> Reply:
        """Say which photos are missing or how to send them; start when exactly five are there."""
        if await self.needs_consent(identity, account):
            return consent_question(0)
        await self._check_open_trainings(account, address)
        held_count = await self._context.database.photos.count_collected(account)
        if held_count == PHOTOS_PER_LORA and await self._can_start_training(account):
            return await self.train_first_five(identity, account, address)
        if held_count == 0:
            return await self.show_set(account, address)
        return await self.repost_card(account, address)

    async def repost_card(self, account: AccountId, address: ChatAddress) -> Reply:
        """Show the set anew, below what its person wrote, and no longer above."""
        previous_set = await self._context.database.photos.get_set(account)
        await self._context.database.photos.touch_set(account, address)
        await self._context.database.photos.save_set_message(account, None)
        return replace(
            await self.show_set(account, address),
            closed_photo_set=_end_previous_card(previous_set, address, translate("set-below")),
        )

    async def predecode_photo(self, identity: Identity, account: AccountId, upload: Upload) -> PhotoInput:
        """Open a photo before it is taken; whoever has not agreed yet finds it as it came."""
        if await self.needs_consent(identity, account):
            return upload
        async with (
            self._predecode_limit
        ):  # one at a time: nobody waits for it yet, but somebody does for the gate
            return await self._decode(upload)

    async def add_photos(
        self, identity: Identity, account: AccountId, address: ChatAddress, uploads: Sequence[PhotoInput]
    ) -> Reply:
        """Take the photos of one message or album; exactly five in the set start its training."""
        if not uploads:
            raise UserError(translate("no-photo-sent"))
        if len(uploads) > MAX_PHOTOS_IN_SET:
            raise UserError(translate("too-many-files", sent=len(uploads), most=MAX_PHOTOS_IN_SET))
        if await self.needs_consent(identity, account):
            return consent_question(len(uploads))
        database, queue = self._context.database, self._context.queue
        async with self._context.locks.get_lock(account):
            await self._check_open_trainings(account, address)
            decoded = await asyncio.gather(*(self._decode(upload) for upload in uploads))
            photos = [item for item in decoded if isinstance(item, NewPhoto)]
            class_word = (await database.photos.get_set(account)).class_word
            photos, crops = await self._measure_photos(photos, class_word)
            starts_training = await self._can_start_training(account, [photo.data for photo in photos])
            async with self._context.admission_lock:
                await check_queue_limit(self._context, account, address)  # it may have become so meanwhile
                result = await database.photos.add_photos(
                    account, photos, address, TrainingParams() if starts_training else None
                )
            # Encoded while the next one is on its way, so that the training can begin with the fifth.
            queue.prefetch(
                compress((photo.data for photo in photos), result.accepted), compress(crops, result.accepted)
            )
            if result.job is None and result.photo_count:
                await database.photos.touch_set(account, address)
                reply = await self.show_set(account, address)
            elif result.job is None:
                reply = photo_set_status(0, address.platform)
        if result.job is not None:
            reply = await self._show_training(result.job, result.previous_set, address)
        return prepend_lines(describe_refusals(decoded, result), reply)

    async def train_first_five(self, identity: Identity, account: AccountId, address: ChatAddress) -> Reply:
        """Train on the first five of a set that came too large."""
        if await self.needs_consent(identity, account):
            return consent_question(0)
        database = self._context.database
        async with self._context.locks.get_lock(account):
            held_hashes, previous_set = (
                await database.photos.list_set_hashes(account),
                await database.photos.get_set(account),
            )
            async with self._context.admission_lock:
                await self._check_open_trainings(account, address)
                job = await database.photos.start_training(account, address, TrainingParams())
            if job is not None:
                self._context.forget_photos(held_hashes[PHOTOS_PER_LORA:])
        if job is not None:
            return await self._show_training(job, previous_set, address)
        return await self.show_set(account, address) if held_hashes else Reply(translate("no-photos-held"))

    async def describe_ended_set(self, account: AccountId) -> str | None:
        """Say what became of the photos that a message has just shown; None while they are collected."""
        if await self._context.database.photos.count_collected(account):
            return None
        jobs = await self._context.database.jobs.list_open_for_account(account)
        trainings = [job for job in jobs if job.kind is JobKind.TRAIN]
        return (
            translate("set-complete", code=format_code(trainings[-1].code))
            if trainings
            else translate("set-deleted")
        )

    async def discard_photos(self, account: AccountId, address: ChatAddress) -> Reply:
        """Delete the photos of the set that is being collected."""
        async with self._context.locks.get_lock(account):
            previous_set = await self._context.database.photos.get_set(account)
            discarded_hashes = await self._context.database.photos.delete_set(account)
            self._context.forget_photos(discarded_hashes)
        reply = photos_discarded(len(discarded_hashes), address.platform)
        return replace(
            reply, closed_photo_set=_end_previous_card(previous_set, address, translate("set-deleted"))
        )

    async def handle_button(self, account: AccountId, address: ChatAddress, action: str) -> Reply:
        """Do what a button of the set says: `5:class=dog`, `5:drop=17`, `5:name`; 5 is whose it is."""
        match = _SET_ACTION.fullmatch(action)
        if match is None or int(match[1]) != account:
            raise UserError(translate("stale-button"))
        option, _, value = match[2].partition("=")
        if option == "anew":
            return replace(await self._collect_for_new_lora(account, address), edits_message=True)
        if option == "name":
            await self._context.database.accounts.save_question(
                account, PendingQuestion("set", address.platform)
            )
            return Reply(translate("ask-name"))
        if option == "class":
            if value not in CLASS_WORDS:
                raise UserError(translate("stale-button"))
            await self._context.database.photos.update_set(account, class_word=value)
        elif (reply := await self._drop_photo(account, address, int(value))) is not None:
            return reply
        return replace(await self.show_set(account, address), edits_message=True)

    async def set_name(self, account: AccountId, address: ChatAddress, text: str) -> Reply:
        """Keep the name a person wrote for the Lora to be."""
        await self._context.database.photos.update_set(account, name=parse_name(text))
        return await self.show_set(account, address)

    async def show_set(self, account: AccountId, address: ChatAddress) -> Reply:
        """Show the set: a numbered contact sheet where its person alone reads, and what can be done."""
        photo_set = await self._context.database.photos.get_set(account)
        photos = await self._context.database.photos.get_set_photos(account) if photo_set.photo_ids else ()
        report = await self._context.coach.review_photos(photos, photo_set.class_word) if photos else None
        sheet = b""
        if photos and address.is_private:
            sheet = await asyncio.to_thread(
                contact_sheet.compose, photos, list_overlays(report), self._context.thumbnails
            )
        remarks, can_start = list_remarks(report), can_start_training(report)
        reply = set_card(photo_set, address.platform, sheet, remarks, can_start)
        return self._add_group_hint(address, reply)

    def _add_group_hint(self, address: ChatAddress, reply: Reply) -> Reply:
        # What a person sent alone may be in the set too: nothing of it is shown where others read along.
        link = "" if address.is_private else self._context.start_link(TRAIN_PAYLOAD)
        return with_group_hint(reply, link) if link else reply

    async def _measure_photos(
        self, photos: Sequence[NewPhoto], class_word: str
    ) -> tuple[list[NewPhoto], list[Crop | None]]:
        """Give photos with what the coach saw on them, and the parts of them that are trained on."""
        report = (
            await self._context.coach.review_photos([photo.data for photo in photos], ANY_PERSON_CLASS)
            if photos
            else None
        )
        hints = [None] * len(photos) if report is None else report.hints
        measured_photos = [
            replace(photo, hint="" if hint is None else hint.to_json())
            for photo, hint in zip(photos, hints, strict=True)
        ]
        return measured_photos, [
            hint.crop() if hint and class_word in PERSON_CLASSES else None for hint in hints
        ]

    async def _can_start_training(
        self, account: AccountId, new_photos: Sequence[bytes] = (), excluded_photo_id: int | None = None
    ) -> bool:
        """Say whether five photos begin a training by themselves: not before a person knows of a bad one."""
        photo_set = await self._context.database.photos.get_set(account)
        held_photos = zip(
            photo_set.photo_ids, await self._context.database.photos.get_set_photos(account), strict=True
        )
        # A photo that is there already is refused and not added; five may be left of more.
        photos = list(
            dict.fromkeys(
                [*(data for photo_id, data in held_photos if photo_id != excluded_photo_id), *new_photos]
            )
        )
        if len(photos) < PHOTOS_PER_LORA:
            return True
        return can_start_training(await self._context.coach.review_photos(photos, photo_set.class_word))

    async def _collect_for_new_lora(self, account: AccountId, address: ChatAddress) -> Reply:
        """Let what is collected be for a new Lora."""
        async with self._context.locks.get_lock(account):
            self._context.forget_photos(await self._context.database.photos.collect_for_new_lora(account))
        return await self.show_set(account, address)

    async def _drop_photo(self, account: AccountId, address: ChatAddress, photo_id: int) -> Reply | None:
        async with self._context.locks.get_lock(account):
            previous_set = await self._context.database.photos.get_set(account)
            params = (
                TrainingParams()
                if await self._can_start_training(account, excluded_photo_id=photo_id)
                else None
            )
            async with self._context.admission_lock:
                if (
                    len(previous_set.photo_ids) == PHOTOS_PER_LORA + 1
                ):  # five will be left, which begin a training
                    await self._check_open_trainings(account, address)
                photo_hash, job = await self._context.database.photos.delete_photo(
                    account, photo_id, address, params
                )
            if photo_hash is None:
                raise UserError(translate("photo-gone"))
            self._context.forget_photos([photo_hash])
        return None if job is None else await self._show_training(job, previous_set, address)

    async def _decode(self, upload: PhotoInput) -> NewPhoto | UserError:
        if not isinstance(upload, Upload):
            return upload
        try:
            return await self._decoder.decode(upload)
        except UserError as error:
            return error

    async def _show_training(self, job: Job, previous_set: PhotoSet, address: ChatAddress) -> Reply:
        self._context.queue.wake()
        self._context.forget_cached_photos(await self._context.database.photos.list_job_hashes(job.id))
        eta = await estimate_job(self._context.database.jobs, job, self._context.clock())
        format_reply = continuation_started if job.is_continuation else training_started
        reply = format_reply(job, eta)
        return replace(
            reply,
            closed_photo_set=_end_previous_card(
                previous_set, address, translate("set-complete", code=format_code(job.code))
            ),
        )

    async def check_open_trainings(
        self, account: AccountId, address: ChatAddress, code: LoraCode | None = None
    ) -> None:
        """UserError when a person has had enough trainings, or `code` is trained already."""
        jobs = await self._context.database.jobs.list_open_for_account(account)
        trainings = [job for job in jobs if job.kind is JobKind.TRAIN]
        for job in trainings:
            if job.code == code:
                raise await make_still_training_error(self._context.database, job, self._context.clock())
        if len(trainings) >= MAX_OPEN_TRAININGS:
            raise UserError(translate("too-many-trainings", most=MAX_OPEN_TRAININGS))
        await check_training_quota(self._context, account, address)

    async def _check_open_trainings(self, account: AccountId, address: ChatAddress) -> None:
        photo_set = await self._context.database.photos.get_set(account)
        await self.check_open_trainings(account, address, photo_set.code)


def parse_name(text: str) -> str:
    """Read the name of a Lora; UserError when it is empty or too long."""
    name = generation_options.clean_text(text)
    if not name or len(name) > MAX_NAME_CHARS:
        raise UserError(translate("wrong-name", most=MAX_NAME_CHARS))
    return name


def _end_previous_card(previous_set: PhotoSet, address: ChatAddress, text: str) -> ClosedPhotoSet | None:
    if (
        previous_set.card_message_id is None
        or previous_set.address is None
        or not address.can_edit_in(previous_set.address)
    ):
        return None
    return ClosedPhotoSet(previous_set.card_message_id, text)


def describe_refusals(decoded: Sequence[NewPhoto | UserError], result: AddPhotosResult) -> list[str]:
    """Say of each photo that was not taken why, by its number in the album."""
    lines = []
    accepted = iter(result.accepted)
    # What was there already was put there before the bot died, and is told of now.
    is_first_attempt = not current_request().is_replay
    is_full = result.photo_count >= MAX_PHOTOS_IN_SET
    for number, photo in enumerate(decoded, 1):
        if isinstance(photo, UserError):
            lines.append(photo_line(number, len(decoded), photo.message))
        elif not next(accepted) and (is_full or is_first_attempt):
            sentence = translate("same-photo-or-no-room") if is_full else translate("same-photo")
            lines.append(photo_line(number, len(decoded), sentence))
    return lines


def prepend_lines(lines: Sequence[str], reply: Reply) -> Reply:
    """Put lines before a reply."""
    return replace(reply, text="\n".join([*lines, reply.text]))
