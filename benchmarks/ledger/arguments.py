"""Arguments of the calls that are timed, where they take more than a line."""

from __future__ import annotations

from datetime import timedelta

from benchmarks.ledger.world import (
    HOUR,
    PARAMS,
    Arguments,
    RandomRecords,
    chat_address,
    first_code,
    requester,
)
from bot.core.accounts import AccountId, Platform
from bot.core.jobs import Draft, JobKind, TrainingParams
from bot.core.likeness import LikenessReport
from bot.core.monitoring import MonitorSample
from bot.core.outbox import DirectMessage


def choose_kind(world: RandomRecords) -> JobKind:
    return world.rng.choice(list(JobKind))


def make_owner_args(world: RandomRecords) -> Arguments:
    # Share n is of the code of the account after n.
    number = world.rng.randint(1, world.size.accounts - 1)
    return AccountId(number + 1), number


def make_sample(world: RandomRecords) -> MonitorSample:
    minute = timedelta(minutes=world.next_number() + 1)
    return MonitorSample(world.now + minute, {JobKind.TRAIN: 1, JobKind.GENERATE: 2}, "a card", 97, 4, 6, 70)


async def make_draft_args(world: RandomRecords) -> Arguments:
    account = world.account()
    draft = Draft(account, first_code(account), PARAMS, chat_address(account))
    await world.database.results.save_draft(draft)
    return draft, PARAMS, chat_address(account)


async def _claim_message(world: RandomRecords) -> DirectMessage:
    letter = await world.database.outbox.get_due_direct_message(Platform.TELEGRAM)
    assert letter is not None  # noqa: S101 - thousands are owed
    return letter


async def make_set_photo_args(world: RandomRecords) -> Arguments:
    account = await world.create_photo_set(6)
    photos = (await world.database.photo_sets.get_set(account)).photo_ids
    return account, photos[0], chat_address(account), TrainingParams()


async def make_link_args(world: RandomRecords) -> Arguments:
    await world.database.accounts.save_link_token(
        world.account(), word := f"join{world.next_number()}", world.now + HOUR
    )
    return word, await world.create_photo_set(2)


async def make_guest_args(world: RandomRecords) -> Arguments:
    await world.database.sharing.save_share_link(
        world.code(), word := f"come{world.next_number()}", world.now + HOUR
    )
    return requester(await world.create_account()), word


async def make_entry_args(world: RandomRecords) -> Arguments:
    await world.database.access.save_invite_token(word := f"enter{world.next_number()}", world.now + HOUR)
    return await world.create_account(), word


async def make_erase_args(world: RandomRecords) -> Arguments:
    """Somebody with a Lora, a set, a draft and a picture, who asked others."""
    job = await world.queue_job(JobKind.TRAIN)
    await world.database.jobs.add_generation(job.account, job.code, PARAMS, chat_address(job.account))
    await world.database.photo_sets.add_photos(
        job.account, [world.new_photo()], chat_address(job.account), None
    )
    return (job.account,)


def make_file_args(world: RandomRecords) -> Arguments:
    jobs = [world.job() for _ in range(100)]
    return "pictures", [f"{job}-{world.rng.randint(0, 1)}.png" for job in jobs]


async def make_started_args(w: RandomRecords) -> Arguments:
    return (*await w.start_attempt(), 1, 25)


async def make_checkpoint_args(w: RandomRecords) -> Arguments:
    return (*await w.start_attempt(), 1)


async def make_cancel_args(w: RandomRecords) -> Arguments:
    return ((await w.queue_job(JobKind.GENERATE)).id,)


async def make_failure_args(w: RandomRecords) -> Arguments:
    return (*await w.start_attempt(), "It broke.")


async def make_generation_args(w: RandomRecords) -> Arguments:
    return (*await w.start_attempt(), ["a.png"], ["a boat"])


async def make_training_args(w: RandomRecords) -> Arguments:
    return (*await w.start_attempt(JobKind.TRAIN), ("x.safetensors", "0" * 64), ["s.png"])


async def make_likeness_args(w: RandomRecords) -> Arguments:
    return (*await w.start_attempt(JobKind.TRAIN), LikenessReport(()))


async def make_message_sent_args(w: RandomRecords) -> Arguments:
    return (await _claim_message(w),)


async def make_message_retry_args(w: RandomRecords) -> Arguments:
    return await _claim_message(w), w.now


async def make_stale_message_args(w: RandomRecords) -> Arguments:
    job = await w.queue_job(JobKind.GENERATE)
    await w.database.results.add_result_message(job.id, job.address, "1")
    await w.database.results.delete_result(job.id)
    return tuple(await w.database.outbox.list_due_stale_messages(1))


async def make_stale_retry_args(w: RandomRecords) -> Arguments:
    return *await make_stale_message_args(w), w.now


async def make_four_photos_args(w: RandomRecords) -> Arguments:
    account = await w.create_photo_set()
    return account, [w.new_photo()], chat_address(account), TrainingParams()


async def make_five_photos_args(w: RandomRecords) -> Arguments:
    account = await w.create_photo_set(5)
    return account, chat_address(account), TrainingParams()


async def make_forget_set_args(w: RandomRecords) -> Arguments:
    return (await w.create_photo_set(),)


async def make_queued_job_args(w: RandomRecords) -> Arguments:
    return ((await w.queue_job(JobKind.GENERATE)).id,)


async def make_lora_args(w: RandomRecords) -> Arguments:
    return ((await w.queue_job(JobKind.TRAIN)).code,)


async def make_lost_attempt_args(w: RandomRecords) -> Arguments:
    return await w.start_attempt()
