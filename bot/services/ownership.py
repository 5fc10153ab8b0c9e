"""What is a person's own. "No such thing" and "not yours" are one answer from one look-up."""

from __future__ import annotations

from datetime import datetime

from bot import texts
from bot.core.accounts import AccountId
from bot.core.errors import UnknownCode, UserError
from bot.core.jobs import Job, JobId, JobKind, JobStatus, Picture, estimate
from bot.core.loras import Lora, LoraCode, LoraState
from bot.db import Ledger


async def lora(ledger: Ledger, account: AccountId, code: LoraCode) -> Lora:
    """Give a Lora of the account; UserError tells a stranger nothing of it."""
    found = await ledger.lora(code)
    if found is None or found.account != account:
        raise UnknownCode(texts.UNKNOWN_CODE)
    return found


async def ready_lora(ledger: Ledger, account: AccountId, code: LoraCode, now: datetime) -> Lora:
    """Give a Lora of the account that can draw; UserError says until when it cannot, or why it never will."""
    return await _ready(ledger, await lora(ledger, account, code), now)


async def drawable(ledger: Ledger, account: AccountId, code: LoraCode, now: datetime) -> Lora:
    """Give a Lora that the account may draw with, its own or a shared one; UserError as above."""
    found = await ledger.usable_lora(account, code)
    if found is None:
        raise UnknownCode(texts.UNKNOWN_CODE)
    return await _ready(ledger, found, now)


async def _ready(ledger: Ledger, found: Lora, now: datetime) -> Lora:
    code = found.code
    if found.state is LoraState.READY:
        return found
    job = await ledger.training_of(code)
    if found.state is LoraState.TRAINING and job is not None:
        raise UserError(texts.still_training(code, await estimate(ledger, job, now)))
    raise UserError(texts.not_usable(found))


async def job(ledger: Ledger, account: AccountId, job_id: JobId, unknown: str) -> Job:
    """Give a job of the account; UserError with the sentence `unknown`."""
    found = await ledger.job(job_id)
    if found is None or found.account != account:
        raise UserError(unknown)
    return found


async def result(
    ledger: Ledger, account: AccountId, job_id: JobId, unknown: str
) -> tuple[Job, list[Picture]]:
    """Give a finished generation of the account with its pictures; UserError also when it was deleted."""
    found = await job(ledger, account, job_id, unknown)
    if found.kind is not JobKind.GENERATE or found.status is not JobStatus.DONE:
        raise UserError(texts.NOT_DONE)
    pictures = await ledger.pictures_of(job_id)
    if any(each.is_deleted for each in pictures):
        raise UserError(texts.DELETED)
    return found, pictures
