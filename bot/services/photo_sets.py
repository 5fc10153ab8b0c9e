"""From consent to the fifth photo: the set a person collects, shown by one message that is edited."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress

from bot.core.accounts import PLATFORM_TRAITS, AccountId, ChatAddress, Identity, PendingQuestion
from bot.core.errors import UserError
from bot.core.jobs import Job, JobKind, TrainingParams, estimate_job
from bot.core.loras import CLASS_WORDS, MAX_NAME_CHARS, PERSON_CLASSES, LoraCode, format_code
from bot.core.messages import ClosedPhotoSet, PhotoInput, Reply, Request, Upload
from bot.core.photos import MAX_PHOTOS_IN_SET, PHOTOS_PER_LORA, NewPhoto, PhotoSet, StoredPhoto
from bot.db import AddPhotosResult
from bot.media import contact_sheet
from bot.media.example_set import ExampleSheet
from bot.media.quality import can_start_training, list_overlays, list_remarks
from bot.services import generation_options
from bot.services.access import check_queue_limit, check_training_quota
from bot.services.context import PhotoDecoder, ServiceContext
from bot.texts import translate
from bot.texts.photo_sets import (
    ask_name,
    consent_question,
    consent_recorded,
    continuation_started,
    photo_line,
    photo_set_status,
    photos_discarded,
    prepend_refusals,
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


@dataclass(frozen=True, slots=True)
class SetCard:
    """The message that shows a set, None where there is none; and what became of a set that ended."""

    message_id: str | None
    ended_text: str | None


class PhotoSetService:
    """Takes photos of people who agreed to what they must be, until five begin a training."""

    def __init__(self, context: ServiceContext, decoder: PhotoDecoder) -> None:
        self._context = context
        self._decoder = decoder
        self._example_sheet = ExampleSheet(context.storage)
        self._predecode_limit = asyncio.Semaphore(1)

    def needs_consent(self, request: Request) -> bool:
        """Return whether a person is still to agree; whoever sits at the console runs this machine."""
        is_local = PLATFORM_TRAITS[request.identity.platform].is_local
        return not is_local and not request.account_state.has_consented

    async def show_welcome(self, request: Request) -> Reply:
        """Return what will happen and what makes a good set, and ask for consent once."""
        reply = welcome(
            request.identity.platform,
            self.needs_consent(request),
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
        if self.needs_consent(request):
            return consent_question(0)
        await self.check_open_trainings(request)
        held_count = len(request.account_state.photo_set.photo_ids)
        if held_count == PHOTOS_PER_LORA:
            photo_set, held_photos = await self._read_set(request.account)
            if await self._can_start_training(photo_set, held_photos):
                return await self.train_first_five(request)
        if held_count == 0:
            return await self.show_set(request)
        return await self.repost_card(request)

    async def repost_card(self, request: Request) -> Reply:
        """Return the reply that shows the set in a new message, below what its person wrote; the earlier
        message ends.
        """
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
        if self.needs_consent(request):
            return upload
        async with self._predecode_limit:  # one at a time: nobody waits for it yet
            return await self._decode(upload)

    async def add_photos(self, request: Request) -> Reply:
        """Add the photos of one message or album; exactly five in the set start its training."""
        if not request.uploads:
            raise UserError(translate("no-photo-sent"))
        if len(request.uploads) > MAX_PHOTOS_IN_SET:
            raise UserError(translate("too-many-files", sent=len(request.uploads), most=MAX_PHOTOS_IN_SET))
        if self.needs_consent(request):
            return consent_question(len(request.uploads))
        async with self._context.locks.get_lock(request.account):
            photo_set = await self.check_open_trainings(request)
            decoded = await asyncio.gather(*(self._decode(upload) for upload in request.uploads))
            new_photos = [each for each in decoded if isinstance(each, NewPhoto)]
            result, photos = await self._add_decoded(request, photo_set, new_photos)
            if result.job is None and photos:
                reply = await self._render_set(request.address, result.photo_set, photos)
            elif result.job is None:
                reply = photo_set_status(0, request.address.platform)
        if result.job is not None:
            photo_hashes = [*result.previous_set.photo_hashes, *(each.data_sha256 for each in new_photos)]
            reply = await self._show_training(result.job, result.previous_set, request.address, photo_hashes)
        return prepend_refusals(describe_refusals(decoded, result, is_replay=request.is_replay), reply)

    async def _add_decoded(
        self, request: Request, photo_set: PhotoSet, new_photos: Sequence[NewPhoto]
    ) -> tuple[AddPhotosResult, list[StoredPhoto]]:
        """Add photos to the set; return what became of it and its photos, in their order."""
        account, database = request.account, self._context.database
        held_photos = await database.photos.get_set_photos(account) if photo_set.photo_ids else ()
        new_photos, crops = await self._measure_photos(new_photos, photo_set.class_word)
        added_photos = [photo.stored for photo in new_photos]
        can_start = await self._can_start_training(photo_set, [*held_photos, *added_photos])
        async with self._context.admission_lock:
            if can_start and len(held_photos) < PHOTOS_PER_LORA <= len(held_photos) + len(added_photos):
                await self._check_queue_limit(request)  # it may be full by now
            result = await database.photos.add_photos(
                account,
                new_photos,
                request.address,
                TrainingParams() if can_start else None,
                request.idempotency_key,
            )
        # Encoded while the next one is on its way, so that the training can begin with the fifth.
        self._context.queue.prefetch(
            compress(added_photos, result.accepted), compress(crops, result.accepted)
        )
        accepted_photos = list(compress(added_photos, result.accepted))
        if result.job is not None:
            return result, [*held_photos, *accepted_photos]
        if len(result.previous_set.photo_ids) != len(held_photos):  # some were deleted meanwhile
            return result, list(await database.photos.get_set_photos(account))
        # New photos have the highest ids, in the order in which they were added.
        photos_by_id = dict(zip(result.previous_set.photo_ids, held_photos, strict=True))
        new_ids = sorted(set(result.photo_set.photo_ids) - set(photos_by_id))
        photos_by_id |= dict(zip(new_ids, accepted_photos, strict=True))
        return result, [photos_by_id[each] for each in result.photo_set.photo_ids]

    async def train_first_five(self, request: Request) -> Reply:
        """Train on the first five of a set that came too large."""
        if self.needs_consent(request):
            return consent_question(0)
        account, database = request.account, self._context.database
        async with self._context.locks.get_lock(account):
            previous_set = await database.photos.get_set(account)
            async with self._context.admission_lock:
                await self.check_open_trainings(request)
                job = await database.photos.start_training(
                    account, request.address, TrainingParams(), request.idempotency_key
                )
            if job is not None:
                self._context.forget_photos(previous_set.photo_hashes[PHOTOS_PER_LORA:])
        if job is not None:
            return await self._show_training(
                job, previous_set, request.address, previous_set.photo_hashes[:PHOTOS_PER_LORA]
            )
        return await self.show_set(request) if previous_set.photo_ids else Reply(translate("no-photos-held"))

    async def read_card(self, identity: Identity, address: ChatAddress) -> SetCard:
        """Return which message in a chat shows the collected set, and what became of the set if it ended."""
        state = (await self._context.database.access.read_request_state(identity)).account_state
        if state is None:
            return SetCard(None, translate("set-deleted"))
        photo_set = state.photo_set
        message_id = photo_set.card_message_id if photo_set.address == address else None
        if photo_set.photo_ids:
            return SetCard(message_id, None)
        trainings = [job for job in state.open_jobs if job.kind is JobKind.TRAIN]
        if not trainings:
            return SetCard(message_id, translate("set-deleted"))
        return SetCard(message_id, translate("set-complete", code=format_code(trainings[-1].code)))

    async def record_card(self, identity: Identity, message_id: str) -> bool:
        """Store which message shows the set. Return False where nothing is collected any more."""
        return await self._context.database.photos.show_set_in(identity, message_id)

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
        """Return the reply that asks for a name; the person's next message is the answer."""
        _require_own_set(request)
        await self._context.database.accounts.save_question(
            request.account, PendingQuestion("set", request.address.words_address)
        )
        return ask_name(request.address)

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
        """Return the reply that shows the set: a numbered contact sheet where its person alone reads, and
        what can be done.
        """
        photo_set, photos = await self._read_set(request.account)
        return await self._render_set(request.address, photo_set, photos)

    async def _read_set(self, account: AccountId) -> tuple[PhotoSet, Sequence[StoredPhoto]]:
        photo_set = await self._context.database.photos.get_set(account)
        photos = await self._context.database.photos.get_set_photos(account) if photo_set.photo_ids else ()
        return photo_set, photos

    async def _render_set(
        self, address: ChatAddress, photo_set: PhotoSet, photos: Sequence[StoredPhoto]
    ) -> Reply:
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
        """Return photos with what the coach saw on them, and the parts of them that are trained on."""
        report = (
            await self._context.coach.review_photos([photo.stored for photo in photos], ANY_PERSON_CLASS)
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

    async def _can_start_training(self, photo_set: PhotoSet, photos: Sequence[StoredPhoto]) -> bool:
        """Return whether five photos start a training by themselves: not before a person knows of a bad one.

        A photo that is there already is refused and not added; five may be left of more.
        """
        photos = list(dict.fromkeys(photos))
        if len(photos) < PHOTOS_PER_LORA:
            return True
        return can_start_training(await self._context.coach.review_photos(photos, photo_set.class_word))

    async def drop_photo(self, request: Request) -> Reply:
        """Delete one photo of the set; where five are left, their training begins."""
        _require_own_set(request)
        account, photo_id = request.account, int(request.arguments[1])
        async with self._context.locks.get_lock(account):
            photo_set, held_photos = await self._read_set(account)
            left_photos = [
                photo
                for each, photo in zip(photo_set.photo_ids, held_photos, strict=True)
                if each != photo_id
            ]
            can_start = await self._can_start_training(photo_set, left_photos)
            async with self._context.admission_lock:
                if len(photo_set.photo_ids) == PHOTOS_PER_LORA + 1:  # five will be left: a training
                    await self.check_open_trainings(request)
                photo_hash, job = await self._context.database.photos.delete_photo(
                    account,
                    photo_id,
                    request.address,
                    TrainingParams() if can_start else None,
                    request.idempotency_key,
                )
            if photo_hash is None:
                raise UserError(translate("photo-gone"))
            self._context.forget_photos([photo_hash])
        if job is not None:
            return await self._show_training(job, photo_set, request.address, photo_set.photo_hashes)
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

    async def _show_training(
        self, job: Job, previous_set: PhotoSet, address: ChatAddress, photo_hashes: Sequence[str]
    ) -> Reply:
        self._context.queue.wake()
        self._context.forget_cached_photos(photo_hashes)
        eta = await estimate_job(self._context.database.jobs, job, self._context.clock())
        reply = continuation_started(job, eta) if job.is_continuation else training_started(job, eta)
        complete_text = translate("set-complete", code=format_code(job.code))
        return replace(reply, closed_photo_set=_end_previous_card(previous_set, address, complete_text))

    async def check_open_trainings(self, request: Request, code: LoraCode | None = None) -> PhotoSet:
        """Return the set as it is now. Raise UserError when no training may be started.

        That is: a person has had enough trainings, the queue is full, or the Lora of the set, or `code`, is
        being trained already.
        """
        state = await self._context.database.access.read_request_state(request.identity)
        account_state = state.account_state or request.account_state
        code = code or account_state.photo_set.code
        trainings = [job for job in account_state.open_jobs if job.kind is JobKind.TRAIN]
        for job in trainings:
            if job.code == code:
                eta = await estimate_job(self._context.database.jobs, job, self._context.clock())
                left = format_time_left(eta.remaining_s)
                raise UserError(translate("still-training", code=format_code(job.code), left=left))
        if len(trainings) >= MAX_OPEN_TRAININGS:
            raise UserError(translate("too-many-trainings", most=MAX_OPEN_TRAININGS))
        await check_training_quota(self._context, request, state)
        return account_state.photo_set

    async def _check_queue_limit(self, request: Request) -> None:
        state = await self._context.database.access.read_request_state(request.identity)
        await check_queue_limit(self._context, request, state)


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
