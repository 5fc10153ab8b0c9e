"""From consent to the fifth photo: the set a person collects, shown by one message."""

from bot.services.photo_sets._cards import TRAIN_PAYLOAD, SetCard, SetCards
from bot.services.photo_sets._collecting import PhotoSetService, parse_name

__all__ = ["TRAIN_PAYLOAD", "PhotoSetService", "SetCard", "SetCards", "parse_name"]
