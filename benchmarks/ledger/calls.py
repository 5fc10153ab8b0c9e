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
    "accept": _guest_args,
    "account_of": lambda w: (w.identity(),),
    "add_generation": lambda w: (a := w.account(), first_code(a), WISH, chat_address(a)),
    "add_photos": _four_photos_args,
    "add_sample": lambda w: (_make_sample(w),),
    "alarms_on": lambda w: (),
    "allow": lambda w: (*_owner_args(w), w.rng.choice(list(Permission))),
    "ask": lambda w: (w.account(), PendingQuestion("set", Platform.TELEGRAM)),
    "ask_for": lambda w: (requester(w.account()), w.code()),
    "ban": lambda w: ([w.identity()],),
    "begun": _started_args,
    "belongings_of": lambda w: (w.account(),),
    "cancel": _cancel_args,
    "card_shown": lambda w: (w.job(), "1"),
    "checkpointed": _checkpoint_args,
    "choose": lambda w: (w.account(),),
    "claim": lambda w: (_random_kind(w),),
    "collect_anew": _forget_set_args,
    "collect_for": lambda w: (a := w.account(), first_code(a), 300),
    "collect_swap": lambda w: (a := w.account(), first_code(a), 4, 300),
    "compact": lambda w: (),
    "consent": lambda w: (w.account(),),
    "copies_due": lambda w: (100,),
    "copy_ended": _stale_message_args,
    "copy_retry": _stale_retry_args,
    "copy_shown": lambda w: (w.job(), chat_address(w.account()), f"{w.next_number()}"),
    "delete_result": lambda w: (w.job(),),
    "draft_of": lambda w: (w.account(),),
    "drop_draft": lambda w: (w.account(),),
    "drop_photo": _set_photo_args,
    "drop_question": lambda w: (w.account(),),
    "end_invitation": lambda w: (w.code(),),
    "ended_between": lambda w: (w.now - HOUR, w.now),
    "ended_by_hour": lambda w: (JobStatus.DONE, w.now, 24),
    "enter": _entry_args,
    "erase_account": _erase_args,
    "erase_lora": _lora_args,
    "fail": _failure_args,
    "forget_updates_before": lambda w: (w.now - 2 * DAY,),
    "job_asked_for": lambda w: (),
    "left_over": lambda w: (),
    "take_in": lambda w: ([IncomingUpdate(10**9 + w.next_number(), "1", "{}")],),
    "worked_off": lambda w: (w.open_number(),),
    "finish_draft": _draft_args,
    "finish_generation": _generation_args,
    "finish_training": _training_args,
    "forget_drafts": lambda w: (w.now,),
    "forget_invitations": lambda w: (w.now,),
    "forget_photos": _forget_set_args,
    "forget_photos_before": lambda w: (w.now - 7 * DAY,),
    "forget_samples_before": lambda w: (w.now - DAY,),
    "forget_sets_before": lambda w: (w.now - 2 * DAY,),
    "give_entry_word": lambda w: (f"word{w.next_number()}", w.now),
    "give_link_word": lambda w: (w.account(), f"word{w.next_number()}", w.now),
    "go_on_telling_everybody": lambda w: (),
    "has_consented": lambda w: (w.account(),),
    "held": lambda w: (w.account(),),
    "held_names": lambda w: (w.account(),),
    "hints_of": lambda w: (w.job(),),
    "identities_of": lambda w: (w.account(),),
    "invitation_until": lambda w: (w.code(),),
    "invite": lambda w: (w.code(), f"word{w.next_number()}", w.now),
    "is_current": lambda w: (w.job(), 1),
    "job": lambda w: (w.job(),),
    "jobs_ahead": _queued_job_args,
    "join_accounts": _link_args,
    "judged": _likeness_args,
    "keeps_photos_of": lambda w: (w.code(),),
    "keep_draft": lambda w: (Draft(a := w.account(), first_code(a), WISH, chat_address(a)),),
    "train_further": lambda w: (a := w.account(), first_code(a), chat_address(a), 300),
    "known_account": lambda w: (w.identity(),),
    "language_of": lambda w: (w.identity(),),
    "last_acts": lambda w: (10,),
    "last_failed": lambda w: (w.now - DAY, 5),
    "last_reports": lambda w: (10,),
    "letter_ended": _message_sent_args,
    "letter_retry": _message_retry_args,
    "lora": lambda w: (w.code(),),
    "loras_of": lambda w: (w.account(),),
    "lost": _lost_attempt_args,
    "made_with": lambda w: (w.code(),),
    "names_of": lambda w: (w.job(),),
    "next_letter": lambda w: (Platform.TELEGRAM,),
    "next_letter_at": lambda w: (Platform.TELEGRAM,),
    "next_copy_at": lambda w: (),
    "next_notice_at": lambda w: (),
    "note_act": lambda w: (w.identity(), "status", ""),
    "notice_retry": lambda w: (NoticeId(w.job()), w.now),
    "notice_sent": lambda w: (NoticeId(w.job()), "1"),
    "notice_undeliverable": lambda w: (NoticeId(w.job()),),
    "notices_owed": lambda w: (),
    "oldest_waiting_at": lambda w: (),
    "open_jobs": lambda w: (_random_kind(w),),
    "open_jobs_in": lambda w: (chat_address(w.account()), 50),
    "open_jobs_of": lambda w: (w.account(),),
    "owe_everybody": lambda w: ("Tonight it pauses.",),
    "owe_letters": lambda w: ([w.identity()], "Hello."),
    "owed": lambda w: (10,),
    "owner_of_link_word": lambda w: (f"l{w.open_number()}",),
    "pass_requests_on": lambda w: (),
    "peaks_since": lambda w: (w.now - DAY,),
    "photo_set": lambda w: (AccountId(w.open_number()),),
    "photos_of": lambda w: (w.job(),),
    "pictures_of": lambda w: (w.job(),),
    "pictures_since": lambda w: (w.account(), w.now - HOUR),
    "position": _queued_job_args,
    "prefer": lambda w: (w.account(), Preferences()),
    "preferences_of": lambda w: (w.account(),),
    "progressed": _checkpoint_args,
    "question_of": lambda w: (AccountId(w.open_number()),),
    "queued_ids": lambda w: (),
    "recent_seconds": lambda w: (_random_kind(w),),
    "release_running": lambda w: (),
    "rename": lambda w: (w.code(), "Anna"),
    "report": lambda w: (w.account(), w.code(), "This is me.", [w.identity()], "Hello."),
    "revoke": _owner_args,
    "running_jobs": lambda w: (),
    "samples_since": lambda w: (w.now - HOUR,),
    "seconds_per_step": lambda w: (_random_kind(w),),
    "set_photos": lambda w: (w.account(),),
    "set_quota": lambda w: (w.account(), Quota(3, 60)),
    "set_reminded": lambda w: (AccountId(w.open_number()),),
    "set_role": lambda w: (w.account(), Role.MEMBER),
    "set_shown": lambda w: (AccountId(w.open_number()), "1"),
    "set_touched": lambda w: (a := w.account(), chat_address(a)),
    "sets_to_remind": lambda w: (w.now - 7 * DAY,),
    "share": _owner_args,
    "shared_with": lambda w: (w.account(),),
    "shares_of": lambda w: (w.code(),),
    "standing_of": lambda w: (w.identity(),),
    "start_training": _five_photos_args,
    "switch": lambda w: ("alarm:none", w.rng.random() < 0.5),
    "switches_on": lambda w: (),
    "times": lambda w: (_random_kind(w), w.now - DAY),
    "training_of": lambda w: (w.code(),),
    "trainings_since": lambda w: (w.account(), w.now - DAY),
    "turn_alarm": lambda w: ("disk", w.rng.random() < 0.5, [w.identity()], "The disk is full."),
    "unban": lambda w: ([w.identity()],),
    "unnamed": _file_args,
    "usable_lora": lambda w: (w.account(), w.code()),
    "waiting": lambda w: (),
}
