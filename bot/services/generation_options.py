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
from bot.core.jobs import MAX_PICTURES, MAX_PROMPT_CHARS, GenerateWish
from bot.core.loras import LoraCode, parse_code, split_code
from bot.texts import say
from gpu_worker.protocol import SAMPLERS, SHAPES

MIN_SIDE_PX, MAX_SIDE_PX, SIDE_STEP_PX = 64, 1024, 8
#: Of what begins from a picture: that was made larger already.
MAX_LARGE_SIDE_PX = 2048
MAX_SEED = 2**32 - 1
MAX_STEPS = 100
MAX_GUIDANCE = 30.0
MAX_STRENGTH = 2.0
OPTIONS = ("n", "size", "seed", "no", "steps", "guidance", "strength", "style", "sampler", "best")
_WHOLE = {"n": "count", "seed": "seed", "steps": "steps"}
_NUMBERS = ("guidance", "strength")
_WORDS = {"no": "negative", "style": "style", "sampler": "sampler"}
OPTION_NAMES = ", ".join(f"--{name}" for name in OPTIONS)

#: Control, format (zero-width, right-to-left), surrogate and private characters. Unassigned ones stay: they
#: are next year's emoji.
_UNSEEN = {"Cc", "Cf", "Cs", "Co"}
#: Letters that Unicode calls visible and that show nothing: fillers of Hangul, the empty Braille cell.
_BLANK = dict.fromkeys(map(ord, "\u034f\u115f\u1160\u2800\u3164\uffa0"))
# Phones turn two hyphens into one long dash; between words a long dash is punctuation and stays.
_OPTION = re.compile(r"(?:--+|[\u2014\u2013])([A-Za-z][^\s=]*)(?:=(\S*))?")


@dataclass(frozen=True, slots=True)
class Asked:
    """A LoraCode and what to draw with it."""

    code: LoraCode
    wish: GenerateWish


def parse(text: str) -> Asked:
    """Read the words after `/generate`; UserError says what is wrong with them."""
    code_text, rest = split_code(cleaned(text))
    return Asked(read_code(code_text), parse_prompt(rest))


def begins_with_two_numbers(text: str) -> bool:
    """Say whether its code is written as `4071 3386`, or `2024-2025`: years may be meant."""
    return re.match(r"[0-9]{4}[ \-][0-9]{4}(?![0-9])", cleaned(text)) is not None


def parse_prompt(text: str, base: GenerateWish | None = None) -> GenerateWish:
    """Read a prompt with options, which stand above those of `base`; UserError says what is wrong."""
    prompt, options = _split_options(cleaned(text))
    return checked(_wish(replace(base or GenerateWish(""), prompt=prompt), options))


def read_code(text: str) -> LoraCode:
    """Read a LoraCode; UserError when it is not eight digits."""
    code = parse_code(cleaned(text))
    if code is None:
        raise UserError(say("wish-wrong-code"))
    return code


def checked(wish: GenerateWish) -> GenerateWish:
    """Give the wish with its texts cleaned; UserError when a value is out of range or lacks."""
    wish = checked_but_words(wish)
    if not wish.prompt:
        raise UserError(say("wish-empty"))
    return wish


def checked_but_words(wish: GenerateWish) -> GenerateWish:
    """Check a wish likewise whose prompt may still come."""
    wish = replace(wish, prompt=cleaned(wish.prompt), negative=cleaned(wish.negative))
    for key, text in (("wish-prompt-too-long", wish.prompt), ("wish-negative-too-long", wish.negative)):
        if len(text) > MAX_PROMPT_CHARS:
            raise UserError(say(key, count=str(len(text)), most=MAX_PROMPT_CHARS))
    _in_range("n", wish.count, 1, MAX_PICTURES)
    _in_range("seed", wish.seed, 0, MAX_SEED)
    _in_range("steps", wish.steps, 1, MAX_STEPS)
    _in_range("guidance", wish.guidance, 0, MAX_GUIDANCE)
    _in_range("strength", wish.strength, 0, MAX_STRENGTH)
    wish = replace(wish, sampler=_sampler(wish.sampler) if wish.sampler else "")
    if wish.shape not in {"", *SHAPES}:
        raise _wrong_size()
    if (wish.width_px, wish.height_px) != (None, None):
        most_px = MAX_SIDE_PX if wish.redraw is None else MAX_LARGE_SIDE_PX
        for side_px in (wish.width_px, wish.height_px):
            if side_px is None or not MIN_SIDE_PX <= side_px <= most_px or side_px % SIDE_STEP_PX:
                raise _wrong_size()
    return wish


def sized(wish: GenerateWish, text: str) -> GenerateWish:
    """Give the wish in the size a person wrote, `portrait` or `512x768`; UserError when it is neither."""
    if text.lower() in SHAPES:
        return replace(wish, shape=text.lower(), width_px=None, height_px=None)
    match = re.fullmatch(r"([0-9]{1,5})[xX*\u00d7]([0-9]{1,5})", text)
    if match is None:
        raise _wrong_size()
    return replace(wish, shape="", width_px=int(match[1]), height_px=int(match[2]))


def cleaned(text: str) -> str:
    """Give the text in one line, without control and zero-width characters."""
    # Line ends and tabs are control characters too, so they become spaces first.
    spaced = re.sub(r"\s", " ", unicodedata.normalize("NFC", text)).translate(_BLANK)
    visible = "".join(char for char in spaced if unicodedata.category(char) not in _UNSEEN)
    return " ".join(visible.split())


def _split_options(text: str) -> tuple[str, dict[str, str]]:
    # An option takes the next word; `--no` takes every word up to the next option, and `--sampler` the words
    # of its name; the rest is the prompt.
    prompt: list[str] = []
    options: dict[str, str] = {}
    waiting: str | None = None
    words = text.split()
    for word, following in zip(words, [*words, ""][1:], strict=False):
        match = _OPTION.fullmatch(word)
        if match is not None:
            _refuse_missing_value(waiting, options)
            waiting = _known(match[1], options)
            options[waiting] = match[2] or ""
            if match[2] and not _goes_on(waiting, match[2], following):
                waiting = None
        elif waiting is None:
            prompt.append(word)
        else:
            options[waiting] = f"{options[waiting]} {word}".strip()
            waiting = waiting if _goes_on(waiting, options[waiting], following) else None
    _refuse_missing_value(waiting, options)
    return " ".join(prompt), options


def _goes_on(name: str, so_far: str, following: str) -> bool:
    """Say whether an option takes a further word."""
    if name == "no":
        return True
    longer = _squeezed(so_far + following)
    longer_is_a_name = len(longer) > len(_squeezed(so_far)) and any(
        _squeezed(sampler).startswith(longer) for sampler in SAMPLERS
    )
    return name == "sampler" and longer_is_a_name


def _known(name: str, options: dict[str, str]) -> str:
    known = name.lower()
    if known not in OPTIONS:
        raise UserError(say("wish-unknown-option", name=name[:20], options=OPTION_NAMES))
    if known in options:
        raise UserError(say("wish-twice", name=known))
    return known


def _refuse_missing_value(waiting: str | None, options: dict[str, str]) -> None:
    if waiting is not None and not options[waiting]:
        raise UserError(say("wish-needs-value", name=waiting))


def _wish(base: GenerateWish, options: dict[str, str]) -> GenerateWish:
    given: dict[str, Any] = {
        field: _whole(name, options) for name, field in _WHOLE.items() if name in options
    }
    given |= {name: _number(name, options) for name in _NUMBERS if name in options}
    given |= {field: options[name] for name, field in _WORDS.items() if name in options}
    if "best" in options:
        if "n" in options:
            raise UserError(say("wish-n-and-best"))
        given |= {"count": _best_of(options["best"]), "best": True}
    elif "n" in options:
        given |= {"best": False}
    wish = replace(base, **given)
    return sized(wish, options["size"]) if "size" in options else wish


def _best_of(text: str) -> int:
    """Give of how many pictures the most alike is wanted: `4`, or `1-of-4`; UserError says what may stand."""
    match = re.fullmatch(rf"(?:1-?of-?)?([2-{MAX_PICTURES}])", text.lower())
    if match is None:
        raise UserError(say("wish-best", most=MAX_PICTURES))
    return int(match[1])


def _sampler(text: str) -> str:
    """Give the sampler that a person means: `euler-a`, `DPM++`, `unipc`; UserError lists them."""
    wanted = _squeezed(text)
    fits = [name for name in SAMPLERS if _squeezed(name).startswith(wanted)] if wanted else []
    if len(fits) != 1:
        raise UserError(say("wish-sampler", samplers=", ".join(SAMPLERS)))
    return fits[0]


def _squeezed(text: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", text.lower())


def _whole(name: str, options: dict[str, str]) -> int:
    text = options[name]
    if not re.fullmatch(r"-?[0-9]{1,12}", text):
        raise UserError(say("wish-whole", name=name))
    return int(text)


def _number(name: str, options: dict[str, str]) -> float:
    text = options[name]
    if not re.fullmatch(r"-?[0-9]{1,6}([.,][0-9]{1,6})?", text):
        raise UserError(say("wish-number", name=name))
    return float(text.replace(",", "."))


def _in_range(name: str, value: float | None, low: int, high: float) -> None:
    # NaN is in no range, and says so only to isfinite.
    if value is not None and not (math.isfinite(value) and low <= value <= high):
        raise UserError(say("wish-range", name=name, low=low, high=f"{high:.0f}"))


def _wrong_size() -> UserError:
    return UserError(say("wish-wrong-size", least=MIN_SIDE_PX, most=MAX_SIDE_PX, step=SIDE_STEP_PX))
