"""Every error of the worker, one tree.

WorkerError
├── ProtocolError        the other side does not speak our protocol
└── JobError             a job cannot be done; carries a JobProblem, or a sentence
    ├── BadInput         what we were given cannot be used
    └── BaseModelError   the base model cannot be found, loaded or used
"""

from __future__ import annotations

import enum


class WorkerError(Exception):
    """Something went wrong in the worker."""


class ProtocolError(WorkerError):
    """The other side sent something that is not a message of this protocol."""


class JobProblem(enum.StrEnum):
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
    BASE_MODEL_MISSING = "base-model-missing"
    BASE_MODEL_PICKLE = "base-model-pickle"
    BASE_MODEL_DAMAGED = "base-model-damaged"
    BASE_MODEL_OTHER_KIND = "base-model-other-kind"


#: In English, as the command line prints them.
_SENTENCES = {
    JobProblem.UNEXPECTED: "Something went wrong while working on this; the log of the worker says more. "
    "Please try again.",
    JobProblem.NO_PHOTOS: "There are no photos to train on.",
    JobProblem.PHOTO_UNREADABLE: "One of the photos cannot be read as a picture.",
    JobProblem.PHOTO_CROPPED_AWAY: "Nothing is left of one of the photos when it is cropped.",
    JobProblem.TRAINING_OUT_OF_MEMORY: "There is too little memory for a training at {resolution_px} px; "
    "use a smaller resolution or batch.",
    JobProblem.TRAINING_NOT_FINITE: "The training went out of bounds (numbers too large); "
    "try a smaller learning rate.",
    JobProblem.IMAGE_TOO_LARGE: "This is too large for the graphics card here; "
    "ask for a smaller size or fewer pictures.",
    JobProblem.IMAGE_NOT_FINITE: "The picture went out of bounds (numbers too large); "
    "try less strength or guidance.",
    JobProblem.START_IMAGE_DAMAGED: "The picture to begin from is damaged.",
    JobProblem.UNKNOWN_SAMPLER: "There is no sampler {name!r}; there are {known}.",
    JobProblem.UNKNOWN_SHAPE: "There is no shape {name!r}; there are {known}.",
    JobProblem.TOO_MANY_LORAS: "At most {limit} LoraCodes fit into one picture.",
    JobProblem.LORA_DAMAGED: "This LoRA file is damaged, or no safetensors file.",
    JobProblem.LORA_NOT_KOHYA: "This file holds no LoRA in kohya's format.",
    JobProblem.LORA_INCOMPLETE: "This LoRA file is incomplete.",
    JobProblem.LORA_BAD_ALPHA: "This LoRA file has an alpha that is no number.",
    JobProblem.LORA_OTHER_KIND: "This LoRA was made for another kind of base model.",
    JobProblem.LORA_OTHER_SIZE: "This LoRA was made for a base model of another size.",
    JobProblem.INITIAL_LORA_OTHER_KIND: "The LoRA to go on from was made for another kind of base model.",
    JobProblem.INITIAL_LORA_OTHER_RANK: "The LoRA to go on from has another rank, "
    "or was made for another base model.",
    JobProblem.BASE_MODEL_MISSING: "The base model {name} does not exist: "
    "no such folder or .safetensors file.",
    JobProblem.BASE_MODEL_PICKLE: "The base model {name} is a pickle, which can run code; "
    "convert it to .safetensors first.",
    JobProblem.BASE_MODEL_DAMAGED: "The base model file {name} is damaged or no safetensors file.",
    JobProblem.BASE_MODEL_OTHER_KIND: "{name} is another kind of Stable Diffusion than 1.x "
    "for pictures from text.",
}


class JobError(WorkerError):
    """A job cannot be done; `str` of it is one clear English sentence.

    What a job of the bot may meet is a JobProblem with its values, which the bot translates. What only the
    command line may meet is a sentence.
    """

    def __init__(self, problem: JobProblem | str, **values: str) -> None:
        self.problem = problem if isinstance(problem, JobProblem) else None
        self.values = values
        super().__init__(problem if self.problem is None else _SENTENCES[self.problem].format(**values))


class BadInput(JobError):
    """What we were given cannot be used."""


class BaseModelError(JobError):
    """The base model cannot be found, loaded or used."""
