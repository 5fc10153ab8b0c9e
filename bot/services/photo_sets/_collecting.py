"""From consent to the fifth photo: the set a person collects, shown by one message that is edited."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

from bot.core.accounts import PLATFORM_TRAITS, PendingQuestion
from bot.core.errors import UserError
from bot.core.jobs import TrainingParams
from bot.core.loras import CLASS_WORDS, MAX_NAME_CHARS, PERSON_CLASSES
from bot.core.messages import PhotoInput, Reply, Request, Upload
from bot.core.photos import MAX_PHOTOS_IN_SET, PHOTOS_PER_LORA, NewPhoto, PhotoSet, StoredPhoto
from bot.db import AddPhotosResult
from bot.media.example_set import ExampleSheet
from bot.services import access, generation_options
from bot.services.context import PhotoDecoder, ServiceContext
from bot.services.photo_sets._cards import SetCards, end_previous_card
from bot.services.photo_sets._refusals import describe_refusals
from bot.services.photo_sets._training import TrainingStarter
from bot.texts import translate
from bot.texts.photo_sets import (
    ask_name,
    consent_question,
    consent_recorded,
    photo_set_status,
    photos_discarded,
    prepend_refusals,
    welcome,
)
from gpu_worker.protocol import Crop

#: Photos are looked at as if they were of somebody: whose they are may be chosen after they came.
ANY_PERSON_CLASS = PERSON_CLASSES[0]


class PhotoSetService:
    """Takes photos of people who agreed to what they must be, until five begin a training."""

    def __init__(self, context: ServiceContext, decoder: PhotoDecoder) -> None:
        self._context = context
        self._decoder = decoder
        self.cards = SetCards(context)
        self.trainings = TrainingStarter(context)
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
        return self.cards.add_group_hint(request.address, reply)

    async def record_consent(self, request: Request) -> Reply:
        """Record that a person agreed, and ask for photos."""
        await self._context.database.accounts.record_consent(request.account)
        photo_set = await self._context.database.photo_sets.get_set(request.account)
        reply = consent_recorded(photo_set, request.address.platform, await self._example_sheet.get_picture())
        return replace(self.cards.add_group_hint(request.address, reply), edits_message=True)

    async def start_training(self, request: Request) -> Reply:
        """Return which photos are missing or how to send them; start when exactly five are there."""
        if self.needs_consent(request):
            return consent_question(0)
        await self.trainings.check_open(request)
        held_count = len(request.account_state.photo_set.photo_ids)
        if held_count == PHOTOS_PER_LORA:
            photo_set, held_photos = await self.cards.read_set(request.account)
            if await self.trainings.can_start(photo_set, held_photos):
                return await self.train_first_five(request)
        if held_count == 0:
            return await self.cards.show(request)
        return await self.cards.repost(request)

    async def predecode_photo(self, request: Request) -> PhotoInput:
        """Decode the photo of a request before its album is complete; without consent, return it as it is."""
        [upload] = request.uploads
        if self.needs_consent(request):
            return upload
        async with self._predecode_limit:  # one at a time: nobody waits for it yet
            return await self._decode(upload)

    async def check_before_fetch(self, request: Request) -> Reply | None:
        """Return the question for consent where it lacks. Raise UserError when no photos are taken now."""
        if self.needs_consent(request):
            return consent_question(1)
        await self.trainings.check_open(request)
        return None

    async def add_photos(self, request: Request) -> Reply:
        """Add the photos of one message or album; exactly five in the set start its training."""
        if not request.uploads:
            raise UserError(translate("no-photo-sent"))
        if len(request.uploads) > MAX_PHOTOS_IN_SET:
            raise UserError(translate("too-many-files", sent=len(request.uploads), most=MAX_PHOTOS_IN_SET))
        if self.needs_consent(request):
            return consent_question(len(request.uploads))
        async with self._context.locks.get_lock(request.account):
            photo_set = await self.trainings.check_open(request)
            decoded = await asyncio.gather(*(self._decode(upload) for upload in request.uploads))
            new_photos = [each for each in decoded if isinstance(each, NewPhoto)]
            result, photos = await self._add_decoded(request, photo_set, new_photos)
            if result.job is None and photos:
                reply = await self.cards.render_set(request.address, result.photo_set, photos)
            elif result.job is None:
                reply = photo_set_status(request.account, 0, request.address.platform)
        if result.job is not None:
            photo_hashes = [*result.previous_set.photo_hashes, *(each.data_sha256 for each in new_photos)]
            reply = await self.trainings.show_started(
                result.job, result.previous_set, request.address, photo_hashes
            )
        return prepend_refusals(describe_refusals(decoded, result, is_replay=request.is_replay), reply)

    async def _add_decoded(
        self, request: Request, photo_set: PhotoSet, new_photos: Sequence[NewPhoto]
    ) -> tuple[AddPhotosResult, list[StoredPhoto]]:
        """Add photos to the set; return what became of it and its photos, in their order."""
        account, database = request.account, self._context.database
        held_photos = await database.photo_sets.get_set_photos(account) if photo_set.photo_ids else ()
        new_photos, crops = await self._measure_photos(new_photos, photo_set.class_word)
        added_photos = [photo.stored for photo in new_photos]
        can_start = await self.trainings.can_start(photo_set, [*held_photos, *added_photos])
        async with self._context.admission_lock:
            if can_start and len(held_photos) < PHOTOS_PER_LORA <= len(held_photos) + len(added_photos):
                await self.trainings.check_queue_limit(request)  # it may be full by now
            result = await database.photo_sets.add_photos(
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
            return result, list(await database.photo_sets.get_set_photos(account))
        # New photos have the highest ids, in the order in which they were added.
        photos_by_id = dict(zip(result.previous_set.photo_ids, held_photos, strict=True))
        new_ids = sorted(set(result.photo_set.photo_ids) - set(photos_by_id))
        photos_by_id |= dict(zip(new_ids, accepted_photos, strict=True))
        return result, [photos_by_id[each] for each in result.photo_set.photo_ids]

    async def train_first_five(self, request: Request) -> Reply:
        """Train on the first five of a set that came too large."""
        access.require_own_button(request)
        if self.needs_consent(request):
            return consent_question(0)
        account, database = request.account, self._context.database
        async with self._context.locks.get_lock(account):
            previous_set = await database.photo_sets.get_set(account)
            async with self._context.admission_lock:
                await self.trainings.check_open(request)
                job = await database.photo_sets.start_training(
                    account, request.address, TrainingParams(), request.idempotency_key
                )
            if job is not None:
                self._context.forget_photos(previous_set.photo_hashes[PHOTOS_PER_LORA:])
        if job is not None:
            return await self.trainings.show_started(
                job, previous_set, request.address, previous_set.photo_hashes[:PHOTOS_PER_LORA]
            )
        return (
            await self.cards.show(request) if previous_set.photo_ids else Reply(translate("no-photos-held"))
        )

    async def discard_photos(self, request: Request) -> Reply:
        """Delete the photos of the set that is being collected."""
        access.require_own_button(request)
        account = request.account
        async with self._context.locks.get_lock(account):
            previous_set = await self._context.database.photo_sets.get_set(account)
            discarded_hashes = await self._context.database.photo_sets.delete_set(account)
            self._context.forget_photos(discarded_hashes)
        reply = photos_discarded(len(discarded_hashes), request.address.platform)
        closed_set = end_previous_card(previous_set, request.address, translate("set-deleted"))
        return replace(reply, closed_photo_set=closed_set)

    async def ask_name(self, request: Request) -> Reply:
        """Return the reply that asks for a name; the person's next message is the answer."""
        access.require_own_button(request)
        await self._context.database.accounts.save_question(
            request.account, PendingQuestion("set", request.address.words_address)
        )
        return ask_name(request.account, request.address)

    async def set_name(self, request: Request) -> Reply:
        """Store the name a person wrote for the Lora to be."""
        await self._context.database.photo_sets.update_set(request.account, name=parse_name(request.text))
        return await self.cards.show(request)

    async def set_class(self, request: Request) -> Reply:
        """Store whom the photos show: a person, a dog, …"""
        access.require_own_button(request)
        class_word = request.arguments[1]
        if class_word not in CLASS_WORDS:
            raise UserError(translate("stale-button"))
        await self._context.database.photo_sets.update_set(request.account, class_word=class_word)
        return replace(await self.cards.show(request), edits_message=True)

    async def collect_for_new_lora(self, request: Request) -> Reply:
        """Use what is collected for a new Lora, instead of training one further."""
        access.require_own_button(request)
        async with self._context.locks.get_lock(request.account):
            self._context.forget_photos(
                await self._context.database.photo_sets.collect_for_new_lora(request.account)
            )
        return replace(await self.cards.show(request), edits_message=True)

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

    async def drop_photo(self, request: Request) -> Reply:
        """Delete one photo of the set; where five are left, their training begins."""
        access.require_own_button(request)
        account, photo_id = request.account, int(request.arguments[1])
        async with self._context.locks.get_lock(account):
            photo_set, held_photos = await self.cards.read_set(account)
            left_photos = [
                photo
                for each, photo in zip(photo_set.photo_ids, held_photos, strict=True)
                if each != photo_id
            ]
            can_start = await self.trainings.can_start(photo_set, left_photos)
            async with self._context.admission_lock:
                if len(photo_set.photo_ids) == PHOTOS_PER_LORA + 1:  # five will be left: a training
                    await self.trainings.check_open(request)
                photo_hash, job = await self._context.database.photo_sets.delete_photo(
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
            return await self.trainings.show_started(job, photo_set, request.address, photo_set.photo_hashes)
        return replace(await self.cards.show(request), edits_message=True)

    async def _decode(self, upload: PhotoInput) -> NewPhoto | UserError:
        if not isinstance(upload, Upload):
            return upload
        try:
            photo = await self._decoder.decode(upload)
            await self._context.moderator.check_photo(photo.data)
        except UserError as error:
            return error
        return photo


def parse_name(text: str) -> str:
    """Read the name of a Lora; UserError when it is empty or too long."""
    name = generation_options.clean_text(text)
    if not name or len(name) > MAX_NAME_CHARS:
        raise UserError(translate("wrong-name", most=MAX_NAME_CHARS))
    return name
