"""The photo coach: says of each photo whether it helps a training and why not; nothing about looks."""

from bot.media.quality._advice import Advice
from bot.media.quality._analyzer import ChildEye, Eye
from bot.media.quality._coach import Coach
from bot.media.quality._report import Feed, Report, report
from bot.media.quality._rules import Grade, Reason, Verdict
from bot.media.quality._sentences import advice_sentence, mark, sentence
from bot.media.quality._types import Box, Face, Sight

__all__ = [
    "Advice",
    "Box",
    "ChildEye",
    "Coach",
    "Eye",
    "Face",
    "Feed",
    "Grade",
    "Reason",
    "Report",
    "Sight",
    "Verdict",
    "advice_sentence",
    "mark",
    "report",
    "sentence",
]
