"""What is said of a likeness: a figure with plain words, and never anything about looks."""

from __future__ import annotations

from bot.domain import LikenessReport
from bot.texts._words import span

#: From which likeness on words are said; a half is where a face begins to count as another person's.
_WORDS = ((0.7, "very much alike"), (0.5, "alike"), (0.35, "somewhat alike"), (0.0, "hardly alike"))
#: A chosen step this much better than the last one is worth a reason.
_WORTH_SAYING = 0.01


def likeness_figure(report: LikenessReport | None) -> str:
    """Write the likeness of a Lora: `likeness 83 % (very much alike)`; empty when nothing was measured."""
    best = None if report is None else report.best
    if best is None:
        return ""
    words = next(words for least, words in _WORDS if best.likeness >= least)
    return f"likeness {best.likeness:.0%} ({words})"


def likeness_told(report: LikenessReport | None) -> str:
    """Say how alike a finished Lora is, which step it is of and why, and which photo pulled it down."""
    best = None if report is None else report.best
    if report is None or best is None:
        return ""
    told = [f"Its {likeness_figure(report)}, measured on {best.pictures} pictures."]
    last = report.scores[-1]
    if report.saved_s is not None:
        told.append(f"I ended at step {last.step}, as it was past its best: {span(report.saved_s)} saved.")
    if best.step != last.step and best.likeness - last.likeness >= _WORTH_SAYING:
        told.append(
            f"I kept what it had learnt at step {best.step}: at step {last.step} it was {last.likeness:.0%}."
        )
    elif best.step != last.step:
        told.append(f"I kept what it had learnt at step {best.step}; more steps made it no better.")
    if best.faceless:
        told.append(f"{best.faceless} of them show no clear face.")
    if best.copies:
        told.append(f"{best.copies} of them are nearly one of your photos again: send more different ones.")
    if report.odd_photo is not None:
        told.append(f"Photo {report.odd_photo} is unlike the others and may have pulled it down.")
    return " ".join(told)
