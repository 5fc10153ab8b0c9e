"""Reads what a person typed after `/generate`: a LoraCode, a prompt and options. Pure.

`4071 3386 sks person on a boat --no blurry, dark --seed 7 --size portrait --style oil --n 2`
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from bot.core.errors import UserError
from bot.core.jobs import MAX_PICTURES, MAX_PROMPT_CHARS, GenerationParams
from bot.core.loras import DASHES, LoraCode, parse_code, split_code
from bot.core.prompts import find_codes
from bot.services.generation_options._option_words import split_options
from bot.services.generation_options._pasted import read_pasted
from bot.services.generation_options._values import (
    NO_STYLE,
    find_sampler,
    is_random,
    is_ratio,
    no_style_labels,
    normalize_label,
    read_best,
    read_size,
)
from bot.texts import translate
from gpu_worker.protocol import SAMPLERS, SHAPES

MIN_SIDE_PX, SIDE_STEP_PX = 64, 8
#: Of what begins from a picture: that was made larger already.
MAX_LARGE_SIDE_PX = 2048
#: Of all else: in native sides of the base model, which count as so many pixels at least.
_MAX_NATIVE_SIDES, _MIN_NATIVE_PX = 2, 512
#: A wish that says nothing yet. Pictures are fast unless something else is said.
EMPTY_PARAMS = GenerationParams("", is_fast=True)
MAX_SEED = 2**32 - 1
MAX_STEPS = 100
MAX_GUIDANCE = 30.0
MAX_STRENGTH = 2.0
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
#: Control, format (zero-width, right-to-left), surrogate and private characters. Unassigned ones stay: they
#: are next year's emoji.
_INVISIBLE_CATEGORIES = {"Cc", "Cf", "Cs", "Co"}
#: Letters that Unicode calls visible and that show nothing: fillers of Hangul, the empty Braille cell.
_BLANK_CHARS = dict.fromkeys(map(ord, "\u034f\u115f\u1160\u2800\u3164\uffa0"))
#: What joins emoji, shapes letters of Persian and Indic scripts, and tells flags of regions apart.
_JOINERS, _TAGS = "\u200c\u200d", "".join(map(chr, range(0xE0020, 0xE0080)))
_JOINING_CHARS = frozenset(_JOINERS + _TAGS)
_JOINED = rf"[^\x00-\x7f\s{_JOINERS}{_TAGS}]"
#: Those of them that join nothing, outside of a flag.
_STRAY_JOINER_PATTERN = re.compile(
    rf"(\U0001f3f4[{_TAGS}]{{2,8}}\U000e007f)|[{_TAGS}]|(?<!{_JOINED})[{_JOINERS}]|[{_JOINERS}](?!{_JOINED})"
)


#: The field of a form, as it looks where it is copied from.
_CODE_FIELD_PATTERN = re.compile(
    rf"(?:^|(?<=\s))code ?[:=] ?(\d{{4}}[ {DASHES}]?\d{{4}})(?!\d)[,;]?", re.IGNORECASE
)
#: What stands for a code where a command is explained.
_PLACEHOLDER_PATTERN = re.compile(r"\A[<\[(](?:lora)?(?:code|codice)[>\])]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class GenerateCommand:
    """A LoraCode and what to draw with it."""

    code: LoraCode
    params: GenerationParams


def parse(text: str, style_labels: Collection[str] = (), usage: str = "") -> GenerateCommand:
    """Read the words after `/generate`; UserError says what is wrong with them."""
    code_text, prompt_text = find_code(text)
    return GenerateCommand(read_code(code_text, usage), parse_prompt(prompt_text, style_labels=style_labels))


def find_code(text: str) -> tuple[str, str]:
    """Return the LoraCode of a typed text, wherever it stands, and what to draw; else what stands for one."""
    text = clean_text(_PLACEHOLDER_PATTERN.sub("", clean_text(text)))
    code_text, prompt_text = split_code(text)
    if parse_code(code_text) is not None:
        return code_text, prompt_text
    code_field = _CODE_FIELD_PATTERN.search(text)
    if code_field is not None:
        return code_field[1], clean_text(f"{text[: code_field.start()]} {text[code_field.end() :]}")
    return next(iter(find_codes(read_pasted(text).text)), code_text), text


def starts_with_two_numbers(text: str) -> bool:
    """Return whether its code is written as `4071 3386`, or `2024-2025`: years may be meant."""
    return re.match(r"\d{4}\D{1,3}\d{4}(?!\d)", clean_text(text)) is not None


def parse_prompt(
    text: str, base_params: GenerationParams | None = None, style_labels: Collection[str] = ()
) -> GenerationParams:
    """Read a prompt with options, which stand above those of `base_params`; UserError says what is wrong."""
    return validate(parse_draft(text, base_params, style_labels))


def parse_draft(
    text: str, base_params: GenerationParams | None = None, style_labels: Collection[str] = ()
) -> GenerationParams:
    """Read likewise what may be options alone, to a prompt that is still to come."""
    pasted = read_pasted(clean_text(text))
    typed = split_options(pasted.text, style_labels)
    params = base_params or EMPTY_PARAMS
    if pasted.is_recipe and not params.style:  # it has the words of its style in its prompt
        params = replace(params, style=NO_STYLE)
    return validate_draft(
        _apply_options(replace(params, prompt=typed.prompt), pasted.options | typed.options)
    )


def read_code(text: str, usage: str = "") -> LoraCode:
    """Read a LoraCode, whatever is behind it; UserError, with the usage of its command, where none is."""
    code = parse_code(split_code(clean_text(text))[0])
    if code is None and usage:
        raise UserError(translate("not-a-code" if text.strip() else "which-code", example=usage))
    if code is None:
        raise UserError(translate("wish-wrong-code"))
    return code


def validate(params: GenerationParams) -> GenerationParams:
    """Return the wish with its texts cleaned; UserError when a value is out of range or lacks."""
    params = validate_draft(params)
    if not params.prompt:
        raise UserError(translate("wish-only-no" if params.negative else "wish-empty"))
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
    if params.shape not in {"", *SHAPES} and not is_ratio(params.shape):
        raise _size_error()
    if (params.width_px, params.height_px) != (None, None):
        for side_px in (params.width_px, params.height_px):
            if side_px is None or not MIN_SIDE_PX <= side_px <= MAX_LARGE_SIDE_PX or side_px % SIDE_STEP_PX:
                raise _size_error()
    return params


def check_native_size(params: GenerationParams, native_px: int) -> None:
    """Raise UserError for a new picture larger than the base model draws; `native_px` may be 0: not known."""
    max_px = min(_MAX_NATIVE_SIDES * max(native_px, _MIN_NATIVE_PX), MAX_LARGE_SIDE_PX)
    if params.redraw is None and max(params.width_px or 0, params.height_px or 0) > max_px:
        raise _size_error(max_px=max_px)


def with_size(params: GenerationParams, text: str, option: str = _SIZE_OPTION) -> GenerationParams:
    """Return the wish in the size a person wrote: `portrait`, `5:4`, `512x768`; UserError when it is none."""
    size = read_size(text)
    if size is None:
        raise _size_error(option)
    if isinstance(size, str):
        return replace(params, shape=size, width_px=None, height_px=None)
    return replace(params, shape="", width_px=size[0], height_px=size[1])


def clean_text(text: str) -> str:
    """Return the text in one line, without control and invisible characters; joiners of emoji and of scripts
    that need them stay.
    """
    # Line ends and tabs are control characters too, so they become spaces first.
    spaced = re.sub(r"\s", " ", unicodedata.normalize("NFC", text)).translate(_BLANK_CHARS)
    visible = "".join(
        char
        for char in spaced
        if char in _JOINING_CHARS or unicodedata.category(char) not in _INVISIBLE_CATEGORIES
    )
    return " ".join(_STRAY_JOINER_PATTERN.sub(lambda match: match[1] or "", visible).split())


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
    if normalize_label(options.get("style", "")) in no_style_labels():
        changes |= {"style": NO_STYLE}
    params = _choose_speed(replace(base_params, **changes), options)
    return with_size(params, options["size"]) if "size" in options else params


def _choose_speed(params: GenerationParams, options: dict[str, str]) -> GenerationParams:
    """Return the wish with what `--fast` or `--fine` says; steps or a sampler of one's own are not fast."""
    if "fast" in options and "fine" in options:
        raise UserError(translate("wish-fast-and-fine"))
    if "fast" in options or "fine" in options:
        return replace(params, is_fast="fast" in options, steps=params.steps if "steps" in options else None)
    return replace(params, is_fast=False) if {"steps", "sampler"} & options.keys() else params


def _parse_best(text: str) -> int:
    """Return the count of `--best`. Raise UserError with the accepted forms."""
    count = read_best(text)
    if count is None:
        raise UserError(translate("wish-best", most=MAX_PICTURES))
    return count


def _parse_sampler(text: str) -> str:
    """Return the sampler that a person means; UserError lists them."""
    sampler = find_sampler(text)
    if sampler is None:
        raise UserError(translate("wish-sampler", samplers=", ".join(SAMPLERS)))
    return sampler


def _parse_int(name: str, options: dict[str, str]) -> int | None:
    if name == "seed" and is_random(options[name]):
        return None
    text = options[name].split()[0]
    if not re.fullmatch(r"-?[0-9]{1,12}", text):
        raise _value_error(name)
    return int(text)


def _parse_float(name: str, options: dict[str, str]) -> float:
    text = options[name].replace(",", ".")
    if not re.fullmatch(r"-?[0-9]{1,6}(\.[0-9]{1,6})?%?", text):
        raise _value_error(name)
    return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)


def _check_range(name: str, value: float | None) -> None:
    low, high, _ = _VALUE_RANGES[name]
    # NaN is in no range, and says so only to isfinite.
    if value is not None and not (math.isfinite(value) and low <= value <= high):
        raise _value_error(name)


def _value_error(name: str) -> UserError:
    low, high, example = _VALUE_RANGES[name]
    return UserError(translate("wish-value", name=name, low=low, high=f"{high:.0f}", example=example))


def _size_error(option: str = _SIZE_OPTION, max_px: int = MAX_LARGE_SIDE_PX) -> UserError:
    limits = {"least": MIN_SIDE_PX, "most": max_px, "step": SIDE_STEP_PX}
    return UserError(translate("wish-wrong-size", option=option, **limits))
