"""The likeness of a LoRA in words: a figure and a grade, never anything about looks."""

from __future__ import annotations

from bot.core.likeness import LikenessReport
from bot.texts.language import translate
from bot.texts.words import format_duration

#: The least likeness of each grade. Below 0.5 a face counts as another person's.
_GRADES = ((0.7, "very"), (0.5, "close"), (0.35, "fair"), (0.0, "poor"))
#: A chosen step that is this much better than the last one is worth a reason.
_MIN_GAIN = 0.01


def format_likeness(report: LikenessReport | None) -> str:
    """Return the likeness of a LoRA, `likeness 83% (very close)`, or nothing if it was not measured."""
    best = None if report is None else report.chosen_score
    if best is None:
        return ""
    return translate("likeness", percent=_format_percent(best.likeness), words=_grade(best.likeness))


def likeness_summary(report: LikenessReport | None) -> str:
    """Return how close a trained LoRA is, which step was kept and why, and which photo lowered it."""
    best = None if report is None else report.chosen_score
    if report is None or best is None:
        return ""
    percent, words = _format_percent(best.likeness), _grade(best.likeness)
    sentences = [translate("likeness-measured", percent=percent, words=words, count=best.pictures)]
    last_score = report.scores[-1]
    if report.saved_s is not None:
        sentences.append(
            translate("likeness-ended-early", step=last_score.step, span=format_duration(report.saved_s))
        )
    if best.step != last_score.step and best.likeness - last_score.likeness >= _MIN_GAIN:
        last_percent = _format_percent(last_score.likeness)
        sentences.append(
            translate("likeness-earlier-step", step=best.step, last=last_score.step, percent=last_percent)
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


def _grade(likeness: float) -> str:
    return translate(next(f"likeness-{grade}" for min_likeness, grade in _GRADES if likeness >= min_likeness))


def _format_percent(fraction: float) -> str:
    return f"{100 * fraction:.0f}"
