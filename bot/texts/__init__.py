"""Every sentence people see: what is said when, and how it is put together. The words stand in `*.ftl`.

Plain text, no markup. Cards and notices may become the caption of a picture, so they stay within 1024
characters, which is what Telegram allows there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.core.accounts import Platform
from bot.core.jobs import MAX_CODES, Estimate, Job
from bot.core.loras import Lora, LoraCode, LoraState, format_code
from bot.core.messages import Reply
from bot.texts.accounts import ask_to_forget as ask_to_forget
from bot.texts.accounts import forgotten as forgotten
from bot.texts.accounts import link_word as link_word
from bot.texts.accounts import linked as linked
from bot.texts.accounts import privacy as privacy
from bot.texts.accounts import queue as queue
from bot.texts.accounts import settings as settings
from bot.texts.accounts import settings_styles as settings_styles
from bot.texts.admin import ADMIN_COMMANDS as ADMIN_COMMANDS
from bot.texts.admin import BROADCAST_WHAT as BROADCAST_WHAT
from bot.texts.admin import HOW_TO_QUOTA as HOW_TO_QUOTA
from bot.texts.admin import MAX_ERRORS_LISTED as MAX_ERRORS_LISTED
from bot.texts.admin import NO_REPORTS as NO_REPORTS
from bot.texts.admin import NO_SUCH_CODE as NO_SUCH_CODE
from bot.texts.admin import NO_SUCH_PERSON as NO_SUCH_PERSON
from bot.texts.admin import NOT_AN_ADMIN as NOT_AN_ADMIN
from bot.texts.admin import NOT_BANNED as NOT_BANNED
from bot.texts.admin import PAUSED as PAUSED
from bot.texts.admin import RESUMED as RESUMED
from bot.texts.admin import WHICH_PERSON as WHICH_PERSON
from bot.texts.admin import Happened as Happened
from bot.texts.admin import StatusReport as StatusReport
from bot.texts.admin import acts as acts
from bot.texts.admin import alarm as alarm
from bot.texts.admin import alarm_over as alarm_over
from bot.texts.admin import banned as banned
from bot.texts.admin import broadcast as broadcast
from bot.texts.admin import chat_full as chat_full
from bot.texts.admin import draining as draining
from bot.texts.admin import errors as errors
from bot.texts.admin import invitation as invitation
from bot.texts.admin import invitation_first as invitation_first
from bot.texts.admin import not_drawn_here as not_drawn_here
from bot.texts.admin import not_on_the_list as not_on_the_list
from bot.texts.admin import pictures_used_up as pictures_used_up
from bot.texts.admin import queue_full as queue_full
from bot.texts.admin import quota as quota
from bot.texts.admin import report_letter as report_letter
from bot.texts.admin import reports as reports
from bot.texts.admin import status as status
from bot.texts.admin import taken_down as taken_down
from bot.texts.admin import trainings_used_up as trainings_used_up
from bot.texts.admin import unbanned as unbanned
from bot.texts.admin import your_code_was_taken_down as your_code_was_taken_down
from bot.texts.cards import cancel_button as cancel_button
from bot.texts.cards import cancelled as cancelled
from bot.texts.cards import card as card
from bot.texts.cards import notice as notice
from bot.texts.commands import COMMANDS as COMMANDS
from bot.texts.commands import command_name as command_name
from bot.texts.commands import command_names as command_names
from bot.texts.commands import help_line
from bot.texts.language import ENGLISH as ENGLISH
from bot.texts.language import best_language as best_language
from bot.texts.language import has_text as has_text
from bot.texts.language import languages as languages
from bot.texts.language import said_in as said_in
from bot.texts.language import say as say
from bot.texts.language import spoken_language as spoken_language
from bot.texts.language import use_language as use_language
from bot.texts.likeness import likeness_figure as likeness_figure
from bot.texts.likeness import likeness_told as likeness_told
from bot.texts.loras import MAX_CODES_LISTED as MAX_CODES_LISTED
from bot.texts.loras import ask_new_name as ask_new_name
from bot.texts.loras import ask_to_remove as ask_to_remove
from bot.texts.loras import code_card as code_card
from bot.texts.loras import codes as codes
from bot.texts.loras import likeness_card as likeness_card
from bot.texts.loras import removed as removed
from bot.texts.photo_sets import RETENTION_DAYS as RETENTION_DAYS
from bot.texts.photo_sets import ask_name as ask_name
from bot.texts.photo_sets import collecting as collecting
from bot.texts.photo_sets import consent_first as consent_first
from bot.texts.photo_sets import consented as consented
from bot.texts.photo_sets import further_started as further_started
from bot.texts.photo_sets import good_set_reasons as good_set_reasons
from bot.texts.photo_sets import how_to_send
from bot.texts.photo_sets import in_a_group as in_a_group
from bot.texts.photo_sets import nothing_to_replace as nothing_to_replace
from bot.texts.photo_sets import set_below as set_below
from bot.texts.photo_sets import set_card as set_card
from bot.texts.photo_sets import set_complete as set_complete
from bot.texts.photo_sets import set_deleted as set_deleted
from bot.texts.photo_sets import set_is_open as set_is_open
from bot.texts.photo_sets import set_waits as set_waits
from bot.texts.photo_sets import welcome as welcome
from bot.texts.photo_sets import wrong_name as wrong_name
from bot.texts.photo_sets import wrong_photo as wrong_photo
from bot.texts.photo_sets import wrong_steps as wrong_steps
from bot.texts.results import ask_to_delete as ask_to_delete
from bot.texts.results import best_unknown as best_unknown
from bot.texts.results import choose_code as choose_code
from bot.texts.results import deleted as deleted
from bot.texts.results import draft as draft
from bot.texts.results import draft_dropped as draft_dropped
from bot.texts.results import draft_styles as draft_styles
from bot.texts.results import edit_prompt as edit_prompt
from bot.texts.results import export as export
from bot.texts.results import not_allowed_here as not_allowed_here
from bot.texts.results import picture_gone as picture_gone
from bot.texts.results import recipe as recipe
from bot.texts.results import result as result
from bot.texts.results import result_deleted as result_deleted
from bot.texts.results import withheld as withheld
from bot.texts.sharing import asked_for as asked_for
from bot.texts.sharing import link_ended as link_ended
from bot.texts.sharing import reported as reported
from bot.texts.sharing import share_card as share_card
from bot.texts.sharing import share_link as share_link
from bot.texts.sharing import share_revoked as share_revoked
from bot.texts.sharing import sharing as sharing
from bot.texts.sharing import usable_already as usable_already
from bot.texts.sharing import you_may_draw as you_may_draw
from bot.texts.words import age as age
from bot.texts.words import example as example
from bot.texts.words import left as left
from bot.texts.words import plural as plural
from bot.texts.words import span as span

# Sentences without values. They are said when they are read, in the language that is spoken then.
ALREADY_ENDED: str
ASKED_TOO_OFTEN: str
ASK_WHAT: str
AS_LARGE_AS_I_CAN: str
BANNED: str
CONSOLE_HINT: str
CONSOLE_LOST: str
DELETED: str
DRAFT_GONE: str
FORGET_TOO_LATE: str
FORM_DRAFT: str
FORM_PHOTOS: str
FORM_PHOTOS_ABOUT: str
FORM_PHOTOS_LABEL: str
FORM_PROMPT: str
FORM_PROMPT_LABEL: str
FOR_YOU: str
LINK_IN_PRIVATE: str
LINK_SAME: str
LINK_TOO_OFTEN: str
LINK_UNKNOWN: str
LORA_FILE_GONE: str
NOTHING_OPEN: str
NOTHING_WAITS: str
NOT_DONE: str
NO_PHOTOS_HELD: str
NO_PHOTO_SENT: str
NO_READY_CODE: str
NO_SUCH_RESULT: str
OPEN_A_PRIVATE_CHAT: str
PHOTO_GONE: str
PHOTO_NOT_CHECKED: str
PHOTO_SHOWS_NUDITY: str
PICTURE_GONE: str
REPORTED_TOO_OFTEN: str
REPORT_WHAT: str
SAME_PHOTO: str
SAME_PHOTO_OR_NO_ROOM: str
SENT_TO_YOU_ALONE: str
SHARE_IN_PRIVATE: str
SHARE_WORD_TOO_OFTEN: str
SHARE_WORD_UNKNOWN: str
SMALLER_COPY: str
SMALLER_COPY_ON_DISCORD: str
STALE_BUTTON: str
TOO_COARSE_TO_SPLIT: str
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
        "--n 2, --best 4, --size portrait, --style oil, --no blurry, --seed 7, --strength 0.8, --steps 25, "
        "--guidance 7.5, --sampler lcm"
    )
    if platform is Platform.DISCORD:
        options = "count, best, size, style, negative, seed, strength, steps, guidance, sampler"
    lines = [help_line(name, options) for name in COMMANDS]
    if is_admin:
        lines.append("For administrators:")
        lines += [f"/{name} - {what}" for name, (what, _) in ADMIN_COMMANDS.items()]
    lines.append(say("help-example", example=example(platform)))
    return Reply("\n".join(lines))


def photos_not_fetched(name: str) -> str:
    """Say that a platform kept a file to itself."""
    return say("photos-not-fetched", name=name)


def photo_line(number: int, of: int, sentence: str) -> str:
    """Say what happened to one photo among several."""
    return say("photo-line", number=number, sentence=sentence) if of > 1 else sentence


def too_many_files(sent: int, most: int) -> str:
    """Refuse a pile of files before any is opened."""
    return say("too-many-files", sent=sent, most=most)


def photos_forgotten(count: int, platform: Platform) -> Reply:
    """Confirm that a photo set is gone."""
    if count == 0:
        return Reply(say("no-photos-held"))
    return Reply(say("photos-forgotten", count=count, how=how_to_send(platform)))


def training_started(job: Job, estimate: Estimate) -> Reply:
    """Give a person their new LoraCode."""
    progress = card(job, estimate.left_s, estimate.position)
    text = f"{say('training-started', code=format_code(job.code))}\n{progress.text}"
    return Reply(text, buttons=progress.buttons, card_of=job.id)


def too_many_trainings(most: int) -> str:
    """Ask for patience with a further training."""
    return say("too-many-trainings", most=most)


def too_many_generations(most: int) -> str:
    """Ask for patience with further pictures."""
    return say("too-many-generations", most=most)


def unknown_code_in_prompt(code: LoraCode) -> str:
    """Say of eight digits in a prompt that they are no code of theirs, and how to write what is none."""
    return say("unknown-code-in-prompt", code=format_code(code))


def unknown_code_of_numbers(code: LoraCode) -> str:
    """Say likewise of two numbers that a wish begins with, and where its code belongs."""
    return say("unknown-code-of-numbers", code=format_code(code), first=code[:4], second=code[4:])


def too_many_codes() -> str:
    """Refuse to put more people into a picture than can meet in one."""
    return say("too-many-codes", most=MAX_CODES)


def still_training(code: LoraCode, estimate: Estimate) -> str:
    """Say that a LoraCode cannot draw yet, and until when."""
    return say("still-training", code=format_code(code), left=left(estimate.left_s))


def not_usable(lora: Lora) -> str:
    """Say that a LoraCode will never draw."""
    key = "not-usable-cancelled" if lora.state is LoraState.CANCELLED else "not-usable-failed"
    return say(key, code=format_code(lora.code))


def nothing_open_for(code: LoraCode) -> str:
    """Say that there is nothing to cancel for a code."""
    return say("nothing-open-for", code=format_code(code))
