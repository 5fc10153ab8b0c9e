"""The photo coach: says of each photo whether it helps a training and why not; nothing about looks."""

from bot.coach._coach import Coach
from bot.coach._eye import ChildEye, Eye
from bot.coach._report import Feed, Report, report
from bot.coach._rules import Grade, Reason, Verdict
from bot.coach._sentences import advice_sentence, mark, sentence
from bot.coach._sight import Box, Face, Sight
from bot.coach._together import Advice

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
