"""Every sentence people see: what is said when, and how it is put together. The words stand in `*.ftl`.

Plain text, no markup. Cards and notices may become the caption of a picture, so they stay within 1024
characters, which is what Telegram allows there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.core.accounts import Platform
from bot.core.jobs import MAX_CODES_PER_PICTURE, Estimate, Job
from bot.core.loras import Lora, LoraCode, LoraState, format_code
from bot.core.messages import Reply
from bot.texts.accounts import accounts_linked as accounts_linked
from bot.texts.accounts import erasure_question as erasure_question
from bot.texts.accounts import erasure_receipt as erasure_receipt
from bot.texts.accounts import job_queue as job_queue
from bot.texts.accounts import link_token as link_token
from bot.texts.accounts import privacy_summary as privacy_summary
from bot.texts.accounts import settings_card as settings_card
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
from bot.texts.admin import ErrorEntry as ErrorEntry
from bot.texts.admin import StatusReport as StatusReport
from bot.texts.admin import alert_raised as alert_raised
from bot.texts.admin import alert_resolved as alert_resolved
from bot.texts.admin import audit_log as audit_log
from bot.texts.admin import broadcast_started as broadcast_started
from bot.texts.admin import chat_full as chat_full
from bot.texts.admin import drain_started as drain_started
from bot.texts.admin import error_list as error_list
from bot.texts.admin import invitation_created as invitation_created
from bot.texts.admin import invitation_first as invitation_first
from bot.texts.admin import lora_taken_down as lora_taken_down
from bot.texts.admin import not_on_the_list as not_on_the_list
from bot.texts.admin import person_banned as person_banned
from bot.texts.admin import person_unbanned as person_unbanned
from bot.texts.admin import pictures_used_up as pictures_used_up
from bot.texts.admin import queue_full as queue_full
from bot.texts.admin import quota_status as quota_status
from bot.texts.admin import report_list as report_list
from bot.texts.admin import report_message as report_message
from bot.texts.admin import status_card as status_card
from bot.texts.admin import trainings_used_up as trainings_used_up
from bot.texts.admin import words_blocked as words_blocked
from bot.texts.admin import your_code_was_taken_down as your_code_was_taken_down
from bot.texts.cards import cancel_button as cancel_button
from bot.texts.cards import job_cancelled as job_cancelled
from bot.texts.cards import job_card as job_card
from bot.texts.cards import notice_reply as notice_reply
from bot.texts.commands import COMMANDS as COMMANDS
from bot.texts.commands import command_name as command_name
from bot.texts.commands import command_names as command_names
from bot.texts.commands import help_line
from bot.texts.language import ENGLISH as ENGLISH
from bot.texts.language import current_language as current_language
from bot.texts.language import has_text as has_text
from bot.texts.language import languages as languages
from bot.texts.language import match_language as match_language
from bot.texts.language import translate as translate
from bot.texts.language import translate_to as translate_to
from bot.texts.language import use_language as use_language
from bot.texts.likeness import format_likeness as format_likeness
from bot.texts.likeness import likeness_summary as likeness_summary
from bot.texts.loras import MAX_CODES_LISTED as MAX_CODES_LISTED
from bot.texts.loras import ask_new_name as ask_new_name
from bot.texts.loras import ask_to_remove as ask_to_remove
from bot.texts.loras import likeness_card as likeness_card
from bot.texts.loras import lora_card as lora_card
from bot.texts.loras import lora_list as lora_list
from bot.texts.loras import lora_removed as lora_removed
from bot.texts.photo_sets import RETENTION_DAYS as RETENTION_DAYS
from bot.texts.photo_sets import ask_name as ask_name
from bot.texts.photo_sets import consent_question as consent_question
from bot.texts.photo_sets import consent_recorded as consent_recorded
from bot.texts.photo_sets import continuation_started as continuation_started
from bot.texts.photo_sets import good_set_reasons as good_set_reasons
from bot.texts.photo_sets import how_to_send
from bot.texts.photo_sets import nothing_to_replace as nothing_to_replace
from bot.texts.photo_sets import photo_refusal as photo_refusal
from bot.texts.photo_sets import photo_set_status as photo_set_status
from bot.texts.photo_sets import set_card as set_card
from bot.texts.photo_sets import set_complete as set_complete
from bot.texts.photo_sets import set_deleted as set_deleted
from bot.texts.photo_sets import set_is_open as set_is_open
from bot.texts.photo_sets import set_moved as set_moved
from bot.texts.photo_sets import set_reminder as set_reminder
from bot.texts.photo_sets import welcome as welcome
from bot.texts.photo_sets import with_group_hint as with_group_hint
from bot.texts.photo_sets import wrong_name as wrong_name
from bot.texts.photo_sets import wrong_photo as wrong_photo
from bot.texts.photo_sets import wrong_steps as wrong_steps
from bot.texts.results import ask_to_delete as ask_to_delete
from bot.texts.results import best_unknown as best_unknown
from bot.texts.results import choose_code as choose_code
from bot.texts.results import deletion_confirmed as deletion_confirmed
from bot.texts.results import draft_card as draft_card
from bot.texts.results import draft_dropped as draft_dropped
from bot.texts.results import draft_styles as draft_styles
from bot.texts.results import lora_export as lora_export
from bot.texts.results import picture_missing as picture_missing
from bot.texts.results import prompt_question as prompt_question
from bot.texts.results import recipe_card as recipe_card
from bot.texts.results import remove_disallowed_pictures as remove_disallowed_pictures
from bot.texts.results import result_card as result_card
from bot.texts.results import result_deleted as result_deleted
from bot.texts.results import withhold_pictures as withhold_pictures
from bot.texts.sharing import access_granted as access_granted
from bot.texts.sharing import access_requested as access_requested
from bot.texts.sharing import already_usable as already_usable
from bot.texts.sharing import link_ended as link_ended
from bot.texts.sharing import report_received as report_received
from bot.texts.sharing import share_card as share_card
from bot.texts.sharing import share_link as share_link
from bot.texts.sharing import share_list as share_list
from bot.texts.sharing import share_revoked as share_revoked
from bot.texts.words import example_command as example_command
from bot.texts.words import format_age as format_age
from bot.texts.words import format_duration as format_duration
from bot.texts.words import format_time_left as format_time_left
from bot.texts.words import plural_suffix as plural_suffix

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
        return translate(key)


def apology() -> Reply:
    """Say that something broke on our side."""
    return Reply(translate("apology"))


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
        lines += [f"/{name} - {description}" for name, (description, _) in ADMIN_COMMANDS.items()]
    lines.append(translate("help-example", example=example_command(platform)))
    return Reply("\n".join(lines))


def photos_not_fetched(name: str) -> str:
    """Say that a platform kept a file to itself."""
    return translate("photos-not-fetched", name=name)


def photo_line(number: int, total: int, sentence: str) -> str:
    """Say what happened to one photo among several."""
    return translate("photo-line", number=number, sentence=sentence) if total > 1 else sentence


def too_many_files(sent_count: int, max_count: int) -> str:
    """Refuse a pile of files before any is opened."""
    return translate("too-many-files", sent=sent_count, most=max_count)


def photos_discarded(count: int, platform: Platform) -> Reply:
    """Confirm that a photo set is gone."""
    if count == 0:
        return Reply(translate("no-photos-held"))
    return Reply(translate("photos-forgotten", count=count, how=how_to_send(platform)))


def training_started(job: Job, eta: Estimate) -> Reply:
    """Give a person their new LoraCode."""
    progress_card = job_card(job, eta.remaining_s, eta.position)
    text = f"{translate('training-started', code=format_code(job.code))}\n{progress_card.text}"
    return Reply(text, buttons=progress_card.buttons, card_job_id=job.id)


def too_many_trainings(max_count: int) -> str:
    """Ask for patience with a further training."""
    return translate("too-many-trainings", most=max_count)


def too_many_generations(max_count: int) -> str:
    """Ask for patience with further pictures."""
    return translate("too-many-generations", most=max_count)


def unknown_code_in_prompt(code: LoraCode) -> str:
    """Say of eight digits in a prompt that they are no code of theirs, and how to write what is none."""
    return translate("unknown-code-in-prompt", code=format_code(code))


def unknown_code_of_numbers(code: LoraCode) -> str:
    """Say likewise of two numbers that a wish begins with, and where its code belongs."""
    return translate("unknown-code-of-numbers", code=format_code(code), first=code[:4], second=code[4:])


def too_many_codes() -> str:
    """Refuse to put more people into a picture than can meet in one."""
    return translate("too-many-codes", most=MAX_CODES_PER_PICTURE)


def still_training(code: LoraCode, eta: Estimate) -> str:
    """Say that a LoraCode cannot draw yet, and until when."""
    return translate("still-training", code=format_code(code), left=format_time_left(eta.remaining_s))


def not_usable(lora: Lora) -> str:
    """Say that a LoraCode will never draw."""
    key = "not-usable-cancelled" if lora.state is LoraState.CANCELLED else "not-usable-failed"
    return translate(key, code=format_code(lora.code))


def no_open_job_for(code: LoraCode) -> str:
    """Say that there is nothing to cancel for a code."""
    return translate("nothing-open-for", code=format_code(code))
