"""Every error of the worker, one tree.

WorkerError
├── ProtocolError        the other side does not speak our protocol
├── BadInput             what we were given cannot be used; carries an InputProblem, or a sentence
└── BaseModelError       the base model cannot be found, loaded or used
"""

from __future__ import annotations

import enum


class WorkerError(Exception):
    """Something went wrong in the worker."""


class ProtocolError(WorkerError):
    """The other side sent something that is not a message of this protocol."""


class InputProblem(enum.StrEnum):
    """Why a job of the bot cannot be done. The bot has a text for each, in every language."""

    UNEXPECTED = "unexpected"
    NO_PHOTOS = "no-photos"
    PHOTO_UNREADABLE = "photo-unreadable"
    PHOTO_CROPPED_AWAY = "photo-cropped-away"
    TRAINING_OUT_OF_MEMORY = "training-out-of-memory"
    TRAINING_NOT_FINITE = "training-not-finite"
    IMAGE_TOO_LARGE = "image-too-large"
    IMAGE_NOT_FINITE = "image-not-finite"
    START_IMAGE_DAMAGED = "start-image-damaged"
    UNKNOWN_SAMPLER = "unknown-sampler"
    UNKNOWN_SHAPE = "unknown-shape"
    TOO_MANY_LORAS = "too-many-loras"
    LORA_DAMAGED = "lora-damaged"
    LORA_NOT_KOHYA = "lora-not-kohya"
    LORA_INCOMPLETE = "lora-incomplete"
    LORA_BAD_ALPHA = "lora-bad-alpha"
    LORA_OTHER_KIND = "lora-other-kind"
    LORA_OTHER_SIZE = "lora-other-size"
    INITIAL_LORA_OTHER_KIND = "initial-lora-other-kind"
    INITIAL_LORA_OTHER_RANK = "initial-lora-other-rank"


#: In English, as the command line prints them.
_SENTENCES = {
    InputProblem.UNEXPECTED: "Something went wrong while working on this; the log of the worker says more. "
    "Please try again.",
    InputProblem.NO_PHOTOS: "There are no photos to train on.",
    InputProblem.PHOTO_UNREADABLE: "One of the photos cannot be read as a picture.",
    InputProblem.PHOTO_CROPPED_AWAY: "Nothing is left of one of the photos when it is cropped.",
    InputProblem.TRAINING_OUT_OF_MEMORY: "There is too little memory for a training at {resolution_px} px; "
    "use a smaller resolution or batch.",
    InputProblem.TRAINING_NOT_FINITE: "The training went out of bounds (numbers too large); "
    "try a smaller learning rate.",
    InputProblem.IMAGE_TOO_LARGE: "This is too large for the graphics card here; "
    "ask for a smaller size or fewer pictures.",
    InputProblem.IMAGE_NOT_FINITE: "The picture went out of bounds (numbers too large); "
    "try less strength or guidance.",
    InputProblem.START_IMAGE_DAMAGED: "The picture to begin from is damaged.",
    InputProblem.UNKNOWN_SAMPLER: "There is no sampler {name!r}; there are {known}.",
    InputProblem.UNKNOWN_SHAPE: "There is no shape {name!r}; there are {known}.",
    InputProblem.TOO_MANY_LORAS: "At most {limit} LoraCodes fit into one picture.",
    InputProblem.LORA_DAMAGED: "This LoRA file is damaged, or no safetensors file.",
    InputProblem.LORA_NOT_KOHYA: "This file holds no LoRA in kohya's format.",
    InputProblem.LORA_INCOMPLETE: "This LoRA file is incomplete.",
    InputProblem.LORA_BAD_ALPHA: "This LoRA file has an alpha that is no number.",
    InputProblem.LORA_OTHER_KIND: "This LoRA was made for another kind of base model.",
    InputProblem.LORA_OTHER_SIZE: "This LoRA was made for a base model of another size.",
    InputProblem.INITIAL_LORA_OTHER_KIND: "The LoRA to go on from was made for another kind of base model.",
    InputProblem.INITIAL_LORA_OTHER_RANK: "The LoRA to go on from has another rank, "
    "or was made for another base model.",
}


class BadInput(WorkerError):
    """What we were given cannot be used; `str` of it is one clear English sentence.

    What a job of the bot may meet is an InputProblem with its values, which the bot translates. What only the
    command line may meet is a sentence.
    """

    def __init__(self, problem: InputProblem | str, **values: str) -> None:
        self.problem = problem if isinstance(problem, InputProblem) else None
        self.values = values
        super().__init__(problem if self.problem is None else _SENTENCES[self.problem].format(**values))


class BaseModelError(WorkerError):
    """The base model cannot be found, loaded or used; the message is one clear sentence."""
