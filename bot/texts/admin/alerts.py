"""Messages that tell administrators of an alert and its end."""

from __future__ import annotations

from bot.core.monitoring import Alert, AlertKind
from bot.texts.words import format_duration, plural_suffix, truncate

_MAX_ERROR_CHARS = 300


_RESOLVED_TEXTS = {
    AlertKind.WORKER: "the worker is up and stays up.",
    AlertKind.GPU_LOST: "the graphics card is back.",
    AlertKind.GPU_HOT: "the graphics card has cooled down.",
    AlertKind.DISK: "the disk has room again.",
    AlertKind.QUEUE: "nothing waits for long any more.",
    AlertKind.BACKUP: "the last backup was made.",
}


def alert_raised(alert: Alert) -> str:
    """Return the message about a new alert, with what to do."""
    return f"Alert: {_describe_alert(alert)}"


def alert_resolved(alert: Alert) -> str:
    """Return the message that says that an alert is over."""
    return f"Resolved: {_RESOLVED_TEXTS[alert.kind]}"


def _describe_alert(alert: Alert) -> str:
    match alert.kind:
        case AlertKind.WORKER if alert.value:
            count_text = f"{alert.value:.0f} time{plural_suffix(round(alert.value))}"
            return f"the worker keeps dying, {count_text} in ten minutes. /logs and the bot's log say why."
        case AlertKind.WORKER:
            return "there has been no worker for five minutes. The bot's log says why it does not start."
        case AlertKind.GPU_LOST:
            gpu_name = alert.text or "the graphics card"
            return (
                f"{gpu_name} is gone; jobs run without it, or not at all. Look at nvidia-smi, then restart."
            )
        case AlertKind.GPU_HOT:
            return f"the graphics card is at {alert.value:.0f} °C. Look at its fan; /pause lets it cool."
        case AlertKind.DISK:
            return f"{alert.value:.1f} % of the disk is free. Make room, or photos will be refused soon."
        case AlertKind.QUEUE:
            return f"something has been waiting for {format_duration(alert.value)}. /status shows the queue."
        case AlertKind.BACKUP:
            return (
                f"the backup failed; it is tried again every hour. {truncate(alert.text, _MAX_ERROR_CHARS)}"
            )
