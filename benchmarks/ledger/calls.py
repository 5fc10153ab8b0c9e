"""The calls that are timed: every public method of every repository, with its arguments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from benchmarks.ledger.world import (
    DAY,
    HOUR,
    PARAMS,
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
    draft = Draft(account, first_code(account), PARAMS, chat_address(account))
    await world.database.results.save_draft(draft)
    return draft, PARAMS, chat_address(account)


async def _claim_message(world: RandomRecords) -> DirectMessage:
    letter = await world.database.outbox.get_due_direct_message(Platform.TELEGRAM)
    assert letter is not None  # noqa: S101 - thousands are owed
    return letter


async def _set_photo_args(world: RandomRecords) -> Arguments:
    account = await world.create_photo_set(6)
    photos = (await world.database.photo_sets.get_set(account)).photo_ids
    return account, photos[0], chat_address(account), TrainingParams()


async def _link_args(world: RandomRecords) -> Arguments:
    await world.database.accounts.save_link_token(
        world.account(), word := f"join{world.next_number()}", world.now + HOUR
    )
    return word, await world.create_photo_set(2)


async def _guest_args(world: RandomRecords) -> Arguments:
    await world.database.sharing.save_share_link(
        world.code(), word := f"come{world.next_number()}", world.now + HOUR
    )
    return requester(await world.create_account()), word


async def _entry_args(world: RandomRecords) -> Arguments:
    await world.database.access.save_invite_token(word := f"enter{world.next_number()}", world.now + HOUR)
    return await world.create_account(), word


async def _erase_args(world: RandomRecords) -> Arguments:
    """Somebody with a Lora, a set, a draft and a picture, who asked others."""
    job = await world.queue_job(JobKind.TRAIN)
    await world.database.jobs.add_generation(job.account, job.code, PARAMS, chat_address(job.account))
    await world.database.photo_sets.add_photos(
        job.account, [world.new_photo()], chat_address(job.account), None
    )
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
    await w.database.results.add_result_message(job.id, job.address, "1")
    await w.database.results.delete_result(job.id)
    return tuple(await w.database.outbox.list_due_stale_messages(1))


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


#: The arguments of each public method of the database; a test looks that none is missing.
MAKE_ARGUMENTS: dict[str, Callable[[RandomRecords], Arguments | Awaitable[Arguments]]] = {
    "sharing.accept_share_link": _guest_args,
    "access.read_request_state": lambda w: (w.identity(),),
    "accounts.save_locale": lambda w: (w.identity(),),
    "accounts.get_or_create": lambda w: (w.identity(),),
    "jobs.add_generation": lambda w: (a := w.account(), first_code(a), PARAMS, chat_address(a)),
    "photo_sets.add_photos": _four_photos_args,
    "monitoring.add_sample": lambda w: (_make_sample(w),),
    "monitoring.list_active_alerts": lambda w: (),
    "sharing.set_permission": lambda w: (*_owner_args(w), w.rng.choice(list(Permission))),
    "accounts.save_question": lambda w: (a := w.account(), PendingQuestion("set", chat_address(a))),
    "accounts.save_question_messages": lambda w: (a := w.account(), chat_address(a), "12,13"),
    "sharing.add_request": lambda w: (requester(w.account()), w.code()),
    "access.ban": lambda w: ([w.identity()],),
    "jobs.record_start": _started_args,
    "privacy.count_stored_data": lambda w: (w.account(),),
    "jobs.cancel": _cancel_args,
    "results.save_card_message": lambda w: (w.job(), "1"),
    "jobs.record_checkpoint": _checkpoint_args,
    "photo_sets.update_set": lambda w: (w.account(),),
    "jobs.claim_next": lambda w: (_random_kind(w),),
    "photo_sets.collect_for_new_lora": _forget_set_args,
    "photo_sets.collect_for_lora": lambda w: (a := w.account(), first_code(a), 300),
    "photo_sets.collect_replacement": lambda w: (a := w.account(), first_code(a), 4, 300),
    "checkpoint_wal": lambda w: (),
    "accounts.record_consent": lambda w: (w.account(),),
    "outbox.list_due_stale_messages": lambda w: (100,),
    "outbox.delete_stale_message": _stale_message_args,
    "outbox.schedule_stale_message_retry": _stale_retry_args,
    "results.delete_expired_messages": lambda _: (),
    "results.find_by_message": lambda w: (
        w.account(),
        chat_address(w.account()),
        f"{w.next_number()}",
    ),
    "results.add_result_message": lambda w: (w.job(), chat_address(w.account()), f"{w.next_number()}"),
    "results.delete_result": lambda w: (w.job(),),
    "results.get_draft": lambda w: (w.account(),),
    "results.delete_draft": lambda w: (w.account(),),
    "photo_sets.delete_photo": _set_photo_args,
    "accounts.delete_question": lambda w: (w.account(),),
    "sharing.delete_share_link": lambda w: (w.code(),),
    "monitoring.count_ended_between": lambda w: (w.now - HOUR, w.now),
    "monitoring.count_ended_by_hour": lambda w: (JobStatus.DONE, w.now, 24),
    "access.redeem_invite_token": _entry_args,
    "privacy.erase_account": _erase_args,
    "privacy.erase_lora": _lora_args,
    "jobs.fail": _failure_args,
    "outbox.delete_updates_before": lambda w: (w.now - 2 * DAY,),
    "jobs.find_by_idempotency_key": lambda w: ("telegram:7",),
    "outbox.list_pending_updates": lambda w: (),
    "outbox.store_updates": lambda w: ([IncomingUpdate(10**9 + w.next_number(), "1", "{}")],),
    "outbox.mark_update_processed": lambda w: (w.open_number(),),
    "results.submit_draft": _draft_args,
    "jobs.finish_generation": _generation_args,
    "jobs.finish_training": _training_args,
    "results.delete_expired_drafts": lambda w: (w.now,),
    "sharing.delete_expired_requests": lambda w: (w.now,),
    "photo_sets.delete_set": _forget_set_args,
    "photos.delete_photos_before": lambda w: (w.now - 7 * DAY,),
    "monitoring.delete_samples_before": lambda w: (w.now - DAY,),
    "photo_sets.delete_sets_before": lambda w: (w.now - 2 * DAY,),
    "access.delete_expired_usage": lambda w: (w.now,),
    "access.save_invite_token": lambda w: (f"word{w.next_number()}", w.now),
    "accounts.save_link_token": lambda w: (w.account(), f"word{w.next_number()}", w.now),
    "outbox.resume_broadcasts": lambda w: (),
    "accounts.has_consented": lambda w: (w.account(),),
    "photo_sets.count_collected": lambda w: (w.account(),),
    "photo_sets.list_set_hashes": lambda w: (w.account(),),
    "photos.get_job_hints": lambda w: (w.job(),),
    "accounts.list_identities": lambda w: (w.account(),),
    "sharing.get_share_link_expiry": lambda w: (w.code(),),
    "sharing.save_share_link": lambda w: (w.code(), f"word{w.next_number()}", w.now),
    "jobs.is_current_attempt": lambda w: (w.job(), 1),
    "jobs.get": lambda w: (w.job(),),
    "accounts.merge_accounts": _link_args,
    "jobs.save_likeness": _likeness_args,
    "photos.has_kept_photos": lambda w: (w.code(),),
    "results.save_draft": lambda w: (Draft(a := w.account(), first_code(a), PARAMS, chat_address(a)),),
    "photos.continue_training": lambda w: (a := w.account(), first_code(a), chat_address(a), 300),
    "accounts.find_by_identity": lambda w: (w.identity(),),
    "accounts.get_language": lambda w: (w.identity(),),
    "monitoring.list_audit_entries": lambda w: (10,),
    "monitoring.list_last_failed": lambda w: (w.now - DAY, 5),
    "sharing.list_reports": lambda w: (10,),
    "outbox.delete_direct_message": _message_sent_args,
    "outbox.schedule_direct_message_retry": _message_retry_args,
    "loras.get_by_code": lambda w: (w.code(),),
    "loras.list_for_account": lambda w: (w.account(),),
    "jobs.record_lost_attempt": _lost_attempt_args,
    "results.list_training_pictures": lambda w: (w.code(),),
    "photos.list_job_hashes": lambda w: (w.job(),),
    "outbox.get_due_direct_message": lambda w: (Platform.TELEGRAM,),
    "outbox.next_direct_message_at": lambda w: (Platform.TELEGRAM,),
    "outbox.next_stale_message_at": lambda w: (),
    "outbox.next_notice_at": lambda w: (),
    "monitoring.add_audit_entry": lambda w: (w.identity(), "status", ""),
    "outbox.schedule_notice_retry": lambda w: (NoticeId(w.job()), w.now),
    "outbox.mark_notice_sent": lambda w: (NoticeId(w.job()), "1"),
    "outbox.mark_notice_undeliverable": lambda w: (NoticeId(w.job()),),
    "outbox.count_undelivered": lambda w: (),
    "monitoring.get_oldest_queued_at": lambda w: (),
    "jobs.list_open_in_chat": lambda w: (chat_address(w.account()), 50),
    "jobs.list_open_for_account": lambda w: (w.account(),),
    "outbox.add_broadcast": lambda w: ("Tonight it pauses.",),
    "outbox.add_direct_messages": lambda w: ([w.identity()], "Hello."),
    "outbox.list_due_notices": lambda w: (10,),
    "accounts.get_link_token_account": lambda w: (f"l{w.open_number()}",),
    "sharing.forward_requests": lambda w: (),
    "monitoring.list_peaks_since": lambda w: (w.now - DAY,),
    "photo_sets.get_set": lambda w: (AccountId(w.open_number()),),
    "photos.get_job_photos": lambda w: (w.job(),),
    "results.list_pictures": lambda w: (w.job(),),
    "access.count_pictures_since": lambda w: (w.account(), w.now - HOUR),
    "accounts.save_preferences": lambda w: (w.account(), Preferences()),
    "accounts.get_preferences": lambda w: (w.account(),),
    "jobs.record_progress": _checkpoint_args,
    "accounts.get_question": lambda w: (AccountId(w.open_number()),),
    "jobs.list_queued_ids": lambda w: (),
    "jobs.requeue_running": lambda w: (),
    "loras.rename": lambda w: (w.code(), "Anna"),
    "sharing.add_report": lambda w: (w.account(), w.code(), "This is me.", [w.identity()], "Hello."),
    "sharing.revoke_share": _owner_args,
    "jobs.read_queue_state": _queued_job_args,
    "jobs.list_running": lambda w: (),
    "monitoring.list_samples_since": lambda w: (w.now - HOUR,),
    "photo_sets.get_set_photos": lambda w: (w.account(),),
    "access.set_quota": lambda w: (w.account(), Quota(3, 60)),
    "photo_sets.mark_set_reminded": lambda w: (AccountId(w.open_number()),),
    "access.set_role": lambda w: (w.account(), Role.MEMBER),
    "photo_sets.save_set_message": lambda w: (AccountId(w.open_number()), "1"),
    "photo_sets.show_set_in": lambda w: (w.identity(), "1"),
    "photo_sets.touch_set": lambda w: (a := w.account(), chat_address(a)),
    "photo_sets.list_sets_to_remind": lambda w: (Platform.TELEGRAM, w.now - 8 * DAY, w.now - 7 * DAY),
    "sharing.get_share": _owner_args,
    "sharing.list_shared_with": lambda w: (w.account(),),
    "sharing.list_shares": lambda w: (w.code(),),
    "access.get_access_status": lambda w: (w.identity(),),
    "photo_sets.start_training": _five_photos_args,
    "monitoring.set_switch": lambda w: ("alarm:none", w.rng.random() < 0.5),
    "monitoring.list_active_switches": lambda w: (),
    "monitoring.get_latency_stats": lambda w: (_random_kind(w), w.now - DAY),
    "jobs.get_last_training": lambda w: (w.code(),),
    "access.count_trainings_since": lambda w: (w.account(), w.now - DAY),
    "monitoring.set_alert": lambda w: ("disk", w.rng.random() < 0.5, [w.identity()], "The disk is full."),
    "access.unban": lambda w: ([w.identity()],),
    "results.list_unreferenced_files": _file_args,
    "sharing.get_usable_lora": lambda w: (w.account(), w.code()),
    "monitoring.count_queued": lambda w: (),
}
