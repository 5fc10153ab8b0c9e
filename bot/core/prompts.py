"""From what a person wrote to what the model reads: LoraCodes become triggers, a style goes around. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from bot.core.loras import DASHES, LoraCode, to_code
from gpu_worker.protocol import Place

# Two years with a long dash between them are two years.
_YEARS = r"(?!(?:1\d|2[01])\d\d[^\d \-](?:1\d|2[01])\d\d)"
_CODE_PATTERN = re.compile(rf"(?<!\w)[<`#]*(?:\d{{8}}|{_YEARS}\d{{4}}[ {DASHES}]\d{{4}})(?!\w)[>`]*")


#: A face fills the picture, and shows best how much of a LoRA is there.
FACE_PROMPT = "close-up, looking at the camera"
#: What people call themselves, in the languages that the bot speaks.
_SELF_WORDS = ("me", "myself", "io")
#: What is no word of the prompt: quotations, and addresses of pages and people.
_VERBATIM = '"[^"]*"|\u201c[^\u201d]*\u201d|\u00ab[^\u00bb]*\u00bb|\\w+://\\S+|\\S*@\\S+'


#: What people write beside a code for where in the picture its person is to be.
_PLACES = {
    **dict.fromkeys(("left", "sinistra"), Place.LEFT),
    **dict.fromkeys(("middle", "centre", "center", "centro", "mezzo"), Place.MIDDLE),
    **dict.fromkeys(("right", "destra"), Place.RIGHT),
}
_PLACE_PATTERN = re.compile(
    rf"[\s,:(\[]*(?:(?:on|to|at|in|the|al|alla|a|sulla|nel)\s+){{0,2}}({'|'.join(_PLACES)})(?!\w)",
    re.IGNORECASE,
)


def find_places(prompt: str, codes: Sequence[LoraCode]) -> dict[LoraCode, Place]:
    """Return where each LoraCode's person is to be, as is written behind the codes if all have another place.

    The first code may have been in front of the prompt. Otherwise they are found as the picture is drawn.
    """
    ends = {codes[0]: 0} | {to_code(match[0]): match.end() for match in _CODE_PATTERN.finditer(prompt)}
    matches = [_PLACE_PATTERN.match(prompt, ends[code]) if code in ends else None for code in codes]
    places = [_PLACES[match[1].lower()] for match in matches if match is not None]
    is_layout = len(set(places)) == len(codes)
    return dict(zip(codes, places if is_layout else [Place.FOUND] * len(codes), strict=True))


def find_codes(prompt: str) -> tuple[LoraCode, ...]:
    """Return the LoraCodes that stand in a prompt, each once, in the order they come."""
    return tuple(dict.fromkeys(to_code(match[0]) for match in _CODE_PATTERN.finditer(prompt)))


def insert_triggers(prompt: str, triggers: Mapping[LoraCode, str]) -> str:
    """Put the trigger of each LoraCode in its place in the prompt, or in front when it has none.

    A trigger that the person wrote themselves is never put there again.
    """
    if _CODE_PATTERN.search(prompt) is not None:
        prompt = _replace_codes(prompt, triggers)
    # From the last to the first, so that they come to stand in their own order.
    for trigger in reversed(list(triggers.values())):
        prompt = insert_trigger(prompt, trigger, {*triggers.values()} - {trigger})
    return prompt


def replace_names(prompt: str, trigger: str, name: str, *, is_self: bool) -> str:
    """Put the trigger words where a prompt says the name of a Lora, or `me` where its person asks.

    A prompt that has the trigger already keeps its words. So do quotations: they stand in the picture.
    """
    words = [r"\s+".join(map(re.escape, name.split()))] if name.strip() else []
    words += _SELF_WORDS if is_self else ()
    if not words or _has_trigger(prompt, trigger):
        return prompt
    name_pattern = rf"(?<![\w./-])(?P<name>{'|'.join(words)})(?![\w/-]|\.\w)"
    pattern = re.compile(f"{_VERBATIM}|{name_pattern}", re.IGNORECASE)
    return pattern.sub(lambda match: trigger if match["name"] else match[0], prompt)


def insert_trigger(prompt: str, trigger: str, other_triggers: Collection[str] = ()) -> str:
    """Put the trigger words into a prompt that lacks them; whole words count, upper or lower case alike."""
    words = trigger.split()
    if not words or _has_trigger(prompt, trigger):
        return prompt
    token_pattern = _words_pattern(words[:1])
    # Loras of two people may have one token, which stands for the other then.
    is_own_token = all(other.split()[:1] != words[:1] for other in other_triggers)
    if is_own_token and token_pattern.search(prompt):  # `sks on the moon`: the class word is all that lacks
        return token_pattern.sub(lambda _: trigger, prompt, count=1)
    return f"{trigger}, {prompt}" if prompt.strip() else trigger


def apply_style(prompt: str, template: str) -> str:
    """Put a style's words around a prompt, where they say `{prompt}`."""
    return template.replace("{prompt}", prompt) if template else prompt


def _replace_codes(prompt: str, triggers: Mapping[LoraCode, str]) -> str:
    # A code that is taken out joins the words around it.
    text_without_codes = _CODE_PATTERN.sub("", prompt)
    placed_codes = {code for code, trigger in triggers.items() if _has_trigger(text_without_codes, trigger)}

    def replace_match(match: re.Match[str]) -> str:
        code = to_code(match[0])
        if code not in triggers:
            return match[0]
        if code in placed_codes:
            return ""
        placed_codes.add(code)
        return triggers[code]

    return _clean_spacing(_CODE_PATTERN.sub(replace_match, prompt))


def _has_trigger(prompt: str, trigger: str) -> bool:
    return _words_pattern(trigger.split()).search(prompt) is not None


def _words_pattern(words: list[str]) -> re.Pattern[str]:
    return re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)", re.IGNORECASE)


def _clean_spacing(prompt: str) -> str:
    # What a code that was taken out leaves behind: double spaces, a space before a comma.
    return re.sub(r"\s+([,.;])", r"\1", re.sub(r"\s{2,}", " ", prompt)).strip()
