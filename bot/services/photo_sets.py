"""From consent to the fifth photo: the set a person collects, shown by one message that is edited."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

from bot.core.accounts import AccountId, ChatAddress, Identity, PendingQuestion, Platform
from bot.core.errors import UserError
from bot.core.jobs import Job, JobKind, TrainingParams, estimate_job
from bot.core.loras import CLASS_WORDS, MAX_NAME_CHARS, PERSON_CLASSES, LoraCode, format_code
from bot.core.messages import ClosedPhotoSet, PhotoInput, Reply, Request, Upload
from bot.core.photos import MAX_PHOTOS_IN_SET, PHOTOS_PER_LORA, NewPhoto, PhotoSet
from bot.db import AddPhotosResult
from bot.media import contact_sheet
from bot.media.example_set import ExampleSheet
from bot.media.quality import can_start_training, list_overlays, list_remarks
from bot.services import generation_options
from bot.services.access import check_queue_limit, check_training_quota
from bot.services.context import PhotoDecoder, ServiceContext
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
from bot.texts.words import format_time_left
from gpu_worker.protocol import Crop

MAX_OPEN_TRAININGS = 2
#: Photos are looked at as if they were of somebody: whose they are may be chosen after they came.
ANY_PERSON_CLASS = PERSON_CLASSES[0]
#: What a link to the private chat hands over, so that it goes on with the set.
TRAIN_PAYLOAD = "train"


class PhotoSetService:
    """Takes photos of people who agreed to what they must be, until five begin a training."""

    def __init__(self, context: ServiceContext, decoder: PhotoDecoder) -> None:
        self._context = context
        self._decoder = decoder
        self._example_sheet = ExampleSheet(context.storage)
        self._predecode_limit = asyncio.Semaphore(1)

    async def needs_consent(self, request: Request) -> bool:
        """Return whether a person is still to agree; whoever sits at the console runs this machine."""
        if request.identity.platform is Platform.CONSOLE:
            return False
        return not await self._context.database.accounts.has_consented(request.account)

    async def show_welcome(self, request: Request) -> Reply:
        """Return what will happen and what makes a good set, and ask for consent once."""
        reply = welcome(
            request.identity.platform,
            await self.needs_consent(request),
            await self._example_sheet.get_picture(),
        )
        return self._add_group_hint(request.address, reply)

    async def record_consent(self, request: Request) -> Reply:
        """Record that a person agreed, and ask for photos."""
        await self._context.database.accounts.record_consent(request.account)
        photo_set = await self._context.database.photos.get_set(request.account)
        reply = consent_recorded(photo_set, request.address.platform, await self._example_sheet.get_picture())
        return replace(self._add_group_hint(request.address, reply), edits_message=True)

    async def start_training(self, request: Request) -> Reply:
        """Return which photos are missing or how to send them; start when exactly five are there."""
        if await self.needs_consent(request):
            return consent_question(0)
        await self._check_open_trainings(request)
        held_count = await self._context.database.photos.count_collected(request.account)
        if held_count == PHOTOS_PER_LORA and await self._can_start_training(request.account):
            return await self.train_first_five(request)
        if held_count == 0:
            return await self.show_set(request)
        return await self.repost_card(request)

    async def repost_card(self, request: Request) -> Reply:
        """Show the set in a new message, below what its person wrote; the earlier message ends."""
        account, address = request.account, request.address
        previous_set = await self._context.database.photos.get_set(account)
        await self._context.database.photos.touch_set(account, address)
        await self._context.database.photos.save_set_message(account, None)
        return replace(
            await self.show_set(request),
            closed_photo_set=_end_previous_card(previous_set, address, translate("set-below")),
        )

    async def predecode_photo(self, request: Request) -> PhotoInput:
        """Decode the photo of a request before its album is complete; without consent, return it as it is."""
        [upload] = request.uploads
        if await self.needs_consent(request):
            return upload
        async with self._predecode_limit:  # one at a time: nobody waits for it yet
            return await self._decode(upload)

    async def add_photos(self, request: Request) -> Reply:
        """Add the photos of one message or album; exactly five in the set start its training."""
        if not request.uploads:
            raise UserError(translate("no-photo-sent"))
        if len(request.uploads) > MAX_PHOTOS_IN_SET:
            raise UserError(translate("too-many-files", sent=len(request.uploads), most=MAX_PHOTOS_IN_SET))
        if await self.needs_consent(request):
            return consent_question(len(request.uploads))
        async with self._context.locks.get_lock(request.account):
            await self._check_open_trainings(request)
            decoded = await asyncio.gather(*(self._decode(upload) for upload in request.uploads))
            photos = [each for each in decoded if isinstance(each, NewPhoto)]
            result = await self._add_decoded(request, photos)
            if result.job is None and result.photo_count:
                await self._context.database.photos.touch_set(request.account, request.address)
                reply = await self.show_set(request)
            elif result.job is None:
                reply = photo_set_status(0, request.address.platform)
        if result.job is not None:
            reply = await self._show_training(result.job, result.previous_set, request.address)
        return prepend_lines(describe_refusals(decoded, result, is_replay=request.is_replay), reply)

    async def _add_decoded(self, request: Request, photos: Sequence[NewPhoto]) -> AddPhotosResult:
        account, database = request.account, self._context.database
        class_word = (await database.photos.get_set(account)).class_word
        photos, crops = await self._measure_photos(photos, class_word)
        starts_training = await self._can_start_training(account, [photo.data for photo in photos])
        async with self._context.admission_lock:
            await check_queue_limit(self._context, account, request.address)  # it may be full by now
            result = await database.photos.add_photos(
                account, photos, request.address, TrainingParams() if starts_training else None
            )
        # Encoded while the next one is on its way, so that the training can begin with the fifth.
        self._context.queue.prefetch(
            compress((photo.data for photo in photos), result.accepted), compress(crops, result.accepted)
        )
        return result

    async def train_first_five(self, request: Request) -> Reply:
        """Train on the first five of a set that came too large."""
        if await self.needs_consent(request):
            return consent_question(0)
        account, database = request.account, self._context.database
        async with self._context.locks.get_lock(account):
            held_hashes = await database.photos.list_set_hashes(account)
            previous_set = await database.photos.get_set(account)
            async with self._context.admission_lock:
                await self._check_open_trainings(request)
                job = await database.photos.start_training(account, request.address, TrainingParams())
            if job is not None:
                self._context.forget_photos(held_hashes[PHOTOS_PER_LORA:])
        if job is not None:
            return await self._show_training(job, previous_set, request.address)
        return await self.show_set(request) if held_hashes else Reply(translate("no-photos-held"))

    async def get_set_message(self, identity: Identity, address: ChatAddress) -> str | None:
        """Return the id of the message in a chat that shows the collected set, None where none does."""
        photo_set = await self._context.database.photos.get_set(
            await self._context.database.accounts.get_or_create(identity)
        )
        return photo_set.card_message_id if photo_set.address == address else None

    async def record_set_message(self, identity: Identity, message_id: str) -> None:
        """Store which message shows the set, in the chat where its photos came."""
        account = await self._context.database.accounts.get_or_create(identity)
        await self._context.database.photos.save_set_message(account, message_id)

    async def describe_ended_set(self, identity: Identity) -> str | None:
        """Return what became of the photos that a message has just shown; None while they are collected."""
        account = await self._context.database.accounts.get_or_create(identity)
        if await self._context.database.photos.count_collected(account):
            return None
        jobs = await self._context.database.jobs.list_open_for_account(account)
        trainings = [job for job in jobs if job.kind is JobKind.TRAIN]
        return (
            translate("set-complete", code=format_code(trainings[-1].code))
            if trainings
            else translate("set-deleted")
        )

    async def discard_photos(self, request: Request) -> Reply:
        """Delete the photos of the set that is being collected."""
        account = request.account
        async with self._context.locks.get_lock(account):
            previous_set = await self._context.database.photos.get_set(account)
            discarded_hashes = await self._context.database.photos.delete_set(account)
            self._context.forget_photos(discarded_hashes)
        reply = photos_discarded(len(discarded_hashes), request.address.platform)
        closed_set = _end_previous_card(previous_set, request.address, translate("set-deleted"))
        return replace(reply, closed_photo_set=closed_set)

    async def ask_name(self, request: Request) -> Reply:
        """Ask for the name of the Lora to be: the person's next message is the answer."""
        _require_own_set(request)
        await self._context.database.accounts.save_question(
            request.account, PendingQuestion("set", request.address.platform)
        )
        return Reply(translate("ask-name"))

    async def set_name(self, request: Request) -> Reply:
        """Store the name a person wrote for the Lora to be."""
        await self._context.database.photos.update_set(request.account, name=parse_name(request.text))
        return await self.show_set(request)

    async def set_class(self, request: Request) -> Reply:
        """Store whom the photos show: a person, a dog, …"""
        _require_own_set(request)
        class_word = request.arguments[1]
        if class_word not in CLASS_WORDS:
            raise UserError(translate("stale-button"))
        await self._context.database.photos.update_set(request.account, class_word=class_word)
        return replace(await self.show_set(request), edits_message=True)

    async def collect_for_new_lora(self, request: Request) -> Reply:
        """Use what is collected for a new Lora, instead of training one further."""
        _require_own_set(request)
        async with self._context.locks.get_lock(request.account):
            self._context.forget_photos(
                await self._context.database.photos.collect_for_new_lora(request.account)
            )
        return replace(await self.show_set(request), edits_message=True)

    async def show_set(self, request: Request) -> Reply:
        """Show the set: a numbered contact sheet where its person alone reads, and what can be done."""
        address, photo_set = request.address, await self._context.database.photos.get_set(request.account)
        photos = (
            await self._context.database.photos.get_set_photos(request.account) if photo_set.photo_ids else ()
        )
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

    async def drop_photo(self, request: Request) -> Reply:
        """Delete one photo of the set; where five are left, their training begins."""
        _require_own_set(request)
        account, photo_id = request.account, int(request.arguments[1])
        async with self._context.locks.get_lock(account):
            previous_set = await self._context.database.photos.get_set(account)
            can_start = await self._can_start_training(account, excluded_photo_id=photo_id)
            async with self._context.admission_lock:
                if len(previous_set.photo_ids) == PHOTOS_PER_LORA + 1:  # five will be left: a training
                    await self._check_open_trainings(request)
                photo_hash, job = await self._context.database.photos.delete_photo(
                    account, photo_id, request.address, TrainingParams() if can_start else None
                )
            if photo_hash is None:
                raise UserError(translate("photo-gone"))
            self._context.forget_photos([photo_hash])
        if job is not None:
            return await self._show_training(job, previous_set, request.address)
        return replace(await self.show_set(request), edits_message=True)

    async def _decode(self, upload: PhotoInput) -> NewPhoto | UserError:
        if not isinstance(upload, Upload):
            return upload
        try:
            photo = await self._decoder.decode(upload)
            await self._context.moderator.check_photo(photo.data)
        except UserError as error:
            return error
        return photo

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
                eta = await estimate_job(self._context.database.jobs, job, self._context.clock())
                raise UserError(
                    translate(
                        "still-training", code=format_code(job.code), left=format_time_left(eta.remaining_s)
                    )
                )
        if len(trainings) >= MAX_OPEN_TRAININGS:
            raise UserError(translate("too-many-trainings", most=MAX_OPEN_TRAININGS))
        await check_training_quota(self._context, account, address)

    async def _check_open_trainings(self, request: Request) -> None:
        photo_set = await self._context.database.photos.get_set(request.account)
        await self.check_open_trainings(request.account, request.address, photo_set.code)


def parse_name(text: str) -> str:
    """Read the name of a Lora; UserError when it is empty or too long."""
    name = generation_options.clean_text(text)
    if not name or len(name) > MAX_NAME_CHARS:
        raise UserError(translate("wrong-name", most=MAX_NAME_CHARS))
    return name


def _require_own_set(request: Request) -> None:
    """Raise UserError for a button of somebody else's set."""
    if int(request.arguments[0]) != request.account:
        raise UserError(translate("stale-button"))


def _end_previous_card(previous_set: PhotoSet, address: ChatAddress, text: str) -> ClosedPhotoSet | None:
    if (
        previous_set.card_message_id is None
        or previous_set.address is None
        or not address.can_edit_in(previous_set.address)
    ):
        return None
    return ClosedPhotoSet(previous_set.card_message_id, text)


def describe_refusals(
    decoded: Sequence[NewPhoto | UserError], result: AddPhotosResult, *, is_replay: bool
) -> list[str]:
    """Return why each photo that was not added was refused, by its number in the album."""
    lines = []
    accepted = iter(result.accepted)
    is_full = result.photo_count >= MAX_PHOTOS_IN_SET
    for number, photo in enumerate(decoded, 1):
        if isinstance(photo, UserError):
            lines.append(photo_line(number, len(decoded), photo.message))
        elif not next(accepted) and (is_full or not is_replay):  # the first run added what is there
            sentence = translate("same-photo-or-no-room") if is_full else translate("same-photo")
            lines.append(photo_line(number, len(decoded), sentence))
    return lines


def prepend_lines(lines: Sequence[str], reply: Reply) -> Reply:
    """Put lines before a reply."""
    return replace(reply, text="\n".join([*lines, reply.text]))
