"""The photo coach: whether each photo helps a training, and why not. It never judges looks."""

from bot.media.quality._advice import Advice
from bot.media.quality._analyzer import PhotoAnalyzer, SandboxedPhotoAnalyzer
from bot.media.quality._coach import PhotoCoach
from bot.media.quality._report import QualityReport, TrainingHint, build_report
from bot.media.quality._rules import TRAINED_SIDE_PX, PhotoGrade, PhotoProblem, PhotoVerdict
from bot.media.quality._sentences import (
    advice_sentence,
    can_start_training,
    list_overlays,
    list_remarks,
    verdict_overlay,
    verdict_sentence,
)
from bot.media.quality._types import Box, Face, PhotoMeasurements

__all__ = [
    "TRAINED_SIDE_PX",
    "Advice",
    "Box",
    "Face",
    "PhotoAnalyzer",
    "PhotoCoach",
    "PhotoGrade",
    "PhotoMeasurements",
    "PhotoProblem",
    "PhotoVerdict",
    "QualityReport",
    "SandboxedPhotoAnalyzer",
    "TrainingHint",
    "advice_sentence",
    "build_report",
    "can_start_training",
    "list_overlays",
    "list_remarks",
    "verdict_overlay",
    "verdict_sentence",
]
