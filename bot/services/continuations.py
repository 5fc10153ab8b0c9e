"""`/more` and `/replace`: a Lora learns more: on the photos it had, with one swapped, or on new ones."""

from __future__ import annotations

import re

from bot import texts
from bot.core.accounts import AccountId, ChatAddress
from bot.core.errors import UserError
from bot.core.jobs import estimate_job
from bot.core.loras import DEFAULT_EXTRA_STEPS, MAX_EXTRA_STEPS, MIN_EXTRA_STEPS, LoraCode, split_code
from bot.core.messages import Reply
from bot.core.photos import PHOTOS_PER_LORA
from bot.services import generation_options, ownership
from bot.services.context import ServiceContext
from bot.services.photo_sets import PhotoSetService


class ContinuationService:
    """Trains Loras further; each belongs to whoever asks."""

    def __init__(self, context: ServiceContext, photo_sets: PhotoSetService) -> None:
        self._context = context
        self._photo_sets = photo_sets

    async def continue_from_text(self, account: AccountId, address: ChatAddress, text: str) -> Reply:
        """Train a Lora further: `4071 3386 300`."""
        code_text, steps_text = split_code(generation_options.clean_text(text))
        return await self.continue_training(
            account, address, generation_options.read_code(code_text), _parse_steps(steps_text)
        )

    async def continue_training(
        self, account: AccountId, address: ChatAddress, code: LoraCode, steps: int = DEFAULT_EXTRA_STEPS
    ) -> Reply:
        """Begin at once where its photos are kept; else ask for five."""
        database = self._context.database
        async with self._context.locks.get_lock(account):
            await ownership.require_ready_lora(database, account, code, self._context.clock())
            async with self._context.admission_lock:
                await self._photo_sets.check_open_trainings(account, address, code)
                job = await database.continue_training(account, code, address, steps)
            if job is None:
                await self._check_no_other_set(account, code)
                await database.collect_for_lora(account, code, steps)
        if job is None:
            return await self._photo_sets.repost_card(account, address)
        self._context.queue.wake()
        return texts.continuation_started(job, await estimate_job(database, job, self._context.clock()))

    async def replace_photo(self, account: AccountId, address: ChatAddress, text: str) -> Reply:
        """Ask for the photo that takes the place of one: `4071 3386 4`."""
        database = self._context.database
        code_text, photo_text = split_code(generation_options.clean_text(text))
        code = generation_options.read_code(code_text)
        await ownership.require_ready_lora(database, account, code, self._context.clock())
        if not re.fullmatch(rf"[1-{PHOTOS_PER_LORA}]", photo_text):
            raise UserError(texts.wrong_photo())
        async with self._context.locks.get_lock(account):
            await self._photo_sets.check_open_trainings(account, address, code)
            if await database.has_kept_photos(code):
                await self._check_no_other_set(account, code)
            if not await database.collect_replacement(account, code, int(photo_text), DEFAULT_EXTRA_STEPS):
                return texts.nothing_to_replace(code)
        return await self._photo_sets.repost_card(account, address)

    async def _check_no_other_set(self, account: AccountId, code: LoraCode) -> None:
        photo_set = await self._context.database.get_set(account)
        if photo_set.photo_ids and photo_set.code != code:
            raise UserError(texts.set_is_open(len(photo_set.photo_ids)))


def _parse_steps(text: str) -> int:
    if not text:
        return DEFAULT_EXTRA_STEPS
    if not re.fullmatch(r"[0-9]{1,6}", text) or not MIN_EXTRA_STEPS <= int(text) <= MAX_EXTRA_STEPS:
        raise UserError(texts.wrong_steps(MIN_EXTRA_STEPS, MAX_EXTRA_STEPS))
    return int(text)
