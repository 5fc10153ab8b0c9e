"""How the coach says it: one sentence a verdict, with what to do; two words for the contact sheet."""

from __future__ import annotations

from bot.media.contact_sheet import Mark
from bot.media.quality._advice import Advice
from bot.media.quality._rules import Grade, Reason, Verdict
from bot.texts import say

#: What is said more mildly of photos that a person may insist on.
_MILDER = (Reason.BLURRED, Reason.DARK, Reason.BLOWN_OUT)
#: They differ in brightness too, for eyes that do not tell red from green.
_COLOURS = {Grade.GREEN: (0, 158, 96), Grade.AMBER: (240, 170, 0), Grade.RED: (190, 20, 40)}


def sentence(number: int, verdict: Verdict) -> str | None:
    """Say what is wrong with photo `number`, from 1, and what to do; None when it is green."""
    if verdict.reason is None:
        return None
    is_mild = verdict.grade is Grade.AMBER and verdict.reason in _MILDER
    key = f"coach-{verdict.reason}-mild" if is_mild else f"coach-{verdict.reason}"
    return say(key, number=number, **verdict.values)


def advice_sentence(advice: Advice) -> str:
    """Say what would make a set better."""
    return say(f"advice-{advice}")


def mark(verdict: Verdict) -> Mark:
    """Give a photo's frame and words on the contact sheet."""
    words = "ok" if verdict.reason is None else say(f"mark-{verdict.reason}", **verdict.values)
    return Mark(_COLOURS[verdict.grade], words)
