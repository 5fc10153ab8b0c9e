"""From what a person wrote to what the model reads: LoraCodes become triggers, a style goes around. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from bot.core.loras import LoraCode

_CODE = re.compile(r"(?<!\w)(?:[0-9]{8}|[0-9]{4}[ \-][0-9]{4})(?!\w)")


def codes_in(prompt: str) -> tuple[LoraCode, ...]:
    """Give the LoraCodes that stand in a prompt, each once, in the order they come."""
    return tuple(dict.fromkeys(_code(match) for match in _CODE.finditer(prompt)))


def with_triggers(prompt: str, triggers: Mapping[LoraCode, str]) -> str:
    """Put the trigger of each LoraCode in its place in the prompt, or in front when it has none.

    A trigger that the person wrote themselves is never put there again.
    """
    if _CODE.search(prompt) is not None:
        prompt = _in_place(prompt, triggers)
    # From the last to the first, so that they come to stand in their own order.
    for trigger in reversed(list(triggers.values())):
        prompt = with_trigger(prompt, trigger, {*triggers.values()} - {trigger})
    return prompt


def with_trigger(prompt: str, trigger: str, others: Collection[str] = ()) -> str:
    """Put the trigger words into a prompt that lacks them; whole words count, upper or lower case alike."""
    words = trigger.split()
    if not words or _has(prompt, trigger):
        return prompt
    token = _whole(words[:1])
    # Loras of two people may have one token, which stands for the other then.
    is_its_own = all(other.split()[:1] != words[:1] for other in others)
    if is_its_own and token.search(prompt):  # `sks on the moon`: the class word is all that lacks
        return token.sub(lambda _: trigger, prompt, count=1)
    return f"{trigger}, {prompt}" if prompt.strip() else trigger


def styled(prompt: str, around: str) -> str:
    """Put a style's words around a prompt, where they say `{prompt}`."""
    return around.replace("{prompt}", prompt) if around else prompt


def _in_place(prompt: str, triggers: Mapping[LoraCode, str]) -> str:
    # A code that is taken out joins the words around it.
    own_words = _CODE.sub("", prompt)
    placed = {code for code, trigger in triggers.items() if _has(own_words, trigger)}

    def words_of(match: re.Match[str]) -> str:
        code = _code(match)
        if code not in triggers:
            return match[0]
        if code in placed:
            return ""
        placed.add(code)
        return triggers[code]

    return _tidy(_CODE.sub(words_of, prompt))


def _code(match: re.Match[str]) -> LoraCode:
    return LoraCode(re.sub(r"[ \-]", "", match[0]))


def _has(prompt: str, trigger: str) -> bool:
    return _whole(trigger.split()).search(prompt) is not None


def _whole(words: list[str]) -> re.Pattern[str]:
    return re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)", re.IGNORECASE)


def _tidy(prompt: str) -> str:
    # What a code that was taken out leaves behind: double spaces, a space before a comma.
    return re.sub(r"\s+([,.;])", r"\1", re.sub(r"\s{2,}", " ", prompt)).strip()
