"""Drawing: with a LoraCode, and from an earlier result."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from pathlib import Path

from PIL import Image

from bot.core.accounts import AccountId
from bot.core.errors import ShareEnded, UnknownCode, UserError
from bot.core.jobs import (
    MAX_CODES_PER_PICTURE,
    Draft,
    GenerationParams,
    Job,
    JobId,
    JobKind,
    Picture,
    estimate_job,
)
from bot.core.loras import LoraCode, format_code
from bot.core.messages import Reply, Request, Suggestion
from bot.core.prompts import find_codes
from bot.services import access, generation_options
from bot.services.access import check_picture_quota
from bot.services.context import ServiceContext
from bot.texts import translate
from bot.texts.cards import job_card
from bot.texts.results import ask_new_prompt, picture_missing

MAX_OPEN_GENERATIONS = 4
VARIATIONS = 4
#: Share of other noise in a variation: the picture is recognised, its details are others.
VARIATION_STRENGTH = 0.25
#: How much of a picture is drawn anew when it becomes larger: enough for detail, too little to change it.
LARGER_REDRAW = 0.35
#: Likewise for variations of a picture that no seed alone stands for.
VARIATION_REDRAW = 0.55
_SIDE_STEP_PX = 8
_SEED_COUNT = 2**32 - VARIATIONS


class GenerationService:
    """Queues generations; each method returns the card to show."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def generate(
        self,
        request: Request,
        code: LoraCode,
        params: GenerationParams,
        draft: Draft | None = None,
    ) -> Reply:
        """Queue a generation with checked options; the `draft` that they came from ends with it."""
        database, account = self._context.database, request.account
        params = await self._resolve_params(account, code, params)
        async with self._context.locks.get_lock(account):
            try:
                async with self._context.admission_lock:
                    await self._check_limits(request, params.count)
                    job = await self._add_job(request, code, params, draft)
            except ShareEnded as error:  # it was taken back, or used, since we looked
                raise UserError(translate("unknown-code")) from error
        self._context.queue.wake()
        eta = await estimate_job(database.jobs, job, self._context.clock())
        return job_card(job, eta.remaining_s, eta.position)

    async def _check_limits(self, request: Request, count: int) -> None:
        """Raise UserError when a person has too many generations open, or asks for too many pictures."""
        state = await self._context.database.access.read_request_state(request.identity)
        jobs = () if state.account_state is None else state.account_state.open_jobs
        if sum(job.kind is JobKind.GENERATE for job in jobs) >= MAX_OPEN_GENERATIONS:
            raise UserError(translate("too-many-generations", most=MAX_OPEN_GENERATIONS))
        await check_picture_quota(self._context, request, state, count)

    def suggest_styles(self, query: str) -> list[Suggestion]:
        """Return styles that fit what is being typed."""
        return self._context.styles.search(query)

    async def generate_again(self, request: Request) -> Reply:
        """Generate a result's prompt and options once more, with other noise."""
        job, params, _ = await self._require_result(request)
        # What changes between variations is the noise that is mixed in.
        new_params = (
            replace(params, variation_seed=_new_seed()) if params.variation else replace(params, seed=None)
        )
        return await self.generate(request, job.code, _with_source(new_params, job))

    async def generate_at_speed(self, request: Request) -> Reply:
        """Generate a result's pictures once more with the same seed, in few steps or in many."""
        job, params, _ = await self._require_result(request)
        new_params = replace(params, is_fast=request.arguments[1] == "fast", steps=None)
        return await self.generate(request, job.code, _with_source(new_params, job))

    async def generate_variations(self, request: Request) -> Reply:
        """Generate four pictures that are like one picture of a result."""
        job, params, pictures = await self._require_single_pictures(request)
        number = int(request.arguments[1])
        picture = _find_picture(pictures, number)
        if params.redraw is None and not params.variation and params.seed is not None:
            new_params = replace(
                params,
                seed=(params.seed + number - 1) % 2**32,
                variation=VARIATION_STRENGTH,
                variation_seed=_new_seed(),
                count=VARIATIONS,
                best=False,
                source=job.id,
                source_picture=number,
            )
            return await self.generate(request, job.code, new_params)
        path = self._context.storage.picture_path(picture.file)
        size_px = await asyncio.to_thread(_read_size_px, path)
        if size_px is None:
            return picture_missing(job.id, number)
        new_params = _make_redraw_params(params, job, number, size_px, VARIATION_REDRAW)
        return await self.generate(request, job.code, replace(new_params, count=VARIATIONS))

    async def enlarge(self, request: Request) -> Reply:
        """Generate one picture of a result with sides twice as long."""
        job, params, pictures = await self._require_single_pictures(request)
        number = int(request.arguments[1])
        path = self._context.storage.picture_path(_find_picture(pictures, number).file)
        size_px = await asyncio.to_thread(_read_size_px, path)
        if size_px is None:
            return picture_missing(job.id, number)
        larger_px = double_size(size_px)
        if larger_px is None:
            raise UserError(translate("as-large-as-i-can"))
        return await self.generate(
            request, job.code, _make_redraw_params(params, job, number, larger_px, LARGER_REDRAW)
        )

    async def get_prompt(self, request: Request) -> str:
        """Return the prompt of a result."""
        return (await self._require_result(request))[1].prompt

    async def generate_edited(self, request: Request) -> Reply:
        """Generate a result again with another prompt and another seed."""
        job, params, _ = await self._require_result(request)
        params = generation_options.parse_prompt(
            request.text, make_editable_params(job, params), self._context.styles.labels
        )
        return await self.generate(request, job.code, params)

    async def start_edit(self, request: Request) -> Reply:
        """Wait for a result's new prompt."""
        draft = await self.make_edit(request)
        await self._context.database.results.save_draft(draft)
        job_id = JobId(int(request.arguments[0]))
        return ask_new_prompt(request.account, job_id, draft.params.prompt, request.address)

    async def make_edit(self, request: Request) -> Draft:
        """Return a draft that generates a result again."""
        job, params, _ = await self._require_result(request)
        return Draft(request.account, job.code, make_editable_params(job, params), request.address)

    async def _add_job(
        self, request: Request, code: LoraCode, params: GenerationParams, draft: Draft | None
    ) -> Job:
        database, address = self._context.database, request.address
        if draft is None:
            return await database.jobs.add_generation(
                request.account, code, params, address, request.idempotency_key
            )
        job = await database.results.submit_draft(draft, params, address, request.idempotency_key)
        if job is None:
            raise UserError(translate("draft-gone"))
        return job

    async def _require_result(self, request: Request) -> tuple[Job, GenerationParams, list[Picture]]:
        job, pictures = await access.require_result(
            self._context.database,
            request.account,
            JobId(int(request.arguments[0])),
            translate("stale-button"),
        )
        assert isinstance(job.params, GenerationParams)  # noqa: S101 - a result is of a generation
        return job, job.params, pictures

    async def _require_single_pictures(self, request: Request) -> tuple[Job, GenerationParams, list[Picture]]:
        result = await self._require_result(request)
        if result[1].strengths:  # side by side in one file
            raise UserError(translate("stale-button"))
        return result

    async def _resolve_params(
        self, account: AccountId, code: LoraCode, params: GenerationParams
    ) -> GenerationParams:
        """Return the wish with its codes looked up, its style known and its seed drawn."""
        if (blocked_words := self._context.block_list.find_match(params.prompt)) is not None:
            raise UserError(translate("not-drawn-here", words=blocked_words))
        database, now = self._context.database, self._context.clock()
        lora = await access.require_usable_lora(database, account, code, now)
        health = self._context.queue.health()
        access.check_family(lora, health)
        generation_options.check_native_size(params, 0 if health is None else health.native_px)
        if (
            params.best and len(await database.results.list_training_pictures(code)) < 2
        ):  # the first is the strip
            raise UserError(translate("best-unknown", code=format_code(code), count=params.count))
        other_codes = tuple(found_code for found_code in find_codes(params.prompt) if found_code != code)
        if len(other_codes) >= MAX_CODES_PER_PICTURE:
            raise UserError(translate("too-many-codes", most=MAX_CODES_PER_PICTURE))
        for other_code in other_codes:
            try:
                other_lora = await access.require_usable_lora(database, account, other_code, now)
            except UnknownCode as error:  # it may be two years: how to write those is said with it
                raise UnknownCode(
                    translate("unknown-code-in-prompt", code=format_code(other_code))
                ) from error
            access.check_family(other_lora, health)
        has_style = params.style and params.style.lower() != generation_options.NO_STYLE
        style = self._context.styles.resolve(params.style).name if has_style else ""
        seed = _new_seed() if params.seed is None else params.seed
        return replace(params, codes=other_codes, style=style, seed=seed)


def make_editable_params(job: Job, params: GenerationParams) -> GenerationParams:
    """Return the parameters that stay when a result's prompt changes: a variation would not be one."""
    return _with_source(replace(params, seed=None, variation=0.0, variation_seed=0), job)


def double_size(size_px: tuple[int, int]) -> tuple[int, int] | None:
    """Return sides twice as long, or as long as they may be; None when they are already."""
    scale = min(2.0, generation_options.MAX_LARGE_SIDE_PX / max(size_px))
    width_px, height_px = (int(side_px * scale) // _SIDE_STEP_PX * _SIDE_STEP_PX for side_px in size_px)
    return (width_px, height_px) if width_px > size_px[0] and height_px > size_px[1] else None


def _with_source(params: GenerationParams, job: Job) -> GenerationParams:
    # What began from a picture still begins from that one.
    return params if params.redraw is not None else replace(params, source=job.id, source_picture=None)


def _make_redraw_params(
    params: GenerationParams, job: Job, number: int, size_px: tuple[int, int], redraw: float
) -> GenerationParams:
    return replace(
        params,
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


def _find_picture(pictures: list[Picture], number: int) -> Picture:
    for picture in pictures:
        if picture.number == number:
            return picture
    raise UserError(translate("stale-button"))


def _new_seed() -> int:
    return secrets.randbelow(_SEED_COUNT)


def _read_size_px(path: Path) -> tuple[int, int] | None:
    """Read a picture's size from its file's head; None when it is gone or no picture any more."""
    try:
        with Image.open(path) as picture:
            return picture.size
    except OSError:
        return None
