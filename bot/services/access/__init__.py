"""Who may use the bot, how much they may ask for, and what is theirs."""

from bot.services.access._admission import AccessLevel, AccessPolicy
from bot.services.access._guesses import MAX_IN_TOTAL, MAX_PER_ACCOUNT
from bot.services.access._ownership import (
    check_family,
    require_job,
    require_lora,
    require_own_button,
    require_ready_lora,
    require_result,
    require_usable_lora,
)
from bot.services.access._quotas import (
    check_picture_quota,
    check_queue_limit,
    check_training_quota,
    compute_quota,
    get_role,
)

__all__ = [
    "MAX_IN_TOTAL",
    "MAX_PER_ACCOUNT",
    "AccessLevel",
    "AccessPolicy",
    "check_family",
    "check_picture_quota",
    "check_queue_limit",
    "check_training_quota",
    "compute_quota",
    "get_role",
    "require_job",
    "require_lora",
    "require_own_button",
    "require_ready_lora",
    "require_result",
    "require_usable_lora",
]
