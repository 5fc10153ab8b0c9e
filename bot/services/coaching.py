"""What the coach says of a set of photos, on its card; and whether a set of five begins by itself."""

from __future__ import annotations

from collections.abc import Sequence

from bot.media.contact_sheet import Overlay
from bot.media.quality import PhotoGrade, QualityReport, advice_sentence, verdict_overlay, verdict_sentence

#: A card is read on a phone: the worst first, and no more than that.
_MAX_REMARKS = 5


def can_start_training(report: QualityReport | None) -> bool:
    """Say whether a complete set needs no second look by its person; what nobody looked at does not."""
    return report is None or report.worst_grade < PhotoGrade.RED


def list_remarks(report: QualityReport | None) -> list[str]:
    """Give what a person should know of their photos, and one piece of advice when nothing is wrong."""
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
    """Give each photo's frame and words on the contact sheet."""
    return [] if report is None else [verdict_overlay(verdict) for verdict in report.verdicts]
