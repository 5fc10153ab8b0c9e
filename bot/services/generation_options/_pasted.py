"""What people paste from other programs, and from our own pictures, in the words of our options. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from bot.core.errors import UserError
from bot.core.loras import parse_code
from bot.texts import translate

_NEGATIVE_PATTERN = re.compile(r"(?:^|\s)(?:negative prompt|prompt negativo|negative)\s*:", re.IGNORECASE)
#: The last line of what AUTOMATIC1111, and we, write into pictures.
_SETTINGS_PATTERN = re.compile(r"(?:^|\s)Steps: *[0-9]+ *(?:,|$)")
_SETTING_PATTERN = re.compile(r'([A-Z][\w ]*): *("[^"]*"|[^,]*)')
_OPTION_START_PATTERN = re.compile(r"\s(?=(?:--|[\u2013\u2014])[A-Za-z])")
_SETTING_OPTIONS = {"Steps": "steps", "CFG scale": "guidance", "Seed": "seed", "Size": "size"}
#: What the pictures of `--fast` say of their steps.
_FAST_SCHEDULE = "Align Your Steps"
_NETWORK_PATTERN = re.compile(r"<(?:lora|lyco|locon|hypernet):([^<>]*)>", re.IGNORECASE)
#: The fields of Discord's command, as they look where they are copied from.
_FIELD_PATTERN = re.compile(
    r"(?:^|(?<=\s))(?<![Nn]egative )"
    r"(prompt|negative|style|size|count|best|seed|steps|guidance|strength|sampler) ?[:=] ?"
)
_SPEED_FIELD_PATTERN = re.compile(r"(?:^|(?<=\s))speed ?[:=] ?(fast|fine)\b")
_PROMPT_FIELD_PATTERN = re.compile(r"(?:^|(?<=\s))(?<![Nn]egative )prompt ?[:=]")
_STRENGTH_PATTERN = re.compile(r"-?[0-9]{0,4}(?:\.[0-9]{1,4})?")


@dataclass(slots=True)
class PastedText:
    """What a person wrote without the settings that were pasted, and these, by our options."""

    text: str
    options: dict[str, str] = field(default_factory=dict)
    is_recipe: bool = False  #: whether it says all that a picture was made of


def read_pasted(text: str) -> PastedText:
    """Return the text without what other programs write around a prompt; UserError names what is unknown."""
    if _PROMPT_FIELD_PATTERN.search(text) is not None:
        text = _FIELD_PATTERN.sub(r"--\1 ", _SPEED_FIELD_PATTERN.sub(r"--\1", text))
    pasted = _read_settings(text)
    pasted.text, strength = _read_networks(pasted.text)
    if strength:
        pasted.options["strength"] = strength
    return pasted


def _read_settings(text: str) -> PastedText:
    settings = _SETTINGS_PATTERN.search(text)
    head, tail = (text, "") if settings is None else (text[: settings.start()], text[settings.start() :])
    negative = _NEGATIVE_PATTERN.search(head)
    negative_text = "" if negative is None else head[negative.end() :]
    pasted = PastedText(head if negative is None else head[: negative.start()].rstrip(" ,"))
    # Options that were typed behind what was pasted stay options.
    negative_text, negative_rest = _split_at_option(negative_text)
    tail, tail_rest = _split_at_option(tail)
    pasted.text = " ".join(filter(None, (pasted.text.strip(), negative_rest, tail_rest)))
    if negative_text.strip():
        pasted.options["no"] = negative_text.strip()
    values = {key.strip(): value.strip() for key, value in _SETTING_PATTERN.findall(tail)}
    pasted.options |= {option: values[key] for key, option in _SETTING_OPTIONS.items() if values.get(key)}
    if "Acceleration" in values:  # sampler, steps and guidance are those of what is set here today
        values.pop("Sampler", None)
        pasted.options = {"fast": ""} | {
            option: text for option, text in pasted.options.items() if option not in ("steps", "guidance")
        }
    if sampler := values.get("Sampler", ""):
        schedule = values.get("Schedule type", "")
        if schedule == _FAST_SCHEDULE:
            pasted.options["fast"], schedule = "", ""
        is_named = schedule and schedule != "Automatic" and schedule.lower() not in sampler.lower()
        pasted.options["sampler"] = f"{sampler} {schedule}" if is_named else sampler
    pasted.is_recipe = settings is not None
    return pasted


def _split_at_option(text: str) -> tuple[str, str]:
    match = _OPTION_START_PATTERN.search(text)
    return (text, "") if match is None else (text[: match.start()], text[match.end() :])


def _read_networks(text: str) -> tuple[str, str]:
    """Return the text with the codes of `<lora:…>` in their places, and the strength that these have."""
    strengths: set[str] = set()

    def replace_network(match: re.Match[str]) -> str:
        name, _, strength = match[1].partition(":")
        digits = re.search(r"(?<!\d)\d{8}(?!\d)", name)
        code = parse_code(name if digits is None else digits[0])
        if code is None or _STRENGTH_PATTERN.fullmatch(strength.partition(":")[0]) is None:
            raise UserError(translate("wish-unknown-network", words=match[0][:60]))
        strengths.add(strength.partition(":")[0] or "1")
        return code

    text = _NETWORK_PATTERN.sub(replace_network, text)
    if len(strengths) > 1:
        raise UserError(translate("wish-several-strengths"))
    return text, "".join(strengths - {"1", "1.0"})
