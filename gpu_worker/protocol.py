"""What bot and worker say to each other: typed, versioned messages in length-prefixed frames. Torch-free.

A frame is a big-endian u32 length and that many bytes of msgpack; bytes travel as they are. The first
message of a worker is `Ready`; the bot refuses another `version`. Each job message names `job_id` and
`attempt`, so that an answer to an older attempt can be told apart.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import BinaryIO, TypeAlias, TypeVar

import msgspec

from gpu_worker.errors import ProtocolError as ProtocolError  # part of this door

VERSION = 7
#: Largest frame either side accepts: five photos or a checkpoint are tens of MB, never more than this.
MAX_FRAME_BYTES = 512 * 2**20
#: Width and height of a named shape, in sides of the square that the base model was made for.
SHAPES = {"square": (1.0, 1.0), "portrait": (1.0, 1.5), "landscape": (1.5, 1.0)}
#: Ways from noise to picture, as people write them; the first is the default.
SAMPLERS = ("dpm++ 2m karras", "euler a", "unipc", "lcm")
_T = TypeVar("_T")
_LENGTH_HEADER = struct.Struct(">I")


class ProtocolMessage(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True, kw_only=True):
    """Base of everything that travels."""


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
    token: str = "sks"  # noqa: S105 - the instance token
    class_word: str = "person"
    captions: tuple[str, ...] = ()  #: trigger included; none: the trigger alone
    crops: tuple[Crop | None, ...] = ()  #: None: all of the photo; the middle of that is what is trained on
    masks: tuple[bytes | None, ...] = ()  #: grey PNGs of the photos' shape: white is learnt, black is not
    steps: int | None = None  #: None: the base model's default
    seed: int = 0
    sample_prompt: str = ""  #: drawn now and then while it trains, trigger included; empty: no samples
    candidate_prompts: tuple[str, ...] = ()  #: drawn for each `Candidate`; none: there are no candidates
    resume_checkpoint: bytes | None = None  #: the `data` of an earlier `Checkpoint` of this job
    initial_lora: bytes | None = None  #: a finished LoRA to go on from, as a kohya-format safetensors file
    start_step: int = 0  #: steps that it has learnt for: its file, samples and candidates count from there


class LoraUse(msgspec.Struct, frozen=True, kw_only=True):
    """A LoRA and how strongly it takes part in a picture."""

    data: bytes  #: a kohya-format safetensors file
    sha256: str  #: of `data`, hexadecimal: what the worker keeps it by
    name: str  #: the LoraCode, for the picture's metadata
    strength: float = 1.0


class InitImage(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier picture to begin from, instead of from nothing but noise."""

    data: bytes  #: PNG, JPEG or WebP; scaled to the size that is asked for
    denoising_strength: float = (
        0.5  #: share of the way back to noise, above 0 (keep everything) to 1 (keep nothing)
    )


class GenerateRequest(ProtocolMessage, frozen=True):
    """Draw pictures; `prompt` and `negative` are final. None and "" mean the base model's default."""

    job_id: int
    attempt: int
    prompt: str
    negative_prompt: str = ""
    seed: int | None = None  #: of the first picture; the next has the next one
    shape: str = ""  #: a name out of `SHAPES`, for pictures as large as the base model was made for
    width_px: int | None = None  #: of the picture as it is handed out; stands above `shape`
    height_px: int | None = None
    count: int = 1
    steps: int | None = None
    guidance_scale: float | None = None
    sampler: str = ""  #: a name out of `SAMPLERS`
    loras: tuple[LoraUse, ...] = ()
    variation_strength: float = 0.0  #: share of other noise that is mixed into the seed's, 0 to 1
    variation_seed: int = 0  #: of that noise, for the first picture; the next has the next one
    init_image: InitImage | None = None
    preview_interval_s: float | None = None  #: a `Preview` at most so often; None: none
    reference_pictures: tuple[
        bytes, ...
    ] = ()  #: pictures of whom these are to show, to be told apart with them


class PrefetchRequest(ProtocolMessage, frozen=True):
    """Encode this photo now, for a training that may come; nothing is answered, nothing is promised."""

    photo: bytes  #: as it will come in `Train`
    crop: Crop | None = None  #: too


class ForgetRequest(ProtocolMessage, frozen=True):
    """Drop what was prepared of these photos, named by the SHA-256 of their bytes (hexadecimal)."""

    photo_hashes: tuple[str, ...]


class CancelRequest(ProtocolMessage, frozen=True):
    """Stop this attempt at the next step; it answers `Stopped`."""

    job_id: int
    attempt: int


class ShutdownRequest(ProtocolMessage, frozen=True):
    """Stop after the current step and exit."""


# --- worker to bot ---------------------------------------------------------------------------------------


class WorkerHealth(ProtocolMessage, frozen=True):
    """What the worker measured of itself and its card."""

    device: str  #: `NVIDIA GeForce GTX 1060 6GB` or `cpu`
    base_model: str
    base_model_loaded: bool
    process_memory_bytes: int
    device_memory_used_bytes: int | None = None
    device_memory_total_bytes: int | None = None
    device_temperature_c: int | None = None
    device_load_percent: int | None = None
    loading: str = ""  #: how far the download of the base model is; empty: nothing is downloaded


class ReadyMessage(ProtocolMessage, frozen=True):
    """The worker is up and speaks this version."""

    version: int
    pid: int
    health: WorkerHealth


class HeartbeatMessage(ProtocolMessage, frozen=True):
    """The worker is alive; sent every second or two, also while a job runs."""

    health: WorkerHealth


class JobEvent(ProtocolMessage, frozen=True):
    """Base of what a worker says of a job."""

    job_id: int
    attempt: int


class StartedEvent(JobEvent, frozen=True):
    """The attempt has begun; `step` is above zero when it goes on from a checkpoint."""

    step: int
    steps: int


class ProgressEvent(JobEvent, frozen=True):
    """`step` of `steps` are done."""

    step: int
    steps: int


class SampleEvent(JobEvent, frozen=True):
    """A picture drawn on the way."""

    step: int
    png: bytes


class PreviewEvent(JobEvent, frozen=True):
    """What a picture that is being drawn looks like so far: small and coarse."""

    png: bytes


class CheckpointEvent(JobEvent, frozen=True):
    """Enough to go on from `step` in another process: safetensors, never pickle."""

    step: int
    data: bytes


class CandidateEvent(JobEvent, frozen=True):
    """The LoRA as it is after `step`, with pictures to judge it by: the same words and seeds each time.

    Where the base model has a judge of its own, `identities` says who is in each picture and
    `photo_identities` who is in each photo, as unit vectors; else both are empty, and others may look.
    """

    step: int
    lora: bytes
    pictures: tuple[bytes, ...]
    picture_embeddings: tuple[tuple[float, ...], ...] = ()
    photo_embeddings: tuple[tuple[float, ...], ...] = ()


class FallbackEvent(JobEvent, frozen=True):
    """The training met trouble, changed how it uses the card, and goes on from `step`."""

    step: int
    reason: str  #: one sentence


class DoneEvent(JobEvent, frozen=True):
    """Terminal: the result. A training gives `lora` (safetensors), a generation gives `pictures` (PNG).

    Where pictures are to be compared and the base model has a judge of its own, `identities` says who is in
    each of them and `compared_identities` in those they are compared with, as with `Candidate`.
    """

    lora: bytes | None = None
    pictures: tuple[bytes, ...] = ()
    recipes: tuple[str, ...] = ()  #: of each picture, AUTOMATIC1111's `parameters` text
    elapsed_s: float = 0.0
    picture_embeddings: tuple[tuple[float, ...], ...] = ()
    reference_embeddings: tuple[tuple[float, ...], ...] = ()


class FailedEvent(JobEvent, frozen=True):
    """Terminal: trying again would not help; `reason` is one sentence for the person."""

    reason: str


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

_encoder = msgspec.msgpack.Encoder()
_request_decoder: msgspec.msgpack.Decoder[WorkerRequest] = msgspec.msgpack.Decoder(WorkerRequest)
_message_decoder: msgspec.msgpack.Decoder[WorkerMessage] = msgspec.msgpack.Decoder(WorkerMessage)


def encode_frame(message: ProtocolMessage) -> bytes:
    """Give the whole frame of a message, length included; ProtocolError when it is too large."""
    body = _encoder.encode(message)
    if len(body) > MAX_FRAME_BYTES:
        raise ProtocolError(f"a message of {len(body)} bytes is larger than a frame may be")
    return _LENGTH_HEADER.pack(len(body)) + body


def frame_length(header: bytes) -> int:
    """Read a frame's length from its first four bytes; ProtocolError when it is too large."""
    (length,) = _LENGTH_HEADER.unpack(header)
    if length > MAX_FRAME_BYTES:
        raise ProtocolError(f"a frame of {length} bytes was announced; {MAX_FRAME_BYTES} is the most")
    return int(length)


def decode_request(body: bytes) -> WorkerRequest:
    """Read a message of the bot; ProtocolError when it is none."""
    return _decode(_request_decoder.decode, body)


def decode_message(body: bytes) -> WorkerMessage:
    """Read a message of a worker; ProtocolError when it is none."""
    return _decode(_message_decoder.decode, body)


def _decode(decode: Callable[[bytes], _T], body: bytes) -> _T:
    try:
        return decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:  # the latter: text that is none
        raise ProtocolError(f"not a message of protocol version {VERSION}: {error}") from error


def read_frame(stream: BinaryIO) -> bytes | None:
    """Read one frame's body, blocking; None at a clean end of the stream."""
    header = stream.read(_LENGTH_HEADER.size)
    if not header:
        return None
    if len(header) < _LENGTH_HEADER.size:
        raise ProtocolError("the stream ended inside a frame")
    length = frame_length(header)
    body = stream.read(length)
    if len(body) < length:
        raise ProtocolError("the stream ended inside a frame")
    return body


async def read_frame_async(stream: asyncio.StreamReader) -> bytes | None:
    """Read one frame's body; None at a clean end of the stream."""
    try:
        header = await stream.readexactly(_LENGTH_HEADER.size)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise ProtocolError("the stream ended inside a frame") from error
        return None
    try:
        return await stream.readexactly(frame_length(header))
    except asyncio.IncompleteReadError as error:
        raise ProtocolError("the stream ended inside a frame") from error
