"""What a person does with a result: bring it back, read its recipe, delete it, take the LoRA along."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

from bot import texts
from bot.core.accounts import AccountId, Place
from bot.core.errors import UserError
from bot.core.jobs import TERMINAL, GenerateWish, Job, JobId, JobKind, JobStatus, Picture, estimate
from bot.core.loras import LoraCode
from bot.core.messages import Attachment, Reply
from bot.media import lora_files
from bot.services import generation_options, ownership
from bot.services.context import Tools


class Results:
    """Looks after what was drawn and what was learnt."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def show(self, account: AccountId, place: Place, text: str) -> Reply:
        """Bring a result back; of a job that is not done, its card."""
        match = re.fullmatch(r"#?\s*([0-9]{1,15})", text.strip())
        if match is None:
            raise UserError(texts.NO_SUCH_RESULT)
        ledger, job_id = self._tools.ledger, JobId(int(match[1]))
        job = await ownership.job(ledger, account, job_id, texts.NO_SUCH_RESULT)
        if job.kind is JobKind.GENERATE and job.status is JobStatus.DONE:
            job, pictures = await ownership.result(ledger, account, job_id, texts.NO_SUCH_RESULT)
            shown = texts.result(job, await asyncio.to_thread(self._existing, pictures))
            return replace(shown, copy_of=job_id)
        if job.status in TERMINAL:
            return texts.card(job, None, None)
        guess = await estimate(ledger, job, self._tools.clock())
        card = texts.card(job, guess.left_s, guess.position)
        return card if place.edits_in(job.place) else replace(card, card_of=None)

    async def copy_shown(self, job_id: JobId, place: Place, message_id: str) -> None:
        """Remember a further message that shows a result."""
        if await self._tools.ledger.copy_shown(job_id, place, message_id):
            self._tools.queue.changed(job_id)  # its person was quicker with Delete

    async def recipe(self, account: AccountId, job_id: JobId) -> Reply:
        """Tell all that a result was made of."""
        job, pictures = await self._result(account, job_id)
        style = self._tools.styles.get(job.wish.style) if isinstance(job.wish, GenerateWish) else None
        lora = await self._tools.ledger.lora(job.code)
        steps = None if lora is None else lora.steps
        return texts.recipe(job, pictures, style.shown if style is not None else "", steps)

    async def ask_to_delete(self, account: AccountId, job_id: JobId) -> Reply:
        """Ask once."""
        _, pictures = await self._result(account, job_id)
        return replace(texts.ask_to_delete(job_id, len(pictures)), pressed_copy_of=job_id)

    async def delete(self, account: AccountId, job_id: JobId) -> Reply:
        """Delete a result's words, then its files."""
        await self._result(account, job_id)
        pictures = await self._tools.ledger.delete_result(job_id)
        await self._tools.files.forget_pictures(picture.file for picture in pictures)
        self._tools.queue.changed(job_id)  # its messages lose pictures and buttons
        return texts.deleted(job_id)

    async def export(self, account: AccountId, place: Place, text: str) -> Reply:
        """Give the LoRA file of a code, in parts when the platform takes no file so large."""
        code = generation_options.read_code(text)
        lora = await ownership.ready_lora(self._tools.ledger, account, code, self._tools.clock())
        path = self._tools.files.lora_path(lora.file or "missing")
        if not await asyncio.to_thread(path.is_file):
            raise UserError(texts.LORA_FILE_GONE)
        most = self._tools.max_file_bytes(place.platform)
        return texts.export(code, str(lora.trigger), await self._parts(code, path, most))

    async def _parts(self, code: LoraCode, path: Path, max_bytes: int) -> list[Attachment]:
        name = f"loracode-{code}"
        if (await asyncio.to_thread(path.stat)).st_size <= max_bytes:
            return [Attachment(path, f"{name}.safetensors")]
        data = await self._tools.files.read_lora(path.name)
        try:
            parts = await asyncio.to_thread(lora_files.split, data, max_bytes)
        except ValueError as error:
            raise UserError(texts.TOO_COARSE_TO_SPLIT) from error
        attachments = []
        for number, part in enumerate(parts, 1):
            part_name = f"{name}-{number}of{len(parts)}.safetensors"
            attachments.append(Attachment(await self._tools.files.write_export(part_name, part), part_name))
        return attachments

    async def _result(self, account: AccountId, job_id: JobId) -> tuple[Job, list[Picture]]:
        return await ownership.result(self._tools.ledger, account, job_id, texts.STALE_BUTTON)

    def _existing(self, pictures: list[Picture]) -> list[Path]:
        paths = [self._tools.files.picture_path(picture.file) for picture in pictures]
        return [path for path in paths if path.is_file()]
