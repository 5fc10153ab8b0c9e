"""Reads what a person typed after `/generate`: a LoraCode, a prompt and options. Pure.

`4071 3386 sks person on a boat --no blurry, dark --seed 7 --size portrait --style oil --n 2`
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, replace
from typing import Any

from bot.core.errors import UserError
from bot.core.jobs import MAX_PICTURES, MAX_PROMPT_CHARS, GenerationParams
from bot.core.loras import LoraCode, parse_code, split_code
from bot.texts import translate
from gpu_worker.protocol import SAMPLERS, SHAPES

MIN_SIDE_PX, MAX_SIDE_PX, SIDE_STEP_PX = 64, 1024, 8
#: Of what begins from a picture: that was made larger already.
MAX_LARGE_SIDE_PX = 2048
MAX_SEED = 2**32 - 1
MAX_STEPS = 100
MAX_GUIDANCE = 30.0
MAX_STRENGTH = 2.0
OPTIONS = ("n", "size", "seed", "no", "steps", "guidance", "strength", "style", "sampler", "best")
_INT_OPTIONS = {"n": "count", "seed": "seed", "steps": "steps"}
_FLOAT_OPTIONS = ("guidance", "strength")
#: What each number may be, and one that is common.
_VALUE_RANGES = {
    "n": (1, MAX_PICTURES, "2"),
    "seed": (0, MAX_SEED, "7"),
    "steps": (1, MAX_STEPS, "25"),
    "guidance": (0, MAX_GUIDANCE, "7.5"),
    "strength": (0, MAX_STRENGTH, "0.8"),
}
#: What a size is called where it is typed; a form has a field for it.
_SIZE_OPTION = "--size"
_TEXT_OPTIONS = {"no": "negative", "style": "style", "sampler": "sampler"}
OPTION_NAMES = ", ".join(f"--{name}" for name in OPTIONS)

#: Control, format (zero-width, right-to-left), surrogate and private characters. Unassigned ones stay: they
#: are next year's emoji.
_INVISIBLE_CATEGORIES = {"Cc", "Cf", "Cs", "Co"}
#: Letters that Unicode calls visible and that show nothing: fillers of Hangul, the empty Braille cell.
_BLANK_CHARS = dict.fromkeys(map(ord, "\u034f\u115f\u1160\u2800\u3164\uffa0"))
# Phones turn two hyphens into one long dash; between words a long dash is punctuation and stays.
_OPTION_PATTERN = re.compile(r"(?:--+|[\u2014\u2013])([A-Za-z][^\s=]*)(?:=(\S*))?")


@dataclass(frozen=True, slots=True)
class GenerateCommand:
    """A LoraCode and what to draw with it."""

    code: LoraCode
    params: GenerationParams


def parse(text: str) -> GenerateCommand:
    """Read the words after `/generate`; UserError says what is wrong with them."""
    code_text, prompt_text = split_code(clean_text(text))
    return GenerateCommand(read_code(code_text), parse_prompt(prompt_text))


def starts_with_two_numbers(text: str) -> bool:
    """Return whether its code is written as `4071 3386`, or `2024-2025`: years may be meant."""
    return re.match(r"\d{4}\D{1,3}\d{4}(?!\d)", clean_text(text)) is not None


def parse_prompt(text: str, base_params: GenerationParams | None = None) -> GenerationParams:
    """Read a prompt with options, which stand above those of `base`; UserError says what is wrong."""
    prompt, options = _split_options(clean_text(text))
    return validate(_apply_options(replace(base_params or GenerationParams(""), prompt=prompt), options))


def read_code(text: str, usage: str = "") -> LoraCode:
    """Read a LoraCode; UserError, with the usage of its command, when it is not eight digits."""
    code = parse_code(clean_text(text))
    if code is None and usage:
        raise UserError(translate("not-a-code" if text.strip() else "which-code", example=usage))
    if code is None:
        raise UserError(translate("wish-wrong-code"))
    return code


def validate(params: GenerationParams) -> GenerationParams:
    """Return the wish with its texts cleaned; UserError when a value is out of range or lacks."""
    params = validate_draft(params)
    if not params.prompt:
        raise UserError(translate("wish-empty"))
    return params


def validate_draft(params: GenerationParams) -> GenerationParams:
    """Check a wish likewise whose prompt may still come."""
    params = replace(params, prompt=clean_text(params.prompt), negative=clean_text(params.negative))
    for key, text in (("wish-prompt-too-long", params.prompt), ("wish-negative-too-long", params.negative)):
        if len(text) > MAX_PROMPT_CHARS:
            raise UserError(translate(key, count=str(len(text)), most=MAX_PROMPT_CHARS))
    _check_range("n", params.count)
    _check_range("seed", params.seed)
    _check_range("steps", params.steps)
    _check_range("guidance", params.guidance)
    _check_range("strength", params.strength)
    params = replace(params, sampler=_parse_sampler(params.sampler) if params.sampler else "")
    if params.shape not in {"", *SHAPES}:
        raise _size_error()
    if (params.width_px, params.height_px) != (None, None):
        max_px = MAX_SIDE_PX if params.redraw is None else MAX_LARGE_SIDE_PX
        for side_px in (params.width_px, params.height_px):
            if side_px is None or not MIN_SIDE_PX <= side_px <= max_px or side_px % SIDE_STEP_PX:
                raise _size_error()
    return params


def with_size(params: GenerationParams, text: str, option: str = _SIZE_OPTION) -> GenerationParams:
    """Return the wish in the size a person wrote, `portrait` or `512x768`; UserError when it is neither."""
    if text.lower() in SHAPES:
        return replace(params, shape=text.lower(), width_px=None, height_px=None)
    match = re.fullmatch(r"([0-9]{1,5})[xX*\u00d7]([0-9]{1,5})", text)
    if match is None:
        raise _size_error(option)
    return replace(params, shape="", width_px=int(match[1]), height_px=int(match[2]))


def clean_text(text: str) -> str:
    """Return the text in one line, without control and zero-width characters."""
    # Line ends and tabs are control characters too, so they become spaces first.
    spaced = re.sub(r"\s", " ", unicodedata.normalize("NFC", text)).translate(_BLANK_CHARS)
    visible = "".join(char for char in spaced if unicodedata.category(char) not in _INVISIBLE_CATEGORIES)
    return " ".join(visible.split())


def _split_options(text: str) -> tuple[str, dict[str, str]]:
    # An option takes the next word; `--no` takes every word up to the next option, and `--sampler` the words
    # of its name; the rest is the prompt.
    prompt: list[str] = []
    options: dict[str, str] = {}
    open_option: str | None = None
    words = text.split()
    for word, next_word in zip(words, [*words, ""][1:], strict=False):
        match = _OPTION_PATTERN.fullmatch(word)
        if match is not None:
            _refuse_missing_value(open_option, options)
            open_option = _parse_option_name(match[1], options)
            options[open_option] = match[2] or ""
            if match[2] and not _takes_next_word(open_option, match[2], next_word):
                open_option = None
        elif open_option is None:
            prompt.append(word)
        else:
            options[open_option] = f"{options[open_option]} {word}".strip()
            open_option = (
                open_option if _takes_next_word(open_option, options[open_option], next_word) else None
            )
    _refuse_missing_value(open_option, options)
    return " ".join(prompt), options


def _takes_next_word(name: str, value: str, next_word: str) -> bool:
    """Return whether an option takes a further word."""
    if name == "no":
        return True
    extended_value = _normalize(value + next_word)
    is_name_prefix = len(extended_value) > len(_normalize(value)) and any(
        _normalize(sampler).startswith(extended_value) for sampler in SAMPLERS
    )
    return name == "sampler" and is_name_prefix


def _parse_option_name(name: str, options: dict[str, str]) -> str:
    option = name.lower()
    if option not in OPTIONS:
        raise UserError(translate("wish-unknown-option", name=name[:20], options=OPTION_NAMES))
    if option in options:
        raise UserError(translate("wish-twice", name=option))
    return option


def _refuse_missing_value(open_option: str | None, options: dict[str, str]) -> None:
    if open_option is not None and not options[open_option]:
        raise UserError(translate("wish-needs-value", name=open_option))


def _apply_options(base_params: GenerationParams, options: dict[str, str]) -> GenerationParams:
    changes: dict[str, Any] = {
        field: _parse_int(name, options) for name, field in _INT_OPTIONS.items() if name in options
    }
    changes |= {name: _parse_float(name, options) for name in _FLOAT_OPTIONS if name in options}
    changes |= {field: options[name] for name, field in _TEXT_OPTIONS.items() if name in options}
    if "best" in options:
        if "n" in options:
            raise UserError(translate("wish-n-and-best"))
        changes |= {"count": _parse_best(options["best"]), "best": True}
    elif "n" in options:
        changes |= {"best": False}
    params = replace(base_params, **changes)
    return with_size(params, options["size"]) if "size" in options else params


def _parse_best(text: str) -> int:
    """Return the count of `--best`: `4` or `1-of-4`. Raise UserError with the accepted forms."""
    match = re.fullmatch(rf"(?:1-?of-?)?([2-{MAX_PICTURES}])", text.lower())
    if match is None:
        raise UserError(translate("wish-best", most=MAX_PICTURES))
    return int(match[1])


def _parse_sampler(text: str) -> str:
    """Return the sampler that a person means: `euler-a`, `DPM++`, `unipc`; UserError lists them."""
    prefix = _normalize(text)
    matches = [name for name in SAMPLERS if _normalize(name).startswith(prefix)] if prefix else []
    if len(matches) != 1:
        raise UserError(translate("wish-sampler", samplers=", ".join(SAMPLERS)))
    return matches[0]


def _normalize(text: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", text.lower())


def _parse_int(name: str, options: dict[str, str]) -> int:
    text = options[name]
    if not re.fullmatch(r"-?[0-9]{1,12}", text):
        raise _value_error(name)
    return int(text)


def _parse_float(name: str, options: dict[str, str]) -> float:
    text = options[name]
    if not re.fullmatch(r"-?[0-9]{1,6}([.,][0-9]{1,6})?", text):
        raise _value_error(name)
    return float(text.replace(",", "."))


def _check_range(name: str, value: float | None) -> None:
    low, high, _ = _VALUE_RANGES[name]
    # NaN is in no range, and says so only to isfinite.
    if value is not None and not (math.isfinite(value) and low <= value <= high):
        raise _value_error(name)


def _value_error(name: str) -> UserError:
    low, high, example = _VALUE_RANGES[name]
    return UserError(translate("wish-value", name=name, low=low, high=f"{high:.0f}", example=example))


def _size_error(option: str = _SIZE_OPTION) -> UserError:
    limits = {"least": MIN_SIDE_PX, "most": MAX_SIDE_PX, "step": SIDE_STEP_PX}
    return UserError(translate("wish-wrong-size", option=option, **limits))
