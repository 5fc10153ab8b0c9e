"""Every sentence people see, but those of refused photos and wishes, which stand beside their rule.

Plain text, no markup. Cards and notices may become the caption of a picture, so they stay within 1024
characters, which is what Telegram allows there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.domain import MAX_CODES, Job, Lora, LoraCode, LoraState, Platform, format_code
from bot.eta import Estimate
from bot.replies import Reply
from bot.texts._admin import ADMIN_COMMANDS as ADMIN_COMMANDS
from bot.texts._admin import BANNED as BANNED
from bot.texts._admin import BROADCAST_WHAT as BROADCAST_WHAT
from bot.texts._admin import HOW_TO_QUOTA as HOW_TO_QUOTA
from bot.texts._admin import INVITATION_FIRST as INVITATION_FIRST
from bot.texts._admin import NO_REPORTS as NO_REPORTS
from bot.texts._admin import NO_SUCH_CODE as NO_SUCH_CODE
from bot.texts._admin import NO_SUCH_PERSON as NO_SUCH_PERSON
from bot.texts._admin import NOT_AN_ADMIN as NOT_AN_ADMIN
from bot.texts._admin import NOT_BANNED as NOT_BANNED
from bot.texts._admin import NOT_ON_THE_LIST as NOT_ON_THE_LIST
from bot.texts._admin import PAUSED as PAUSED
from bot.texts._admin import RESUMED as RESUMED
from bot.texts._admin import WHICH_PERSON as WHICH_PERSON
from bot.texts._admin import acts as acts
from bot.texts._admin import banned as banned
from bot.texts._admin import broadcast as broadcast
from bot.texts._admin import chat_full as chat_full
from bot.texts._admin import draining as draining
from bot.texts._admin import invitation as invitation
from bot.texts._admin import not_drawn_here as not_drawn_here
from bot.texts._admin import pictures_used_up as pictures_used_up
from bot.texts._admin import queue_full as queue_full
from bot.texts._admin import quota as quota
from bot.texts._admin import report_letter as report_letter
from bot.texts._admin import reports as reports
from bot.texts._admin import taken_down as taken_down
from bot.texts._admin import trainings_used_up as trainings_used_up
from bot.texts._admin import unbanned as unbanned
from bot.texts._admin import your_code_was_taken_down as your_code_was_taken_down
from bot.texts._alarms import alarm as alarm
from bot.texts._alarms import alarm_over as alarm_over
from bot.texts._cards import MY_CODES as MY_CODES
from bot.texts._cards import cancel_button as cancel_button
from bot.texts._cards import cancelled as cancelled
from bot.texts._cards import card as card
from bot.texts._cards import notice as notice
from bot.texts._codes import MAX_CODES_LISTED as MAX_CODES_LISTED
from bot.texts._codes import ask_new_name as ask_new_name
from bot.texts._codes import ask_to_remove as ask_to_remove
from bot.texts._codes import code_card as code_card
from bot.texts._codes import codes as codes
from bot.texts._codes import removed as removed
from bot.texts._collecting import CONSENT as CONSENT
from bot.texts._collecting import HOW_TO_SEND
from bot.texts._collecting import PHOTO_GONE as PHOTO_GONE
from bot.texts._collecting import RETENTION_DAYS as RETENTION_DAYS
from bot.texts._collecting import START_OVER as START_OVER
from bot.texts._collecting import USE_FIRST_FIVE as USE_FIRST_FIVE
from bot.texts._collecting import ask_name as ask_name
from bot.texts._collecting import collecting as collecting
from bot.texts._collecting import consent_first as consent_first
from bot.texts._collecting import consented as consented
from bot.texts._collecting import good_set_reasons as good_set_reasons
from bot.texts._collecting import set_below as set_below
from bot.texts._collecting import set_card as set_card
from bot.texts._collecting import set_complete as set_complete
from bot.texts._collecting import set_deleted as set_deleted
from bot.texts._collecting import set_waits as set_waits
from bot.texts._collecting import welcome as welcome
from bot.texts._collecting import wrong_name as wrong_name
from bot.texts._drafts import DRAFT_DROPPED as DRAFT_DROPPED
from bot.texts._drafts import DRAFT_GONE as DRAFT_GONE
from bot.texts._drafts import NO_READY_CODE as NO_READY_CODE
from bot.texts._drafts import choose_code as choose_code
from bot.texts._drafts import draft as draft
from bot.texts._drafts import draft_styles as draft_styles
from bot.texts._language import best_language as best_language
from bot.texts._language import has_text as has_text
from bot.texts._language import languages as languages
from bot.texts._language import said_in as said_in
from bot.texts._language import say as say
from bot.texts._language import use_language as use_language
from bot.texts._likeness import likeness_figure as likeness_figure
from bot.texts._likeness import likeness_told as likeness_told
from bot.texts._link import link_word as link_word
from bot.texts._link import linked as linked
from bot.texts._people import FORGET_TOO_LATE as FORGET_TOO_LATE
from bot.texts._people import ask_to_forget as ask_to_forget
from bot.texts._people import forgotten as forgotten
from bot.texts._people import privacy as privacy
from bot.texts._queue import queue as queue
from bot.texts._results import AS_LARGE_AS_I_CAN as AS_LARGE_AS_I_CAN
from bot.texts._results import DELETED as DELETED
from bot.texts._results import LORA_FILE_GONE as LORA_FILE_GONE
from bot.texts._results import NO_SUCH_RESULT as NO_SUCH_RESULT
from bot.texts._results import NOT_DONE as NOT_DONE
from bot.texts._results import PICTURE_GONE as PICTURE_GONE
from bot.texts._results import TOO_COARSE_TO_SPLIT as TOO_COARSE_TO_SPLIT
from bot.texts._results import ask_to_delete as ask_to_delete
from bot.texts._results import deleted as deleted
from bot.texts._results import edit_prompt as edit_prompt
from bot.texts._results import export as export
from bot.texts._results import picture_gone as picture_gone
from bot.texts._results import recipe as recipe
from bot.texts._results import result as result
from bot.texts._results import result_deleted as result_deleted
from bot.texts._safety import PHOTO_NOT_CHECKED as PHOTO_NOT_CHECKED
from bot.texts._safety import PHOTO_SHOWS_NUDITY as PHOTO_SHOWS_NUDITY
from bot.texts._safety import withheld as withheld
from bot.texts._settings import settings as settings
from bot.texts._settings import settings_styles as settings_styles
from bot.texts._sharing import ASK_WHAT as ASK_WHAT
from bot.texts._sharing import ASKED_TOO_OFTEN as ASKED_TOO_OFTEN
from bot.texts._sharing import REPORT_WHAT as REPORT_WHAT
from bot.texts._sharing import REPORTED_TOO_OFTEN as REPORTED_TOO_OFTEN
from bot.texts._sharing import SHARE_IN_PRIVATE as SHARE_IN_PRIVATE
from bot.texts._sharing import SHARE_WORD_TOO_OFTEN as SHARE_WORD_TOO_OFTEN
from bot.texts._sharing import SHARE_WORD_UNKNOWN as SHARE_WORD_UNKNOWN
from bot.texts._sharing import asked_for as asked_for
from bot.texts._sharing import link_ended as link_ended
from bot.texts._sharing import reported as reported
from bot.texts._sharing import share_card as share_card
from bot.texts._sharing import share_link as share_link
from bot.texts._sharing import share_revoked as share_revoked
from bot.texts._sharing import sharing as sharing
from bot.texts._sharing import usable_already as usable_already
from bot.texts._sharing import you_may_draw as you_may_draw
from bot.texts._status import MAX_ERRORS_LISTED as MAX_ERRORS_LISTED
from bot.texts._status import Happened as Happened
from bot.texts._status import StatusReport as StatusReport
from bot.texts._status import errors as errors
from bot.texts._status import status as status
from bot.texts._words import age as age
from bot.texts._words import example as example
from bot.texts._words import left as left
from bot.texts._words import plural as plural
from bot.texts._words import span as span

# Sentences without values. They are said when they are read, in the language that is spoken then.
ALREADY_ENDED: str
CONSOLE_HINT: str
CONSOLE_LOST: str
LINK_IN_PRIVATE: str
LINK_SAME: str
LINK_TOO_OFTEN: str
LINK_UNKNOWN: str
NOTHING_OPEN: str
NOTHING_WAITS: str
NO_PHOTOS_HELD: str
NO_PHOTO_SENT: str
OPEN_A_PRIVATE_CHAT: str
SENT_TO_YOU_ALONE: str
STALE_BUTTON: str
TOO_MANY_WRONG_CODES: str
UNKNOWN_CODE: str
UNKNOWN_COMMAND: str
WHO_ARE_YOU: str

if not TYPE_CHECKING:  # a name that is not above stays an error for mypy

    def __getattr__(name: str) -> str:
        key = name.lower().replace("_", "-")
        if name not in __annotations__ or not has_text(key):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return say(key)


def apology() -> Reply:
    """Say that something broke on our side."""
    return Reply(say("apology"))


def help_text(platform: Platform, is_admin: bool) -> Reply:
    """List the commands."""
    options = (
        "--n 2, --size portrait, --style oil, --no blurry, --seed 7, --strength 0.8, --steps 25, "
        "--guidance 7.5, --sampler lcm"
    )
    if platform is Platform.DISCORD:
        options = "count, size, style, negative, seed, strength, steps, guidance, sampler"
    lines = [
        "/start - what I do, and photos that make a good set",
        "/train - begin, or see which photos are missing",
        f"/generate - draw: your LoraCode, then what to draw; options {options}",
        "/show - bring a result back by its number",
        "/codes - your LoraCodes: draw, share, name, export, delete",
        "/ask - ask the owner of a LoraCode whether you may draw with it",
        "/export - the LoRA file of a code, for other programs",
        "/queue - what of yours is running or in line",
        "/cancel - stop your newest job, or that of a code",
        "/link - use the same LoraCodes on another platform",
        "/settings - size, style and notices where you say nothing",
        "/report - tell the people who run this bot about a LoraCode",
        "/privacy - what I keep of you, and how long",
        "/forgetme - delete everything of yours",
        "/help - this list",
    ]
    if is_admin:
        lines.append("For administrators:")
        lines += [f"/{name} - {what}" for name, (what, _) in ADMIN_COMMANDS.items()]
    lines.append(f"Example: {example(platform)}")
    return Reply("\n".join(lines))


def photos_not_fetched(name: str) -> str:
    """Say that a platform kept a file to itself."""
    return say("photos-not-fetched", name=name)


def photo_line(number: int, of: int, sentence: str) -> str:
    """Say what happened to one photo among several."""
    return f"Photo {number}: {sentence}" if of > 1 else sentence


SAME_PHOTO = "I have this one already; send a different one."
SAME_PHOTO_OR_NO_ROOM = "not kept: I have it already, or there is no room, since I keep at most ten."


def too_many_files(sent: int, most: int) -> str:
    """Refuse a pile of files before any is opened."""
    return f"That is {sent} files at once and {most} is the most, so I took none. Send exactly five photos."


def photos_forgotten(count: int, platform: Platform) -> Reply:
    """Confirm that a photo set is gone."""
    if count == 0:
        return Reply(say("no-photos-held"))
    return Reply(f"Deleted: {count} photo{plural(count)}. {HOW_TO_SEND[platform]}")


def training_started(job: Job, estimate: Estimate) -> Reply:
    """Give a person their new LoraCode."""
    progress = card(job, estimate.left_s, estimate.position)
    text = f"Thank you, that is all five. Your LoraCode is {format_code(job.code)}.\n{progress.text}"
    return Reply(text, buttons=progress.buttons, card_of=job.id)


def too_many_trainings(most: int) -> str:
    """Ask for patience with a further training."""
    return f"You have {most} trainings under way already. Send new photos when one has ended, or /cancel one."


def too_many_generations(most: int) -> str:
    """Ask for patience with further pictures."""
    return f"I am still drawing {most} requests of yours. Ask again when one has ended, or /cancel one."


TOO_MANY_CODES = f"That is more than {MAX_CODES} LoraCodes in one picture; leave some out."


def still_training(code: LoraCode, estimate: Estimate) -> str:
    """Say that a LoraCode cannot draw yet, and until when."""
    return f"{format_code(code)} is still training: {left(estimate.left_s)}. I will write when it is ready."


def not_usable(lora: Lora) -> str:
    """Say that a LoraCode will never draw."""
    what = "was cancelled" if lora.state is LoraState.CANCELLED else "failed"
    return f"The training of {format_code(lora.code)} {what}. Send five photos to get a new LoraCode: /train"


def nothing_open_for(code: LoraCode) -> str:
    """Say that there is nothing to cancel for a code."""
    return f"Nothing is running or in line for {format_code(code)}."
