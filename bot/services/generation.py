"""Drawing: with a LoraCode, and from an earlier result."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from pathlib import Path

from PIL import Image

from bot import texts
from bot.core.accounts import AccountId, Place
from bot.core.errors import ShareEnded, UnknownCode, UserError
from bot.core.jobs import MAX_CODES, Draft, GenerateWish, Job, JobId, JobKind, Picture, estimate
from bot.core.loras import LoraCode
from bot.core.messages import Reply
from bot.core.prompts import codes_in
from bot.services import generation_options, ownership
from bot.services.access import refuse_pictures
from bot.services.context import Tools

MAX_OPEN_GENERATIONS = 4
VARIATIONS = 4
#: Share of other noise in a variation: the picture is recognised, its details are others.
VARIATION = 0.25
#: How much of a picture is drawn anew when it becomes larger: enough for detail, too little to change it.
LARGER_REDRAW = 0.35
#: Likewise for variations of a picture that no seed alone stands for.
VARIATION_REDRAW = 0.55
#: What a person writes who wants none, not even the one they set.
NO_STYLE = "none"
_SIDE_STEP_PX = 8
_SEEDS = 2**32 - VARIATIONS


class Pictures:
    """Queues generations; each method gives the card to show."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def draw(
        self, account: AccountId, place: Place, code: LoraCode, wish: GenerateWish, draft: Draft | None = None
    ) -> Reply:
        """Draw a checked wish with a Lora the account may use; `draft`, which it came from, ends with it."""
        ledger = self._tools.ledger
        wish = await self._settled(account, code, wish)
        async with self._tools.locks.of(account):
            jobs = await ledger.open_jobs_of(account)
            if sum(job.kind is JobKind.GENERATE for job in jobs) >= MAX_OPEN_GENERATIONS:
                raise UserError(texts.too_many_generations(MAX_OPEN_GENERATIONS))
            try:
                async with self._tools.admission:
                    await refuse_pictures(self._tools, account, place, wish.count)
                    job = await self._queued(account, place, code, wish, draft)
            except ShareEnded as error:  # it was taken back, or used, since we looked
                raise UserError(texts.UNKNOWN_CODE) from error
        self._tools.queue.wake()
        guess = await estimate(ledger, job, self._tools.clock())
        return texts.card(job, guess.left_s, guess.position)

    async def again(self, account: AccountId, place: Place, job_id: JobId) -> Reply:
        """Draw a result's wish once more, with other noise."""
        job, wish, _ = await self._result(account, job_id)
        # What changes between variations is the noise that is mixed in.
        other = replace(wish, variation_seed=_new_seed()) if wish.variation else replace(wish, seed=None)
        return await self.draw(account, place, job.code, _made_from(other, job))

    async def vary(self, account: AccountId, place: Place, job_id: JobId, number: int) -> Reply:
        """Draw four that are like one picture of a result."""
        job, wish, pictures = await self._result(account, job_id)
        picture = _numbered(pictures, number)
        if wish.redraw is None and not wish.variation and wish.seed is not None:
            other = replace(
                wish,
                seed=(wish.seed + number - 1) % 2**32,
                variation=VARIATION,
                variation_seed=_new_seed(),
                count=VARIATIONS,
                best=False,
                source=job.id,
                source_picture=number,
            )
            return await self.draw(account, place, job.code, other)
        path = self._tools.files.picture_path(picture.file)
        size_px = await asyncio.to_thread(_size_px, path)
        if size_px is None:
            return texts.picture_gone(job.id, number)
        other = _begun_from(wish, job, number, size_px, VARIATION_REDRAW)
        return await self.draw(account, place, job.code, replace(other, count=VARIATIONS))

    async def enlarge(self, account: AccountId, place: Place, job_id: JobId, number: int) -> Reply:
        """Draw one picture of a result with sides twice as long."""
        job, wish, pictures = await self._result(account, job_id)
        path = self._tools.files.picture_path(_numbered(pictures, number).file)
        size_px = await asyncio.to_thread(_size_px, path)
        if size_px is None:
            return texts.picture_gone(job.id, number)
        larger_px = twice_as_large(size_px)
        if larger_px is None:
            raise UserError(texts.AS_LARGE_AS_I_CAN)
        return await self.draw(
            account, place, job.code, _begun_from(wish, job, number, larger_px, LARGER_REDRAW)
        )

    async def prompt_of(self, account: AccountId, job_id: JobId) -> str:
        """Give the words of a result."""
        return (await self._result(account, job_id))[1].prompt

    async def edited(self, account: AccountId, place: Place, job_id: JobId, text: str) -> Reply:
        """Draw a result's wish with other words and another seed."""
        job, wish, _ = await self._result(account, job_id)
        wish = generation_options.parse_prompt(text, to_be_edited(job, wish))
        return await self.draw(account, place, job.code, wish)

    async def draft_to_edit(self, account: AccountId, place: Place, job_id: JobId) -> Reply:
        """Wait for a result's new words."""
        job, wish, _ = await self._result(account, job_id)
        await self._tools.ledger.keep_draft(Draft(account, job.code, to_be_edited(job, wish), place))
        return texts.edit_prompt(job)

    async def _queued(
        self, account: AccountId, place: Place, code: LoraCode, wish: GenerateWish, draft: Draft | None
    ) -> Job:
        if draft is None:
            return await self._tools.ledger.add_generation(account, code, wish, place)
        job = await self._tools.ledger.finish_draft(draft, wish, place)
        if job is None:
            raise UserError(texts.DRAFT_GONE)
        return job

    async def _result(self, account: AccountId, job_id: JobId) -> tuple[Job, GenerateWish, list[Picture]]:
        job, pictures = await ownership.result(self._tools.ledger, account, job_id, texts.STALE_BUTTON)
        assert isinstance(job.wish, GenerateWish)  # noqa: S101 - a result is of a generation
        return job, job.wish, pictures

    async def _settled(self, account: AccountId, code: LoraCode, wish: GenerateWish) -> GenerateWish:
        """Give the wish with its codes looked up, its style known and its seed drawn."""
        if (blocked := self._tools.block_list.found_in(wish.prompt)) is not None:
            raise UserError(texts.not_drawn_here(blocked))
        ledger, now = self._tools.ledger, self._tools.clock()
        await ownership.drawable(ledger, account, code, now)
        if wish.best and len(await ledger.made_with(code)) < 2:  # the first is the strip
            raise UserError(texts.best_unknown(code, wish.count))
        others = tuple(each for each in codes_in(wish.prompt) if each != code)
        if len(others) >= MAX_CODES:
            raise UserError(texts.too_many_codes())
        for other in others:
            try:
                await ownership.drawable(ledger, account, other, now)
            except UnknownCode as error:  # it may be two years: how to write those is said with it
                raise UnknownCode(texts.unknown_code_in_prompt(other)) from error
        has_style = wish.style and wish.style.lower() != NO_STYLE
        style = self._tools.styles.read(wish.style).name if has_style else ""
        seed = _new_seed() if wish.seed is None else wish.seed
        return replace(wish, codes=others, style=style, seed=seed)


def to_be_edited(job: Job, wish: GenerateWish) -> GenerateWish:
    """Give what stays of a result's wish when its words change: a variation of other words would be none."""
    return _made_from(replace(wish, seed=None, variation=0.0, variation_seed=0), job)


def twice_as_large(size_px: tuple[int, int]) -> tuple[int, int] | None:
    """Give sides twice as long, or as long as they may be; None when they are already."""
    scale = min(2.0, generation_options.MAX_LARGE_SIDE_PX / max(size_px))
    width_px, height_px = (int(side_px * scale) // _SIDE_STEP_PX * _SIDE_STEP_PX for side_px in size_px)
    return (width_px, height_px) if width_px > size_px[0] and height_px > size_px[1] else None


def _made_from(wish: GenerateWish, job: Job) -> GenerateWish:
    # What began from a picture still begins from that one.
    return wish if wish.redraw is not None else replace(wish, source=job.id, source_picture=None)


def _begun_from(
    wish: GenerateWish, job: Job, number: int, size_px: tuple[int, int], redraw: float
) -> GenerateWish:
    return replace(
        wish,
        seed=None,
        count=1,
        best=False,
        variation=0.0,
        variation_seed=0,
        shape="",
        width_px=size_px[0],
        height_px=size_px[1],
        source=job.id,
        source_picture=number,
        redraw=redraw,
    )


def _numbered(pictures: list[Picture], number: int) -> Picture:
    for picture in pictures:
        if picture.number == number:
            return picture
    raise UserError(texts.STALE_BUTTON)


def _new_seed() -> int:
    return secrets.randbelow(_SEEDS)


def _size_px(path: Path) -> tuple[int, int] | None:
    """Read a picture's size from its file's head; None when it is gone or no picture any more."""
    try:
        with Image.open(path) as picture:
            return picture.size
    except OSError:
        return None
