"""What the coach says of a set of photos, on its card; and whether a set of five begins by itself."""

from __future__ import annotations

from collections.abc import Sequence

from bot.media.contact_sheet import Mark
from bot.media.quality import Grade, Report, advice_sentence, mark, sentence

#: A card is read on a phone: the worst first, and no more than that.
_MOST_REMARKS = 5


def may_begin(report: Report | None) -> bool:
    """Say whether a complete set needs no second look by its person; what nobody looked at does not."""
    return report is None or report.worst < Grade.RED


def remarks(report: Report | None) -> list[str]:
    """Give what a person should know of their photos, and one piece of advice when nothing is wrong."""
    if report is None:
        return []
    said = [
        (-verdict.grade, number, words)
        for number, verdict in enumerate(report.verdicts, 1)
        if (words := sentence(number, verdict)) is not None
    ]
    if not said:
        return [advice_sentence(each) for each in report.advice[:1]]
    return [words for _, _, words in sorted(sorted(said)[:_MOST_REMARKS], key=lambda each: each[1])]


def marks(report: Report | None) -> Sequence[Mark]:
    """Give each photo's frame and words on the contact sheet."""
    return [] if report is None else [mark(verdict) for verdict in report.verdicts]
