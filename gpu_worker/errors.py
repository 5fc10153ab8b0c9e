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
    TRIGGER_NOT_LETTERS = "trigger-not-letters"
    PHOTO_UNREADABLE = "photo-unreadable"
    PHOTO_CROPPED_AWAY = "photo-cropped-away"
    TRAINING_OUT_OF_MEMORY = "training-out-of-memory"
    TRAINING_NOT_FINITE = "training-not-finite"
    IMAGE_TOO_LARGE = "image-too-large"
    IMAGE_NOT_FINITE = "image-not-finite"
    START_IMAGE_DAMAGED = "start-image-damaged"
    UNKNOWN_SAMPLER = "unknown-sampler"
    SAMPLER_FIXED = "sampler-fixed"
    NO_GUIDANCE = "no-guidance"
    UNKNOWN_SHAPE = "unknown-shape"
    TOO_MANY_LORAS = "too-many-loras"
    LORA_DAMAGED = "lora-damaged"
    LORA_NOT_KOHYA = "lora-not-kohya"
    LORA_INCOMPLETE = "lora-incomplete"
    LORA_BAD_ALPHA = "lora-bad-alpha"
    LORA_NO_RANK = "lora-no-rank"
    LORA_NOT_FINITE = "lora-not-finite"
    LORA_UNSUPPORTED = "lora-unsupported"
    LORA_OTHER_FILE = "lora-other-file"
    LORA_OTHER_MODEL = "lora-other-model"
    LORA_OTHER_KIND = "lora-other-kind"
    LORA_OTHER_SIZE = "lora-other-size"
    INITIAL_LORA_OTHER_KIND = "initial-lora-other-kind"
    INITIAL_LORA_OTHER_RANK = "initial-lora-other-rank"
    INITIAL_LORA_OTHER_ALGORITHM = "initial-lora-other-algorithm"
    BASE_MODEL_MISSING = "base-model-missing"
    BASE_MODEL_PICKLE = "base-model-pickle"
    BASE_MODEL_DAMAGED = "base-model-damaged"
    BASE_MODEL_OTHER_KIND = "base-model-other-kind"
    SIZE_OUT_OF_RANGE = "size-out-of-range"
    STEPS_OUT_OF_RANGE = "steps-out-of-range"
    COUNT_OUT_OF_RANGE = "count-out-of-range"
    SEED_OUT_OF_RANGE = "seed-out-of-range"
    GUIDANCE_OUT_OF_RANGE = "guidance-out-of-range"
    VARIATION_OUT_OF_RANGE = "variation-out-of-range"
    DENOISING_OUT_OF_RANGE = "denoising-out-of-range"
    STRENGTH_OUT_OF_RANGE = "strength-out-of-range"
    CHECKPOINT_DAMAGED = "checkpoint-damaged"
    CHECKPOINT_OTHER_VERSION = "checkpoint-other-version"
    CHECKPOINT_OTHER_TRAINING = "checkpoint-other-training"
    BASE_MODEL_OTHER_MODEL = "base-model-other-model"
    BASE_MODEL_OTHER_FILE = "base-model-other-file"
    BASE_MODEL_NO_VAE = "base-model-no-vae"
    BASE_MODEL_NO_TEXT_ENCODER = "base-model-no-text-encoder"
    BASE_MODEL_UNET_ONLY = "base-model-unet-only"
    BASE_MODEL_EMA_ONLY = "base-model-ema-only"
    BASE_MODEL_NOT_FINITE = "base-model-not-finite"
    BASE_MODEL_LINK = "base-model-link"
    BASE_MODEL_REVISION = "base-model-revision"
    BASE_MODEL_OTHER_SYSTEM = "base-model-other-system"
    BASE_MODEL_NOT_SD15 = "base-model-not-sd15"
    BASE_MODEL_LACKS_PART = "base-model-lacks-part"
    BASE_MODEL_LACKS_WEIGHTS = "base-model-lacks-weights"
    BASE_MODEL_OTHER_CONFIG = "base-model-other-config"
    BASE_MODEL_TRANSFORMER_ONLY = "base-model-transformer-only"
    BASE_MODEL_UNKNOWN_DTYPE = "base-model-unknown-dtype"
    BASE_MODEL_UNREADABLE = "base-model-unreadable"
    BASE_MODEL_UNKNOWN_BUFFER = "base-model-unknown-buffer"
    BASE_MODEL_NOT_ON_HUB = "base-model-not-on-hub"
    BASE_MODEL_GATED = "base-model-gated"
    BASE_MODEL_UNREACHABLE = "base-model-unreachable"
    BASE_MODEL_NO_SAFETENSORS = "base-model-no-safetensors"
    BASE_MODEL_NO_DISK_SPACE = "base-model-no-disk-space"
    BASE_MODEL_OUT_OF_MEMORY = "base-model-out-of-memory"
    BASE_MODEL_DOWNLOAD_DAMAGED = "base-model-download-damaged"
    BASE_MODEL_KEEPS_VAE = "base-model-keeps-vae"
    VAE_MISSING = "vae-missing"
    VAE_PICKLE = "vae-pickle"
    VAE_DAMAGED = "vae-damaged"
    VAE_NONE = "vae-none"
    VAE_OTHER_MODEL = "vae-other-model"
    FP16_ON_CPU = "fp16-on-cpu"
    GPU_TOO_OLD = "gpu-too-old"
    GPU_NEEDS_OTHER_TORCH = "gpu-needs-other-torch"
    GPU_LACKS_BF16 = "gpu-lacks-bf16"
    SD_SCRIPTS_NEEDS_SD15 = "sd-scripts-needs-sd15"
    SD_SCRIPTS_BAD_TRIGGER = "sd-scripts-bad-trigger"
    SD_SCRIPTS_CANNOT_START = "sd-scripts-cannot-start"
    SD_SCRIPTS_CANNOT_WRITE = "sd-scripts-cannot-write"
    SD_SCRIPTS_SILENT = "sd-scripts-silent"
    SD_SCRIPTS_KILLED = "sd-scripts-killed"
    SD_SCRIPTS_DISK_FULL = "sd-scripts-disk-full"
    SD_SCRIPTS_OUT_OF_MEMORY = "sd-scripts-out-of-memory"
    SD_SCRIPTS_LACKS_LIBRARY = "sd-scripts-lacks-library"
    SD_SCRIPTS_NO_CARD = "sd-scripts-no-card"
    SD_SCRIPTS_FAILED = "sd-scripts-failed"
    SD_SCRIPTS_NO_LORA = "sd-scripts-no-lora"
    SD_SCRIPTS_DAMAGED_LORA = "sd-scripts-damaged-lora"


#: In English, as the command line prints them.
_SENTENCES = {
    JobProblem.UNEXPECTED: "Something went wrong while working on this; the log of the worker says more. "
    "Please try again.",
    JobProblem.NO_PHOTOS: "There are no photos to train on.",
    JobProblem.TRIGGER_NOT_LETTERS: "{name!r} cannot be the trigger: {model} learns words of letters only.",
    JobProblem.PHOTO_UNREADABLE: "One of the photos cannot be read as a picture.",
    JobProblem.PHOTO_CROPPED_AWAY: "One of the photos has nothing left once it is cropped.",
    JobProblem.TRAINING_OUT_OF_MEMORY: "There is too little memory for a training at {resolution_px} px; "
    "use a smaller resolution or batch.",
    JobProblem.TRAINING_NOT_FINITE: "The training went out of bounds (numbers too large); "
    "try a smaller learning rate.",
    JobProblem.IMAGE_TOO_LARGE: "This is too much for the graphics card; "
    "ask for a smaller size or fewer pictures.",
    JobProblem.IMAGE_NOT_FINITE: "The picture went out of bounds (numbers too large); "
    "try less strength or guidance.",
    JobProblem.START_IMAGE_DAMAGED: "The picture to start from is damaged.",
    JobProblem.UNKNOWN_SAMPLER: "{name!r} is not a sampler; the samplers are {known}.",
    JobProblem.SAMPLER_FIXED: "{name!r} cannot be chosen: this base model draws with {known} only.",
    JobProblem.NO_GUIDANCE: "{model} draws without guidance, so leave out guidance and negative prompt; "
    "say in the prompt what to show.",
    JobProblem.UNKNOWN_SHAPE: "{name!r} is not a shape; the shapes are {known}.",
    JobProblem.TOO_MANY_LORAS: "One picture takes {limit} LoraCodes at most.",
    JobProblem.LORA_DAMAGED: "This LoRA file is damaged, or is not a safetensors file.",
    JobProblem.LORA_NOT_KOHYA: "This file has no LoRA in a known format.",
    JobProblem.LORA_INCOMPLETE: "This LoRA file is incomplete.",
    JobProblem.LORA_BAD_ALPHA: "This LoRA file has an alpha that is not a number.",
    JobProblem.LORA_NO_RANK: "This LoRA has rank 0: there is nothing in it.",
    JobProblem.LORA_NOT_FINITE: "This LoRA has numbers that are not finite; its training went out of bounds.",
    JobProblem.LORA_UNSUPPORTED: "This kind of LoRA cannot be read here: {kind}. Use a plain LoRA.",
    JobProblem.LORA_OTHER_FILE: "This file is a {kind}, not a LoRA.",
    JobProblem.LORA_OTHER_MODEL: "This LoRA was made for {model}; use one for {wanted}.",
    JobProblem.LORA_OTHER_KIND: "This LoRA was made for another kind of base model.",
    JobProblem.LORA_OTHER_SIZE: "This LoRA was made for a base model of another size.",
    JobProblem.INITIAL_LORA_OTHER_KIND: "The LoRA to continue from was made for another kind of base model.",
    JobProblem.INITIAL_LORA_OTHER_RANK: "The LoRA to continue from has another rank, "
    "or was made for another base model.",
    JobProblem.INITIAL_LORA_OTHER_ALGORITHM: "The LoRA to continue from is a {kind}, and this training makes "
    "a {trained_kind}; choose the same kind for both "
    "(by hand: --network_args algo=…, or --dim_from_weights).",
    JobProblem.BASE_MODEL_MISSING: "The base model {name} does not exist: "
    "no such folder or .safetensors file.",
    JobProblem.BASE_MODEL_PICKLE: "The base model {name} is a pickle, which can run code; "
    "convert it to .safetensors first.",
    JobProblem.BASE_MODEL_DAMAGED: "The base model file {name} is damaged, or is not a safetensors file.",
    JobProblem.BASE_MODEL_OTHER_KIND: "{name} is not a Stable Diffusion 1.x that draws from text.",
    JobProblem.SIZE_OUT_OF_RANGE: "Width and height must be multiples of 8 from {low} to {high} pixels.",
    JobProblem.STEPS_OUT_OF_RANGE: "Steps must be {low} to {high}.",
    JobProblem.COUNT_OUT_OF_RANGE: "The number of pictures must be {low} to {high}.",
    JobProblem.SEED_OUT_OF_RANGE: "The seed must be a whole number from 0 on.",
    JobProblem.GUIDANCE_OUT_OF_RANGE: "Guidance must be {low} to {high}.",
    JobProblem.VARIATION_OUT_OF_RANGE: "The variation must be {low} to {high}.",
    JobProblem.DENOISING_OUT_OF_RANGE: "How much is drawn again must be {low} to {high}.",
    JobProblem.STRENGTH_OUT_OF_RANGE: "The strength must be {low} to {high}.",
    JobProblem.CHECKPOINT_DAMAGED: "The checkpoint of this training is damaged.",
    JobProblem.CHECKPOINT_OTHER_VERSION: "The checkpoint is of another version of this program.",
    JobProblem.CHECKPOINT_OTHER_TRAINING: "The state to go on from was made with other settings or photos.",
    JobProblem.BASE_MODEL_OTHER_MODEL: "{name} is another model ({model}); a Stable "
    "Diffusion 1.x that draws from text is needed.",
    JobProblem.BASE_MODEL_OTHER_FILE: "{name} is a {kind}, not a base model; give a "
    "whole Stable Diffusion 1.x checkpoint.",
    JobProblem.BASE_MODEL_NO_VAE: "{name} has no VAE; give one with BASE_VAE (by hand: --vae).",
    JobProblem.BASE_MODEL_NO_TEXT_ENCODER: "{name} has no text encoder; use the whole "
    "checkpoint, or a diffusers folder.",
    JobProblem.BASE_MODEL_UNET_ONLY: "{name} has only a UNet; use the whole checkpoint, "
    "with text encoder and VAE.",
    JobProblem.BASE_MODEL_EMA_ONLY: "{name} has only averaged weights (EMA); use its "
    "version for drawing, often called pruned.",
    JobProblem.BASE_MODEL_NOT_FINITE: "The base model {name} has numbers that are not "
    "finite, in {part}; download it again or use another.",
    JobProblem.BASE_MODEL_LINK: "{name} is a link; download the .safetensors file "
    "and give its path, or a hub id such as owner/model.",
    JobProblem.BASE_MODEL_REVISION: "{name} names a revision, which cannot be chosen "
    "here; give {model}, or a folder with that revision.",
    JobProblem.BASE_MODEL_OTHER_SYSTEM: "{name} is a path of Windows, and this is another "
    "system; give the path as it is here.",
    JobProblem.BASE_MODEL_NOT_SD15: "{name} is not a Stable Diffusion 1.x checkpoint.",
    JobProblem.BASE_MODEL_LACKS_PART: "The base model {name} is incomplete: it has no {part}.",
    JobProblem.BASE_MODEL_LACKS_WEIGHTS: "The base model {name} has no .safetensors weights in {part}.",
    JobProblem.BASE_MODEL_TRANSFORMER_ONLY: "{name} is a transformer alone; set BASE_MODEL to a whole model, "
    "and this after it as its twin: `base + {name}`.",
    JobProblem.BASE_MODEL_OTHER_CONFIG: "The base model {name} does not fit its own {part}'s configuration.",
    JobProblem.BASE_MODEL_UNKNOWN_DTYPE: "The base model file {name} holds numbers of a kind that cannot be "
    "used ({dtype}).",
    JobProblem.BASE_MODEL_UNREADABLE: "The base model folder {name} cannot be loaded: {detail}",
    JobProblem.BASE_MODEL_UNKNOWN_BUFFER: "This version of the libraries keeps a buffer in the base model "
    "that is not known ({name}).",
    JobProblem.BASE_MODEL_NOT_ON_HUB: "{name} is not on the hub, or it is private: check its name.",
    JobProblem.BASE_MODEL_GATED: "{name} is gated: accept its terms on its page, and set "
    "HF_TOKEN to a token of yours; or give a folder or a .safetensors file.",
    JobProblem.BASE_MODEL_UNREACHABLE: "{name} can be neither found nor downloaded "
    "({detail}); it is tried again with the next job or start. Or give a folder or a .safetensors file.",
    JobProblem.BASE_MODEL_NO_SAFETENSORS: "{name} has no safetensors of Stable Diffusion 1.x.",
    JobProblem.BASE_MODEL_NO_DISK_SPACE: "{name} needs {needed_gb} GB of disk, and {free_gb} "
    "GB are free where models are kept (HF_HOME).",
    JobProblem.BASE_MODEL_OUT_OF_MEMORY: "{name} needs {needed_gib} GiB of memory, and {free_gib} GiB are "
    "free on {device}. It is tried again with the next job.",
    JobProblem.BASE_MODEL_DOWNLOAD_DAMAGED: "{name} arrived damaged and was deleted; it is downloaded again.",
    JobProblem.BASE_MODEL_KEEPS_VAE: "{name} works with its own VAE only; leave BASE_VAE and --vae empty.",
    JobProblem.VAE_MISSING: "The VAE {name} does not exist: no such folder or .safetensors file.",
    JobProblem.VAE_PICKLE: "The VAE {name} is a pickle, which can run code; "
    "convert it to .safetensors first.",
    JobProblem.VAE_DAMAGED: "The VAE {name} is damaged or incomplete; download it again or use another.",
    JobProblem.VAE_NONE: "{name} has no VAE that can be read (BASE_VAE, --vae).",
    JobProblem.VAE_OTHER_MODEL: "The VAE {name} is for another model ({model}); one for {wanted} is needed.",
    JobProblem.FP16_ON_CPU: "A CPU is far too slow in fp16; choose bf16 or full precision.",
    JobProblem.GPU_TOO_OLD: "No current torch has kernels for the {gpu} ({architecture}); hide the card "
    "with CUDA_VISIBLE_DEVICES=-1 to run on the processor.",
    JobProblem.GPU_NEEDS_OTHER_TORCH: "This torch ({torch}) has no kernels for the {gpu} ({architecture}). "
    "Install one that has: {command}",
    JobProblem.GPU_LACKS_BF16: "{model} needs bf16, which the {gpu} lacks (before RTX 30); set BASE_MODEL to "
    "an SDXL or a Stable Diffusion 1.x.",
    JobProblem.SD_SCRIPTS_NEEDS_SD15: "sd-scripts needs a real Stable Diffusion 1.5: set BASE_MODEL to a "
    "hub id, a diffusers folder or a .safetensors file, or TRAINER to own.",
    JobProblem.SD_SCRIPTS_BAD_TRIGGER: "The words for the subject cannot have a slash.",
    JobProblem.SD_SCRIPTS_CANNOT_START: "The Python for sd-scripts cannot be started ({detail}).",
    JobProblem.SD_SCRIPTS_CANNOT_WRITE: "The files for sd-scripts cannot be written ({detail}).",
    JobProblem.SD_SCRIPTS_SILENT: "sd-scripts has said nothing for too long, so it was ended.",
    JobProblem.SD_SCRIPTS_KILLED: "sd-scripts was killed (signal {signal}), perhaps for lack of memory; the "
    "log of the worker says more.",
    JobProblem.SD_SCRIPTS_DISK_FULL: "The disk is full, so sd-scripts could not go on; the log of the "
    "worker says more.",
    JobProblem.SD_SCRIPTS_OUT_OF_MEMORY: "sd-scripts ran out of memory on the card; the log of the worker "
    "says more.",
    JobProblem.SD_SCRIPTS_LACKS_LIBRARY: "A library that sd-scripts needs is missing: SD_SCRIPTS_PYTHON "
    "names the Python that has it; the log of the worker says more.",
    JobProblem.SD_SCRIPTS_NO_CARD: "The Python that runs sd-scripts finds no CUDA card; the log of the "
    "worker says more.",
    JobProblem.SD_SCRIPTS_FAILED: "sd-scripts stopped with status {status}; the log of the worker says more.",
    JobProblem.SD_SCRIPTS_NO_LORA: "sd-scripts ended without writing a LoRA.",
    JobProblem.SD_SCRIPTS_DAMAGED_LORA: "sd-scripts wrote a LoRA that is damaged.",
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
