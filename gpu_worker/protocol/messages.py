"""The messages of bot and worker.

Each message of a job has `job_id` and `attempt`, so that events of an older attempt are recognised.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import msgspec

from gpu_worker.errors import JobProblem

VERSION = 11
#: Width and height of a named shape, as factors of the base model's native side.
SHAPES = {"square": (1.0, 1.0), "portrait": (1.0, 1.5), "landscape": (1.5, 1.0)}
#: Base models that come with LoraCode, for demo and tests.
SHIPPED_MODELS = ("tiny", "drawn", "tiny-xl", "tiny-klein", "tiny-zimage")
#: Samplers, as people write them; the first is the default.
SAMPLERS = ("dpm++ 2m karras", "euler a", "unipc", "lcm")


class ProtocolMessage(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all messages."""


# --- bot to worker ---------------------------------------------------------------------------------------


class Crop(msgspec.Struct, frozen=True):
    """The part of a photo that is trained on, in shares of its width and height."""

    left: float
    top: float
    width: float
    height: float


class TrainRequest(ProtocolMessage, frozen=True):
    """Train a LoRA on these photos. `captions`, `crops` and `masks` are one a photo, or none at all."""

    job_id: int
    attempt: int
    photos: tuple[bytes, ...]  #: RGB pictures without metadata, as JPEG, PNG or WebP
    photo_hashes: tuple[str, ...] = ()  #: SHA-256 of each one's bytes, hexadecimal
    token: str = "sks"  # noqa: S105 - the instance token
    class_word: str = "person"
    captions: tuple[str, ...] = ()  #: with the trigger; none: trigger and class word
    crops: tuple[Crop | None, ...] = ()  #: None: the whole photo; it is cropped to its centre
    masks: tuple[bytes | None, ...] = ()  #: grey PNGs of the photos' shape: white is learnt, black is not
    steps: int | None = None  #: None: the base model's default
    seed: int = 0
    sample_prompt: str = ""  #: prompt of the samples during the training, with the trigger; empty: no samples
    candidate_prompts: tuple[str, ...] = ()  #: one picture of each candidate per prompt; none: no candidates
    resume_checkpoint: bytes | None = None  #: `data` of an earlier CheckpointEvent of this job
    initial_lora: bytes | None = None  #: a finished LoRA to train further, as a kohya-format safetensors file
    start_step: int = 0  #: steps that it has been trained for; steps are numbered from there


class Place(enum.StrEnum):
    """Where in a picture a LoRA acts."""

    EVERYWHERE = ""
    FOUND = "found"  #: where the picture attends to its trigger
    LEFT = "left"
    MIDDLE = "middle"
    RIGHT = "right"


class LoraUse(msgspec.Struct, frozen=True, kw_only=True):
    """A LoRA and its strength in a picture."""

    data: bytes  #: a kohya-format safetensors file
    sha256: str  #: of `data`, hexadecimal; the key of the worker's cache
    name: str  #: the LoraCode, for the picture's metadata
    strength: float = 1.0
    trigger: str = ""  #: the words that stand for it in the prompt
    place: Place = Place.EVERYWHERE  #: of two or more with another place, each acts in its own region


class InitImage(msgspec.Struct, frozen=True, kw_only=True):
    """The initial image of an image-to-image generation."""

    data: bytes  #: PNG, JPEG or WebP; resized to the requested size
    denoising_strength: float = 0.5  #: above 0 (keep everything) to 1 (keep nothing)


class GenerateRequest(ProtocolMessage, frozen=True):
    """Generate pictures; both prompts are final. None and "" mean the model family's default."""

    job_id: int
    attempt: int
    prompt: str
    negative_prompt: str = ""
    style_negative_prompt: str = ""  #: follows it; left out where the base model takes none
    seed: int | None = None  #: of the first picture; each next picture has the next seed
    shape: str = ""  #: a name from `SHAPES`, or a ratio such as `5:4`, for pictures of the native size
    width_px: int | None = None  #: of the finished picture; overrides `shape`
    height_px: int | None = None
    count: int = 1
    steps: int | None = None
    is_fast: bool = False  #: whether to draw in the few steps that the model family has for it
    guidance_scale: float | None = None
    sampler: str = ""  #: a name from `SAMPLERS`
    loras: tuple[LoraUse, ...] = ()
    strengths: tuple[float, ...] = ()  #: of every LoRA: a picture with each, all of the first seed
    variation_strength: float = 0.0  #: share of other noise mixed into the seed's noise, 0 to 1
    variation_seed: int = 0  #: seed of that noise for the first picture; each next picture has the next one
    init_image: InitImage | None = None
    preview_interval_s: float | None = None  #: least time between two previews; None: no previews
    reference_pictures: tuple[bytes, ...] = ()  #: images of the subject, embedded together with the results


class PrefetchRequest(ProtocolMessage, frozen=True):
    """Encode this photo for a training that may follow. There is no answer, and no guarantee."""

    photo: bytes  #: as it will be in `TrainRequest.photos`
    photo_hash: str  #: as in `TrainRequest.photo_hashes`
    crop: Crop | None = None  #: as in `TrainRequest.crops`


class ForgetRequest(ProtocolMessage, frozen=True):
    """Drop the latents of these photos, named by the SHA-256 of their bytes (hexadecimal)."""

    photo_hashes: tuple[str, ...]


class CancelRequest(ProtocolMessage, frozen=True):
    """Cancel this attempt at the next step; it ends with CancelledEvent."""

    job_id: int
    attempt: int


class ShutdownRequest(ProtocolMessage, frozen=True):
    """Stop after the current step and exit."""


# --- worker to bot ---------------------------------------------------------------------------------------


class WorkerHealth(ProtocolMessage, frozen=True):
    """Metrics of the worker and its GPU."""

    device: str  #: `NVIDIA GeForce GTX 1060 6GB` or `cpu`
    base_model: str
    base_model_loaded: bool
    process_memory_bytes: int
    device_memory_used_bytes: int | None = None
    device_memory_total_bytes: int | None = None
    device_temperature_c: int | None = None
    device_load_percent: int | None = None
    loading: str = ""  #: progress of the base model's download; empty: no download
    family: str = ""  #: of the base model: which LoRAs fit it; empty: not known yet
    licence: str = ""  #: the name of the base model's licence
    native_px: int = 0  #: side of the pictures that it is trained on; 0: not known yet
    memory_plan: str = ""  #: how a training fits the card, for the admin; empty: not known yet


class ReadyMessage(ProtocolMessage, frozen=True):
    """The first message of a worker: it speaks this version."""

    version: int
    pid: int
    health: WorkerHealth


class HeartbeatMessage(ProtocolMessage, frozen=True):
    """The worker is alive; sent every second or two, also while a job runs."""

    health: WorkerHealth


class JobEvent(ProtocolMessage, frozen=True):
    """Base of the events of a job."""

    job_id: int
    attempt: int


class StartedEvent(JobEvent, frozen=True):
    """The attempt has started; `step` is above zero if it resumes from a checkpoint."""

    step: int
    steps: int
    family: str = ""  #: of the base model that is trained on


class ProgressEvent(JobEvent, frozen=True):
    """`step` of `steps` are done."""

    step: int
    steps: int


class SampleEvent(JobEvent, frozen=True):
    """A sample picture of a running training."""

    step: int
    png: bytes


class PreviewEvent(JobEvent, frozen=True):
    """A small, coarse picture of a running generation."""

    png: bytes


class CheckpointEvent(JobEvent, frozen=True):
    """Everything to resume from `step` in another process, as safetensors."""

    step: int
    data: bytes


class CandidateEvent(JobEvent, frozen=True):
    """The LoRA after `step`, with pictures of the candidate prompts, whose seeds are the same each time.

    The embeddings are unit vectors of the base model's identity model, one per picture and photo. They are
    empty if it has none; then the bot compares faces.
    """

    step: int
    lora: bytes
    pictures: tuple[bytes, ...]
    picture_embeddings: tuple[tuple[float, ...], ...] = ()
    photo_embeddings: tuple[tuple[float, ...], ...] = ()


class FallbackCause(enum.StrEnum):
    """Why a training goes on in another memory mode."""

    OUT_OF_MEMORY = "out-of-memory"
    NOT_FINITE = "not-finite"


class FallbackEvent(JobEvent, frozen=True):
    """After OOM or NaN the training took another memory mode, and resumes from `step`."""

    step: int
    cause: FallbackCause
    memory_mode: str  #: as logs name it


class DoneEvent(JobEvent, frozen=True):
    """Terminal: the result of a training is `lora` (safetensors), that of a generation `pictures` (PNG).

    With reference pictures, the embeddings are those of the pictures and of the references, as in
    CandidateEvent.
    """

    lora: bytes | None = None
    pictures: tuple[bytes, ...] = ()
    recipes: tuple[str, ...] = ()  #: of each picture, AUTOMATIC1111's `parameters` text
    elapsed_s: float = 0.0
    picture_embeddings: tuple[tuple[float, ...], ...] = ()
    reference_embeddings: tuple[tuple[float, ...], ...] = ()
    #: Of each picture each person's part, where they have regions; then the embeddings are of these parts.
    regions: tuple[tuple[Crop, ...], ...] = ()


class FailedEvent(JobEvent, frozen=True):
    """Terminal: trying again would not help.

    The bot writes `problem` in the person's language, with `values` such as a limit.
    """

    problem: JobProblem = JobProblem.UNEXPECTED
    values: dict[str, str] = {}


class CancelledEvent(JobEvent, frozen=True):
    """Terminal: the attempt was cancelled."""


WorkerRequest: TypeAlias = (
    TrainRequest | GenerateRequest | PrefetchRequest | ForgetRequest | CancelRequest | ShutdownRequest
)
JobRequest: TypeAlias = TrainRequest | GenerateRequest
WorkerEvent: TypeAlias = (
    StartedEvent
    | ProgressEvent
    | SampleEvent
    | PreviewEvent
    | CheckpointEvent
    | CandidateEvent
    | FallbackEvent
    | DoneEvent
    | FailedEvent
    | CancelledEvent
)
WorkerMessage: TypeAlias = ReadyMessage | HeartbeatMessage | WorkerEvent
