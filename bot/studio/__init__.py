"""The use cases, platform-free: the only door for chats."""

from bot.studio._collecting import MAX_OPEN_TRAININGS
from bot.studio._needs import Gate, JobQueue, PhotoCoach, Tools
from bot.studio._pictures import MAX_OPEN_GENERATIONS
from bot.studio._studio import Studio

__all__ = ["MAX_OPEN_GENERATIONS", "MAX_OPEN_TRAININGS", "Gate", "JobQueue", "PhotoCoach", "Studio", "Tools"]
