"""Sentences of the coach: one for a verdict, with what to do, and two words for the contact sheet."""

from __future__ import annotations

from collections.abc import Sequence

from bot.media.contact_sheet import Overlay
from bot.media.quality._advice import Advice
from bot.media.quality._report import QualityReport
from bot.media.quality._rules import PhotoGrade, PhotoProblem, PhotoVerdict
from bot.texts import translate

#: What is said more mildly of photos that a person may insist on.
_MILD_REASONS = (PhotoProblem.BLURRED, PhotoProblem.DARK, PhotoProblem.BLOWN_OUT)
#: A card is read on a phone: the worst first, and no more than that.
_MAX_REMARKS = 5
#: They differ in brightness too, for eyes that do not tell red from green.
_GRADE_COLOURS = {
    PhotoGrade.GREEN: (0, 158, 96),
    PhotoGrade.AMBER: (240, 170, 0),
    PhotoGrade.RED: (190, 20, 40),
}


def verdict_sentence(number: int, verdict: PhotoVerdict) -> str | None:
    """Return what is wrong with photo `number`, from 1, and what to do; None if it is green."""
    if verdict.problem is None:
        return None
    is_mild = verdict.grade is PhotoGrade.AMBER and verdict.problem in _MILD_REASONS
    key = f"coach-{verdict.problem}-mild" if is_mild else f"coach-{verdict.problem}"
    return translate(key, number=number, **verdict.values)


def advice_sentence(advice: Advice) -> str:
    """Return what would make a set better."""
    return translate(f"advice-{advice}")


def verdict_overlay(verdict: PhotoVerdict) -> Overlay:
    """Return a photo's frame and words on the contact sheet."""
    label = "ok" if verdict.problem is None else translate(f"mark-{verdict.problem}", **verdict.values)
    return Overlay(_GRADE_COLOURS[verdict.grade], label)


def can_start_training(report: QualityReport | None) -> bool:
    """Return True if a complete set can start without a second look by its person.

    An unreviewed set can.
    """
    return report is None or report.worst_grade < PhotoGrade.RED


def list_remarks(report: QualityReport | None) -> list[str]:
    """Return what is wrong with the photos, or one piece of advice if nothing is."""
    if report is None:
        return []
    ranked_remarks = [
        (-verdict.grade, number, text)
        for number, verdict in enumerate(report.verdicts, 1)
        if (text := verdict_sentence(number, verdict)) is not None
    ]
    if not ranked_remarks:
        return [advice_sentence(each) for each in report.advice[:1]]
    return [text for _, _, text in sorted(sorted(ranked_remarks)[:_MAX_REMARKS], key=lambda each: each[1])]


def list_overlays(report: QualityReport | None) -> Sequence[Overlay]:
    """Return each photo's frame and words on the contact sheet."""
    return [] if report is None else [verdict_overlay(verdict) for verdict in report.verdicts]
