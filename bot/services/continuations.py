"""`/more` and `/replace`: a Lora learns more: on the photos it had, with one swapped, or on new ones."""

from __future__ import annotations

import re

from bot import texts
from bot.core.accounts import AccountId, Place
from bot.core.errors import UserError
from bot.core.jobs import estimate
from bot.core.loras import LEAST_MORE_STEPS, MORE_STEPS, MOST_MORE_STEPS, LoraCode, split_code
from bot.core.messages import Reply
from bot.core.photos import PHOTOS_PER_LORA
from bot.services import generation_options, ownership
from bot.services.context import Tools
from bot.services.photo_sets import Collecting


class Further:
    """Trains Loras further; each belongs to whoever asks."""

    def __init__(self, tools: Tools, collecting: Collecting) -> None:
        self._tools = tools
        self._collecting = collecting

    async def more(self, account: AccountId, place: Place, text: str) -> Reply:
        """Train a Lora further: `4071 3386 300`."""
        code_text, rest = split_code(generation_options.cleaned(text))
        return await self.go_on(account, place, generation_options.read_code(code_text), _steps(rest))

    async def go_on(self, account: AccountId, place: Place, code: LoraCode, steps: int = MORE_STEPS) -> Reply:
        """Begin at once where its photos are kept; else ask for five."""
        ledger = self._tools.ledger
        async with self._tools.locks.of(account):
            await ownership.ready_lora(ledger, account, code, self._tools.clock())
            async with self._tools.admission:
                await self._collecting.refuse_a_third_training(account, place, code)
                job = await ledger.train_further(account, code, place, steps)
            if job is None:
                await self._refuse_other_photos(account, code)
                await ledger.collect_for(account, code, steps)
        if job is None:
            return await self._collecting.below(account, place)
        self._tools.queue.wake()
        return texts.further_started(job, await estimate(ledger, job, self._tools.clock()))

    async def replace(self, account: AccountId, place: Place, text: str) -> Reply:
        """Ask for the photo that takes the place of one: `4071 3386 4`."""
        ledger = self._tools.ledger
        code_text, rest = split_code(generation_options.cleaned(text))
        code = generation_options.read_code(code_text)
        await ownership.ready_lora(ledger, account, code, self._tools.clock())
        if not re.fullmatch(rf"[1-{PHOTOS_PER_LORA}]", rest):
            raise UserError(texts.wrong_photo())
        async with self._tools.locks.of(account):
            await self._collecting.refuse_a_third_training(account, place, code)
            if await ledger.keeps_photos_of(code):
                await self._refuse_other_photos(account, code)
            if not await ledger.collect_swap(account, code, int(rest), MORE_STEPS):
                return texts.nothing_to_replace(code)
        return await self._collecting.below(account, place)

    async def _refuse_other_photos(self, account: AccountId, code: LoraCode) -> None:
        photo_set = await self._tools.ledger.photo_set(account)
        if photo_set.photos and photo_set.code != code:
            raise UserError(texts.set_is_open(len(photo_set.photos)))


def _steps(text: str) -> int:
    if not text:
        return MORE_STEPS
    if not re.fullmatch(r"[0-9]{1,6}", text) or not LEAST_MORE_STEPS <= int(text) <= MOST_MORE_STEPS:
        raise UserError(texts.wrong_steps(LEAST_MORE_STEPS, MOST_MORE_STEPS))
    return int(text)
