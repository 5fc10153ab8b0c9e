"""What is asked of a ledger: each public method of it, with what it is asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from benchmarks.ledger.world import DAY, HOUR, WISH, Arguments, World, asker, first_code, place
from bot.core.accounts import AccountId, Platform, Preferences, Question, Quota, Role
from bot.core.jobs import Draft, JobKind, JobStatus, TrainWish
from bot.core.likeness import LikenessReport
from bot.core.loras import Allowed
from bot.core.monitoring import Sample
from bot.core.outbox import Handed, Letter, NoticeId


def _kind(world: World) -> JobKind:
    return world.dice.choice(list(JobKind))


def _owner(world: World) -> Arguments:
    # Share n is of the code of the account after n.
    number = world.dice.randint(1, world.size.accounts - 1)
    return AccountId(number + 1), number


def _sample(world: World) -> Sample:
    minute = timedelta(minutes=world.number() + 1)
    return Sample(world.now + minute, {JobKind.TRAIN: 1, JobKind.GENERATE: 2}, "a card", 97, 4, 6, 70)


async def _draft(world: World) -> Arguments:
    account = world.account()
    draft = Draft(account, first_code(account), WISH, place(account))
    await world.ledger.keep_draft(draft)
    return draft, WISH, place(account)


async def _letter(world: World) -> Letter:
    letter = await world.ledger.next_letter(Platform.TELEGRAM)
    assert letter is not None  # noqa: S101 - thousands are owed
    return letter


async def _photo_of_set(world: World) -> Arguments:
    account = await world.collecting(6)
    photos = (await world.ledger.photo_set(account)).photos
    return account, photos[0], place(account), TrainWish()


async def _link(world: World) -> Arguments:
    await world.ledger.give_link_word(world.account(), word := f"join{world.number()}", world.now + HOUR)
    return word, await world.collecting(2)


async def _guest(world: World) -> Arguments:
    await world.ledger.invite(world.code(), word := f"come{world.number()}", world.now + HOUR)
    return asker(await world.newcomer()), word


async def _entry(world: World) -> Arguments:
    await world.ledger.give_entry_word(word := f"enter{world.number()}", world.now + HOUR)
    return await world.newcomer(), word


async def _leaver(world: World) -> Arguments:
    """Somebody with a Lora, a set, a draft and a picture, who asked others."""
    job = await world.waiting(JobKind.TRAIN)
    await world.ledger.add_generation(job.account, job.code, WISH, place(job.account))
    await world.ledger.add_photos(job.account, [world.photo()], place(job.account), None)
    return (job.account,)


def _files(world: World) -> Arguments:
    jobs = [world.job() for _ in range(100)]
    return "pictures", [f"{job}-{world.dice.randint(0, 1)}.png" for job in jobs]


async def _begun(w: World) -> Arguments:
    return (*await w.attempt(), 1, 25)


async def _checkpointed(w: World) -> Arguments:
    return (*await w.attempt(), 1)


async def _cancelled(w: World) -> Arguments:
    return ((await w.waiting(JobKind.GENERATE)).id,)


async def _failed(w: World) -> Arguments:
    return (*await w.attempt(), "It broke.")


async def _pictures(w: World) -> Arguments:
    return (*await w.attempt(), ["a.png"], ["a boat"])


async def _trained(w: World) -> Arguments:
    return (*await w.attempt(JobKind.TRAIN), ("x.safetensors", "0" * 64), ["s.png"])


async def _judged(w: World) -> Arguments:
    return (*await w.attempt(JobKind.TRAIN), LikenessReport(()))


async def _ended_letter(w: World) -> Arguments:
    return (await _letter(w),)


async def _retried_letter(w: World) -> Arguments:
    return await _letter(w), w.now


async def _copy(w: World) -> Arguments:
    job = await w.waiting(JobKind.GENERATE)
    await w.ledger.copy_shown(job.id, job.place, "1")
    await w.ledger.delete_result(job.id)
    return tuple(await w.ledger.copies_due(1))


async def _retried_copy(w: World) -> Arguments:
    return *await _copy(w), w.now


async def _set_of_four(w: World) -> Arguments:
    account = await w.collecting()
    return account, [w.photo()], place(account), TrainWish()


async def _set_of_five(w: World) -> Arguments:
    account = await w.collecting(5)
    return account, place(account), TrainWish()


async def _set_to_forget(w: World) -> Arguments:
    return (await w.collecting(),)


async def _line(w: World) -> Arguments:
    return ((await w.waiting(JobKind.GENERATE)).id,)


async def _lora(w: World) -> Arguments:
    return ((await w.waiting(JobKind.TRAIN)).code,)


async def _lost(w: World) -> Arguments:
    return await w.attempt()


#: The arguments of each public method of the ledger; a test looks that none is missing.
ARGUMENTS: dict[str, Callable[[World], Arguments | Awaitable[Arguments]]] = {
    "accept": _guest,
    "account_of": lambda w: (w.who(),),
    "add_generation": lambda w: (a := w.account(), first_code(a), WISH, place(a)),
    "add_photos": _set_of_four,
    "add_sample": lambda w: (_sample(w),),
    "alarms_on": lambda w: (),
    "allow": lambda w: (*_owner(w), w.dice.choice(list(Allowed))),
    "ask": lambda w: (w.account(), Question("set", Platform.TELEGRAM)),
    "ask_for": lambda w: (asker(w.account()), w.code()),
    "ban": lambda w: ([w.who()],),
    "begun": _begun,
    "belongings_of": lambda w: (w.account(),),
    "cancel": _cancelled,
    "card_shown": lambda w: (w.job(), "1"),
    "checkpointed": _checkpointed,
    "choose": lambda w: (w.account(),),
    "claim": lambda w: (_kind(w),),
    "collect_anew": _set_to_forget,
    "collect_for": lambda w: (a := w.account(), first_code(a), 300),
    "collect_swap": lambda w: (a := w.account(), first_code(a), 4, 300),
    "compact": lambda w: (),
    "consent": lambda w: (w.account(),),
    "copies_due": lambda w: (100,),
    "copy_ended": _copy,
    "copy_retry": _retried_copy,
    "copy_shown": lambda w: (w.job(), place(w.account()), f"{w.number()}"),
    "delete_result": lambda w: (w.job(),),
    "draft_of": lambda w: (w.account(),),
    "drop_draft": lambda w: (w.account(),),
    "drop_photo": _photo_of_set,
    "drop_question": lambda w: (w.account(),),
    "end_invitation": lambda w: (w.code(),),
    "ended_between": lambda w: (w.now - HOUR, w.now),
    "ended_by_hour": lambda w: (JobStatus.DONE, w.now, 24),
    "enter": _entry,
    "erase_account": _leaver,
    "erase_lora": _lora,
    "fail": _failed,
    "forget_updates_before": lambda w: (w.now - 2 * DAY,),
    "job_asked_for": lambda w: (),
    "left_over": lambda w: (),
    "take_in": lambda w: ([Handed(10**9 + w.number(), "1", "{}")],),
    "worked_off": lambda w: (w.opened(),),
    "finish_draft": _draft,
    "finish_generation": _pictures,
    "finish_training": _trained,
    "forget_drafts": lambda w: (w.now,),
    "forget_invitations": lambda w: (w.now,),
    "forget_photos": _set_to_forget,
    "forget_photos_before": lambda w: (w.now - 7 * DAY,),
    "forget_samples_before": lambda w: (w.now - DAY,),
    "forget_sets_before": lambda w: (w.now - 2 * DAY,),
    "give_entry_word": lambda w: (f"word{w.number()}", w.now),
    "give_link_word": lambda w: (w.account(), f"word{w.number()}", w.now),
    "go_on_telling_everybody": lambda w: (),
    "has_consented": lambda w: (w.account(),),
    "held": lambda w: (w.account(),),
    "held_names": lambda w: (w.account(),),
    "hints_of": lambda w: (w.job(),),
    "identities_of": lambda w: (w.account(),),
    "invitation_until": lambda w: (w.code(),),
    "invite": lambda w: (w.code(), f"word{w.number()}", w.now),
    "is_current": lambda w: (w.job(), 1),
    "job": lambda w: (w.job(),),
    "jobs_ahead": _line,
    "join_accounts": _link,
    "judged": _judged,
    "keeps_photos_of": lambda w: (w.code(),),
    "keep_draft": lambda w: (Draft(a := w.account(), first_code(a), WISH, place(a)),),
    "train_further": lambda w: (a := w.account(), first_code(a), place(a), 300),
    "known_account": lambda w: (w.who(),),
    "language_of": lambda w: (w.who(),),
    "last_acts": lambda w: (10,),
    "last_failed": lambda w: (w.now - DAY, 5),
    "last_reports": lambda w: (10,),
    "letter_ended": _ended_letter,
    "letter_retry": _retried_letter,
    "lora": lambda w: (w.code(),),
    "loras_of": lambda w: (w.account(),),
    "lost": _lost,
    "made_with": lambda w: (w.code(),),
    "names_of": lambda w: (w.job(),),
    "next_letter": lambda w: (Platform.TELEGRAM,),
    "next_letter_at": lambda w: (Platform.TELEGRAM,),
    "next_copy_at": lambda w: (),
    "next_notice_at": lambda w: (),
    "note_act": lambda w: (w.who(), "status", ""),
    "notice_retry": lambda w: (NoticeId(w.job()), w.now),
    "notice_sent": lambda w: (NoticeId(w.job()), "1"),
    "notice_undeliverable": lambda w: (NoticeId(w.job()),),
    "notices_owed": lambda w: (),
    "oldest_waiting_at": lambda w: (),
    "open_jobs": lambda w: (_kind(w),),
    "open_jobs_in": lambda w: (place(w.account()), 50),
    "open_jobs_of": lambda w: (w.account(),),
    "owe_everybody": lambda w: ("Tonight it pauses.",),
    "owe_letters": lambda w: ([w.who()], "Hello."),
    "owed": lambda w: (10,),
    "owner_of_link_word": lambda w: (f"l{w.opened()}",),
    "pass_requests_on": lambda w: (),
    "peaks_since": lambda w: (w.now - DAY,),
    "photo_set": lambda w: (AccountId(w.opened()),),
    "photos_of": lambda w: (w.job(),),
    "pictures_of": lambda w: (w.job(),),
    "pictures_since": lambda w: (w.account(), w.now - HOUR),
    "position": _line,
    "prefer": lambda w: (w.account(), Preferences()),
    "preferences_of": lambda w: (w.account(),),
    "progressed": _checkpointed,
    "question_of": lambda w: (AccountId(w.opened()),),
    "queued_ids": lambda w: (),
    "recent_seconds": lambda w: (_kind(w),),
    "release_running": lambda w: (),
    "rename": lambda w: (w.code(), "Anna"),
    "report": lambda w: (w.account(), w.code(), "This is me.", [w.who()], "Hello."),
    "revoke": _owner,
    "running_jobs": lambda w: (),
    "samples_since": lambda w: (w.now - HOUR,),
    "seconds_per_step": lambda w: (_kind(w),),
    "set_photos": lambda w: (w.account(),),
    "set_quota": lambda w: (w.account(), Quota(3, 60)),
    "set_reminded": lambda w: (AccountId(w.opened()),),
    "set_role": lambda w: (w.account(), Role.MEMBER),
    "set_shown": lambda w: (AccountId(w.opened()), "1"),
    "set_touched": lambda w: (a := w.account(), place(a)),
    "sets_to_remind": lambda w: (w.now - 7 * DAY,),
    "share": _owner,
    "shared_with": lambda w: (w.account(),),
    "shares_of": lambda w: (w.code(),),
    "standing_of": lambda w: (w.who(),),
    "start_training": _set_of_five,
    "switch": lambda w: ("alarm:none", w.dice.random() < 0.5),
    "switches_on": lambda w: (),
    "times": lambda w: (_kind(w), w.now - DAY),
    "training_of": lambda w: (w.code(),),
    "trainings_since": lambda w: (w.account(), w.now - DAY),
    "turn_alarm": lambda w: ("disk", w.dice.random() < 0.5, [w.who()], "The disk is full."),
    "unban": lambda w: ([w.who()],),
    "unnamed": _files,
    "usable_lora": lambda w: (w.account(), w.code()),
    "waiting": lambda w: (),
}
