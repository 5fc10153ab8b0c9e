"""What is asked of a ledger: each public method of it, with what it is asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from benchmarks.ledger.world import (
    DAY,
    HOUR,
    WISH,
    Arguments,
    RandomRecords,
    chat_address,
    first_code,
    requester,
)
from bot.core.accounts import AccountId, PendingQuestion, Platform, Preferences, Quota, Role
from bot.core.jobs import Draft, JobKind, JobStatus, TrainingParams
from bot.core.likeness import LikenessReport
from bot.core.loras import Permission
from bot.core.monitoring import MonitorSample
from bot.core.outbox import DirectMessage, IncomingUpdate, NoticeId


def _random_kind(world: RandomRecords) -> JobKind:
    return world.rng.choice(list(JobKind))


def _owner_args(world: RandomRecords) -> Arguments:
    # Share n is of the code of the account after n.
    number = world.rng.randint(1, world.size.accounts - 1)
    return AccountId(number + 1), number


def _make_sample(world: RandomRecords) -> MonitorSample:
    minute = timedelta(minutes=world.next_number() + 1)
    return MonitorSample(world.now + minute, {JobKind.TRAIN: 1, JobKind.GENERATE: 2}, "a card", 97, 4, 6, 70)


async def _draft_args(world: RandomRecords) -> Arguments:
    account = world.account()
    draft = Draft(account, first_code(account), WISH, chat_address(account))
    await world.database.save_draft(draft)
    return draft, WISH, chat_address(account)


async def _claim_message(world: RandomRecords) -> DirectMessage:
    letter = await world.database.get_due_direct_message(Platform.TELEGRAM)
    assert letter is not None  # noqa: S101 - thousands are owed
    return letter


async def _set_photo_args(world: RandomRecords) -> Arguments:
    account = await world.create_photo_set(6)
    photos = (await world.database.get_set(account)).photo_ids
    return account, photos[0], chat_address(account), TrainingParams()


async def _link_args(world: RandomRecords) -> Arguments:
    await world.database.save_link_token(
        world.account(), word := f"join{world.next_number()}", world.now + HOUR
    )
    return word, await world.create_photo_set(2)


async def _guest_args(world: RandomRecords) -> Arguments:
    await world.database.save_share_link(world.code(), word := f"come{world.next_number()}", world.now + HOUR)
    return requester(await world.create_account()), word


async def _entry_args(world: RandomRecords) -> Arguments:
    await world.database.save_invite_token(word := f"enter{world.next_number()}", world.now + HOUR)
    return await world.create_account(), word


async def _erase_args(world: RandomRecords) -> Arguments:
    """Somebody with a Lora, a set, a draft and a picture, who asked others."""
    job = await world.queue_job(JobKind.TRAIN)
    await world.database.add_generation(job.account, job.code, WISH, chat_address(job.account))
    await world.database.add_photos(job.account, [world.new_photo()], chat_address(job.account), None)
    return (job.account,)


def _file_args(world: RandomRecords) -> Arguments:
    jobs = [world.job() for _ in range(100)]
    return "pictures", [f"{job}-{world.rng.randint(0, 1)}.png" for job in jobs]


async def _started_args(w: RandomRecords) -> Arguments:
    return (*await w.start_attempt(), 1, 25)


async def _checkpoint_args(w: RandomRecords) -> Arguments:
    return (*await w.start_attempt(), 1)


async def _cancel_args(w: RandomRecords) -> Arguments:
    return ((await w.queue_job(JobKind.GENERATE)).id,)


async def _failure_args(w: RandomRecords) -> Arguments:
    return (*await w.start_attempt(), "It broke.")


async def _generation_args(w: RandomRecords) -> Arguments:
    return (*await w.start_attempt(), ["a.png"], ["a boat"])


async def _training_args(w: RandomRecords) -> Arguments:
    return (*await w.start_attempt(JobKind.TRAIN), ("x.safetensors", "0" * 64), ["s.png"])


async def _likeness_args(w: RandomRecords) -> Arguments:
    return (*await w.start_attempt(JobKind.TRAIN), LikenessReport(()))


async def _message_sent_args(w: RandomRecords) -> Arguments:
    return (await _claim_message(w),)


async def _message_retry_args(w: RandomRecords) -> Arguments:
    return await _claim_message(w), w.now


async def _stale_message_args(w: RandomRecords) -> Arguments:
    job = await w.queue_job(JobKind.GENERATE)
    await w.database.add_result_message(job.id, job.address, "1")
    await w.database.delete_result(job.id)
    return tuple(await w.database.list_due_stale_messages(1))


async def _stale_retry_args(w: RandomRecords) -> Arguments:
    return *await _stale_message_args(w), w.now


async def _four_photos_args(w: RandomRecords) -> Arguments:
    account = await w.create_photo_set()
    return account, [w.new_photo()], chat_address(account), TrainingParams()


async def _five_photos_args(w: RandomRecords) -> Arguments:
    account = await w.create_photo_set(5)
    return account, chat_address(account), TrainingParams()


async def _forget_set_args(w: RandomRecords) -> Arguments:
    return (await w.create_photo_set(),)


async def _queued_job_args(w: RandomRecords) -> Arguments:
    return ((await w.queue_job(JobKind.GENERATE)).id,)


async def _lora_args(w: RandomRecords) -> Arguments:
    return ((await w.queue_job(JobKind.TRAIN)).code,)


async def _lost_attempt_args(w: RandomRecords) -> Arguments:
    return await w.start_attempt()


#: The arguments of each public method of the ledger; a test looks that none is missing.
MAKE_ARGUMENTS: dict[str, Callable[[RandomRecords], Arguments | Awaitable[Arguments]]] = {
    "accept_share_link": _guest_args,
    "get_or_create": lambda w: (w.identity(),),
    "add_generation": lambda w: (a := w.account(), first_code(a), WISH, chat_address(a)),
    "add_photos": _four_photos_args,
    "add_sample": lambda w: (_make_sample(w),),
    "list_active_alerts": lambda w: (),
    "set_permission": lambda w: (*_owner_args(w), w.rng.choice(list(Permission))),
    "save_question": lambda w: (w.account(), PendingQuestion("set", Platform.TELEGRAM)),
    "add_request": lambda w: (requester(w.account()), w.code()),
    "ban": lambda w: ([w.identity()],),
    "record_start": _started_args,
    "count_stored_data": lambda w: (w.account(),),
    "cancel": _cancel_args,
    "save_card_message": lambda w: (w.job(), "1"),
    "record_checkpoint": _checkpoint_args,
    "update_set": lambda w: (w.account(),),
    "claim_next": lambda w: (_random_kind(w),),
    "collect_for_new_lora": _forget_set_args,
    "collect_for_lora": lambda w: (a := w.account(), first_code(a), 300),
    "collect_replacement": lambda w: (a := w.account(), first_code(a), 4, 300),
    "checkpoint_wal": lambda w: (),
    "record_consent": lambda w: (w.account(),),
    "list_due_stale_messages": lambda w: (100,),
    "delete_stale_message": _stale_message_args,
    "schedule_stale_message_retry": _stale_retry_args,
    "add_result_message": lambda w: (w.job(), chat_address(w.account()), f"{w.next_number()}"),
    "delete_result": lambda w: (w.job(),),
    "get_draft": lambda w: (w.account(),),
    "delete_draft": lambda w: (w.account(),),
    "delete_photo": _set_photo_args,
    "delete_question": lambda w: (w.account(),),
    "delete_share_link": lambda w: (w.code(),),
    "count_ended_between": lambda w: (w.now - HOUR, w.now),
    "count_ended_by_hour": lambda w: (JobStatus.DONE, w.now, 24),
    "redeem_invite_token": _entry_args,
    "erase_account": _erase_args,
    "erase_lora": _lora_args,
    "fail": _failure_args,
    "delete_updates_before": lambda w: (w.now - 2 * DAY,),
    "find_by_current_request": lambda w: (),
    "list_pending_updates": lambda w: (),
    "store_updates": lambda w: ([IncomingUpdate(10**9 + w.next_number(), "1", "{}")],),
    "mark_update_processed": lambda w: (w.open_number(),),
    "submit_draft": _draft_args,
    "finish_generation": _generation_args,
    "finish_training": _training_args,
    "delete_expired_drafts": lambda w: (w.now,),
    "delete_expired_requests": lambda w: (w.now,),
    "delete_set": _forget_set_args,
    "delete_photos_before": lambda w: (w.now - 7 * DAY,),
    "delete_samples_before": lambda w: (w.now - DAY,),
    "delete_sets_before": lambda w: (w.now - 2 * DAY,),
    "save_invite_token": lambda w: (f"word{w.next_number()}", w.now),
    "save_link_token": lambda w: (w.account(), f"word{w.next_number()}", w.now),
    "resume_broadcasts": lambda w: (),
    "has_consented": lambda w: (w.account(),),
    "count_collected": lambda w: (w.account(),),
    "list_set_hashes": lambda w: (w.account(),),
    "get_job_hints": lambda w: (w.job(),),
    "list_identities": lambda w: (w.account(),),
    "get_share_link_expiry": lambda w: (w.code(),),
    "save_share_link": lambda w: (w.code(), f"word{w.next_number()}", w.now),
    "is_current_attempt": lambda w: (w.job(), 1),
    "get": lambda w: (w.job(),),
    "list_ahead": _queued_job_args,
    "merge_accounts": _link_args,
    "save_likeness": _likeness_args,
    "has_kept_photos": lambda w: (w.code(),),
    "save_draft": lambda w: (Draft(a := w.account(), first_code(a), WISH, chat_address(a)),),
    "continue_training": lambda w: (a := w.account(), first_code(a), chat_address(a), 300),
    "find_by_identity": lambda w: (w.identity(),),
    "get_language": lambda w: (w.identity(),),
    "list_audit_entries": lambda w: (10,),
    "list_last_failed": lambda w: (w.now - DAY, 5),
    "list_reports": lambda w: (10,),
    "delete_direct_message": _message_sent_args,
    "schedule_direct_message_retry": _message_retry_args,
    "get_by_code": lambda w: (w.code(),),
    "list_for_account": lambda w: (w.account(),),
    "record_lost_attempt": _lost_attempt_args,
    "list_training_pictures": lambda w: (w.code(),),
    "list_job_hashes": lambda w: (w.job(),),
    "get_due_direct_message": lambda w: (Platform.TELEGRAM,),
    "next_direct_message_at": lambda w: (Platform.TELEGRAM,),
    "next_stale_message_at": lambda w: (),
    "next_notice_at": lambda w: (),
    "add_audit_entry": lambda w: (w.identity(), "status", ""),
    "schedule_notice_retry": lambda w: (NoticeId(w.job()), w.now),
    "mark_notice_sent": lambda w: (NoticeId(w.job()), "1"),
    "mark_notice_undeliverable": lambda w: (NoticeId(w.job()),),
    "count_undelivered": lambda w: (),
    "get_oldest_queued_at": lambda w: (),
    "list_open": lambda w: (_random_kind(w),),
    "list_open_in_chat": lambda w: (chat_address(w.account()), 50),
    "list_open_for_account": lambda w: (w.account(),),
    "add_broadcast": lambda w: ("Tonight it pauses.",),
    "add_direct_messages": lambda w: ([w.identity()], "Hello."),
    "list_due_notices": lambda w: (10,),
    "get_link_token_account": lambda w: (f"l{w.open_number()}",),
    "forward_requests": lambda w: (),
    "list_peaks_since": lambda w: (w.now - DAY,),
    "get_set": lambda w: (AccountId(w.open_number()),),
    "get_job_photos": lambda w: (w.job(),),
    "list_pictures": lambda w: (w.job(),),
    "count_pictures_since": lambda w: (w.account(), w.now - HOUR),
    "get_queue_position": _queued_job_args,
    "save_preferences": lambda w: (w.account(), Preferences()),
    "get_preferences": lambda w: (w.account(),),
    "record_progress": _checkpoint_args,
    "get_question": lambda w: (AccountId(w.open_number()),),
    "list_queued_ids": lambda w: (),
    "list_recent_durations_s": lambda w: (_random_kind(w),),
    "requeue_running": lambda w: (),
    "rename": lambda w: (w.code(), "Anna"),
    "add_report": lambda w: (w.account(), w.code(), "This is me.", [w.identity()], "Hello."),
    "revoke_share": _owner_args,
    "list_running": lambda w: (),
    "list_samples_since": lambda w: (w.now - HOUR,),
    "get_median_step_s": lambda w: (_random_kind(w),),
    "get_set_photos": lambda w: (w.account(),),
    "set_quota": lambda w: (w.account(), Quota(3, 60)),
    "mark_set_reminded": lambda w: (AccountId(w.open_number()),),
    "set_role": lambda w: (w.account(), Role.MEMBER),
    "save_set_message": lambda w: (AccountId(w.open_number()), "1"),
    "touch_set": lambda w: (a := w.account(), chat_address(a)),
    "list_sets_to_remind": lambda w: (w.now - 7 * DAY,),
    "get_share": _owner_args,
    "list_shared_with": lambda w: (w.account(),),
    "list_shares": lambda w: (w.code(),),
    "get_access_status": lambda w: (w.identity(),),
    "start_training": _five_photos_args,
    "set_switch": lambda w: ("alarm:none", w.rng.random() < 0.5),
    "list_active_switches": lambda w: (),
    "get_latency_stats": lambda w: (_random_kind(w), w.now - DAY),
    "get_last_training": lambda w: (w.code(),),
    "count_trainings_since": lambda w: (w.account(), w.now - DAY),
    "set_alert": lambda w: ("disk", w.rng.random() < 0.5, [w.identity()], "The disk is full."),
    "unban": lambda w: ([w.identity()],),
    "list_unreferenced_files": _file_args,
    "get_usable_lora": lambda w: (w.account(), w.code()),
    "count_queued": lambda w: (),
}
