"""What is said of a likeness: a figure with plain words, and never anything about looks."""

from __future__ import annotations

from bot.core.likeness import LikenessReport
from bot.texts.language import say
from bot.texts.words import span

#: From which likeness on words are said; a half is where a face begins to count as another person's.
_WORDS = ((0.7, "very"), (0.5, "alike"), (0.35, "somewhat"), (0.0, "hardly"))
#: A chosen step this much better than the last one is worth a reason.
_WORTH_SAYING = 0.01


def likeness_figure(report: LikenessReport | None) -> str:
    """Write the likeness of a Lora: `likeness 83 % (very much alike)`; empty when nothing was measured."""
    best = None if report is None else report.best
    if best is None:
        return ""
    words = next(words for least, words in _WORDS if best.likeness >= least)
    return say("likeness", percent=_percent(best.likeness), words=say(f"likeness-{words}"))


def likeness_told(report: LikenessReport | None) -> str:
    """Say how alike a finished Lora is, which step it is of and why, and which photo pulled it down."""
    best = None if report is None else report.best
    if report is None or best is None:
        return ""
    told = [say("likeness-measured", likeness=likeness_figure(report), count=best.pictures)]
    last = report.scores[-1]
    if report.saved_s is not None:
        told.append(say("likeness-ended-early", step=last.step, span=span(report.saved_s)))
    if best.step != last.step and best.likeness - last.likeness >= _WORTH_SAYING:
        percent = _percent(last.likeness)
        told.append(say("likeness-earlier-step", step=best.step, last=last.step, percent=percent))
    elif best.step != last.step:
        told.append(say("likeness-earlier-step-no-worse", step=best.step))
    if best.faceless:
        told.append(say("likeness-faceless", count=best.faceless))
    if best.copies:
        told.append(say("likeness-copies", count=best.copies))
    if report.odd_photo is not None:
        told.append(say("likeness-odd-photo", number=report.odd_photo))
    return " ".join(told)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"
