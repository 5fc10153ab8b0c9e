"""What administrators are woken with; in English, like all that is theirs alone."""

from __future__ import annotations

from bot.alarms import Alarm, Finding
from bot.texts._words import plural, quoted, span

_MAX_WORDS = 300
_OVER = {
    Alarm.WORKER: "the worker is up and stays up.",
    Alarm.CARD_LOST: "the graphics card is back.",
    Alarm.CARD_HOT: "the graphics card has cooled down.",
    Alarm.DISK: "the disk has room again.",
    Alarm.QUEUE: "nothing waits for long any more.",
    Alarm.BACKUP: "the last backup was made.",
}


def alarm(finding: Finding) -> str:
    """Wake an administrator, and say what to do."""
    return f"Alarm: {_told(finding)}"


def alarm_over(finding: Finding) -> str:
    """Say that an alarm is over."""
    return f"Over: {_OVER[finding.alarm]}"


def _told(finding: Finding) -> str:
    match finding.alarm:
        case Alarm.WORKER if finding.figure:
            times = f"{finding.figure:.0f} time{plural(round(finding.figure))}"
            return f"the worker keeps dying, {times} in ten minutes. /logs and the bot's log say why."
        case Alarm.WORKER:
            return "there has been no worker for five minutes. The bot's log says why it does not start."
        case Alarm.CARD_LOST:
            card = finding.words or "the graphics card"
            return f"{card} is gone; jobs run without it, or not at all. Look at nvidia-smi, then restart."
        case Alarm.CARD_HOT:
            return f"the graphics card is at {finding.figure:.0f} °C. Look at its fan; /pause lets it cool."
        case Alarm.DISK:
            return f"{finding.figure:.1f} % of the disk is free. Make room, or photos will be refused soon."
        case Alarm.QUEUE:
            return f"something has been waiting for {span(finding.figure)}. /status shows the queue."
        case Alarm.BACKUP:
            return f"the backup failed; it is tried again every hour. {quoted(finding.words, _MAX_WORDS)}"
