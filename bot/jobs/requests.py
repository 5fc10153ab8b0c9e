"""What a job becomes when it goes to the worker: final prompts, and every file as bytes."""

from __future__ import annotations

import logging

from bot.core.errors import WorkerLost
from bot.core.jobs import GenerateWish, Job, TrainWish
from bot.core.loras import PEOPLE, Lora, LoraCode, Trigger
from bot.core.prompts import styled, with_triggers
from bot.db import Ledger
from bot.jobs.styles import Styles
from bot.media.quality import Feed
from bot.media.storage import Files
from bot.texts import ENGLISH, said_in
from gpu_worker.protocol import Generate, JobRequest, LoraUse, Start, Train

log = logging.getLogger(__name__)

#: Platforms count an edit as a message, so a card shows a new preview no more often than that.
PREVIEW_EVERY_S = 4.0


#: What a candidate draws: a face that is near, and one in a place that no photo shows.
_CANDIDATE_PROMPTS = ("photo of {}, close-up, looking at the camera", "photo of {} on the beach")


class Missing(Exception):
    """Something the job needs is gone; the message says so in English, a card in its person's language."""


class Requests:
    """Builds requests from the ledger and the files."""

    def __init__(self, ledger: Ledger, files: Files, styles: Styles, face_mask: bool = False) -> None:
        self._ledger = ledger
        self._face_mask = face_mask
        self._files = files
        self._styles = styles

    async def of(self, job: Job) -> JobRequest:
        """Give the request of a job's attempt; Missing when it can never be carried out."""
        if isinstance(job.wish, TrainWish):
            return await self._train(job, job.wish)
        return await self._generate(job, job.wish)

    async def _train(self, job: Job, wish: TrainWish) -> Train:
        photos, feeds = await self._ledger.photos_of(job.id), await self._feeds(job, wish)
        has_any = any(feed is not None for feed in feeds)
        return Train(
            job_id=job.id,
            attempt=job.attempt,
            photos=photos,
            captions=tuple(_caption(feed, wish.trigger) for feed in feeds) if has_any else (),
            crops=tuple(None if feed is None else feed.crop() for feed in feeds) if has_any else (),
            masks=tuple(None if feed is None else feed.mask_png() for feed in feeds)
            if has_any and self._face_mask
            else (),
            token=wish.trigger.token,
            class_word=wish.trigger.class_word,
            steps=wish.steps,
            seed=wish.seed,
            sample_prompt=f"photo of {wish.trigger}",
            candidate_prompts=_candidate_prompts(wish.trigger),
            resume=await self._files.read_checkpoint(job.id),
            start_from=None if wish.start_step is None else (await self._file_of(job.code))[1],
            start_step=wish.start_step or 0,
        )

    async def _feeds(self, job: Job, wish: TrainWish) -> list[Feed | None]:
        """Give what was seen on each photo; nothing of what is no person, as faces are what was seen."""
        hints = await self._ledger.hints_of(job.id)
        return [Feed.read(hint) if wish.trigger.class_word in PEOPLE else None for hint in hints]

    async def _generate(self, job: Job, wish: GenerateWish) -> Generate:
        loras, triggers = [], {}
        for code in (job.code, *wish.codes):
            use, triggers[code] = await self._lora(code, wish.strength)
            loras.append(use)
        style = self._styles.get(wish.style)
        if style is None and wish.style:
            log.warning("job %d asks for a style that is no longer there", job.id)
        prompt = with_triggers(wish.prompt, triggers)
        return Generate(
            job_id=job.id,
            attempt=job.attempt,
            prompt=styled(prompt, style.prompt) if style is not None else prompt,
            negative=", ".join(filter(None, (wish.negative, style.negative if style is not None else ""))),
            seed=wish.seed,
            shape=wish.shape,
            width_px=wish.width_px,
            height_px=wish.height_px,
            count=wish.count,
            steps=wish.steps,
            guidance=wish.guidance,
            sampler=wish.sampler,
            loras=tuple(loras),
            variation=wish.variation,
            variation_seed=wish.variation_seed,
            start=await self._start(wish),
            preview_every_s=PREVIEW_EVERY_S,
            compare_with=await references(self._ledger, self._files, job.code) if wish.best else (),
        )

    async def _lora(self, code: LoraCode, strength: float | None) -> tuple[LoraUse, str]:
        lora, data = await self._file_of(code)
        strong = 1.0 if strength is None else strength
        return LoraUse(data=data, sha256=lora.sha256 or "", name=code, strength=strong), str(lora.trigger)

    async def _file_of(self, code: LoraCode, missed: str | None = None) -> tuple[Lora, bytes]:
        """Read the file of a Lora; `missed` is one that was not there any more."""
        lora = await self._ledger.lora(code)
        if lora is None or lora.file in (None, missed) or lora.sha256 is None:
            raise Missing(said_in(ENGLISH, "lora-file-gone"))
        try:
            return lora, await self._files.read_lora(str(lora.file))
        except FileNotFoundError:  # it was trained further since we looked, and has another file
            return await self._file_of(code, lora.file)
        except OSError as error:  # it is there, and may be read the next time
            raise WorkerLost("a LoRA could not be read") from error

    async def _start(self, wish: GenerateWish) -> Start | None:
        if wish.redraw is None or wish.source is None:
            return None
        for picture in await self._ledger.pictures_of(wish.source):
            if picture.number == wish.source_picture:
                try:
                    data = await self._files.read_picture(picture.file)
                except FileNotFoundError as error:
                    raise Missing(said_in(ENGLISH, "picture-gone")) from error
                except OSError as error:
                    raise WorkerLost("a picture could not be read") from error
                return Start(picture=data, redraw=wish.redraw)
        raise Missing(said_in(ENGLISH, "picture-gone"))


async def references(ledger: Ledger, files: Files, code: LoraCode) -> tuple[bytes, ...]:
    """Give the pictures that a Lora was chosen by: made ones, as no photo is left to compare with."""
    try:
        return tuple([await files.read_picture(each.file) for each in (await ledger.made_with(code))[1:]])
    except OSError:
        log.warning("the pictures that a LoRA was chosen by are gone")
        return ()


def _caption(feed: Feed | None, trigger: Trigger) -> str:
    return str(trigger) if feed is None else feed.caption(str(trigger))


def _candidate_prompts(trigger: Trigger) -> tuple[str, ...]:
    """Give what candidates draw; nothing for what has no face, as nobody could say how alike it is."""
    if trigger.class_word not in PEOPLE:
        return ()
    return tuple(prompt.format(trigger) for prompt in _CANDIDATE_PROMPTS)
