"""What is said of a likeness: a figure with plain words, and never anything about looks."""

from __future__ import annotations

from bot.core.likeness import LikenessReport
from bot.texts.language import translate
from bot.texts.words import format_duration

#: From which likeness on words are said; a half is where a face begins to count as another person's.
_LEVELS = ((0.7, "very"), (0.5, "alike"), (0.35, "somewhat"), (0.0, "hardly"))
#: A chosen step this much better than the last one is worth a reason.
_MIN_GAIN = 0.01


def format_likeness(report: LikenessReport | None) -> str:
    """Write the likeness of a Lora: `likeness 83 % (very much alike)`; empty when nothing was measured."""
    best = None if report is None else report.chosen_score
    if best is None:
        return ""
    level = next(level for min_likeness, level in _LEVELS if best.likeness >= min_likeness)
    return translate("likeness", percent=_format_percent(best.likeness), words=translate(f"likeness-{level}"))


def likeness_summary(report: LikenessReport | None) -> str:
    """Say how alike a finished Lora is, which step it is of and why, and which photo pulled it down."""
    best = None if report is None else report.chosen_score
    if report is None or best is None:
        return ""
    sentences = [translate("likeness-measured", likeness=format_likeness(report), count=best.pictures)]
    last_score = report.scores[-1]
    if report.saved_s is not None:
        sentences.append(
            translate("likeness-ended-early", step=last_score.step, span=format_duration(report.saved_s))
        )
    if best.step != last_score.step and best.likeness - last_score.likeness >= _MIN_GAIN:
        percent = _format_percent(last_score.likeness)
        sentences.append(
            translate("likeness-earlier-step", step=best.step, last=last_score.step, percent=percent)
        )
    elif best.step != last_score.step:
        sentences.append(translate("likeness-earlier-step-no-worse", step=best.step))
    if best.faceless:
        sentences.append(translate("likeness-faceless", count=best.faceless))
    if best.copies:
        sentences.append(translate("likeness-copies", count=best.copies))
    if report.odd_photo is not None:
        sentences.append(translate("likeness-odd-photo", number=report.odd_photo))
    return " ".join(sentences)


def _format_percent(fraction: float) -> str:
    return f"{100 * fraction:.0f}"
