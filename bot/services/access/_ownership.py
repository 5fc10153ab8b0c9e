"""What is a person's own. "No such thing" and "not yours" are one answer from one look-up."""

from __future__ import annotations

from datetime import datetime

from bot.core.accounts import AccountId
from bot.core.errors import UnknownCode, UserError
from bot.core.jobs import Job, JobId, JobKind, JobStatus, Picture, estimate_job
from bot.core.loras import Lora, LoraCode, LoraState, format_code
from bot.core.messages import Request
from bot.db import Database
from bot.texts import translate
from bot.texts.loras import not_usable
from bot.texts.words import format_time_left
from gpu_worker.protocol import WorkerHealth


def require_own_button(request: Request) -> None:
    """Raise UserError for a button that names another account; one of an earlier version names none."""
    owner = next(iter(request.arguments), "")  # a command names none either
    if owner and int(owner) != request.account:
        raise UserError(translate("not-your-button"))


async def require_lora(database: Database, account: AccountId, code: LoraCode) -> Lora:
    """Return a Lora of the account; UserError tells a stranger nothing of it."""
    lora = await database.loras.get_by_code(code)
    if lora is None or lora.account != account:
        raise UnknownCode(translate("unknown-code"))
    return lora


async def require_ready_lora(database: Database, account: AccountId, code: LoraCode, now: datetime) -> Lora:
    """Return a LoRA of the account that can draw. Raise UserError with until when it cannot, or why."""
    return await _require_ready(database, account, await require_lora(database, account, code), now)


async def require_usable_lora(database: Database, account: AccountId, code: LoraCode, now: datetime) -> Lora:
    """Return a Lora that the account may draw with, its own or a shared one; UserError as above."""
    lora = await database.sharing.get_usable_lora(account, code)
    if lora is None:
        raise UnknownCode(translate("unknown-code"))
    return await _require_ready(database, account, lora, now)


def check_family(lora: Lora, health: WorkerHealth | None) -> None:
    """Raise UserError for a LoRA that does not fit the base model of now; the unknown is let through."""
    current = "" if health is None else health.family
    if lora.family and current and lora.family != current:
        raise UserError(
            translate("lora-of-other-base", code=format_code(lora.code), base=lora.family, current=current)
        )


async def _require_ready(database: Database, account: AccountId, lora: Lora, now: datetime) -> Lora:
    code = lora.code
    if lora.state is LoraState.READY:
        return lora
    job = await database.jobs.get_last_training(code)
    if lora.state is LoraState.TRAINING and job is not None:
        # Whoever trains it is told when it is ready; a guest is not.
        raise UserError(
            translate(
                "still-training" if lora.account == account else "still-training-guest",
                code=format_code(code),
                left=format_time_left((await estimate_job(database.jobs, job, now)).remaining_s),
            )
        )
    raise UserError(not_usable(lora))


async def require_job(database: Database, account: AccountId, job_id: JobId, not_found_text: str) -> Job:
    """Return a job of the account; UserError with the sentence `unknown`."""
    job = await database.jobs.get(job_id)
    if job is None or job.account != account:
        raise UserError(not_found_text)
    return job


async def require_result(
    database: Database, account: AccountId, job_id: JobId, not_found_text: str
) -> tuple[Job, list[Picture]]:
    """Return a finished generation of the account with its pictures; UserError also when it was deleted."""
    job = await require_job(database, account, job_id, not_found_text)
    if job.kind is not JobKind.GENERATE or job.status is not JobStatus.DONE:
        raise UserError(translate("not-done"))
    pictures = await database.results.list_pictures(job_id)
    if any(picture.is_deleted for picture in pictures):
        raise UserError(translate("deleted"))
    return job, pictures
