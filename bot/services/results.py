"""What a person does with a result: bring it back, read its recipe, delete it, take the LoRA along."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from bot.core.accounts import AccountId, ChatAddress
from bot.core.errors import UserError
from bot.core.jobs import (
    TERMINAL_STATUSES,
    GenerationParams,
    Job,
    JobId,
    JobKind,
    JobStatus,
    Picture,
    estimate_job,
)
from bot.core.loras import LoraCode
from bot.core.messages import Attachment, Reply, Request
from bot.media import lora_files
from bot.services import access, generation_options
from bot.services.context import ServiceContext
from bot.texts import translate
from bot.texts.cards import job_card
from bot.texts.commands import usage_example
from bot.texts.results import ask_to_delete, lora_export, recipe_card, result_card


class ResultService:
    """Shows, explains, deletes and exports what was generated and what was trained."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def show_result(self, request: Request) -> Reply:
        """Return a result by its number, as far as the policy of this chat lets it be seen."""
        if not request.text.strip():
            example = usage_example(request.identity.platform, "show")
            raise UserError(translate("show-what", example=example))
        reply = await self._find_result(request.account, request.address, request.text)
        return await self._context.moderator.filter_reply(request.address, reply)

    async def _find_result(self, account: AccountId, address: ChatAddress, text: str) -> Reply:
        """Return a result; of a job that is not done, its card."""
        match = re.fullmatch(r"#?\s*([0-9]{1,15})", text.strip())
        if match is None:
            raise UserError(translate("no-such-result"))
        database, job_id = self._context.database, JobId(int(match[1]))
        job = await access.require_job(database, account, job_id, translate("no-such-result"))
        if job.kind is JobKind.GENERATE and job.status is JobStatus.DONE:
            job, pictures = await access.require_result(
                database, account, job_id, translate("no-such-result")
            )
            reply = result_card(job, await asyncio.to_thread(self._existing_paths, pictures))
            return replace(reply, result_job_id=job_id)
        if job.status in TERMINAL_STATUSES:
            return job_card(job, None, None)
        eta = await estimate_job(database.jobs, job, self._context.clock())
        card = job_card(job, eta.remaining_s, eta.position)
        return card if address.can_edit_in(job.address) else replace(card, card_job_id=None)

    async def record_copy(
        self, job_id: JobId, address: ChatAddress, message_id: str, editable_for: timedelta | None = None
    ) -> None:
        """Store a further message that shows a result, for as long as it can be edited; None is for ever."""
        # By our own clock: a platform's may differ from it by more than the few minutes that this is about.
        expires_at = None if editable_for is None else self._context.clock() + editable_for
        if await self._context.database.results.add_result_message(job_id, address, message_id, expires_at):
            self._context.queue.notify_changed(job_id)  # its person was quicker with Delete

    async def show_recipe(self, request: Request) -> Reply:
        """Return all that a result was made of."""
        job, pictures = await self._require_result(request)
        style = (
            self._context.styles.get(job.params.style) if isinstance(job.params, GenerationParams) else None
        )
        lora = await self._context.database.loras.get_by_code(job.code)
        steps = None if lora is None else lora.steps
        style_label = style.localized_label if style is not None else ""
        return recipe_card(job, pictures, style_label, steps)

    async def ask_to_delete(self, request: Request) -> Reply:
        """Return the reply that asks once whether a result shall be deleted."""
        job, pictures = await self._require_result(request)
        return replace(ask_to_delete(job.id, len(pictures)), pressed_result_job_id=job.id)

    async def delete_result(self, request: Request) -> Reply:
        """Delete the prompt of a result, then its files."""
        job, _ = await self._require_result(request)
        pictures = await self._context.database.results.delete_result(job.id)
        await self._context.storage.delete_pictures(picture.file for picture in pictures)
        self._context.queue.notify_changed(job.id)  # its messages lose pictures and buttons
        return Reply(translate("result-is-deleted", result=f"#{job.id}"), edits_message=True)

    async def export_lora(self, request: Request) -> Reply:
        """Return the LoRA file of a code, typed or of a button."""
        [text] = request.arguments or (request.text,)
        code = generation_options.read_code(text, usage_example(request.identity.platform, "export"))
        lora = await access.require_ready_lora(
            self._context.database, request.account, code, self._context.clock()
        )
        path = self._context.storage.lora_path(lora.file or "missing")
        if not await asyncio.to_thread(path.is_file):
            raise UserError(translate("lora-file-gone"))
        max_bytes = self._context.max_file_bytes(request.address.platform)
        files = await self._make_attachments(code, path, max_bytes)
        return lora_export(code, str(lora.trigger), files, await asyncio.to_thread(_has_kohya_names, path))

    async def _make_attachments(self, code: LoraCode, path: Path, max_bytes: int) -> list[Attachment]:
        base_name = f"loracode-{code}"
        if (await asyncio.to_thread(path.stat)).st_size <= max_bytes:
            return [Attachment(path, f"{base_name}.safetensors")]
        data = await self._context.storage.read_lora(path.name)
        try:
            parts = await asyncio.to_thread(lora_files.split_lora, data, max_bytes)
        except ValueError as error:
            raise UserError(translate("too-coarse-to-split")) from error
        attachments = []
        for number, part in enumerate(parts, 1):
            part_name = f"{base_name}-{number}of{len(parts)}.safetensors"
            attachments.append(
                Attachment(await self._context.storage.write_export(part_name, part), part_name)
            )
        return attachments

    async def _require_result(self, request: Request) -> tuple[Job, list[Picture]]:
        return await access.require_result(
            self._context.database,
            request.account,
            JobId(int(request.arguments[0])),
            translate("stale-button"),
        )

    def _existing_paths(self, pictures: list[Picture]) -> list[Path]:
        paths = [self._context.storage.picture_path(picture.file) for picture in pictures]
        return [path for path in paths if path.is_file()]


def _has_kohya_names(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return lora_files.has_kohya_names(file)
    except ValueError:  # what reads the file will say so
        return True
