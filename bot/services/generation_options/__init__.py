"""Reads what a person typed after `/generate`: a LoraCode, a prompt and options. Pure."""

from bot.services.generation_options._option_words import FLAGS, OPTIONS
from bot.services.generation_options._options import (
    EMPTY_PARAMS,
    MAX_GUIDANCE,
    MAX_LARGE_SIDE_PX,
    MAX_SEED,
    MAX_STEPS,
    MAX_STRENGTH,
    GenerateCommand,
    check_native_size,
    clean_text,
    find_code,
    parse,
    parse_draft,
    parse_prompt,
    read_code,
    starts_with_two_numbers,
    validate,
    validate_draft,
    with_size,
)
from bot.services.generation_options._values import NO_STYLE, normalize_label

__all__ = [
    "EMPTY_PARAMS",
    "FLAGS",
    "MAX_GUIDANCE",
    "MAX_LARGE_SIDE_PX",
    "MAX_SEED",
    "MAX_STEPS",
    "MAX_STRENGTH",
    "NO_STYLE",
    "OPTIONS",
    "GenerateCommand",
    "check_native_size",
    "clean_text",
    "find_code",
    "normalize_label",
    "parse",
    "parse_draft",
    "parse_prompt",
    "read_code",
    "starts_with_two_numbers",
    "validate",
    "validate_draft",
    "with_size",
]
