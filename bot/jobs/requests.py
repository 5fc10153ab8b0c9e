"""What a job becomes when it goes to the worker: final prompts, and every file as bytes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import msgspec

from bot.core.errors import WorkerLost
from bot.core.jobs import FailureReason, GenerationParams, Job, TrainingParams
from bot.core.loras import PERSON_CLASSES, STYLE_CLASS, Lora, LoraCode, Trigger
from bot.core.prompts import FACE_PROMPT, apply_style, find_places, insert_triggers, replace_names
from bot.db import Database
from bot.jobs.styles import Styles
from bot.media.quality import TrainingHint
from bot.media.storage import Storage
from gpu_worker.protocol import GenerateRequest, InitImage, JobRequest, LoraUse, Place, TrainRequest

log = logging.getLogger(__name__)

#: Platforms count an edit as a message, so a card shows a new preview no more often than that.
PREVIEW_INTERVAL_S = 4.0


#: What a candidate draws: a face that is near, and one in a place that no photo shows.
_CANDIDATE_PROMPTS = (f"photo of {{}}, {FACE_PROMPT}", "photo of {} on the beach")


class MissingInput(Exception):
    """Something that a job needs is gone; `reason` says what."""

    def __init__(self, reason: FailureReason) -> None:
        super().__init__(reason)
        self.reason = reason


class RequestBuilder:
    """Builds requests from the database and the files."""

    def __init__(self, database: Database, storage: Storage, styles: Styles, face_mask: bool = False) -> None:
        self._database = database
        self._use_face_mask = face_mask
        self._storage = storage
        self._styles = styles

    async def build(self, job: Job) -> JobRequest:
        """Return the request of a job's attempt; Missing when it can never be carried out."""
        if isinstance(job.params, TrainingParams):
            return await self._build_train(job, job.params)
        return await self._build_generate(job, job.params)

    async def _build_train(self, job: Job, params: TrainingParams) -> TrainRequest:
        photos, hints = (
            await self._database.photos.get_job_photos(job.id),
            await self._load_hints(job, params),
        )
        has_hints = any(hint is not None for hint in hints)
        return TrainRequest(
            job_id=job.id,
            attempt=job.attempt,
            photos=tuple(photo.data for photo in photos),
            photo_hashes=tuple(photo.data_sha256 for photo in photos),
            captions=tuple(_caption(hint, params.trigger) for hint in hints) if has_hints else (),
            crops=tuple(None if hint is None else hint.crop() for hint in hints) if has_hints else (),
            masks=tuple(None if hint is None else hint.mask_png() for hint in hints)
            if has_hints and self._use_face_mask
            else (),
            token=params.trigger.token,
            class_word=params.trigger.class_word,
            steps=params.steps,
            seed=params.seed,
            sample_prompt=f"photo of {params.trigger}",
            candidate_prompts=_candidate_prompts(params.trigger),
            resume_checkpoint=await self._storage.read_checkpoint(job.id),
            initial_lora=None if params.start_step is None else (await self._read_lora_file(job.code))[1],
            start_step=params.start_step or 0,
        )

    async def _load_hints(self, job: Job, params: TrainingParams) -> list[TrainingHint | None]:
        """Return what was seen on each photo; nothing of what is no person, as faces are what was seen."""
        stored_hints = await self._database.photos.get_job_hints(job.id)
        return [
            TrainingHint.from_json(stored_hint) if params.trigger.class_word in PERSON_CLASSES else None
            for stored_hint in stored_hints
        ]

    async def _build_generate(self, job: Job, params: GenerationParams) -> GenerateRequest:
        uses_by_code, triggers_by_code = {}, {}
        prompt = params.prompt
        for code in (job.code, *params.codes):
            lora_use, lora = await self._load_lora(code, params.strength)
            uses_by_code[code] = lora_use
            triggers_by_code[code] = str(lora.trigger)
            if lora.account == job.account:  # its name is nobody else's to know, nor are others its person
                is_self = code == job.code and lora.trigger.class_word in PERSON_CLASSES
                prompt = replace_names(prompt, str(lora.trigger), lora.name, is_self=is_self)
        style = self._styles.get(params.style)
        if style is None and params.style:
            log.warning("job %d asks for a style that is no longer there", job.id)
        prompt = insert_triggers(prompt, triggers_by_code)
        return GenerateRequest(
            job_id=job.id,
            attempt=job.attempt,
            prompt=apply_style(prompt, style.prompt) if style is not None else prompt,
            negative_prompt=params.negative,
            style_negative_prompt=style.negative if style is not None else "",
            seed=params.seed,
            shape=params.shape,
            width_px=params.width_px,
            height_px=params.height_px,
            count=params.count,
            steps=params.steps,
            is_fast=params.is_fast,
            guidance_scale=params.guidance,
            sampler=params.sampler,
            loras=_place_people(params.prompt, uses_by_code, triggers_by_code),
            strengths=params.strengths,
            variation_strength=params.variation,
            variation_seed=params.variation_seed,
            init_image=await self._load_start(params),
            preview_interval_s=PREVIEW_INTERVAL_S,
            reference_pictures=await self._load_references(job, params),
        )

    async def _load_references(self, job: Job, params: GenerationParams) -> tuple[bytes, ...]:
        """Return what the pictures are compared with; those of several people always are."""
        people = await load_people_references(self._database, self._storage, (job.code, *params.codes))
        if len(people) > 1:
            return tuple(picture for pictures in people.values() for picture in pictures)
        return await load_references(self._database, self._storage, job.code) if params.best else ()

    async def _load_lora(self, code: LoraCode, strength: float | None) -> tuple[LoraUse, Lora]:
        lora, data = await self._read_lora_file(code)
        effective_strength = 1.0 if strength is None else strength
        return LoraUse(data=data, sha256=lora.sha256 or "", name=code, strength=effective_strength), lora

    async def _read_lora_file(self, code: LoraCode, missing_file: str | None = None) -> tuple[Lora, bytes]:
        """Read the file of a Lora; `missed` is one that was not there any more."""
        lora = await self._database.loras.get_by_code(code)
        if lora is None or lora.file in (None, missing_file) or lora.sha256 is None:
            raise MissingInput(FailureReason.LORA_FILE_GONE)
        try:
            return lora, await self._storage.read_lora(str(lora.file))
        except FileNotFoundError:  # it was trained further since we looked, and has another file
            return await self._read_lora_file(code, lora.file)
        except OSError as error:  # it is there, and may be read the next time
            raise WorkerLost("a LoRA could not be read") from error

    async def _load_start(self, params: GenerationParams) -> InitImage | None:
        if params.redraw is None or params.source is None:
            return None
        for picture in await self._database.results.list_pictures(params.source):
            if picture.number == params.source_picture:
                try:
                    data = await self._storage.read_picture(picture.file)
                except FileNotFoundError as error:
                    raise MissingInput(FailureReason.START_PICTURE_GONE) from error
                except OSError as error:
                    raise WorkerLost("a picture could not be read") from error
                return InitImage(data=data, denoising_strength=params.redraw)
        raise MissingInput(FailureReason.START_PICTURE_GONE)


async def load_references(database: Database, storage: Storage, code: LoraCode) -> tuple[bytes, ...]:
    """Return the pictures that a Lora was chosen by: made ones, as no photo is left to compare with."""
    try:
        return tuple(
            [
                await storage.read_picture(each.file)
                for each in (await database.results.list_training_pictures(code))[1:]
            ]
        )
    except OSError:
        log.warning("the pictures that a LoRA was chosen by are gone")
        return ()


async def load_people_references(
    database: Database, storage: Storage, codes: Sequence[LoraCode]
) -> dict[LoraCode, tuple[bytes, ...]]:
    """Return the references of all who have a region in a picture; nothing if somebody has none."""
    references = {}
    for code in codes:
        lora = await database.loras.get_by_code(code)
        if lora is not None and lora.trigger.class_word != STYLE_CLASS:
            references[code] = await load_references(database, storage, code)
    return references if all(references.values()) else {}


def _place_people(
    prompt: str, uses_by_code: Mapping[LoraCode, LoraUse], triggers_by_code: Mapping[LoraCode, str]
) -> tuple[LoraUse, ...]:
    """Return the LoRAs, each with a region of the picture where there are several; a style is everywhere."""
    codes = [code for code, trigger in triggers_by_code.items() if not trigger.endswith(f" {STYLE_CLASS}")]
    places = find_places(prompt, codes) if len(codes) > 1 else {}
    return tuple(
        msgspec.structs.replace(
            lora_use, trigger=triggers_by_code[code], place=places.get(code, Place.EVERYWHERE)
        )
        for code, lora_use in uses_by_code.items()
    )


def _caption(hint: TrainingHint | None, trigger: Trigger) -> str:
    return str(trigger) if hint is None else hint.caption(str(trigger))


def _candidate_prompts(trigger: Trigger) -> tuple[str, ...]:
    """Return what candidates draw; nothing for what has no face, as nobody could say how alike it is."""
    if trigger.class_word not in PERSON_CLASSES:
        return ()
    return tuple(prompt.format(trigger) for prompt in _CANDIDATE_PROMPTS)
